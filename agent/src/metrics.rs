//! What the agent counts. Names are `logweir_agent_…` with their unit last.

use metrics::{counter, gauge, histogram};

pub(crate) fn truncated(lines: u64) {
    if lines > 0 {
        counter!("logweir_agent_truncated_lines_total").increment(lines);
    }
}

pub(crate) fn dropped(lines: u64) {
    counter!("logweir_agent_dropped_lines_total").increment(lines);
}

/// Lines that a rule left out; `rule` is `drop` or `sample`.
pub(crate) fn filtered(rule: &'static str, lines: u64) {
    if lines > 0 {
        counter!("logweir_agent_filtered_lines_total", "rule" => rule).increment(lines);
    }
}

/// `what` is the name of a detector, pattern or field of the configuration.
pub(crate) fn redacted(what: &str, values: u64) {
    counter!("logweir_agent_redacted_values_total", "what" => what.to_owned()).increment(values);
}

pub(crate) fn gap(bytes: u64) {
    counter!("logweir_agent_gaps_total").increment(1);
    counter!("logweir_agent_gap_bytes_total").increment(bytes);
}

pub(crate) fn read_failed() {
    counter!("logweir_agent_read_failures_total").increment(1);
}

pub(crate) fn batch_acked(records: u64, raw_bytes: usize, wire_bytes: usize, seconds: f64) {
    counter!("logweir_agent_batches_total").increment(1);
    counter!("logweir_agent_shipped_lines_total").increment(records);
    counter!("logweir_agent_shipped_raw_bytes_total").increment(raw_bytes as u64);
    counter!("logweir_agent_shipped_wire_bytes_total").increment(wire_bytes as u64);
    histogram!("logweir_agent_batch_ack_seconds").record(seconds);
}

/// `why` is a [`crate::ship::policy::Why`] in words: a small closed set.
pub(crate) fn attempt_failed(why: &'static str) {
    counter!("logweir_agent_failed_attempts_total", "why" => why).increment(1);
}

/// `name` is that of a spool: a small closed set.
pub(crate) fn spool_dropped(name: &'static str, messages: u64) {
    counter!("logweir_agent_spool_dropped_messages_total", "spool" => name).increment(messages);
}

pub(crate) fn spool_bytes(name: &'static str, bytes: u64) {
    gauge!("logweir_agent_spool_bytes", "spool" => name).set(bytes as f64);
}

pub(crate) fn reloaded(taken: bool) {
    let outcome = if taken { "taken" } else { "refused" };
    counter!("logweir_agent_reloads_total", "outcome" => outcome).increment(1);
}

pub(crate) fn switched() {
    counter!("logweir_agent_server_switches_total").increment(1);
}

pub(crate) fn unreadable(files: usize) {
    gauge!("logweir_agent_unreadable_files").set(files as f64);
}

pub(crate) fn state(files: u32, lag_bytes: u64) {
    gauge!("logweir_agent_open_files").set(f64::from(files));
    gauge!("logweir_agent_lag_bytes").set(lag_bytes as f64);
}
