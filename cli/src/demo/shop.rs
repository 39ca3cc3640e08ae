//! The shop: visitors come, their requests pass through the services, and each service writes what it would.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::tz::TimeZone;
use logweir_runtime::clock::{NANOS_PER_SECOND, Nanos};
use serde_json::json;

use super::files::Target;
use super::incident::{self, Incident};
use super::lines::{self, Access, Times};
use super::random::Random;
use super::visit::{Failure, Touches, UPSTREAMS, Visit, Visitor, failure};

/// Requests a second on average over a day; with their lines in all logs about 45 lines.
const REQUESTS_PER_S: f64 = 21.0;
/// The evening has so much more than the average, the night so much less.
const DAILY_SWING: f64 = 0.3;
const PEAK_HOUR: f64 = 20.0;
const MILLI: i64 = 1_000_000;

const SCANS: [&str; 4] = ["/wp-login.php", "/.env", "/phpmyadmin/index.php", "/.git/config"];

/// One line, and the log that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) at: Nanos,
    /// Lines of one moment keep the order in which they were made.
    order: u64,
    pub(super) to: Target,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) struct Shop {
    random: Random,
    times: Times,
    start: Nanos,
    next_visit: Nanos,
    next_beat: Nanos,
    /// What is simulated just now: no line of it can be older.
    happening: Nanos,
    beats: u64,
    connections: u64,
    order: u64,
    /// Written when their time comes: a request that hangs is logged at its end.
    pending: BinaryHeap<Reverse<Line>>,
}

impl Shop {
    pub(super) fn new(seed: u64, start: Nanos, zone: TimeZone) -> Shop {
        Shop {
            random: Random::new(seed),
            times: Times::new(zone),
            start,
            next_visit: start,
            next_beat: start,
            happening: start,
            beats: 0,
            connections: 9_000,
            order: 0,
            pending: BinaryHeap::new(),
        }
    }

    /// Lets the traffic begin at another time than the shop's start, from which the incidents count.
    pub(super) fn begin_at(&mut self, at: Nanos) {
        self.next_visit = at;
        self.next_beat = at;
    }

    /// All lines until `now`, in the order of their times.
    pub(super) fn advance(&mut self, now: Nanos) -> Vec<Line> {
        // One after the other in time, so that the random numbers do not depend on how often this is asked.
        while self.next_visit.min(self.next_beat) <= now {
            if self.next_visit <= self.next_beat {
                self.happening = self.next_visit;
                self.visit(self.next_visit);
                let gap = self.random.exponential(1.0 / rate(self.next_visit));
                self.next_visit += ((gap * NANOS_PER_SECOND as f64) as i64).max(1);
            } else {
                self.happening = self.next_beat;
                self.beat(self.next_beat);
                self.next_beat += NANOS_PER_SECOND;
            }
        }
        let mut lines = Vec::new();
        while self.pending.peek().is_some_and(|Reverse(line)| line.at <= now) {
            lines.extend(self.pending.pop().map(|Reverse(line)| line));
        }
        lines
    }

    fn put(&mut self, at: Nanos, to: Target, text: String) {
        self.order += 1;
        let at = at.max(self.happening);
        self.pending.push(Reverse(Line { at, order: self.order, to, text }));
    }

    /// One request and everything that follows from it.
    fn visit(&mut self, at: Nanos) {
        self.connections += 1;
        let visitor = Visitor::new(&mut self.random);
        match self.random.unit() {
            share if share < 0.34 => self.asset(at, &visitor),
            share if share < 0.36 => self.scan(at, &visitor),
            _ => {
                let visit = Visit::choose(at, &mut self.random, visitor);
                match incident::at(self.start, at) {
                    Some(incident) if self.random.chance(visit.exposure(incident)) => self.fails(&visit, incident),
                    _ => self.succeeds(&visit),
                }
            }
        }
    }

