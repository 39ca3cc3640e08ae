//! The first promise: nginx, PM2 and Docker write under load, their logs rotate, the agent and the server are killed
//! at random moments, and every numbered line is found exactly once.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_tests::faults::Dice;
use logweir_tests::harness::docker::{Docker, counting};
use logweir_tests::harness::ledger::{Tally, exactly_once, mark, written};
use logweir_tests::harness::nginx::Nginx;
use logweir_tests::harness::pm2::Pm2;
use logweir_tests::harness::{Agent, Scratch, Server, eventually, run};
use serde_json::Value;
use tokio::time::sleep;

const NGINX_LINES: u64 = 5_000;
const PM2_LINES: u64 = 8_000;
/// Lines that PM2 may drop when its log is rotated.
const PM2_DROPS_MAX: u64 = 80;
const DOCKER_LINES: u64 = 8_000;
/// How often each kind of fault comes.
const ROUNDS: usize = 2;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

/// So that splits are committed and the log behind them is cut while the killing goes on.
const SEALED_OFTEN: &str = "limits: { seal_bytes: 1MiB, seal_age: 3s }\n";

/// Two shapes of line in one log, as apps have them that log JSON and print besides.
pub(crate) const PM2_APP: &str = r"
const total = Number(process.env.TOTAL);
let n = 0;
const timer = setInterval(() => {
  for (let i = 0; i < 10 && n < total; i++, n++) {
    const text = `order seq-pm2-${n}- placed`;
    console.log(n % 2 ? JSON.stringify({ level: 30, time: Date.now(), pid: 1, hostname: 'h', msg: text }) : text);
  }
  if (n >= total) clearInterval(timer);
}, 20);
";

struct World {
    nginx: Nginx,
    pm2: Pm2,
    docker: Docker,
}

#[test]
fn every_line_of_real_sources_is_stored_exactly_once() -> anyhow::Result<()> {
    run("sources", async |scratch| {
        let world = World {
            nginx: Nginx::start(scratch).await?,
            pm2: Pm2::start(scratch).await?,
            docker: Docker::start(scratch).await?,
        };
        let mut server = Server::serve(scratch, "server", SEALED_OFTEN).await?;
        let mut agent = agent(scratch, &world, server.url())?;
        agent.start(scratch)?;
        first_line(&world, &server).await?;

        let client = server.client().clone();
        let load = async { tokio::try_join!(load_nginx(&world), load_pm2(scratch, &world), load_docker(&world)) };
        let (written, ()) = tokio::try_join!(load, faults(scratch, &world, &mut server, &mut agent))?;
        agent.check_alive()?;

        exactly_once(&client, "nginx", "path=~\"seq-nginx\"", &written.0, CAUGHT_UP_WITHIN).await?;
        exactly_once(&client, "pm2", "pm2_app:shop message=~\"seq-pm2\"", &written.1, CAUGHT_UP_WITHIN).await?;
        exactly_once(&client, "docker", "container:counter", &written.2, CAUGHT_UP_WITHIN).await?;
        no_gaps(&server).await
    })
}

