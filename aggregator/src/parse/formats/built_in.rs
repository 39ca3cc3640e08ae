//! The formats of this build, in the order in which lines are compared with them: the most telling first.
//!
//! A pattern that a sentence could fit does not belong here. Each is compared with lines of its program in
//! `formats/tests.rs`.

/// Formats that come before those of NGINX, whose lines would fit the beginning of theirs.
pub(in crate::parse) const BEFORE_NGINX: usize = 3;

/// Names, and the patterns of each.
pub(super) const FORMATS: &[(&str, &[&str])] = &[
    ("haproxy", HAPROXY),
    ("traefik", TRAEFIK),
    ("envoy", ENVOY),
    ("apache", APACHE),
    ("apache_error", APACHE_ERROR),
    ("postgresql", POSTGRESQL),
    ("mysql", MYSQL),
    ("redis", REDIS),
    ("java", JAVA),
    ("python", PYTHON),
    ("go", GO),
    ("leveled", LEVELED),
    ("syslog_file", SYSLOG_FILE),
];

/// `option httplog`, `option tcplog` and errors of connections, behind the header that rsyslog puts before them or not.
const HAPROXY: &[&str] = &[
    concat!(
        "{?{syslog_time:time} {host:word} {service:word}[{procid:int}]: ?}{client_ip:ip}:{client_port:int} [{time}] ",
        "{frontend} {backend}/{upstream:word} ",
        "{request_ms:int}/{queue_ms:int}/{connect_ms:int}/{response_ms:int}/{duration_ms:int} {status:int} {bytes:int} ",
        "{request_cookie:word} {response_cookie:word} {termination:word} ",
        "{active:int}/{frontend_active:int}/{backend_active:int}/{server_active:int}/{retries:int} ",
        "{server_queue:int}/{backend_queue:int} {?{{{request_headers}}} ?}{?{{{response_headers}}} ?}",
        "\"{request:request}\""
    ),
    concat!(
        "{?{syslog_time:time} {host:word} {service:word}[{procid:int}]: ?}{client_ip:ip}:{client_port:int} [{time}] ",
        "{frontend} {backend}/{upstream:word} {queue_ms:int}/{connect_ms:int}/{duration_ms:int} {bytes:int} ",
        "{termination:word} {active:int}/{frontend_active:int}/{backend_active:int}/{server_active:int}/{retries:int} ",
        "{server_queue:int}/{backend_queue:int}"
    ),
    concat!(
        "{?{syslog_time:time} {host:word} {service:word}[{procid:int}]: ?}{client_ip:ip}:{client_port:int} [{time}] ",
        "{frontend:word}/{bind:word}: {message}"
    ),
];

/// Access logs in the "common" format of Traefik.
const TRAEFIK: &[&str] = &[concat!(
    "{client_ip:ip} - {remote_user} [{time}] \"{request:request}\" {status:int} {bytes:int} \"{http_referer}\" ",
    "\"{user_agent}\" {request_count:int} \"{router}\" \"{upstream}\" {duration_ms:int}ms"
)];

/// The default access log, that of Istio, and the log of the program.
const ENVOY: &[&str] = &[
    concat!(
        "[{time}] \"{request:request}\" {status:int} {response_flags:word} {bytes_received:int} {bytes:int} ",
        "{duration_ms:int} {upstream_ms:int} \"{forwarded_for}\" \"{user_agent}\" \"{request_id}\" \"{authority}\" ",
        "\"{upstream}\""
    ),
    concat!(
        "[{time}] \"{request:request}\" {status:int} {response_flags:word} {response_details:word} ",
        "{connection_details:word} \"{upstream_failure}\" {bytes_received:int} {bytes:int} {duration_ms:int} ",
        "{upstream_ms:int} \"{forwarded_for}\" \"{user_agent}\" \"{request_id}\" \"{authority}\" \"{upstream}\" ",
        "{upstream_cluster:word} {upstream_local:word} {downstream_local:word} {downstream_remote:word} ",
        "{server_name:word} {route_name:word}"
    ),
    "[{time}][{tid:int}][{level}][{logger}] {?[{caller:place}] ?}{message}",
];

/// Common and combined as Apache writes them, whose quotes are `\"`, also with the virtual host before them; what
/// Django and servers in Python print.
const APACHE: &[&str] = &[
    concat!(
        "{?{vhost:word}:{port:int} ?}{client_ip:word} {ident:word} {remote_user} [{time}] \"{request:request}\" ",
        "{status:int} {bytes:int}{? \"{http_referer}\" \"{user_agent}\"?}{? {duration_us:int}?}"
    ),
    "[{time}] \"{request:request}\" {status:int} {bytes:int}",
    "{?{level:upper_level}: ?}{client_ip:ip}:{client_port:int} - \"{request:request}\" {status:int}{? {reason}?}",
];

