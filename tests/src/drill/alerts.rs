//! The drill of the outbox: a server that is killed again and again while alerts begin and end, and four receivers that
//! write down what they are told.
//!
//! The incident is scripted: jobs whose heartbeats stop. A job that every receiver knows to be missing comes again, and
//! goes missing once more ten seconds later. Whatever the kills interrupt, in the end every receiver knows of every
//! beginning and every end, each under one id.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use crate::harness::desk::{Desk, Seen};
use crate::harness::webhook::SECRET;
use crate::harness::{Scratch, Server, eventually};

/// Longest time between a start and the kill.
const LIVES_MS: u64 = 400;
const BEATS_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(180);
/// Jobs that are well say so before they would be missed.
const BEAT_EVERY: Duration = Duration::from_secs(3);
/// Who has been quiet for so long may be missed by now, and first has to be: an end that comes before everybody was
/// told of the beginning is rightly told to nobody.
const BEAT_BEFORE: Duration = Duration::from_secs(7);

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertFigures {
    pub kills: u64,
    /// Incidents, each with a beginning and an end at each of the four receivers.
    pub incidents: usize,
    pub lost: usize,
    /// Under another id: at the webhook, PagerDuty and by mail.
    pub repeated: usize,
    /// Slack has no ids.
    pub repeated_at_slack: u64,
    /// Incidents whose episode was not the same after a kill.
    pub renamed: usize,
    pub seconds: u64,
}

impl AlertFigures {
    pub fn check(self) -> anyhow::Result<()> {
        ensure!(self.lost == 0 && self.repeated == 0 && self.renamed == 0, "{self:?}");
        ensure!(self.repeated_at_slack <= self.kills, "{self:?}");
        Ok(())
    }
}

/// Kills a server that tells of `jobs` heartbeats `kills` times.
pub async fn run(scratch: &Scratch, kills: u64, jobs: usize) -> anyhow::Result<AlertFigures> {
    let desk = Desk::start().await?;
    let settings = settings(scratch, &desk, jobs)?;
    let begun = Instant::now();
    let mut server = Server::serve(scratch, "server", &settings).await?;
    let first = async || Ok((!desk.seen().incidents().is_empty()).then_some(()));
    eventually(BEATS_WITHIN, "the first message", first).await?;
    let mut script = Script::default();
    let mut state = 7;
    for _ in 0..kills {
        sleep(Duration::from_millis(random(&mut state) % LIVES_MS)).await;
        script.act(&server, &desk.seen(), Vec::new()).await;
        sleep(Duration::from_millis(random(&mut state) % (LIVES_MS / 4))).await;
        server.kill().await?;
        server.restart(scratch).await?;
    }
    let ends = eventually(ENDS_WITHIN, "the ends of all", async || {
        let seen = desk.seen();
        // Who came again stays now.
        let open: BTreeSet<&str> = script.open(&seen).into_iter().map(job).collect();
        let due = |(job, last): &(&String, &Instant)| {
            !open.contains(job.as_str()) && (BEAT_EVERY..BEAT_BEFORE).contains(&last.elapsed())
        };
        let due: Vec<String> = script.came.iter().filter(due).map(|(job, _)| job.clone()).collect();
        script.act(&server, &seen, due).await;
        let waiting = |incident: &String| {
            [true, false]
                .iter()
                .flat_map(|firing| seen.waiting(incident, *firing))
                .next()
                .map(|who| (incident.clone(), who))
        };
        let left: Vec<_> = seen.incidents().iter().filter_map(waiting).collect();
        ensure!(left.is_empty(), "{} of {} wait, such as {:?}", left.len(), seen.incidents().len(), left.first());
        let well = script.came.values().filter(|last| last.elapsed() < BEAT_BEFORE).count();
        Ok((well == jobs).then_some(seen))
    });
    // The incidents of that moment: jobs go missing again when nobody keeps them well.
    let seen = ends.await?;
    ensure!(seen.broken.is_empty(), "{}", seen.broken.join("\n"));
    Ok(figures(&seen, kills, begun))
}

