//! What agents and servers both know of the formats of text.

/// Formats of text that a source can be declared to have, in [`crate::batch::SourceInfo::format`]; without one they are found out.
pub const TEXT_FORMATS: [&str; 18] = [
    "text",
    "json",
    "logfmt",
    "iis",
    "mysql_slow",
    "haproxy",
    "traefik",
    "envoy",
    "apache",
    "apache_error",
    "postgresql",
    "mysql",
    "redis",
    "java",
    "python",
    "go",
    "syslog_file",
    "leveled",
];

/// The `log_format main` that NGINX's own packages and images configure: combined, with the address behind a proxy.
pub const NGINX_MAIN: &str = concat!(
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent ",
    "\"$http_referer\" \"$http_user_agent\" \"$http_x_forwarded_for\""
);

/// Between the formats of an NGINX access log that has had several: the one in force first, then those before it.
pub const FORMAT_SEPARATOR: char = '\u{1e}';