    fn asset(&mut self, at: Nanos, visitor: &Visitor) {
        let path =
            self.random.pick(&["/assets/app.8f3a.js", "/assets/app.51c0.css", "/assets/logo.svg", "/favicon.ico"]);
        let status = if self.random.chance(0.3) { 304 } else { 200 };
        let bytes = if status == 304 { 0 } else { self.random.between(900, 180_000) };
        let request = format!("GET {path} HTTP/2.0");
        let line = Access { request: &request, status, bytes, referer: "https://shop.example/", ..visitor.access() };
        let text = lines::access(&self.times, at, &line);
        self.put(at, Target::NginxAccess, text);
    }

    fn scan(&mut self, at: Nanos, visitor: &Visitor) {
        let request = format!("GET {} HTTP/1.1", self.random.pick(&SCANS));
        let line =
            Access { request: &request, status: 404, bytes: 153, agent: "python-requests/2.32", ..visitor.access() };
        let text = lines::access(&self.times, at, &line);
        self.put(at, Target::NginxAccess, text);
    }

    fn succeeds(&mut self, visit: &Visit) {
        let took = visit.route.typical_ms * 0.4 + self.random.exponential(visit.route.typical_ms);
        let status = match self.random.unit() {
            share if share < 0.0015 => 500,
            share if share < 0.02 => 404,
            share if share < 0.03 && visit.route.method == "POST" => 422,
            _ => visit.route.status,
        };
        let end = visit.at + (took * MILLI as f64) as i64;
        self.api(visit, end - MILLI, status, took, None);
        self.nginx(visit, end, status, took);
        match visit.route.touches {
            Touches::Payments if status < 400 => self.charge(visit, end - 8 * MILLI),
            Touches::Inventory => {
                let sku = self.random.between(100, 999);
                let ms = (self.random.exponential(3.0) * 10.0).round() / 10.0;
                let fields = json!({"sku": sku, "trace_id": visit.visitor.trace, "duration_ms": ms});
                self.put(end - 4 * MILLI, Target::Inventory, lines::zap(end - 4 * MILLI, "info", "stock read", fields));
            }
            _ => {}
        }
    }

    fn charge(&mut self, visit: &Visit, at: Nanos) {
        let (order, cents) = (self.random.between(100_000, 999_999), self.random.between(900, 24_900));
        let text = format!(
            "charge accepted order={order} amount={}.{:02} currency=EUR user_id={} trace_id={}",
            cents / 100,
            cents % 100,
            visit.visitor.user,
            visit.visitor.trace
        );
        self.put(at, Target::PaymentsOut, lines::text(at, "INFO", &text));
    }

    /// What a broken part does to a request, in every log that it passes.
    fn fails(&mut self, visit: &Visit, incident: Incident) {
        let timeout = matches!(incident, Incident::GatewayTimeouts);
        let took = if timeout { 3000.0 + self.random.exponential(4.0) } else { 2.0 + self.random.exponential(9.0) };
        let end = visit.at + (took * MILLI as f64) as i64;
        let status = match incident {
            Incident::GatewayTimeouts => 504,
            Incident::RedisDown => 500,
            Incident::CrashLoop => 502,
        };
        let error = failure(incident);
        self.api(visit, end - MILLI, status, took, Some(&error));
        if timeout || self.random.chance(0.2) {
            self.put(end, Target::ApiError, error.console());
        }
        if timeout && visit.route.touches == Touches::Payments {
            let attempt = self.random.between(1, 4);
            let text = format!(
                "charge failed after 3000 ms: gateway did not answer attempt={attempt} user_id={} trace_id={}",
                visit.visitor.user, visit.visitor.trace
            );
            self.put(
                end - 20 * MILLI,
                Target::PaymentsError,
                lines::text(end - 20 * MILLI, "ERROR", &text) + &error.frames(),
            );
        }
        let what = match incident {
            Incident::GatewayTimeouts => {
                Some("upstream timed out (110: Connection timed out) while reading response header from upstream")
            }
            Incident::CrashLoop => Some("connect() failed (111: Connection refused) while connecting to upstream"),
            Incident::RedisDown => None,
        };
        if let Some(what) = what {
            let request = visit.request();
            let line = Access { request: &request, upstream: Some(visit.upstream), ..visit.visitor.access() };
            let text = lines::nginx_error(&self.times, end, self.connections, what, &line);
            self.put(end, Target::NginxError, text);
        }
        self.nginx(visit, end, status, took);
    }

