//! The page in a real browser.

use std::time::Duration;

use anyhow::ensure;
use logweir_tests::harness::{Server, browser, run};
use serde_json::{Value, json};

#[test]
fn the_page_searches_and_the_console_stays_silent() -> anyhow::Result<()> {
    run("page", async |scratch| {
        let server = Server::serve(scratch, "server", "").await?;
        let lines: String = (0..50)
            .map(|n| {
                let msg = if n == 7 { "needle <img src=x onerror=alert(1)>".to_owned() } else { format!("straw {n}") };
                json!({"level": "info", "service": "hay", "msg": msg}).to_string() + "\n"
            })
            .collect();
        server.client().ingest(lines).await?;
        server.wait_count("service:hay", 50, Duration::from_secs(5)).await?;

        let picture = scratch.join("page.png");
        let report = browser::visit(scratch, server.url(), "needle", &picture).await?;
        ensure!(report.errors.is_empty(), "errors: {:?}", report.errors);
        ensure!(report.violations.is_empty(), "content security policy: {:?}", report.violations);
        ensure!(report.foreign_requests.is_empty(), "requests elsewhere: {:?}", report.foreign_requests);
        ensure!(report.title.contains("Logweir"), "title {:?}", report.title);
        ensure!(report.rows.len() >= 10, "rows at first: {:?}", report.rows);
        ensure!(report.found.len() == 1, "rows of the needle: {:?}", report.found);
        ensure!(report.found[0].contains("<img src=x"), "log text is text: {:?}", report.found);
        ensure!(report.details.contains("hay"), "the row unfolds: {:?}", report.details);
        ensure!(report.query_error.contains("bogus"), "a wrong query is explained: {:?}", report.query_error);
        Ok(())
    })
}

/// With the keyboard: Escape closes the form and gives the focus back, what the server refuses is shown as it says it,
/// and what was silenced and acknowledged is there for whoever opens the page next.
#[test]
fn the_page_silences_and_acknowledges_an_alert() -> anyhow::Result<()> {
    run("page-silence", async |scratch| {
        let alerting = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\nheartbeats: [{name: backup, every: 10s, grace: 0s}]\n";
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let more = format!("alerting: {{ config: {} }}\n", alerting.display());
        let server = Server::serve(scratch, "server", &more).await?;

        let seen = browser::silence(scratch, server.url(), "silence", &scratch.join("silence.png")).await?;
        ensure!(seen.errors.is_empty() && seen.violations.is_empty() && seen.foreign_requests.is_empty(), "{seen:?}");
        ensure!(seen.focused == ["author", "comment", "comment"], "{seen:?}");
        ensure!(seen.after_escape.starts_with("Silence… "), "{seen:?}");
        ensure!(seen.matched.iter().all(|said| said.starts_with("Matches 1 of 1 current alert: ")), "{seen:?}");
        ensure!(seen.refusal.contains("these matchers match everything: at least one must need a label"), "{seen:?}");
        let [row] = &seen.list[..] else { anyhow::bail!("one silence in the list: {seen:?}") };
        for part in ["heartbeat=\"backup\"", "ann", "moving the rack <b>", "(4 h)"] {
            ensure!(row.contains(part), "{part} in {row}");
        }
        ensure!(seen.silenced.contains("silenced, "), "{seen:?}");
        ensure!(seen.acknowledged.contains("taken by ann"), "{seen:?}");

        let kept: Value = server.client().json("/api/v1/silences").await?;
        let silence = &kept["silences"][0];
        ensure!(silence["state"] == "active" && silence["author"] == "ann", "{kept}");
        ensure!(silence["comment"] == "moving the rack <b>", "{kept}");
        let alerts: Value = server.client().json("/api/v1/alerts").await?;
        ensure!(alerts["alerts"][0]["acknowledged"]["by"] == "ann", "{alerts}");

        let seen = browser::silence(scratch, server.url(), "end", &scratch.join("end.png")).await?;
        ensure!(seen.errors.is_empty() && seen.list.len() == 1, "{seen:?}");
        ensure!(seen.acknowledged.contains("taken by ann"), "{seen:?}");
        ensure!(!seen.silenced.contains("silenced, "), "{seen:?}");
        let kept: Value = server.client().json("/api/v1/silences").await?;
        ensure!(kept["silences"][0]["state"] == "expired", "{kept}");
        Ok(())
    })
}

/// What is still within its `for` can be silenced before it fires, and not acknowledged: nobody was told of it.
#[test]
fn the_page_silences_a_pending_alert() -> anyhow::Result<()> {
    run("page-pending", async |scratch| {
        let rule = "version: 1\ngroups:\n  - name: g\n    every: 1s\n    rules:\n      - alert: Slow\n        signals: {n: {filter: 'service:pay', agg: count, window: 10m, by: [host]}}\n        levels: {warning: {when: n > 0, for: 10m}}\n        summary: \"{{ labels.host }} is slow\"\n";
        let rules = scratch.file("rules/r.yaml", rule)?;
        let alerting = scratch.file("alerting.yaml", "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")?;
        let more = format!("alerting: {{ rules: [{}], config: {} }}\n", rules.display(), alerting.display());
        let server = Server::serve(scratch, "server", &more).await?;
        server.client().ingest(json!({"level": "info", "service": "pay", "host": "a"}).to_string()).await?;

        let seen = browser::silence(scratch, server.url(), "pending", &scratch.join("pending.png")).await?;
        ensure!(seen.errors.is_empty() && seen.violations.is_empty() && seen.foreign_requests.is_empty(), "{seen:?}");
        ensure!(seen.matched == ["Matches 1 of 1 current alert: Slow"], "{seen:?}");
        ensure!(seen.acknowledged.is_empty(), "nothing to acknowledge: {seen:?}");
        ensure!(seen.silenced.contains("a is slow") && seen.silenced.contains("silenced, "), "{seen:?}");
        let kept: Value = server.client().json("/api/v1/silences").await?;
        ensure!(kept["silences"][0]["matchers"] == json!(["alertname=\"Slow\"", "host=\"a\""]), "{kept}");
        Ok(())
    })
}
