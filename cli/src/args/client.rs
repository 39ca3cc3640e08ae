//! Arguments of the commands that ask a server.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use logweir_proto::record::EventId;
use logweir_proto::text::parse_duration;

use super::{PatternsCommand, RulesExplain, RulesList};

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// Address of the server [env: LOGWEIR_URL] [default: http://127.0.0.1:7171]
    #[arg(long, value_name = "URL", conflicts_with = "profile")]
    pub url: Option<String>,
    /// A server of ~/.config/logweir/config.yaml [env: LOGWEIR_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// File that holds the token [env: LOGWEIR_TOKEN is the token itself]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificate authority to trust besides the system's, as PEM
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Which part of time.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Time")]
pub struct RangeArgs {
    /// From this long ago until now: 15m, 2h, 7d [default: 1h]
    #[arg(long, value_name = "AGO", value_parser = duration, conflicts_with_all = ["from", "to"])]
    pub since: Option<Duration>,
    /// From this time: 2026-11-20T09:00Z, 1763630016, now-2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// To this time, which is not included [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Time, level, service and message for people; a table when a pipe made the rows
    Pretty,
    /// The lines as they were written
    Raw,
    /// One object a line
    Json,
    /// key=value
    Logfmt,
    /// With a header, for spreadsheets
    Csv,
    /// Aligned columns
    Table,
}

/// How lines on stdin are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StdinFormat {
    /// Found out from the lines
    Auto,
    /// NGINX access log, combined and its relatives
    Nginx,
    /// NGINX error log
    NginxError,
    /// One JSON object a line: pino, winston, bunyan, zap, …
    Json,
    /// Docker json-file
    Docker,
    /// What Kubernetes' runtimes write to /var/log/pods
    Cri,
    /// A file of PM2, with its dates or its JSON
    Pm2,
    /// Messages as they are sent, RFC 3164 and 5424
    Syslog,
    /// What `journalctl -o json` prints
    Journald,
    /// Text, with the level guessed
    Plain,
    /// A format of docs/parsers.md, or of a file of `--parsers`
    Named(String),
}

/// Any name: which there are is known when the files of `--parsers` are read.
pub fn stdin_format(text: &str) -> Result<StdinFormat, Infallible> {
    Ok(match text {
        "auto" => StdinFormat::Auto,
        "nginx" => StdinFormat::Nginx,
        "nginx-error" | "nginx_error" => StdinFormat::NginxError,
        "json" => StdinFormat::Json,
        "docker" => StdinFormat::Docker,
        "cri" => StdinFormat::Cri,
        "pm2" => StdinFormat::Pm2,
        "syslog" => StdinFormat::Syslog,
        "journald" => StdinFormat::Journald,
        "plain" | "text" => StdinFormat::Plain,
        name => StdinFormat::Named(name.to_owned()),
    })
}

/// Find events, count them, make tables of them
///
/// Without a pipe the newest events come first. `--since 1h` is the range unless the query or a flag says otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir search 'level>=error service:api' --since 15m
  logweir search 'status>=500 | stats count by path | sort -count'
  logweir search '\"connection reset\" host:web-*' --from 2026-11-20T09:00Z --to 2026-11-20T10:00Z
  logweir search 'trace_id:4bf92f3577b34da6' --all -o json | jq -r .message
  logweir search 'level:error' --count --since 1d
  cat access.log | logweir search 'status>=500 | top 10 path' --stdin nginx
  journalctl -o json | logweir search 'level>=error | count by service' --stdin journald")]
