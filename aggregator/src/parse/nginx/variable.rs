//! What the variables of NGINX are called as fields, and what form their values have.

use logweir_proto::record::field;

/// What a variable is, as far as its value needs more than to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Kept as text.
    Text,
    /// A client: no spaces.
    Address,
    /// What several upstreams gave: `a, b : c`.
    List,
    /// A whole number, or a list of them.
    Int,
    /// Three digits.
    Status,
    /// `$request_time`: seconds, which become milliseconds.
    Seconds,
    /// Times of one or several upstreams: the field is their sum in seconds.
    UpstreamTimes,
    /// Statuses of one or several upstreams: the field is the last one.
    UpstreamStatus,
    /// The request line.
    Request,
    /// A path with its query.
    RequestUri,
    /// The time of the line, in the way of the variable of this name.
    TimeLocal,
    TimeIso,
    Msec,
}

impl Kind {
    /// How exact a time is; `None` for what is none.
    pub(super) fn time_rank(self) -> Option<u8> {
        match self {
            Kind::Msec => Some(2),
            Kind::TimeIso => Some(1),
            Kind::TimeLocal => Some(0),
            _ => None,
        }
    }
}

/// The field of a variable and its kind; the variable keeps its name where it has no canonical one.
pub(super) fn describe(name: &str) -> (&str, Kind) {
    match name {
        "remote_addr" => (field::CLIENT_IP, Kind::Address),
        "http_user_agent" => (field::USER_AGENT, Kind::Text),
        "upstream_addr" => (field::UPSTREAM, Kind::List),
        "request_method" => (field::METHOD, Kind::Text),
        "status" => (field::STATUS, Kind::Status),
        "body_bytes_sent" | "bytes_sent" => (field::BYTES, Kind::Int),
        "request_time" => (field::DURATION_MS, Kind::Seconds),
        "otel_trace_id" | "opentelemetry_trace_id" => (field::TRACE_ID, Kind::Text),
        "request" => ("request", Kind::Request),
        "request_uri" => (field::PATH, Kind::RequestUri),
        "args" | "query_string" => ("query", Kind::Text),
        "server_protocol" => ("protocol", Kind::Text),
        // `host` is the machine that the line comes from.
        "host" | "http_host" => ("http_host", Kind::Text),
        "hostname" => ("hostname", Kind::Text),
        "time_local" => ("time_local", Kind::TimeLocal),
        "time_iso8601" => ("time_iso8601", Kind::TimeIso),
        "msec" => ("msec", Kind::Msec),
        "upstream_response_time" | "upstream_connect_time" | "upstream_header_time" => (name, Kind::UpstreamTimes),
        "upstream_status" => (name, Kind::UpstreamStatus),
        "request_length"
        | "content_length"
        | "connection"
        | "connection_requests"
        | "pid"
        | "server_port"
        | "remote_port"
        | "upstream_bytes_sent"
        | "upstream_bytes_received"
        | "upstream_response_length"
        | "tcpinfo_rtt" => (name, Kind::Int),
        // These columns hold what the name says elsewhere too, and nothing of a variable that happens to be called so.
        field::TIME | field::SEQ | field::LEVEL | field::PATTERN_ID => ("nginx_variable", Kind::Text),
        _ => (name, Kind::Text),
    }
}