/// The module copies and then truncates: what the app writes between the two is destroyed, unless the agent was quicker.
#[test]
fn pm2_logrotate_copies_and_truncates_under_load() -> anyhow::Result<()> {
    run("pm2rotate", async |scratch| {
        let pm2 = Pm2::start(scratch).await?;
        pm2.install_logrotate("20K").await?;
        let server = Server::serve(scratch, "server", SEALED_OFTEN).await?;
        let more = format!("discover: [pm2]\ndiscover_roots: {{ pm2: [{}] }}\n", pm2.home().display());
        let mut agent = Agent::configure(scratch, server.url(), &more)?;
        agent.start(scratch)?;
        let total = PM2_LINES / 2;
        let script = scratch.file("shop.js", PM2_APP)?;
        pm2.run(&script, "shop", &[("TOTAL", total.to_string())]).await?;
        server.wait_count("pm2_app:shop", total / 4, CAUGHT_UP_WITHIN).await?;
        restart_agent(scratch, &mut agent, &mut Dice::from_env()).await?;
        pm2.wait_stopped("shop", Duration::from_secs(90)).await?;

        let logs = pm2.home().join("logs");
        let rotated =
            std::fs::read_dir(&logs)?.flatten().filter(|e| e.file_name().to_string_lossy().contains("shop-out__"));
        ensure!(rotated.count() > 1, "pm2-logrotate has not rotated");
        let kept = written(&logs, "shop-out", "pm2")?;
        let all = (0..total).collect();
        let tally = async || {
            let rows = server.client().all_rows("pm2_app:shop message=~\"seq-pm2\"", Some("raw")).await?;
            let lines: Vec<&str> = rows.iter().filter_map(|row| row.get("raw")?.as_str()).collect();
            anyhow::Ok(Tally::of("pm2", &all, lines.into_iter()))
        };
        eventually(CAUGHT_UP_WITHIN, "every line that is in a file is stored", async || {
            let missing = tally().await?.missing.into_iter().filter(|number| kept.contains(number)).count();
            ensure!(missing == 0, "{missing} are not");
            Ok(Some(()))
        })
        .await?;
        let Tally { missing, doubled, strange } = tally().await?;
        eprintln!("pm2-logrotate kept {} of {total} lines, {} are stored", kept.len(), total - missing.len() as u64);
        ensure!(doubled.is_empty() && strange.is_empty(), "doubled {doubled:?}, strange {strange:?}");
        if missing.is_empty() { no_gaps(&server).await } else { Ok(()) }
    })
}

#[test]
fn discover_names_real_sources_with_their_formats() -> anyhow::Result<()> {
    run("discover", async |scratch| {
        let world = World {
            nginx: Nginx::start(scratch).await?,
            pm2: Pm2::start(scratch).await?,
            docker: Docker::start(scratch).await?,
        };
        let script = scratch.file("shop.js", PM2_APP)?;
        world.pm2.run(&script, "shop", &[("TOTAL", "20".to_owned())]).await?;
        world.docker.run("counter", &[], &counting(20)).await?;
        world.docker.wait("counter").await?;
        let agent = agent(scratch, &world, "http://127.0.0.1:1")?;
        let found = agent.run("discover").await?.expect_code(0)?.text();
        let nginx = world.nginx.access_log().display().to_string();
        let pm2 = world.pm2.log("shop-out.log").display().to_string();
        for part in [nginx.as_str(), pm2.as_str(), "shop", "counter", "-json.log", "timed"] {
            ensure!(found.contains(part), "{part} is not in:\n{found}");
        }
        Ok(())
    })
}

/// Everything by discovery, as on a host where all three run in their usual places.
fn agent(scratch: &Scratch, world: &World, url: &str) -> anyhow::Result<Agent> {
    let more = format!(
        "discover: [nginx, pm2, docker]\ndiscover_roots: {{ nginx: [{}], pm2: [{}], docker: {} }}\n",
        world.nginx.config().display(),
        world.pm2.home().display(),
        world.docker.data_root().display()
    );
    Agent::configure(scratch, url, &more)
}

/// A file that is there when the agent starts is read from its end, so the ledger begins once it is being read.
async fn first_line(world: &World, server: &Server) -> anyhow::Result<()> {
    eventually(Duration::from_secs(30), "the first line of nginx arrives", async || {
        world.nginx.get("/warm").await?;
        Ok((server.client().count("path:/warm").await? > 0).then_some(()))
    })
    .await
}

async fn load_nginx(world: &World) -> anyhow::Result<BTreeSet<u64>> {
    for number in 0..NGINX_LINES {
        world.nginx.get(&format!("/{}?page={}", mark("nginx", number), number % 7)).await?;
        if number % 10 == 0 {
            sleep(Duration::from_millis(25)).await;
        }
    }
    Ok((0..NGINX_LINES).collect())
}