pub struct SearchArgs {
    /// The query; everything when it is left out
    #[arg(default_value = "", hide_default_value = true, allow_hyphen_values = true, value_parser = query)]
    pub query: String,
    #[command(flatten)]
    pub range: RangeArgs,
    /// At most this many events
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 100, help_heading = "Result")]
    pub limit: u64,
    /// Every event of the range, page by page
    #[arg(long, conflicts_with = "limit", help_heading = "Result")]
    pub all: bool,
    /// Oldest first
    #[arg(long, help_heading = "Result")]
    pub asc: bool,
    /// Print only how many there are
    #[arg(long, conflicts_with_all = ["all", "limit", "asc", "fields"], help_heading = "Result")]
    pub count: bool,
    /// Only these fields, in this order; `raw` is the line as it was written
    #[arg(long, value_name = "A,B", value_delimiter = ',', help_heading = "Result")]
    pub fields: Vec<String>,
    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Pretty, help_heading = "Result")]
    pub output: OutputFormat,
    /// Search lines from stdin instead of a server: auto, nginx, nginx-error, json, docker, cri, pm2, syslog, journald, plain, or the name of any other format (haproxy, logfmt, …). Lines of one stack trace are joined, as by the agent
    #[arg(long, value_name = "FORMAT", value_parser = stdin_format, help_heading = "Source")]
    pub stdin: Option<StdinFormat>,
    /// A file of parsers of one's own, for `--stdin NAME`
    #[arg(long, value_name = "FILE", requires = "stdin", help_heading = "Source")]
    pub parsers: Vec<PathBuf>,
    /// Give up after this long with what there is: 30s
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Source")]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl SearchArgs {
    /// The search that a command stands for which is one in other words.
    pub fn of(query: String, range: RangeArgs, limit: u64, output: OutputFormat, server: ServerArgs) -> SearchArgs {
        // Rows that a pipe made have no line that was written.
        let output = if output == OutputFormat::Raw { OutputFormat::Pretty } else { output };
        let (fields, parsers, stdin, timeout) = (Vec::new(), Vec::new(), None, None);
        let (all, asc, count) = (false, false, false);
        SearchArgs { query, range, limit, all, asc, count, fields, output, stdin, parsers, timeout, server }
    }
}

/// Follow new events as they arrive
///
/// A lost connection is taken up again where it broke, without a gap. A query that ends in an aggregation gives one
/// table for each window of time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir tail
  logweir tail 'service:nginx status>=500' --start 10m
  logweir tail 'level>=warn' -o json | jq .message
  logweir tail 'service:nginx | stats count by status' --every 1m")]
pub struct TailArgs {
    /// The filter; everything when it is left out
    #[arg(default_value = "", hide_default_value = true, allow_hyphen_values = true, value_parser = query)]
    pub query: String,
    /// Begin this long ago instead of now
    #[arg(long, value_name = "AGO", value_parser = duration)]
    pub start: Option<Duration>,
    /// Only these fields, in this order
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Length of the windows of an aggregation [default: the width of a timechart, else 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub every: Option<Duration>,
    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Pretty)]
    pub output: OutputFormat,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Show what happened around one event
///
/// The lines before and after it, of the same service and host unless `--by` says otherwise. The id is that of
/// `search -o json`, and the last part of a permalink.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  logweir context 61Q8SCTPG4C0000000000G0001 -B 50 -A 5 --by host")]
pub struct ContextArgs {
    #[arg(value_name = "EVENT_ID")]
    pub id: EventId,
    /// Events before it
    #[arg(short = 'B', long, value_name = "N", default_value_t = 20)]
    pub before: u32,
    /// Events after it
    #[arg(short = 'A', long, value_name = "N", default_value_t = 20)]
    pub after: u32,
    /// Fields that the events around must share with it
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_values_t = ["service".to_owned(), "host".to_owned()])]
    pub by: Vec<String>,
    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Pretty)]
    pub output: OutputFormat,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Show what the messages have in common, the most frequent first