/// Apache 2.4, and 2.2 where it names the client.
const APACHE_ERROR: &[&str] = &[
    concat!(
        "[{time}] [{module:word}:{level}] [pid {pid:int}{?:tid {tid:int}?}] {?({errno:int}){error}: ?}",
        "{?[client {client_ip:ip}:{client_port:int}] ?}{message}{?, referer: {http_referer}?}"
    ),
    "[{time}] [{level}] [client {client_ip:ip}] {message}{?, referer: {http_referer}?}",
];

/// `log_line_prefix` as it is, as Debian sets it, and for syslog; the CSV log.
const POSTGRESQL: &[&str] = &[
    concat!(
        "{time} [{pid:int}] {?[{line:int}-1] ?}{?{user:word}@{database:word} ?}{severity:level}: ",
        "duration: {duration_ms:float} ms{? {message}?}"
    ),
    "{time} [{pid:int}] {?[{line:int}-1] ?}{?{user:word}@{database:word} ?}{severity:upper_level}: {message}",
    concat!(
        "{time},{?\"{user:csv}\"?},{?\"{database:csv}\"?},{pid:int},{?\"{client:csv}\"?},{session_id},{line:int},",
        "{?\"{command:csv}\"?},{session_start:time},{transaction},{xid:int},{severity:upper_level},{sqlstate:word},",
        "\"{message:csv}\",{rest}"
    ),
];

/// The error logs of MySQL 8 and MariaDB.
const MYSQL: &[&str] = &["{time} {thread:int} [{level}] {?[{code:class}] [{subsystem}] ?}{message}"];

const REDIS: &[&str] = &["{pid:int}:{role:class} {time} {level:redis_level} {message}"];

/// Spring Boot, Log4j and Logback with their usual patterns, ZooKeeper, Kafka, Elasticsearch, Tomcat,
/// `java.util.logging`.
const JAVA: &[&str] = &[
    "{time} {level} {pid:int} --- {?[{application}] ?}[{? ?}{thread}] {logger:class} : {message}",
    "{time} [{thread}] {level} {logger:class} {?[{context}] ?}{?-?}- {message}",
    "{time:clock} [{thread}] {level} {logger:class} {?[{context}] ?}{?-?}- {message}",
    "{time} {level} [{thread}] {logger:class} - {message}",
    "{time} {level} [{thread}] {logger:dotted}: {message}",
    "{time} {level} {logger:dotted} - {message}",
    "{time} [{context}] - {level} [{thread}] - {message}",
    "[{time}] {level} {message} ({logger:dotted})",
    "[{time}][{level}{? ?}][{logger:class}{? ?}] [{node}] {message}",
    "{time} {level} [{thread}] {logger:dotted} {message}",
    "{time} {logger:class} {function:class}\n{level:upper_level}: {message}",
];

/// The default format of `logging`, and the usual ones of its users: those of the manual, Celery, Gunicorn and Loguru.
const PYTHON: &[&str] = &[
    "{level:upper_level}:{logger:class}:{message}",
    "{time} - {logger:class} - {level} - {message}",
    "{time} - {level} - {message}",
    "{time} | {level} | {logger:class} - {message}",
    "{time} | {level} | {logger:class}:<{function:class}>:{line:int} - {message}",
    "[{time}: {level}/{process:class}] {message}",
    "[{time}] [{pid:int}] [{level}] {message}",
    "{time} {level} [{logger:class}] {message}",
];

/// The console encoder of zap, logrus on a terminal, klog, `log` with the place of the call, zerolog's console.
const GO: &[&str] = &[
    "{time}\t{level}\t{?{logger:class}\t?}{caller:place}\t{message}{?\t{fields:json}?}",
    "{time}\t{level}\t{message}{?\t{fields:json}?}",
    "{level:upper_level}[{time}] {message}{? {fields:pairs}?}",
    "{level:upper_level}[{uptime:word}] {message}{? {fields:pairs}?}",
    "{level:level_letter}{time:glog_time} {tid:int} {caller:place}] {message}",
    "{time} {caller:place}: {message}",
];

/// What rsyslog writes to files.
const SYSLOG_FILE: &[&str] = &[
    "{time:syslog_time} {host:word} {service:word}[{procid:int}]: {message}",
    "{time:syslog_time} {host:word} {service:word}: {message}",
];

/// A time and a level in brackets, with a module or with pairs at the end: many programs, Rust's `tracing`, MySQL 5,
/// zerolog and PHP's Monolog (Laravel) among them.
const LEVELED: &[&str] = &[
    "{time} {level:upper_level} {logger:dotted}: {message}{? {fields:pairs}?}",
    "{time} [{level}] {message}",
    "[{time}] [{level}] {message}",
    "[{time}] {logger:word}.{level:upper_level}: {message}",
    "{time} {level:upper_level} {message} {fields:pairs}",
];
