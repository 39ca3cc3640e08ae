//! One request: who asks for what through which server, what it leans on, and the exception when that breaks.

use logweir_runtime::clock::Nanos;

use super::incident::Incident;
use super::lines::Access;
use super::random::Random;

/// Products and orders that are asked for; few, so that tables by path are short.
const CATALOGUE: u64 = 12;
pub(super) const UPSTREAMS: [&str; 2] = ["10.20.0.11:3000", "10.20.0.12:3000"];
const AGENTS: [&str; 7] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "ShopApp/7.3.1 (Android 15)",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example/about)",
];

/// Who asks.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) client: String,
    pub(super) agent: &'static str,
    pub(super) user: String,
    pub(super) trace: String,
}

impl Visitor {
    pub(super) fn new(random: &mut Random) -> Visitor {
        let client = match random.between(0, 8) {
            0 => format!("2001:db8:{:x}::{:x}", random.between(1, 0xffff), random.between(1, 0xffff)),
            1..=3 => format!("203.0.113.{}", random.between(1, 255)),
            4 | 5 => format!("198.51.100.{}", random.between(1, 255)),
            _ => format!("192.0.2.{}", random.between(1, 255)),
        };
        let trace = format!("{:016x}{:016x}", random.bits(), random.bits());
        let user = format!("u_{}", random.between(1_000, 4_000));
        Visitor { client, agent: random.pick(&AGENTS), user, trace }
    }

    pub(super) fn nobody() -> Visitor {
        Visitor { client: String::new(), agent: "-", user: String::new(), trace: "-".to_owned() }
    }

    pub(super) fn access(&self) -> Access<'_> {
        Access {
            client: &self.client,
            request: "",
            status: 200,
            bytes: 0,
            referer: "-",
            agent: self.agent,
            seconds: 0.0,
            upstream: None,
            trace: &self.trace,
        }
    }
}

/// What a route leans on, and so by what it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touches {
    Nothing,
    Inventory,
    Sessions,
    Payments,
}

#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    /// `:id` stands for a number.
    pub(super) path: &'static str,
    pub(super) status: u16,
    pub(super) typical_ms: f64,
    pub(super) touches: Touches,
    /// Of a hundred requests to the api.
    pub(super) share: u64,
}

const fn route(
    name: &'static str,
    request: (&'static str, &'static str, u16),
    typical_ms: f64,
    touches: Touches,
    share: u64,
) -> Route {
    Route { name, method: request.0, path: request.1, status: request.2, typical_ms, touches, share }
}

const ROUTES: [Route; 8] = [
    route("home", ("GET", "/", 200), 18.0, Touches::Nothing, 22),
    route("product", ("GET", "/products/:id", 200), 26.0, Touches::Inventory, 26),
    route("search", ("GET", "/search?q=:word", 200), 60.0, Touches::Inventory, 12),
    route("cart", ("GET", "/api/cart", 200), 9.0, Touches::Sessions, 12),
    route("cart update", ("POST", "/api/cart/items", 201), 14.0, Touches::Sessions, 9),
    route("login", ("POST", "/api/login", 200), 80.0, Touches::Sessions, 4),
    route("checkout", ("POST", "/api/checkout", 201), 140.0, Touches::Payments, 11),
    route("order", ("GET", "/api/orders/:id", 200), 22.0, Touches::Payments, 4),
];

/// One request to the api.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) at: Nanos,
    pub(super) visitor: Visitor,
    pub(super) route: &'static Route,
    pub(super) path: String,
    pub(super) upstream: &'static str,
}

impl Visit {
    pub(super) fn choose(at: Nanos, random: &mut Random, visitor: Visitor) -> Visit {
        let mut ticket = random.between(0, 100);
        let route = ROUTES.iter().find(|route| {
            let mine = ticket < route.share;
            ticket = ticket.saturating_sub(route.share);
            mine
        });
        let route = route.unwrap_or(&ROUTES[0]);
        let word = random.pick(&["shoes", "rain+jacket", "tent", "%C3%A9tui", "lamp"]);
        let path =
            route.path.replace(":id", &(random.between(0, CATALOGUE) * 37 + 101).to_string()).replace(":word", word);
        Visit { at, visitor, route, path, upstream: random.pick(&UPSTREAMS) }
    }

    pub(super) fn request(&self) -> String {
        format!("{} {} HTTP/2.0", self.route.method, self.path)
    }

    /// How likely this request fails in an incident: what leans on the broken part nearly always, the rest by workers
    /// that are stuck.
    pub(super) fn exposure(&self, incident: Incident) -> f64 {
        match (incident, self.route.touches) {
            (Incident::GatewayTimeouts | Incident::CrashLoop, Touches::Payments) => 0.92,
            (Incident::RedisDown, Touches::Sessions | Touches::Payments) => 0.95,
            (Incident::GatewayTimeouts, _) => 0.42,
            (Incident::RedisDown, _) => 0.15,
            (Incident::CrashLoop, _) => 0.06,
        }
    }
}

/// An exception of the Node programs.
pub(super) struct Failure {
    pub(super) name: &'static str,
    pub(super) message: &'static str,
    pub(super) frames: &'static [&'static str],
}

impl Failure {
    /// The stack trace as Node prints it.
    pub(super) fn console(&self) -> String {
        format!("{}: {}\n{}", self.name, self.message, self.frames())
    }

    pub(super) fn frames(&self) -> String {
        self.frames.iter().map(|frame| format!("    at {frame}\n")).collect()
    }
}

pub(super) fn failure(incident: Incident) -> Failure {
    match incident {
        Incident::GatewayTimeouts => Failure {
            name: "TimeoutError",
            message: "payment gateway did not answer within 3000 ms",
            frames: &[
                "Timeout._onTimeout (/srv/shop/api/lib/gateway.js:88:14)",
                "listOnTimeout (node:internal/timers:594:17)",
                "process.processTimers (node:internal/timers:529:7)",
                "async Gateway.charge (/srv/shop/api/lib/gateway.js:41:20)",
                "async checkout (/srv/shop/api/routes/checkout.js:57:18)",
            ],
        },
        Incident::RedisDown => Failure {
            name: "ConnectionError",
            message: "connect ECONNREFUSED 10.20.0.30:6379",
            frames: &[
                "TCPConnectWrap.afterConnect [as oncomplete] (node:net:1637:16)",
                "async Sessions.load (/srv/shop/api/lib/sessions.js:23:11)",
                "async /srv/shop/api/server.js:64:5",
            ],
        },
        Incident::CrashLoop => Failure {
            name: "Error",
            message: "ENOENT: no such file or directory, open '/run/secrets/signing.pem'",
            frames: &[
                "Object.readFileSync (node:fs:441:20)",
                "loadKey (/srv/shop/payments/lib/keys.js:12:13)",
                "Object.<anonymous> (/srv/shop/payments/server.js:9:17)",
            ],
        },
    }
}