///
/// Numbers, ids and names are masked: `connection <num> lost`. The last column is an event to look at.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Examples:
  logweir patterns 'level>=warn' --since 1d
  logweir patterns 'service:pay level:error' --new 7d
  logweir patterns mark known 'cannot acquire lock on table <*>' --comment 'since 2019'
  logweir patterns mark ticket 3f2a91c0deadbeef --ticket SHOP-12",
    args_conflicts_with_subcommands = true
)]
pub struct PatternsArgs {
    /// Which events; all when it is left out
    #[arg(default_value = "", hide_default_value = true, allow_hyphen_values = true, value_parser = query)]
    pub query: String,
    /// Only patterns that no older event has: not seen before this long ago
    #[arg(long, value_name = "AGO", value_parser = duration)]
    pub new: Option<Duration>,
    #[command(subcommand)]
    pub command: Option<PatternsCommand>,
    #[command(flatten)]
    pub range: RangeArgs,
    /// At most this many patterns
    #[arg(short = 'n', long = "limit", value_name = "N", default_value_t = 50, help_heading = "Result")]
    pub limit: u64,
    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Pretty, help_heading = "Result")]
    pub output: OutputFormat,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// List the fields of the stored events, or the values of one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir fields
  logweir fields -o raw              only the names, one a line
  logweir fields status --since 1d")]
pub struct FieldsArgs {
    /// Show the most frequent values of this field
    pub name: Option<String>,
    #[command(flatten)]
    pub range: RangeArgs,
    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Pretty)]
    pub output: OutputFormat,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Say what a query would read, without running it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir explain 'trace_id:4bf92f3577b34da6' --since 7d
  logweir explain 'message:*timeout*' -o json")]
pub struct ExplainArgs {
    #[arg(allow_hyphen_values = true, value_parser = query)]
    pub query: String,
    #[command(flatten)]
    pub range: RangeArgs,
    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = ListFormat::Pretty)]
    pub output: ListFormat,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Write everything that a query finds to a file
///
/// Oldest first, page by page, without a cap. The name says what the file holds: `.ndjson`, `.csv`, `.logfmt`, or
/// `.log` for the lines as they were written; with `.zst` it is compressed. After an interruption, also `kill -9`,
/// the same command with `--resume` goes on: FILE.state knows where. Exits 4 when a part of the time is missing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir export 'service:pay' --from 2026-11-01 --to 2026-11-20 -o pay.ndjson.zst
  logweir export 'service:pay' --from 2026-11-01 --to 2026-11-20 -o pay.ndjson.zst --resume
  logweir export 'status>=500' --since 7d --fields time,path,status -o errors.csv")]
pub struct ExportArgs {
    #[arg(allow_hyphen_values = true, value_parser = query)]
    pub query: String,
    #[command(flatten)]
    pub range: RangeArgs,
    /// The file to write
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub output: PathBuf,
    /// Go on with an export that was interrupted
    #[arg(long)]
    pub resume: bool,
    /// Only these fields, in this order
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub fields: Vec<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Validate rule files; lists every mistake with its line, and what is probably not meant
    #[command(after_help = "Example:\n  logweir rules check rules/ --format github")]
    Check(RulesCheck),
    /// Run the tests that stand in the rule files, on raw lines through the real parser
    #[command(after_help = "Example:\n  logweir rules test rules/nginx.yaml")]
    Test(RulesTest),
    /// Replay rule files over the stored past: what would have fired, and whom it would have told
    #[command(
        after_help = "Examples:\n  logweir rules backtest rules/ --since 30d\n  logweir rules backtest rules/ --diff main\n  logweir rules backtest rules/nginx.yaml --rule NginxErrors --budget 2/week\n  logweir rules backtest rules/ --since 30d --incidents incidents.yaml"
    )]
    Backtest(RulesBacktest),
    /// Try a condition on the stored past before it becomes a rule; exits 1 when it would not have fired
    #[command(
        after_help = "Examples:\n  logweir rules preview 'service:pay level:error' --when 'n >= 20' --by host\n  logweir rules preview 'source:nginx' --agg p95 --field duration_ms --when 'n > 2s' --for 2m --since 30d\n  logweir rules preview 'status>=500' --when 'n >= 1' --budget 2/week"
    )]
    Preview(RulesPreview),
    /// List the rules that the server evaluates, or what is wrong with them
    List(RulesList),
    /// Show what a rule sees at one time, which of its conditions hold, and where it stands
    #[command(after_help = "Example:\n  logweir rules explain Nginx5xxRatio --at 2026-11-20T09:13:00Z")]
    Explain(RulesExplain),
    /// Turn rules of another system into rule files, and say what did not map
    #[command(after_help = "Example:\n  logweir rules import prometheus alerts.yml > rules/imported.yaml")]
    Import(RulesImport),
}

