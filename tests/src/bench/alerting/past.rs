//! Backtests: a hundred rules over a month, with their windows made of the minutes that the server keeps, and with a
//! scan of the index.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_proto::api::QueryRequest;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{LINES_PER_REQUEST, S, now_ns, time};
use crate::bench::usage::{self, Usage};
use crate::harness::{Scratch, Server, eventually};

const RULES: usize = 100;
const SERVICES: usize = 1;
const DAYS: i64 = 29;
/// Lines of each service and minute; one in ten fails.
const LINES_PER_MINUTE: i64 = 10;
pub(super) const KEPT_WITHIN: Duration = Duration::from_secs(900);
const ANSWERED_WITHIN: Duration = Duration::from_secs(900);

#[derive(Debug, Clone, Default)]
pub struct PastFigures {
    pub rules: usize,
    pub lines: u64,
    /// Over the minutes that are kept.
    pub rollups_s: f64,
    pub rollups_cpu_s: f64,
    /// With a scan of the index.
    pub scan_s: f64,
    pub scan_cpu_s: f64,
    pub peak_mib: f64,
}

pub(super) async fn measure(scratch: &Scratch) -> anyhow::Result<PastFigures> {
    let folder = scratch.folder("month")?;
    std::fs::write(folder.join("burn.yaml"), rules(true))?;
    let settings = format!(
        "retention: {{ days: 35 }}\nlimits: {{ ingest_bytes_per_s: 4GiB }}\nalerting: {{ rules: [{}] }}\n",
        folder.display()
    );
    let mut server = Server::serve(scratch, "backtest", &settings).await?;
    let mut figures = PastFigures { rules: RULES, lines: fill(&server).await?, ..PastFigures::default() };
    let all = async || {
        let query = "* | stats count as n".to_owned();
        let request = QueryRequest { query, from: Some("-35d".to_owned()), ..QueryRequest::default() };
        let rows = server.client().query(&request).await?.rows;
        let count = rows.first().and_then(|row| row.get("n")?.as_u64()).unwrap_or(0);
        ensure!(count >= figures.lines, "{count} lines are there");
        Ok(Some(()))
    };
    eventually(KEPT_WITHIN, "all lines", all).await?;
    // A start with all of the past there: the rules count it once, and keep it.
    server.process().terminate(KEPT_WITHIN).await?;
    server.restart(scratch).await?;
    let looked = async || {
        let rules: Value = server.client().json("/api/v1/rules").await?;
        let text = rules.to_string();
        let evaluated = text.matches("\"last_evaluation\":\"").count();
        ensure!(evaluated >= RULES, "{evaluated} rules were");
        Ok(Some(()))
    };
    eventually(KEPT_WITHIN, "the first evaluation", looked).await?;
    (figures.rollups_s, figures.rollups_cpu_s) =
        backtest(&mut server, None, ANSWERED_WITHIN).await.context("rollups")?;
    (figures.scan_s, figures.scan_cpu_s) =
        backtest(&mut server, Some(&rules(false)), ANSWERED_WITHIN).await.context("scan")?;
    figures.peak_mib = usage::peak_memory_mib(server.process().pid().context("it runs")?)?;
    server.kill().await?;
    Ok(figures)
}

/// A hundred rules in ten groups, each of another share of the failures: burn rates over a month, or ratios of five
/// minutes.
fn rules(burn: bool) -> String {
    let name = if burn { "burn" } else { "ratio" };
    let mut text = "version: 1\ngroups:\n".to_owned();
    for rule in 0..RULES {
        if rule % 10 == 0 {
            text.push_str(&format!("  - name: {name}-{}\n    rules:\n", rule / 10));
        }
        let limit = 10 + rule * 9;
        let bad = format!("status>=500 AND duration_ms>={limit}");
        text.push_str(&match burn {
            true => format!(
                "      - alert: {name}{rule}
        slo:
          objective: 99%
          period: 30d
          total: {{filter: '*', by: [service]}}
          bad: {{filter: '{bad}', by: [service]}}
        levels: {{critical: {{any: [{{burn: 14.4, long: 1h, short: 5m}}]}}, warning: {{any: [{{burn: 6, long: 6h, short: 30m}}]}}}}
        summary: '{{{{ labels.service }}}}'
"
            ),
            false => format!(
                "      - alert: {name}{rule}
        signals:
          bad: {{filter: '{bad}', agg: count, window: 5m, by: [service]}}
          total: {{filter: '*', agg: count, window: 5m, by: [service]}}
          ratio: {{expr: bad / total}}
        levels: {{critical: {{when: ratio > 50%}}, warning: {{when: ratio > 30%, for: 10m}}}}
        summary: '{{{{ labels.service }}}}'
"
            ),
        });
    }
    text
}

async fn fill(server: &Server) -> anyhow::Result<u64> {
    let begin = now_ns() - DAYS * 86_400 * S;
    let (mut body, mut waiting, mut number) = (String::new(), 0, 0u64);
    for minute in 0..DAYS * 1_440 {
        // An hour in which everything fails, once a day.
        let fails = minute % 1_440 < 60;
        for i in 0..LINES_PER_MINUTE {
            for service in 0..SERVICES {
                let at = begin + (minute * 60 + i * 60 / LINES_PER_MINUTE) * S + service as i64;
                let status = if fails || number % 10 == 0 { 500 } else { 200 };
                let ms = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
                writeln!(
                    body,
                    r#"{{"time":"{}","host":"a","service":"svc-{service}","message":"GET /{number}","status":{status},"duration_ms":{ms}}}"#,
                    time(at)
                )?;
                (number, waiting) = (number + 1, waiting + 1);
            }
        }
        if waiting + SERVICES * LINES_PER_MINUTE as usize > LINES_PER_REQUEST {
            send(server, std::mem::take(&mut body)).await?;
            waiting = 0;
        }
    }
    send(server, body).await?;
    Ok(number)
}

async fn send(server: &Server, body: String) -> anyhow::Result<()> {
    eventually(KEPT_WITHIN, "the lines are taken", async || {
        let answer = server.client().ingest_response(body.clone()).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        Ok(Some(()))
    })
    .await
}

/// Wall time and CPU of one backtest of 29 days.
pub(super) async fn backtest(server: &mut Server, files: Option<&str>, within: Duration) -> anyhow::Result<(f64, f64)> {
    let pid = server.process().pid().context("it runs")?;
    let mut request = json!({"since": format!("{}d", DAYS - 1)});
    if let Some(text) = files {
        request["files"] = json!([{"name": "rules.yaml", "text": text}]);
    }
    let (before, begun) = (Usage::of(pid)?.cpu_s, Instant::now());
    let sent = server.client().post("/api/v1/rules/backtest").timeout(within).json(&request).send();
    let answer = sent.await?;
    let status = answer.status();
    let body = answer.text().await?;
    ensure!(status.is_success(), "{status}: {}", &body[..body.len().min(500)]);
    let spent = (begun.elapsed().as_secs_f64(), Usage::of(pid)?.cpu_s - before);
    let report: Value = serde_json::from_str(&body)?;
    let rules = report["after"]["rules"].as_array().context("rules")?;
    let episodes: u64 = rules.iter().filter_map(|rule| rule["episodes"].as_u64()).sum();
    ensure!(rules.len() == RULES, "{} rules are in the report", rules.len());
    ensure!(episodes > 0, "no rule fired: what was measured is no scan that finds something; the limits are too high");
    Ok(spent)
}
