//! Log lines for the benchmarks: the same seed gives the same lines, but for the day that they are dated.
//!
//! Shaped like the sets that the peers were measured on, as far as these are described: JSON application logs with 303
//! bytes a line, 12 fields, 12 services on 54 hosts, random trace ids, incidents and stack traces; NGINX combined lines
//! with 208 bytes a line, of which `zstd -3` makes an eighth. (Of their JSON lines `zstd -1` made a seventh, of ours 1 in
//! 6.7.)

use crate::faults::Dice;

const SEED: u64 = 20_261_120;
const NS_PER_DAY: i64 = 86_400_000_000_000;
const NS_PER_MS: i64 = 1_000_000;

/// A trace id that stands in [`RARE_LINES`] lines of the set, spread over the day.
pub const RARE_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// A word in the path of [`RARE_LINES`] NGINX lines.
pub const RARE_PATH: &str = "zq81kfo2";
pub const RARE_LINES: u64 = 10;

/// Each with the first of its hosts; 54 hosts in all, so that service and host make 54 streams.
pub const SERVICES: [(&str, u64); 12] = [
    ("gateway", 0),
    ("checkout-api", 8),
    ("payment-api", 14),
    ("catalog-api", 19),
    ("search-api", 24),
    ("cart-api", 28),
    ("profile-api", 32),
    ("mail-worker", 36),
    ("stock-worker", 40),
    ("shipping-worker", 44),
    ("review-api", 48),
    ("ads-api", 51),
];
const HOSTS: u64 = 54;
/// A service other than the gateway serves this many neighbouring routes.
const ROUTES_OF_SERVICE: u64 = 3;
const ROUTES: [&str; 10] = [
    "/api/cart",
    "/api/cart/items",
    "/api/orders",
    "/api/orders/{}",
    "/api/products/{}",
    "/api/search",
    "/api/users/{}",
    "/api/login",
    "/api/pay",
    "/health",
];
const AGENTS: [&str; 16] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36 Edg/149.0.0.0",
    "kube-probe/1.34",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36",
    "curl/8.11.0",
    "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; SM-S938B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/144.0.0.0 Mobile Safari/537.36",
    "python-requests/2.34.0",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36",
    "okhttp/5.2.1",
];

/// Of the three failures of [`Generator::failure`].
const STACKS: [&str; 3] = [
    r"DeclinedError: payment declined by issuer\n    at Issuer.answered (/srv/app/node_modules/payments/lib/issuer.js:88:13)\n    at Pool.release (/srv/app/node_modules/payments/lib/pool.js:214:22)\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)\n    at async pay (/srv/app/routes/pay.js:41:7)\n    at async handle (/srv/app/server.js:120:5)",
    r"Error: connect ECONNREFUSED\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1611:16)\n    at TCPConnectWrap.callbackTrampoline (node:internal/async_hooks:130:17)\n    at async Agent.request (/srv/app/node_modules/client/lib/agent.js:57:11)\n    at async reserve (/srv/app/routes/orders.js:73:5)\n    at async handle (/srv/app/server.js:120:5)",
    r"TimeoutError: stock did not answer\n    at Timeout._onTimeout (/srv/app/lib/deadline.js:19:14)\n    at listOnTimeout (node:internal/timers:581:17)\n    at process.processTimers (node:internal/timers:519:7)\n    at async reserve (/srv/app/routes/orders.js:81:5)\n    at async handle (/srv/app/server.js:120:5)",
];

/// Writes line after line of one set.
#[derive(Debug)]
pub struct Generator {
    dice: Dice,
    day_start_ns: i64,
    lines_total: u64,
    line: u64,
}

impl Generator {
    /// `lines_total` lines spread over the day that begins at `day_start_ns`.
    pub fn new(day_start_ns: i64, lines_total: u64) -> Generator {
        Generator { dice: Dice::new(SEED), day_start_ns, lines_total, line: 0 }
    }