#[derive(Debug, Args)]
pub struct RulesCheck {
    /// Files, or directories with `*.yaml` files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
    /// Exit 1 when there are warnings
    #[arg(long)]
    pub strict: bool,
}

#[derive(Debug, Args)]
pub struct RulesBacktest {
    /// Files, or directories with `*.yaml` files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How far back, at most 35d
    #[arg(long, default_value = "7d", value_name = "TIME")]
    pub since: String,
    /// Only this rule
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Compare with the files of a git revision: what would the change have paged
    #[arg(long, value_name = "REV")]
    pub diff: Option<String>,
    /// Suggest the lowest limit that stays within so many episodes, as 2/week
    #[arg(long, value_name = "N/TIME")]
    pub budget: Option<String>,
    /// A file of incidents that happened: which are caught, by which rules, how soon
    #[arg(long, value_name = "FILE")]
    pub incidents: Option<PathBuf>,
    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = ListFormat::Pretty)]
    pub output: ListFormat,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct RulesPreview {
    /// Which lines: a query without pipes
    #[arg(allow_hyphen_values = true)]
    pub filter: String,
    /// When it fires, with n for the number: 'n >= 20'
    #[arg(long, value_name = "CONDITION")]
    pub when: String,
    /// What n is: count, sum, avg, min, max, p50 to p99, distinct, rate
    #[arg(long, default_value = "count")]
    pub agg: String,
    /// The field of sum, avg, min, max, p50 to p99 and distinct
    #[arg(long)]
    pub field: Option<String>,
    /// Over how long
    #[arg(long, default_value = "5m", value_name = "TIME")]
    pub window: String,
    /// A number for each value of these fields
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub by: Vec<String>,
    /// How long it must hold
    #[arg(long = "for", value_name = "TIME")]
    pub lasts: Option<String>,
    /// How far back, at most 35d
    #[arg(long, default_value = "7d", value_name = "TIME")]
    pub since: String,
    /// Suggest the lowest limit that stays within so many episodes, as 2/week
    #[arg(long, value_name = "N/TIME")]
    pub budget: Option<String>,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct RulesTest {
    /// Files, or directories with `*.yaml` files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The routing file, for tests that say who is told
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct RulesImport {
    /// Where the rules come from
    #[arg(value_enum)]
    pub from: ImportFrom,
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What `rules import` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportFrom {
    /// Groups of alerting rules over LogQL, as Loki's ruler has them
    Prometheus,
    /// One ElastAlert rule
    Elastalert,
    /// Sigma rules and their correlations
    Sigma,
    /// An alertmanager.yml; what comes out is an alerting.yaml
    Alertmanager,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    Text,
    /// One object a line
    Json,
    /// Annotations of a GitHub workflow
    Github,
    /// An XML report
    Junit,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// How to print
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = ListFormat::Pretty)]
    pub output: ListFormat,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How a list of things that are not events is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    Pretty,
    /// One object a line, as the API gives it
    Json,
}

/// List what delivers lines, and what is missing
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir sources
  logweir sources --gaps && echo 'lines are missing'")]
pub struct SourcesArgs {
    /// Only sources with missing bytes; exits 1 when there are none
    #[arg(long)]
    pub gaps: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a length of time looks like 30s, 15m, 2h, 7d or 1h30m".to_owned())
}

/// A query may begin with `-field:value`, but `--word` is a mistyped option.
fn query(text: &str) -> Result<String, String> {
    if text.starts_with("--") { Err("no such option; `--help` lists them".to_owned()) } else { Ok(text.to_owned()) }
}