fn figures(seen: &Seen, kills: u64, begun: Instant) -> AlertFigures {
    let incidents = seen.incidents();
    let lost = |incident: &&String| [true, false].iter().any(|firing| !seen.waiting(incident, *firing).is_empty());
    AlertFigures {
        kills,
        incidents: incidents.len(),
        lost: incidents.iter().filter(lost).count(),
        repeated: seen.repeated_by_id(),
        repeated_at_slack: seen.repeated_at_slack(),
        renamed: seen.renamed(),
        seconds: begun.elapsed().as_secs(),
    }
}

fn settings(scratch: &Scratch, desk: &Desk, jobs: usize) -> anyhow::Result<String> {
    let secret = scratch.file("hook-secret", SECRET)?;
    let slack = scratch.file("slack-url", format!("{}/slack", desk.http))?;
    let key = scratch.file("pager-key", "0123456789abcdef0123456789abcdef")?;
    let beats: Vec<String> =
        (0..jobs).map(|i| format!("{{name: job-{i}, every: 10s, grace: 0s, severity: critical}}")).collect();
    let (http, port) = (&desk.http, desk.smtp_port);
    let net = "allow_private: [127.0.0.1], insecure_http: true, rate: 50/s";
    let alerting = format!(
        "route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: all
    webhook: [{{url: '{http}/webhook', {net}, sign: {{standard_webhooks: {{secret_file: {}}}}}}}]
    slack: [{{webhook_url_file: {}, {net}}}]
    pagerduty: [{{routing_key_file: {}, url: '{http}/pagerduty', {net}}}]
    email: [{{to: oncall@example.com, from: alerts@example.com, smarthost: '127.0.0.1:{port}', tls: none, rate: 50/s}}]
heartbeats: [{}]
",
        secret.display(),
        slack.display(),
        key.display(),
        beats.join(", ")
    );
    let alerting = scratch.file("alerting.yaml", alerting)?;
    Ok(format!("alerting: {{ config: {} }}\n", alerting.display()))
}

/// `job-3` of `job-3 since …`.
fn job(incident: &str) -> &str {
    incident.split(' ').next().unwrap_or_default()
}

/// Who goes missing and comes again.
#[derive(Debug, Default)]
struct Script {
    /// Incidents whose job came again.
    ended: BTreeSet<String>,
    /// When each job last came.
    came: BTreeMap<String, Instant>,
}

impl Script {
    /// Incidents that go on.
    fn open<'a>(&self, seen: &'a Seen) -> Vec<&'a str> {
        let told = seen.webhook.keys().chain(seen.slack.keys()).map(|(incident, _)| incident);
        let all: BTreeSet<&String> = told.chain(seen.pages.values().map(|(incident, _)| incident)).collect();
        all.into_iter().filter(|incident| !self.ended.contains(*incident)).map(String::as_str).collect()
    }

    /// Lets the jobs come again that every receiver misses, and those of `well`.
    async fn act(&mut self, server: &Server, seen: &Seen, well: Vec<String>) {
        let open = self.open(seen).into_iter().filter(|incident| seen.waiting(incident, true).is_empty());
        let over: Vec<(String, Option<String>)> =
            open.map(|incident| (job(incident).to_owned(), Some(incident.to_owned()))).collect();
        for (job, incident) in over.into_iter().chain(well.into_iter().map(|job| (job, None))) {
            let sent = server.client().post(&format!("/api/v1/heartbeat/{job}")).send().await;
            // Right after a start it is asked to come again.
            if sent.is_ok_and(|answer| answer.status().is_success()) {
                self.ended.extend(incident);
                self.came.insert(job, Instant::now());
            }
        }
    }
}

/// Numbers that look random and are the same in every run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}