    fn advance(&mut self) -> i64 {
        let share = i128::from(NS_PER_DAY) * i128::from(self.line) / i128::from(self.lines_total.max(1));
        self.line += 1;
        self.day_start_ns + i64::try_from(share).unwrap_or(NS_PER_DAY)
    }

    fn is_rare(&self) -> bool {
        let step = (self.lines_total / RARE_LINES).max(1);
        self.line % step == step / 2 && self.line / step < RARE_LINES
    }

    /// Small numbers often, large ones seldom.
    fn skewed(&mut self, end: u64) -> u64 {
        let once = self.dice.below(end) + 1;
        self.dice.below(once)
    }

    /// Still more skewed: half of all are in the first thirtieth.
    fn steep(&mut self, end: u64) -> u64 {
        let once = self.skewed(end) + 1;
        self.skewed(once)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let index = usize::try_from(self.skewed(of.len() as u64)).unwrap_or(0);
        of.get(index).copied().unwrap_or_default()
    }

    /// In an incident, one minute of each hour, most requests fail.
    fn status(&mut self) -> u64 {
        let in_incident = self.line * 1440 / self.lines_total.max(1) % 60 == 17;
        match self.dice.below(1000) {
            n if n < if in_incident { 600 } else { 8 } => 500 + self.dice.below(4),
            n if n < 660 && in_incident => 200,
            n if n < 40 => 404,
            n if n < 60 => 301,
            n if n < 80 => 401,
            n if n < 160 => 201,
            _ => 200,
        }
    }

    /// A route of those from `first` on.
    fn route(&mut self, first: u64, count: u64) -> String {
        let id = self.steep(50_000).to_string();
        let index = usize::try_from(first + self.skewed(count)).unwrap_or(0) % ROUTES.len();
        ROUTES[index].replace("{}", &id)
    }

    /// Appends one JSON line without its newline.
    pub fn json(&mut self, out: &mut String) {
        let rare = self.is_rare();
        let time_ns = self.advance();
        let status = self.status();
        let nth = self.skewed(SERVICES.len() as u64);
        let index = usize::try_from(nth).unwrap_or(0);
        let (service, first_host) = SERVICES[index];
        let host = first_host + self.dice.below(SERVICES.get(index + 1).map_or(HOSTS, |next| next.1) - first_host);
        let route = match index {
            0 => self.route(0, ROUTES.len() as u64),
            _ => self.route(nth, ROUTES_OF_SERVICE),
        };
        let duration_ms = self.steep(4_000) + 1;
        let trace = match rare {
            true => RARE_TRACE.to_owned(),
            false => format!("{:016x}{:016x}", self.dice.next_u64(), self.dice.next_u64()),
        };
        let user = self.steep(200_000);
        let (level, message, stack) = match status {
            500.. => self.failure(duration_ms),
            _ => self.message(status, &route, duration_ms),
        };
        out.push_str(&format!(
            "{{\"time\":{},\"level\":\"{level}\",\"service\":\"{service}\",\"host\":\"worker-{host:02}.eu-central-1a\",\"env\":\"prod\",\
             \"version\":\"2.14.{}\",\"trace_id\":\"{trace}\",\"user_id\":\"u{user}\",\"path\":\"{route}\",\
             \"status\":{status},\"duration_ms\":{duration_ms},\"msg\":\"{message}\"",
            time_ns / NS_PER_MS,
            nth % 3,
        ));
        if let Some(stack) = stack {
            out.push_str(&format!(",\"stack\":\"{stack}\""));
        }
        out.push('}');
    }

