//! Alertmanager's configuration as a routing file: the route tree, receivers with channels that are known here, inhibition and
//! time intervals. A secret that stands in the file is not copied: its place is named, to be filled by hand.

use logweir_proto::yaml::{Node, Problem, Value};

use super::{Imported, entries, get, items, parse, quoted, remark, text, text_of};

/// Deeper routes are no tree that somebody wrote.
const ROUTES_DEPTH_MAX: usize = 15;

/// How the keys of one channel are called here.
struct Channel {
    theirs: &'static [&'static str],
    ours: &'static str,
    /// Whether ends are sent when nothing is said.
    send_resolved: bool,
    /// Theirs and ours.
    keys: &'static [(&'static str, &'static str)],
    /// A secret: theirs, ours without `_file`.
    secrets: &'static [(&'static str, &'static str)],
}

const CHANNELS: [Channel; 7] = [
    Channel {
        theirs: &["slack_configs"],
        ours: "slack",
        send_resolved: false,
        keys: &[],
        secrets: &[("api_url", "webhook_url")],
    },
    Channel {
        theirs: &["email_configs"],
        ours: "email",
        send_resolved: false,
        keys: &[("to", "to"), ("from", "from"), ("smarthost", "smarthost"), ("auth_username", "username")],
        secrets: &[("auth_password", "password")],
    },
    Channel {
        theirs: &["pagerduty_configs"],
        ours: "pagerduty",
        send_resolved: true,
        keys: &[],
        secrets: &[("routing_key", "routing_key")],
    },
    Channel {
        theirs: &["webhook_configs"],
        ours: "webhook",
        send_resolved: true,
        keys: &[("url", "url"), ("url_file", "url_file")],
        secrets: &[],
    },
    Channel {
        theirs: &["telegram_configs"],
        ours: "telegram",
        send_resolved: true,
        keys: &[("chat_id", "chat")],
        secrets: &[("bot_token", "token")],
    },
    Channel {
        theirs: &["discord_configs"],
        ours: "discord",
        send_resolved: true,
        keys: &[],
        secrets: &[("webhook_url", "webhook_url")],
    },
    Channel {
        theirs: &["msteams_configs", "msteamsv2_configs"],
        ours: "teams",
        send_resolved: true,
        keys: &[],
        secrets: &[("webhook_url", "webhook_url")],
    },
];

/// Reads an `alertmanager.yml`. What comes out is an `alerting.yaml`.
pub fn alertmanager(file: &str, source: &str) -> Result<Imported, Vec<Problem>> {
    let root = parse(file, source)?;
    let mut importer = Importer { file, out: String::new(), unmapped: Vec::new(), slack_url: None };
    let routes = importer.file(&root);
    let Importer { out, unmapped, .. } = importer;
    let mut head: String = unmapped.iter().map(|line| remark(line)).collect();
    if routes > 0 {
        head.push_str(&out);
    }
    Ok(Imported { text: head, rules: routes, unmapped })
}

struct Importer<'a> {
    file: &'a str,
    out: String,
    unmapped: Vec<String>,
    /// `slack_api_url_file` of all receivers.
    slack_url: Option<String>,
}

