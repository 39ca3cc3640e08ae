//! The page in a real browser.

use std::time::Duration;

use anyhow::ensure;
use logweir_tests::harness::{Server, browser, run};
use serde_json::json;

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
