//! An NGINX of somebody's own that is started after the agent, and that changes its `log_format` while it serves.

use std::time::Duration;

use anyhow::ensure;
use logweir_tests::harness::nginx::Nginx;
use logweir_tests::harness::{Agent, Server, run};

const FOUND_WITHIN: Duration = Duration::from_secs(90);
const LINES: u64 = 40;

#[test]
fn an_nginx_that_comes_later_is_found_and_each_line_is_read_by_the_format_it_was_written_in() -> anyhow::Result<()> {
    run("nginx-formats", async |scratch| {
        let server = Server::serve(scratch, "server", "").await?;
        // Nothing says where: the process that runs names its configuration.
        let first = scratch.file("first.log", "the agent has looked around\n")?;
        let files = format!("files: [{{ paths: [{}], start_at: beginning }}]\n", first.display());
        let mut agent = Agent::configure(scratch, server.url(), &format!("discover: [nginx]\n{files}"))?;
        agent.start(scratch)?;
        server.wait_count("message=~\"looked around\"", 1, FOUND_WITHIN).await?;
        let nginx = Nginx::start(scratch).await?;
        for n in 0..LINES {
            nginx.get(&format!("/before-{n}")).await?;
        }
        server.wait_count("path=~\"before-\" duration_ms>=0", LINES, FOUND_WITHIN).await?;
        // The same file goes on in another format, then in a third one.
        nginx.reconfigure("rt=$request_time", "took=$request_time bytes=$request_length").await?;
        for n in 0..LINES {
            nginx.get(&format!("/between-{n}")).await?;
        }
        nginx.reconfigure("log_format timed '$remote_addr", "log_format timed 'v3 $host|$remote_addr").await?;
        for n in 0..LINES {
            nginx.get(&format!("/after-{n}")).await?;
        }
        server.wait_count("path=~\"after-\" status:200 duration_ms>=0", LINES, FOUND_WITHIN).await?;
        server.wait_count("path=~\"between-\" status:200 duration_ms>=0", LINES, FOUND_WITHIN).await?;
        let paths = "path=~\"before-\" OR path=~\"between-\" OR path=~\"after-\"";
        let all = server.client().count(paths).await?;
        ensure!(all == 3 * LINES, "{all} lines");
        let strange = server.client().count("message=~\"(before|between|after)-\" NOT status:200").await?;
        ensure!(strange == 0, "{strange} lines without their fields");
        agent.check_alive()?;
        nginx.stop().await
    })
}