async fn load_pm2(scratch: &Scratch, world: &World) -> anyhow::Result<BTreeSet<u64>> {
    let script = scratch.file("shop.js", PM2_APP)?;
    world.pm2.run(&script, "shop", &[("TOTAL", PM2_LINES.to_string())]).await?;
    world.pm2.wait_stopped("shop", Duration::from_secs(90)).await?;
    let numbers = written(&world.pm2.home().join("logs"), "shop-out", "pm2")?;
    // PM2 destroys the stream of its log when it reopens it, with what that had not written yet: on a busy disk some
    // lines are in no file.
    ensure!(
        numbers.len() as u64 + PM2_DROPS_MAX >= PM2_LINES,
        "pm2 itself wrote {} of {PM2_LINES} lines",
        numbers.len()
    );
    Ok(numbers)
}

async fn load_docker(world: &World) -> anyhow::Result<BTreeSet<u64>> {
    world.docker.run("counter", &["max-size=100k", "max-file=50", "compress=true"], &counting(DOCKER_LINES)).await?;
    world.docker.wait("counter").await?;
    let container = std::fs::read_dir(world.docker.containers())?.next().context("the container's folder")??;
    let numbers = written(&container.path(), "", "docker")?;
    ensure!(numbers.len() as u64 == DOCKER_LINES, "docker itself wrote {} of {DOCKER_LINES} lines", numbers.len());
    Ok(numbers)
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    RotateNginx,
    RotatePm2,
    KillAgent,
    KillServer,
    /// The hardest: the files change their names while nobody looks.
    RotateUnseen,
}

/// Kills and rotations while the load runs: each kind, in an order and at moments that only the seed knows.
async fn faults(scratch: &Scratch, world: &World, server: &mut Server, agent: &mut Agent) -> anyhow::Result<()> {
    let mut dice = Dice::from_env();
    let kinds = [Fault::RotateNginx, Fault::RotatePm2, Fault::KillAgent, Fault::KillServer, Fault::RotateUnseen];
    let mut plan = kinds.repeat(ROUNDS);
    dice.shuffle(&mut plan);
    for (number, fault) in (1..).zip(plan) {
        sleep(dice.millis(200, 1_500)).await;
        eprintln!("fault {number}: {fault:?}");
        match fault {
            Fault::RotateNginx => world.nginx.rotate().await?,
            Fault::RotatePm2 => rotate_pm2(world, number).await?,
            Fault::KillAgent => restart_agent(scratch, agent, &mut dice).await?,
            Fault::KillServer => {
                server.kill().await?;
                sleep(dice.millis(1, 800)).await;
                server.restart(scratch).await?;
            }
            Fault::RotateUnseen => {
                agent.kill().await?;
                world.nginx.rotate().await?;
                rotate_pm2(world, number).await?;
                sleep(dice.millis(1, 500)).await;
                agent.start(scratch)?;
            }
        }
    }
    Ok(())
}

async fn restart_agent(scratch: &Scratch, agent: &mut Agent, dice: &mut Dice) -> anyhow::Result<()> {
    agent.kill().await?;
    sleep(dice.millis(1, 500)).await;
    agent.start(scratch)
}

async fn rotate_pm2(world: &World, round: u32) -> anyhow::Result<()> {
    match world.pm2.log("shop-out.log").exists() {
        true => world.pm2.rotate("shop-out.log", round).await,
        false => Ok(()),
    }
}

/// What cannot be avoided is shown; here all of it could.
async fn no_gaps(server: &Server) -> anyhow::Result<()> {
    let sources: Value = server.client().json("/api/v1/sources").await?;
    let list = sources.as_array().context("a list of sources")?;
    ensure!(!list.is_empty(), "no source is listed");
    let open: Vec<&Value> = list.iter().filter(|s| s["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty())).collect();
    ensure!(open.is_empty(), "gaps: {open:?}");
    Ok(())
}