    fn nginx(&mut self, visit: &Visit, at: Nanos, status: u16, took_ms: f64) {
        let request = visit.request();
        let bytes = if status >= 500 { 157 } else { self.random.between(180, 14_000) };
        let line = Access {
            request: &request,
            status,
            bytes,
            referer: "https://shop.example/",
            seconds: took_ms / 1000.0,
            upstream: Some(visit.upstream),
            ..visit.visitor.access()
        };
        let text = lines::access(&self.times, at, &line);
        self.put(at, Target::NginxAccess, text);
    }

    fn api(&mut self, visit: &Visit, at: Nanos, status: u16, took_ms: f64, error: Option<&Failure>) {
        let pid = if visit.upstream == UPSTREAMS[0] { 4121 } else { 4122 };
        let mut fields = json!({
            "trace_id": visit.visitor.trace, "user_id": visit.visitor.user, "method": visit.route.method,
            "path": visit.path, "status": status, "duration_ms": (took_ms * 10.0).round() / 10.0,
        });
        let (level, message) = match (error, status) {
            (Some(error), _) => {
                fields["err"] =
                    json!({"type": error.name, "message": error.message, "stack": error.console().trim_end()});
                (50, format!("{} failed: {}", visit.route.name, error.message))
            }
            (None, 500..) => (50, format!("{} failed: unexpected null in price list", visit.route.name)),
            (None, 400..) => (40, format!("{} refused", visit.route.name)),
            _ if took_ms > visit.route.typical_ms * 5.0 => (40, format!("{} was slow", visit.route.name)),
            _ => (30, format!("{} done", visit.route.name)),
        };
        self.put(at, Target::ApiOut, lines::pino(at, level, pid, fields, &message));
    }

    /// What happens without visitors, each second.
    fn beat(&mut self, at: Nanos) {
        self.beats += 1;
        let incident = incident::at(self.start, at);
        if self.beats.is_multiple_of(5) {
            let probe = Visitor::nobody();
            let request = "GET /healthz HTTP/1.1";
            let line = Access {
                request,
                status: 200,
                bytes: 2,
                agent: "kube-probe/1.34",
                client: "10.20.0.2",
                ..probe.access()
            };
            let text = lines::access(&self.times, at, &line);
            self.put(at, Target::NginxAccess, text);
        }
        if self.beats.is_multiple_of(7) {
            let keys = self.random.between(90, 140);
            let message = format!("{keys} changes in 60 seconds. Saving...");
            let text = lines::redis(&self.times, at, '*', &message);
            self.put(at, Target::Redis, text);
        }
        match incident {
            Some(Incident::RedisDown) => {
                let message = "Can't save in background: fork: Cannot allocate memory";
                let text = lines::redis(&self.times, at, '#', message);
                self.put(at, Target::Redis, text);
            }
            Some(Incident::CrashLoop) if self.beats.is_multiple_of(6) => self.crash(at),
            _ if self.beats.is_multiple_of(11) => {
                let jobs = self.random.between(1, 40);
                let message = format!("settlement batch sent jobs={jobs}");
                self.put(at, Target::PaymentsOut, lines::text(at, "INFO", &message));
            }
            _ => {}
        }
    }

    fn crash(&mut self, at: Nanos) {
        let error = failure(Incident::CrashLoop);
        let head = lines::text(at, "FATAL", "cannot read the signing key, giving up");
        self.put(at, Target::PaymentsError, head + &error.console());
        for (later, message) in [
            (20, "App [payments:2] exited with code [1] via signal [SIGINT]"),
            (120, "App [payments:2] starting in -fork mode-"),
            (200, "App [payments:2] online"),
        ] {
            let text = lines::pm2(&self.times, at + later * MILLI, message);
            self.put(at + later * MILLI, Target::Pm2Daemon, text);
        }
    }
}

/// Requests a second at this time of day.
fn rate(at: Nanos) -> f64 {
    let hour = (at / NANOS_PER_SECOND).rem_euclid(86_400) as f64 / 3600.0;
    REQUESTS_PER_S * (1.0 + DAILY_SWING * ((hour - PEAK_HOUR) / 24.0 * std::f64::consts::TAU).cos())
}