    fn failure(&mut self, duration_ms: u64) -> (&'static str, String, Option<&'static str>) {
        let (n, kind) = (self.dice.below(9_000), self.dice.below(3));
        let message = match kind {
            0 => format!("payment declined by issuer after {duration_ms}ms, order {n}"),
            1 => format!("connection to 10.2.{}.{} refused, retry {}", n % 250, n % 200, n % 5),
            _ => format!("timeout after {duration_ms}ms waiting for stock of item {n}"),
        };
        ("error", message, usize::try_from(kind).ok().and_then(|kind| STACKS.get(kind).copied()))
    }

    fn message(&mut self, status: u64, route: &str, duration_ms: u64) -> (&'static str, String, Option<&'static str>) {
        let n = self.steep(90_000);
        let (level, message) = match self.dice.below(16) {
            0 => ("warn", format!("slow query on replica {}: {duration_ms} ms", n % 64)),
            1 => ("debug", format!("cache miss for key item:{n}")),
            2 => ("debug", format!("connection {} returned to the pool", n % 64)),
            3 => ("info", format!("user logged in from 10.{}.{}.7", n % 200, n % 99)),
            4 => ("info", format!("order {n} placed, {} items, total {}.{:02} EUR", n % 9 + 1, n % 700, n % 100)),
            _ => ("info", format!("request {route} finished with {status} in {duration_ms} ms")),
        };
        (level, message, None)
    }

    /// Appends one NGINX combined line without its newline.
    pub fn nginx(&mut self, out: &mut String) {
        let rare = self.is_rare();
        let time_ns = self.advance();
        let time = jiff::Timestamp::from_nanosecond(i128::from(time_ns)).unwrap_or_default();
        let time = time.strftime("%d/%b/%Y:%H:%M:%S +0000");
        let status = self.status();
        let client = self.skewed(30_000);
        let method = if self.dice.below(10) == 0 { "POST" } else { "GET" };
        let route = if rare { format!("/api/products/{RARE_PATH}") } else { self.route(0, ROUTES.len() as u64) };
        let query = match self.dice.below(5) {
            0 | 1 => format!("?page={}&s={:x}", self.dice.below(40), self.dice.below(1 << 32)),
            _ => String::new(),
        };
        let bytes = self.skewed(60_000);
        let referer = match self.dice.below(2) {
            0 => "-".to_owned(),
            _ => format!("https://shop.example.com/p/{}", self.skewed(5_000)),
        };
        let agent = self.pick(&AGENTS);
        out.push_str(&format!(
            "{}.{}.{}.{} - - [{time}] \"{method} {route}{query} HTTP/1.1\" {status} {bytes} \"{referer}\" \"{agent}\"",
            client % 190 + 20,
            client % 251,
            client / 190 % 256,
            client % 13,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_long_as_the_sets_that_the_peers_were_measured_on() {
        let (mut json, mut nginx) = (String::new(), String::new());
        let mut generator = Generator::new(1_700_000_000_000_000_000, 10_000);
        (0..10_000).for_each(|_| generator.json(&mut json));
        let mut generator = Generator::new(1_700_000_000_000_000_000, 10_000);
        (0..10_000).for_each(|_| generator.nginx(&mut nginx));
        assert!((300..=306).contains(&(json.len() / 10_000)), "{}", json.len() / 10_000);
        assert!((205..=211).contains(&(nginx.len() / 10_000)), "{}", nginx.len() / 10_000);
    }

    #[test]
    fn every_json_line_is_json_and_the_rare_ones_are_ten() {
        let mut generator = Generator::new(1_700_000_000_000_000_000, 1_005);
        let mut rare = 0;
        for _ in 0..1_005 {
            let mut line = String::new();
            generator.json(&mut line);
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            rare += u64::from(value["trace_id"] == RARE_TRACE);
        }
        assert_eq!(rare, RARE_LINES);
    }

    #[test]
    fn the_same_day_gives_the_same_lines() {
        let set = || {
            let mut generator = Generator::new(5, 100);
            let mut out = String::new();
            (0..100).for_each(|_| generator.nginx(&mut out));
            out
        };
        assert_eq!(set(), set());
    }
}