impl Importer<'_> {
    /// Answers how many routes there are.
    fn file(&mut self, root: &Node) -> usize {
        self.out.push_str("version: 1\n");
        if let Some(global) = get(root, "global") {
            self.global(global);
        }
        let routes = get(root, "route").map_or(0, |route| self.route(route, "", 0));
        self.out.push_str("receivers:\n");
        for receiver in get(root, "receivers").map(items).unwrap_or_default() {
            self.receiver(receiver);
        }
        let rules = get(root, "inhibit_rules").map(items).unwrap_or_default();
        if !rules.is_empty() {
            self.out.push_str("inhibit_rules:\n");
        }
        for rule in rules {
            let (source, target) = (matchers(rule, "source_"), matchers(rule, "target_"));
            let equal = get(rule, "equal").map_or("[]".to_owned(), flow);
            self.out
                .push_str(&format!("  - {{source_matchers: {source}, target_matchers: {target}, equal: {equal}}}\n"));
            let sides = ["source_matchers", "source_match", "source_match_re", "equal"];
            let others = ["target_matchers", "target_match", "target_match_re"];
            self.others(rule, &[&sides[..], &others[..]].concat(), "an inhibition has no such key");
        }
        for key in ["time_intervals", "mute_time_intervals"] {
            if let Some(node) = get(root, key) {
                self.out.push_str(&format!("{key}: {}\n", flow(node)));
            }
        }
        let known = ["global", "route", "receivers", "inhibit_rules", "time_intervals", "mute_time_intervals"];
        self.others(root, &known, "what messages say is made here");
        routes
    }

    fn note(&mut self, node: &Node, what: &str) {
        self.unmapped.push(format!("{}:{}: {what}", self.file, node.at.line));
    }

    /// Names the keys that nobody looked at.
    fn others(&mut self, node: &Node, known: &[&str], why: &str) {
        for entry in entries(node).iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let what = format!("'{}' has no equivalent: {why}", entry.key);
            self.unmapped.push(format!("{}:{}: {what}", self.file, entry.at.line));
        }
    }

    fn global(&mut self, global: &Node) {
        let names = [
            ("smtp_smarthost", "smarthost"),
            ("smtp_from", "from"),
            ("smtp_auth_username", "username"),
            ("smtp_auth_password_file", "password_file"),
        ];
        let mut email: Vec<String> = Vec::new();
        for (theirs, ours) in names {
            email.extend(get(global, theirs).map(|node| format!("{ours}: {}", flow(node))));
        }
        if get(global, "smtp_auth_password").is_some() {
            email.push(self.secret(global, "password", "smtp"));
        }
        if !email.is_empty() {
            self.out.push_str(&format!("global: {{email: {{{}}}}}\n", email.join(", ")));
        }
        self.slack_url =
            text_of(global, "slack_api_url_file").map(|path| format!("webhook_url_file: {}", quoted(&path)));
        if get(global, "slack_api_url").is_some() {
            self.slack_url = Some(self.secret(global, "webhook_url", "slack"));
        }
        let mut known: Vec<&str> = names.iter().map(|(theirs, _)| *theirs).collect();
        known.extend(["smtp_auth_password", "slack_api_url", "slack_api_url_file"]);
        self.others(global, &known, "it stands with each channel, or is as it is");
    }

    /// The key of a secret whose text stays where it is.
    fn secret(&mut self, node: &Node, ours: &str, name: &str) -> String {
        let path = format!("secrets/{name}-{}", node.at.line);
        self.note(node, &format!("a secret stands in the file: put it into {path} beside the new one"));
        format!("{ours}_file: {}", quoted(&path))
    }

    fn route(&mut self, route: &Node, indent: &str, depth: usize) -> usize {
        let mut keys: Vec<String> = Vec::new();
        for key in [
            "receiver",
            "group_by",
            "group_wait",
            "group_interval",
            "repeat_interval",
            "continue",
            "mute_time_intervals",
            "active_time_intervals",
        ] {
            keys.extend(get(route, key).map(|node| format!("{key}: {}", flow(node))));
        }
        let own = matchers(route, "");
        if own != "[]" {
            keys.push(format!("matchers: {own}"));
        }
        let known = ["receiver", "group_by", "group_wait", "group_interval", "repeat_interval", "continue"];
        let more = ["mute_time_intervals", "active_time_intervals", "match", "match_re", "matchers", "routes"];
        self.others(route, &[&known[..], &more[..]].concat(), "a route has no such key");
        let below = get(route, "routes").map(items).unwrap_or_default();
        if depth == 0 {
            self.out.push_str(&format!("route:\n  {}\n", keys.join("\n  ")));
        } else {
            self.out.push_str(&format!("{indent}- {}\n", keys.join(&format!("\n{indent}  "))));
        }
        if below.is_empty() {
            return 1;
        }
        if depth >= ROUTES_DEPTH_MAX {
            self.note(route, "its routes are nested too deep");
            return 1;
        }
        let (indent, deeper) = (format!("{indent}  "), format!("{indent}    "));
        self.out.push_str(&format!("{indent}routes:\n"));
        1 + below.iter().map(|one| self.route(one, &deeper, depth + 1)).sum::<usize>()
    }

    fn receiver(&mut self, receiver: &Node) {
        let name = text_of(receiver, "name").unwrap_or_default();
        self.out.push_str(&format!("  - name: {}\n", quoted(&name)));
        let mut known = vec!["name"];
        for channel in &CHANNELS {
            known.extend(channel.theirs);
            let all = channel.theirs.iter().filter_map(|key| get(receiver, key)).flat_map(items);
            let made: Vec<String> = all.map(|config| self.channel(channel, &name, config)).collect();
            if !made.is_empty() {
                self.out.push_str(&format!("    {}: [{}]\n", channel.ours, made.join(", ")));
            }
        }
        self.others(receiver, &known, "a webhook may take its place");
    }

    fn channel(&mut self, channel: &Channel, name: &str, config: &Node) -> String {
        let mut known = vec!["send_resolved", "http_config"];
        let mut keys: Vec<String> = Vec::new();
        for (theirs, ours) in channel.keys {
            known.push(theirs);
            keys.extend(get(config, theirs).map(|node| {
                match *ours {
                    // Several addresses are one text there.
                    "to" => format!(
                        "to: [{}]",
                        text(node)
                            .unwrap_or_default()
                            .split(',')
                            .map(|to| quoted(to.trim()))
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                    _ => format!("{ours}: {}", flow(node)),
                }
            }));
        }
        let files: Vec<String> = channel.secrets.iter().map(|(theirs, _)| format!("{theirs}_file")).collect();
        for ((theirs, ours), file) in channel.secrets.iter().zip(&files) {
            known.extend([*theirs, file.as_str()]);
            if let Some(path) = text_of(config, file) {
                keys.push(format!("{ours}_file: {}", quoted(&path)));
            } else if get(config, theirs).is_some() {
                keys.push(self.secret(config, ours, &format!("{name}-{}", channel.ours)));
            } else if channel.ours == "slack" {
                keys.extend(self.slack_url.clone());
            }
        }
        if channel.ours == "webhook" && text_of(config, "url").is_some_and(|url| url.starts_with("http://")) {
            keys.push("insecure_http: true".to_owned());
        }
        if let Some(http) = get(config, "http_config") {
            keys.extend(self.http(http, channel));
        }
        let ends = get(config, "send_resolved").map_or(channel.send_resolved.to_string(), flow);
        keys.push(format!("send_resolved: {ends}"));
        let why = match channel.ours {
            "slack" => "what messages say is made here, and a webhook of Slack knows its channel",
            _ => "what messages say is made here",
        };
        self.others(config, &known, why);
        format!("{{{}}}", keys.join(", "))
    }

    /// The token of a webhook; the rest of how requests are made is named.
    fn http(&mut self, http: &Node, channel: &Channel) -> Option<String> {
        const WHY: &str = "of how requests are made only a webhook's 'credentials_file' is known here";
        let bearer = |auth: &&Node| text_of(auth, "type").is_none_or(|scheme| scheme.eq_ignore_ascii_case("bearer"));
        let auth = get(http, "authorization").filter(bearer).filter(|_| channel.ours == "webhook");
        let token = auth.and_then(|auth| text_of(auth, "credentials_file"));
        let known: &[&str] = if token.is_some() { &["authorization"] } else { &[] };
        self.others(http, known, WHY);
        token.map(|path| format!("bearer_token_file: {}", quoted(&path)))
    }
}

