//! Places, mistakes and the environment.

use super::*;

#[test]
fn every_value_knows_its_place() {
    let source = "a: 1\nb:\n  - x\n  - {c: 'y', d: 2.5}\n";
    let mut problems = Problems::new("f", source);
    let node = parse(source, &mut problems).expect("it parses");
    let Value::Map(entries) = &node.value else { panic!("a mapping") };
    assert_eq!(entries[0].node.at, At { line: 1, column: 4 });
    assert_eq!(entries[1].at, At { line: 2, column: 1 });
    let Value::List(items) = &entries[1].node.value else { panic!("a list") };
    assert_eq!(items[0].at, At { line: 3, column: 5 });
    let Value::Map(inner) = &items[1].value else { panic!("a mapping") };
    assert_eq!(inner[0].node.at, At { line: 4, column: 9 });
    assert_eq!(inner[0].node.value, Value::Text("y".to_owned()));
    assert_eq!(inner[1].node.value, Value::Float(2.5));
}

#[test]
fn broken_yaml_is_one_problem_with_its_place() {
    for source in ["a: [1, 2\n", "a: 1\na: 2\n", "a: [}", "a: b: c"] {
        let mut problems = Problems::new("f.yaml", source);
        assert_eq!(parse(source, &mut problems), None, "{source}");
        let list = problems.into_sorted();
        assert_eq!(list.len(), 1);
        assert!(list[0].at.is_some(), "{}", list[0]);
        assert!(!list[0].message.contains("line"), "{}", list[0]);
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(source in "\\PC{0,200}") {
        let mut problems = Problems::new("f", &source);
        let _ = parse(&source, &mut problems);
    }
}

fn config(source: &str, raw: &[&str]) -> (Option<Node>, Problems) {
    let env = |name: &str| match name {
        "HOST" => Some("web-1".to_owned()),
        "DAYS" => Some("7".to_owned()),
        "CODE" => Some("007".to_owned()),
        "EVIL" => Some("x\nlisten: [1".to_owned()),
        _ => None,
    };
    let mut problems = Problems::new("f.yaml", source);
    let root = parse_config(source, &env, raw, &mut problems);
    (root, problems)
}

fn value(root: &Node, key: &str) -> Value {
    let Value::Map(entries) = &root.value else { panic!("a mapping") };
    entries.iter().find(|entry| entry.key == key).map(|entry| entry.node.value.clone()).expect("the key is there")
}

#[test]
fn the_environment_is_put_into_values_only() {
    let source = "a: ${HOST}:7171\nb: $$5 and $remote_addr\nc: ${DAYS}\nd: \"${CODE}\"\ne: '${EVIL}'\n$HOST: $${X}\n";
    let (root, problems) = config(source, &[]);
    let root = root.expect("it parses");
    assert!(problems.is_empty(), "{problems:?}");
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(value(&root, "a"), text("web-1:7171"));
    assert_eq!(value(&root, "b"), text("$5 and $remote_addr"));
    assert_eq!(value(&root, "c"), Value::Int(7));
    assert_eq!(value(&root, "d"), text("007"));
    assert_eq!(value(&root, "e"), text("x\nlisten: [1"));
    assert_eq!(value(&root, "$HOST"), text("${X}"));
}

#[test]
fn formats_keep_their_dollars() {
    let source = "files:\n- format: '$remote_addr ${status} $$ ${HOST}'\n  service: ${HOST}\n";
    let (root, problems) = config(source, &["files.format"]);
    assert!(problems.is_empty(), "{problems:?}");
    let shown = format!("{root:?}");
    assert!(shown.contains("$remote_addr ${status} $$ ${HOST}") && shown.contains("web-1"), "{shown}");
}

#[test]
fn what_the_environment_lacks_is_one_mistake() {
    let source = "days: ${NOPE}\nname: x${host}\nsize: ${HOST\nok: 1\n";
    let (root, mut problems) = config(source, &[]);
    let root = root.expect("it parses");
    let mut fields = Fields::new(&root, "the file", &mut problems).expect("a mapping");
    assert_eq!(fields.integer("days", 1..=9, &mut problems), None);
    assert_eq!(fields.text("name", &mut problems), None);
    assert_eq!(fields.bytes("size", 0..=9, &mut problems), None);
    assert_eq!(fields.integer("ok", 1..=9, &mut problems), Some(1));
    fields.finish(&mut problems);
    shown(
        problems,
        &expect_test::expect![[r#"
        f.yaml:1:7: the environment variable NOPE is not set
        f.yaml:2:7: '${host}' names no environment variable: names are upper case (write $$ for a dollar sign)
        f.yaml:3:7: a ${ has no } (write $$ for a dollar sign)
    "#]],
    );
}

fn shown(problems: Problems, expected: &expect_test::Expect) {
    expected.assert_eq(&problems.into_sorted().iter().map(|problem| format!("{problem}\n")).collect::<String>());
}

#[test]
fn all_mistakes_come_at_once_with_their_places() {
    let source = "listen: [5]\nlimits: {timeout: soon, tiemout: 1, age: 1h, size: 1GiB, least: 3}\nfiles: [{paths: 7}, 3]\nempty:\n";
    let (root, mut problems) = config(source, &[]);
    let root = root.expect("it parses");
    let mut fields = Fields::new(&root, "the file", &mut problems).expect("a mapping");
    assert_eq!(fields.text("listen", &mut problems), None);
    assert_eq!(fields.section("empty", &mut problems).text("x", &mut problems), None);
    let mut limits = fields.section("limits", &mut problems);
    let short = std::time::Duration::from_millis(10)..=std::time::Duration::from_secs(60);
    assert_eq!(limits.duration("timeout", short.clone(), &mut problems), None);
    assert_eq!(limits.duration("age", short, &mut problems), None);
    assert_eq!(limits.bytes("size", 1 << 10..=1 << 23, &mut problems), None);
    assert_eq!(limits.bytes("least", 1 << 10..=u64::MAX, &mut problems), None);
    limits.finish(&mut problems);
    for mut file in fields.sections("files", &mut problems) {
        assert_eq!(file.strings("paths", &mut problems).unwrap_or_default(), Vec::<String>::new());
        file.finish(&mut problems);
    }
    fields.finish(&mut problems);
    shown(
        problems,
        &expect_test::expect![[r#"
        f.yaml:1:9: listen must be text, not a list
        f.yaml:2:19: limits.timeout must be a duration (for example 30s, 5m or 1h30m)
        f.yaml:2:25: unknown key 'tiemout' in limits (did you mean 'timeout'?)
        f.yaml:2:42: limits.age must be a duration from 10ms to 1m
        f.yaml:2:52: limits.size must be a size from 1KiB to 8MiB, not 1GiB
        f.yaml:2:65: limits.least must be at least 1KiB, not 3B
        f.yaml:3:17: files[0].paths must be a list, not a number
        f.yaml:3:21: files[1] must be a mapping, not a number
    "#]],
    );
}

#[test]
fn an_empty_file_is_an_empty_mapping() {
    for source in ["", "# nothing\n", "---\n", "~\n"] {
        let (root, problems) = config(source, &[]);
        assert_eq!(root.map(|root| root.value), Some(Value::Map(Vec::new())), "{source:?} {problems:?}");
    }
    let (root, problems) = config(&"#".repeat(FILE_BYTES_MAX + 1), &[]);
    assert!(root.is_none() && !problems.is_empty());
}

proptest::proptest! {
    #[test]
    fn any_dollars_are_replaced_or_refused(value in "[$\\{\\}A-Za-z_0-9é ]{0,40}") {
        let source = format!("a: '{value}'\n");
        let (root, _) = config(&source, &[]);
        assert!(root.is_some());
    }
}

#[test]
fn mistakes_that_are_too_many_are_counted() {
    let mut problems = Problems::new("f", "");
    for line in 1..=PROBLEMS_MAX as u32 + 7 {
        problems.add(At { line, column: 1 }, "wrong");
    }
    let all = problems.into_sorted();
    assert_eq!(all.len(), PROBLEMS_MAX + 1);
    assert_eq!(all[PROBLEMS_MAX].to_string(), "f: 7 more mistakes are not shown: only the first 200 are");
}
