//! Log lines for the benchmarks: the same seed gives the same lines, but for the day that they are dated.
//!
//! Shaped like what was measured of the peers: JSON application logs of about 300 bytes with 12 fields, 12 services,
//! random trace ids, incidents and stack traces; NGINX combined lines of about 200 bytes with skewed clients and paths.

use crate::faults::Dice;

const SEED: u64 = 20_261_120;
const NS_PER_DAY: i64 = 86_400_000_000_000;
const NS_PER_MS: i64 = 1_000_000;

/// A trace id that stands in [`RARE_LINES`] lines of the set, spread over the day.
pub const RARE_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// A word in the path of [`RARE_LINES`] NGINX lines.
pub const RARE_PATH: &str = "zq81kfo2";
pub const RARE_LINES: u64 = 10;

const SERVICES: [&str; 12] = [
    "gateway", "checkout", "payment", "catalog", "search", "cart", "user", "mail", "stock", "shipping", "review", "ads",
];
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
const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36",
    "curl/8.11.0",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "kube-probe/1.34",
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

    fn route(&mut self) -> String {
        let id = self.skewed(50_000).to_string();
        self.pick(&ROUTES).replace("{}", &id)
    }

    /// Appends one JSON line without its newline.
    pub fn json(&mut self, out: &mut String) {
        let rare = self.is_rare();
        let time_ns = self.advance();
        let status = self.status();
        let service = self.pick(&SERVICES);
        let route = self.route();
        let duration_ms = self.skewed(4_000) + self.dice.below(10);
        let trace = match rare {
            true => RARE_TRACE.to_owned(),
            false => format!("{:016x}{:016x}", self.dice.next_u64(), self.dice.next_u64()),
        };
        let user = self.skewed(200_000);
        let (level, message) = self.message(status, &route, duration_ms);
        let stack = match status >= 500 && self.dice.below(20) == 0 {
            true => {
                r#","stack":"Error: upstream failed\n    at connect (/srv/app/lib/pool.js:88:13)\n    at async pay (/srv/app/routes/pay.js:41:7)\n    at async handle (/srv/app/server.js:120:5)""#
            }
            false => "",
        };
        let host = self.dice.below(54);
        out.push_str(&format!(
            "{{\"time\":{},\"level\":\"{level}\",\"service\":\"{service}\",\"host\":\"node-{host:02}\",\"env\":\"prod\",\
             \"version\":\"2.{}.1\",\"trace_id\":\"{trace}\",\"user_id\":\"u{user}\",\"path\":\"{route}\",\
             \"status\":{status},\"duration_ms\":{duration_ms},\"msg\":\"{message}\"{stack}}}",
            time_ns / NS_PER_MS,
            host % 3,
        ));
    }

    fn message(&mut self, status: u64, route: &str, duration_ms: u64) -> (&'static str, String) {
        if status >= 500 {
            let n = self.dice.below(9_000);
            return match self.dice.below(3) {
                0 => ("error", format!("payment declined by issuer after {duration_ms}ms, order {n}")),
                1 => ("error", format!("connection to 10.2.{}.{} refused, retry {}", n % 250, n % 200, n % 5)),
                _ => ("error", format!("timeout after {duration_ms}ms waiting for stock of item {n}")),
            };
        }
        let n = self.dice.below(90_000);
        match self.dice.below(16) {
            0 => ("warn", format!("slow query on connection {}: {duration_ms} ms", n % 64)),
            1 => ("debug", format!("cache miss for key item:{n}")),
            2 => ("debug", format!("connection {} returned to the pool", n % 64)),
            3 => ("info", format!("user logged in from 10.{}.{}.7", n % 200, n % 99)),
            4 => ("info", format!("order {n} placed, {} items, total {}.{:02} EUR", n % 9 + 1, n % 700, n % 100)),
            _ => ("info", format!("request {route} finished with {status} in {duration_ms} ms")),
        }
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
        let route = if rare { format!("/api/products/{RARE_PATH}") } else { self.route() };
        let query = match self.dice.below(3) {
            0 => format!("?page={}&s={:x}", self.dice.below(40), self.dice.below(1 << 32)),
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
        let mut generator = Generator::new(0, 2_000);
        let (mut json, mut nginx) = (String::new(), String::new());
        (0..1_000).for_each(|_| generator.json(&mut json));
        (0..1_000).for_each(|_| generator.nginx(&mut nginx));
        assert!((250..350).contains(&(json.len() / 1_000)), "{}", json.len() / 1_000);
        assert!((150..260).contains(&(nginx.len() / 1_000)), "{}", nginx.len() / 1_000);
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
