//! Files of parsers: what is right works, what is wrong is named with its place.

use expect_test::{Expect, expect};

use super::*;

fn shown(text: &str) -> String {
    check("shop.yaml", text).iter().map(|problem| format!("{problem}\n")).collect()
}

fn check_text(text: &str, want: &Expect) {
    want.assert_eq(&shown(text));
}

const SHOP: &str = r#"
parsers:
  - name: shop
    pattern:
      - '{time} {level} order={order_id:int} took {duration_ms:float}ms{? by {user}?}: {message}'
      - '{time:syslog_time} till {till:word} {message}'
    tests:
      - line: '2026-11-20 09:10:02.5 WARN order=4711 took 12.5ms by Zoë: stock is low'
        fields: {time: 2026-11-20T09:10:02.5Z, level: warn, order_id: 4711, duration_ms: 12.5, user: Zoë, message: stock is low}
      - line: '2026-11-20 09:10:02.5 WARN order=4711 took 3ms: done'
        fields: {user: null, duration_ms: 3}
      - line: 'Dec 31 23:59:59 till 7 closed'
        received: 2027-01-01T00:00:03Z
        fields: {time: 2026-12-31T23:59:59Z, till: 7}
      - line: 'order=4711'
        matches: false
"#;

#[test]
fn a_file_that_is_right_has_no_problems() {
    check_text(SHOP, &expect![[r#""#]]);
}

#[test]
fn tests_that_fail_say_what_was_found_and_where() {
    let text = SHOP
        .replace("order_id: 4711, duration_ms: 12.5", "order_id: 4712, nope: x, duration_ms: 12.5")
        .replace("matches: false", "matches: true")
        .replace("user: null", "user: Zoë");
    check_text(
        &text,
        &expect![[r#"
        shop.yaml:9:71: 'order_id' is '4711', not '4712'
        shop.yaml:9:83: 'nope' is nothing, not 'x'
        shop.yaml:11:24: 'user' is nothing, not 'Zoë'
        shop.yaml:15:15: no pattern of 'shop' fits this line
    "#]],
    );
}

#[test]
fn every_mistake_of_a_pattern_has_its_place() {
    let mut all = String::new();
    for pattern in [
        "no field",
        "{a}{b}",
        "{a:word}{?{b}?}",
        "{a:nope}",
        "{a b}",
        "{a",
        "a} {b}",
        "{? {a}",
        "{a} ?}",
        "{?{?{a}?}?}",
        "{a} {a}",
        "{seq}",
        "{time:int}",
        "{level:text}",
    ] {
        let text = format!("parsers: [{{ name: x, pattern: \"{pattern}\" }}]\n");
        all.push_str(&format!("{pattern}\n  {}", shown(&text)));
    }
    expect![[r#"
        no field
          shop.yaml:1:32: pattern: has no field
        {a}{b}
          shop.yaml:1:35: pattern: stands right behind a text: nothing tells where that ends
        {a:word}{?{b}?}
          shop.yaml:1:42: pattern: stands right behind a text: nothing tells where that ends
        {a:nope}
          shop.yaml:1:32: pattern: 'nope' is not a kind: one of text, word, class, dotted, place, int, float, seconds, ip, time, clock, glog_time, syslog_time, epoch, level, upper_level, level_letter, redis_level, request, path, pairs, json, csv
        {a b}
          shop.yaml:1:32: pattern: 'a b' is not a name: letters, digits, '_', '.', '@' and '-', at most 64 of them
        {a
          shop.yaml:1:32: pattern: '{' is not closed
        a} {b}
          shop.yaml:1:33: pattern: '}' closes nothing: write '}}' for a brace
        {? {a}
          shop.yaml:1:32: pattern: '{?' is not closed
        {a} ?}
          shop.yaml:1:36: pattern: '?}' closes no optional part
        {?{?{a}?}?}
          shop.yaml:1:34: pattern: optional parts cannot stand within each other
        {a} {a}
          shop.yaml:1:36: pattern: 'a' stands twice
        {seq}
          shop.yaml:1:32: pattern: 'seq' is a column that no line fills
        {time:int}
          shop.yaml:1:32: pattern: 'time' cannot be of the kind 'int'
        {level:text}
          shop.yaml:1:32: pattern: 'level' cannot be of the kind 'text'
    "#]].assert_eq(&all);
}

#[test]
fn mistakes_of_the_file_are_named() {
    check_text(
        "parsers:\n  - { name: json, pattern: '{a}' }\n  - { nam: x, tests: [{ line: x, fields: 3, received: soon }] }\n  - { name: 'a b', pattern: '{a}', tests: [{}] }\nparser: []\n",
        &expect![[r#"
            shop.yaml:2:13: parsers[0].name is taken: there is a parser 'json' already
            shop.yaml:3:5: parsers[1] needs 'name'
            shop.yaml:3:5: parsers[1].pattern is missing
            shop.yaml:3:7: unknown key 'nam' in parsers[1] (did you mean 'name'?)
            shop.yaml:3:42: parsers[1].tests[0].fields must be a mapping of names to values, not a number
            shop.yaml:3:55: parsers[1].tests[0].received must be a time, as 2026-11-20T09:10:02Z
            shop.yaml:4:13: parsers[2].name must be letters, digits, '_' and '-', at most 64 of them
            shop.yaml:4:44: parsers[2].tests[0] needs 'line'
            shop.yaml:5:1: unknown key 'parser' in a file of parsers (did you mean 'parsers'?)
        "#]],
    );
}

fn settings(text: &str) -> (Settings, String) {
    let mut problems = Problems::new("logweir.yaml", text);
    let root = yaml::parse_or_empty(text, &mut problems).expect("it is YAML");
    let mut fields = Fields::new(&root, "the configuration", &mut problems).expect("a mapping");
    let settings = Settings::read(fields.section("parsers", &mut problems), &mut problems);
    let shown = problems.into_sorted().iter().map(|problem| format!("{problem}\n")).collect();
    (settings, shown)
}

#[test]
fn rules_choose_by_service_source_and_path() {
    use logweir_proto::batch::{SourceInfo, SourceKind};
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("shop.yaml");
    std::fs::write(&path, SHOP).expect("written");
    let text = format!(
        "parsers:\n  files: ['{}']\n  use:\n    - {{ service: 'shop-*', parser: shop }}\n    - {{ source: docker, path: '/var/log/*.log', parser: logfmt }}\n",
        path.display()
    );
    let (settings, shown) = settings(&text);
    assert_eq!(shown, "");
    let formats = load(&settings).expect("it is right");
    let name = |kind, path: &str, service: &str, format: &str| {
        let labels = [("service".to_owned(), service.to_owned())].into();
        let info = SourceInfo { id: "s".into(), kind, path: path.into(), format: format.into(), labels };
        formats.name_of(formats.choice(&info)).to_owned()
    };
    let got = [
        name(SourceKind::File, "/x", "shop-web", ""),
        name(SourceKind::Docker, "/var/log/a.log", "other", "redis"),
        name(SourceKind::File, "/var/log/a.log", "other", "redis"),
        name(SourceKind::File, "/var/log/a.log", "other", "unknown"),
        name(SourceKind::NginxAccess, "/var/log/a.log", "other", "redis"),
    ];
    assert_eq!(got, ["shop", "logfmt", "redis", "auto", "auto"]);
}

#[test]
fn mistakes_of_the_section_are_named() {
    let (found, shown) = settings(
        "parsers:\n  use:\n    - { service: '[', parser: redis }\n    - { parser: redis }\n    - { path: x, parser: redsi }\n    - { path: x }\n",
    );
    expect![[r#"
        logweir.yaml:3:18: parsers.use[0].service is not a glob: invalid range pattern
        logweir.yaml:4:7: parsers.use[1].service is missing: a rule names a service, a source or a path
        logweir.yaml:6:7: parsers.use[3] needs 'parser'
    "#]]
    .assert_eq(&shown);
    let problems = load(&found).expect_err("no such parser");
    let shown: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    expect![[r#"
        logweir.yaml:5:26: there is no parser 'redsi' (did you mean 'redis'?)
    "#]]
    .assert_eq(&shown);
    let (found, _) = settings("parsers: { files: [/nowhere/x.yaml] }\n");
    let problems = load(&found).expect_err("no such file");
    assert!(problems[0].to_string().starts_with("/nowhere/x.yaml: cannot be read"));
}