/// `matchers`, and the older `match` and `match_re`, as one list.
fn matchers(node: &Node, prefix: &str) -> String {
    let mut all: Vec<String> = Vec::new();
    if let Some(own) = get(node, &format!("{prefix}matchers")) {
        for item in items(own) {
            match text(item).and_then(|text| each_matcher(&text)) {
                Some(found) => all.extend(found.iter().map(|matcher| quoted(matcher))),
                None => all.push(flow(item)),
            }
        }
    }
    for (key, operator) in [("match", "="), ("match_re", "=~")] {
        for entry in get(node, &format!("{prefix}{key}")).map(entries).unwrap_or_default() {
            let value = text(&entry.node).unwrap_or_default();
            all.push(quoted(&format!("{}{operator}\"{value}\"", entry.key)));
        }
    }
    format!("[{}]", all.join(", "))
}

/// The matchers of an item, which there may be a list of them in braces. A text in quotes has escapes there, and none
/// here. `None` where it is nothing of that.
fn each_matcher(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let mut rest = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            return (!all.is_empty()).then_some(all);
        }
        let (label, operator_on) = rest.split_at(rest.find(['=', '!'])?);
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| operator_on.starts_with(operator))?;
        let value = operator_on[operator.len()..].trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(inside) => {
                let (value, after) = unescaped(inside)?;
                (format!("\"{value}\""), after.trim_start())
            }
            None => {
                let end = value.find(',').unwrap_or(value.len());
                (value[..end].trim_end().to_owned(), &value[end..])
            }
        };
        if label.trim().is_empty() || !(after.is_empty() || after.starts_with(',')) {
            return None;
        }
        all.push(format!("{}{operator}{value}", label.trim()));
        rest = after;
    }
}

/// The text up to the closing quote, without its escapes, and what follows. Other signs behind a backslash stand for
/// themselves, with it.
fn unescaped(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                escaped @ ('"' | '\\') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            c => out.push(c),
        }
    }
    None
}

/// A node on one line, as YAML reads it back.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let all = entries.iter().map(|entry| format!("{}: {}", quoted(&entry.key), flow(&entry.node)));
            format!("{{{}}}", all.collect::<Vec<_>>().join(", "))
        }
        Value::Text(text) => quoted(text),
        _ => text(node).unwrap_or_else(|| "null".to_owned()),
    }
}
