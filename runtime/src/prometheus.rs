//! The figures of a process and their text for Prometheus (exposition format 0.0.4).
//!
//! Each figure is one number, a histogram a number for each bucket: nothing grows with what is recorded, whether or not
//! anybody asks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Series of one process: further ones are not kept.
pub(crate) const SERIES_MAX: usize = 10_000;
/// Upper bounds of the buckets of every histogram, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// Cheap to clone; clones share their figures.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<Series>>);

/// By name, then by labels as they are printed.
type Series = BTreeMap<String, BTreeMap<String, Value>>;

#[derive(Debug, Clone)]
enum Value {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

#[derive(Debug, Default)]
struct Buckets {
    /// Of each bucket what is in it and in no smaller one.
    counts: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    /// Bits of a float.
    sum: AtomicU64,
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        if let Some(at) = BUCKETS.iter().position(|bound| value <= *bound) {
            self.counts[at].fetch_add(1, Ordering::Relaxed);
        }
        GaugeFn::increment(&self.sum, value);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// All figures, sorted.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        for (name, series) in self.lock().iter() {
            let kind = match series.values().next() {
                Some(Value::Counter(_)) => "counter",
                Some(Value::Gauge(_)) => "gauge",
                Some(Value::Histogram(_)) => "histogram",
                None => continue,
            };
            let _ = writeln!(out, "# TYPE {name} {kind}");
            for (labels, value) in series {
                let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                let _ = match value {
                    Value::Counter(value) => writeln!(out, "{name}{braces} {}", value.load(Ordering::Relaxed)),
                    Value::Gauge(value) => writeln!(out, "{name}{braces} {}", float(value)),
                    Value::Histogram(buckets) => buckets.render(&mut out, name, labels, &braces),
                };
            }
            out.push('\n');
        }
        out
    }

    /// The figure of this key, made by `new` if it is the first time; `None` when there are too many or it is another
    /// kind of figure.
    fn value(&self, key: &Key, new: fn() -> Value) -> Option<Value> {
        let mut labels = String::new();
        for label in key.labels() {
            let comma = if labels.is_empty() { "" } else { "," };
            let _ = write!(labels, "{comma}{}=\"{}\"", label.key(), escaped(label.value()));
        }
        let mut names = self.lock();
        if let Some(value) = names.get(key.name()).and_then(|series| series.get(&labels)) {
            return Some(value.clone());
        }
        let total: usize = names.values().map(BTreeMap::len).sum();
        if total >= SERIES_MAX {
            return None;
        }
        let value = new();
        names.entry(key.name().to_owned()).or_default().insert(labels, value.clone());
        Some(value)
    }

    fn lock(&self) -> MutexGuard<'_, Series> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn render(&self, out: &mut String, name: &str, labels: &str, braces: &str) -> std::fmt::Result {
        let comma = if labels.is_empty() { "" } else { "," };
        let count = self.count.load(Ordering::Relaxed);
        let mut below = 0;
        for (bound, count) in BUCKETS.iter().zip(&self.counts) {
            below += count.load(Ordering::Relaxed);
            writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}")?;
        }
        writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}")?;
        writeln!(out, "{name}_sum{braces} {}", float(&self.sum))?;
        writeln!(out, "{name}_count{braces} {count}")
    }
}

fn float(bits: &AtomicU64) -> f64 {
    f64::from_bits(bits.load(Ordering::Relaxed))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Recorder for Registry {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.value(key, || Value::Counter(Arc::default())) {
            Some(Value::Counter(value)) => Counter::from_arc(value),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.value(key, || Value::Gauge(Arc::default())) {
            Some(Value::Gauge(value)) => Gauge::from_arc(value),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.value(key, || Value::Histogram(Arc::default())) {
            Some(Value::Histogram(buckets)) => Histogram::from_arc(buckets),
            _ => Histogram::noop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics::{counter, gauge, histogram, with_local_recorder};

    use super::*;

    #[test]
    fn figures_as_prometheus_reads_them() {
        let registry = Registry::default();
        with_local_recorder(&registry, || {
            counter!("lines_total").increment(3);
            counter!("lines_total").increment(4);
            counter!("odd_total", "why" => "a \"b\"\\\n", "n" => "1").increment(1);
            gauge!("lag_bytes").set(1.5);
            for seconds in [0.0005, 0.005, 0.3, 60.0] {
                histogram!("ack_seconds").record(seconds);
            }
            // Another kind of figure under the same name is none.
            gauge!("lines_total").set(9.0);
        });
        expect_test::expect![[r#"
            # TYPE ack_seconds histogram
            ack_seconds_bucket{le="0.001"} 1
            ack_seconds_bucket{le="0.005"} 2
            ack_seconds_bucket{le="0.01"} 2
            ack_seconds_bucket{le="0.05"} 2
            ack_seconds_bucket{le="0.1"} 2
            ack_seconds_bucket{le="0.5"} 3
            ack_seconds_bucket{le="1"} 3
            ack_seconds_bucket{le="5"} 3
            ack_seconds_bucket{le="30"} 3
            ack_seconds_bucket{le="+Inf"} 4
            ack_seconds_sum 60.3055
            ack_seconds_count 4

            # TYPE lag_bytes gauge
            lag_bytes 1.5

            # TYPE lines_total counter
            lines_total 7

            # TYPE odd_total counter
            odd_total{why="a \"b\"\\\n",n="1"} 1

        "#]]
        .assert_eq(&registry.render());
    }

    #[test]
    fn there_is_an_end_to_series() {
        let registry = Registry::default();
        with_local_recorder(&registry, || {
            for n in 0..SERIES_MAX + 5 {
                counter!("n_total", "n" => n.to_string()).increment(1);
            }
        });
        assert_eq!(registry.lock()["n_total"].len(), SERIES_MAX);
    }
}
