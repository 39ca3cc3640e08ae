//! A backtest of a hundred burn rates over 28 days of minutes, without a server:
//! `cargo bench -p logweir-alerting --bench backtest`.
//!
//! The store of logs answers counts at once, so what is measured is reading them and deciding.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use logweir_alerting::backtest::{Plan, Scenes, run};
use logweir_alerting::check;
use logweir_alerting::source::{Answer, QueryError, QuerySource};
use logweir_runtime::clock::rfc3339;
use serde_json::json;

const RULES: usize = 100;
const MINUTE_NS: i64 = 60_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
const BEGIN_NS: i64 = 20_000 * DAY_NS;
const DAYS: i64 = 28;

/// Ten lines a minute; one in ten is bad, and one hour of each day all are.
#[derive(Debug)]
struct Minutes;

impl QuerySource for Minutes {
    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        let is_bad = query.contains("status");
        let first = (from_ns.max(BEGIN_NS) - BEGIN_NS).div_euclid(MINUTE_NS);
        let last = (to_ns - BEGIN_NS).div_euclid(MINUTE_NS).min(DAYS * 1_440);
        let row = |minute: i64| {
            let count = if is_bad && minute % 1_440 >= 60 { i64::from(minute % 3 > 0) } else { 10 };
            json!({"time": rfc3339(BEGIN_NS + minute * MINUTE_NS), "v": count, "service": "svc-0"})
        };
        let rows: Vec<_> = (first..last).take(limit).map(row).collect();
        let rows = serde_json::from_value(json!(rows)).map_err(|error| QueryError::Failed(error.to_string()));
        Box::pin(async move { Ok(Answer { rows: rows?, complete: true, reason: None }) })
    }
}

fn rules() -> String {
    let mut text = "version: 1\ngroups:\n".to_owned();
    for rule in 0..RULES {
        if rule % 10 == 0 {
            text.push_str(&format!("  - name: burn-{}\n    rules:\n", rule / 10));
        }
        text.push_str(&format!(
            "      - alert: Burn{rule}
        slo:
          objective: 9{}%
          period: 30d
          total: {{filter: '*', by: [service]}}
          bad: {{filter: 'status>={rule}', by: [service]}}
        levels: {{critical: {{any: [{{burn: 1.4, long: 1h, short: 5m}}]}}, warning: {{any: [{{burn: 1.1, long: 6h, short: 30m}}]}}}}
        summary: '{{{{ labels.service }}}}'
",
            rule % 10,
        ));
    }
    text
}

/// User and system time of this process, in seconds.
fn cpu_s() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after) = stat.rsplit_once(')').ok_or("no process name")?;
    let ticks = after.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / 100.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let set = check::rules(&[("bench.yaml".to_owned(), rules())]).map_err(|problems| format!("{problems:?}"))?;
    let (from, to) = (BEGIN_NS + DAY_NS, BEGIN_NS + DAYS * DAY_NS);
    let plan = Plan { from, to, rule: None, budget: None, cold: false, store: None };
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let (begun, before) = (Instant::now(), cpu_s()?);
    let outcome = runtime.block_on(run(Arc::new(Minutes), &set, None, Scenes::default(), plan))?;
    let (wall_s, cpu_s) = (begun.elapsed().as_secs_f64(), cpu_s()? - before);
    let episodes: usize = outcome.report.rules.iter().map(|rule| rule.episodes).sum();
    writeln!(
        std::io::stdout(),
        "{RULES} rules, {} days, {episodes} episodes, {} changes: {wall_s:.2} s, {cpu_s:.2} CPU-s",
        DAYS - 1,
        outcome.lines.len()
    )?;
    Ok(())
}
