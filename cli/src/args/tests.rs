//! The grammar of the command line, and that the help says what there is.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definitions_agree_with_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn the_grouped_help_names_every_command_with_its_own_words() {
    let command = Cli::command();
    for sub in command.get_subcommands() {
        let about = sub.get_about().expect("every command says what it does").to_string();
        let line = format!("  {:<12} {about}\n", sub.get_name());
        assert!(HELP.contains(&line), "the help lacks {line:?}");
    }
    let indented = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let listed = HELP.lines().filter(indented).count();
    assert_eq!(listed, command.get_subcommands().count(), "the help names a command that is not there");
}

#[test]
fn what_contradicts_itself_is_refused() {
    for line in [
        "logweir search x --since 1h --from now-2h",
        "logweir search x --all -n 5",
        "logweir search x --count --all",
        "logweir search x --since yesterday",
        "logweir context not-an-id",
        "logweir rules check",
        "logweir search x --url http://h --profile prod",
        "logweir export x",
        "logweir serve",
        "logweir alerts silence service=api --comment x",
        "logweir alerts silence service --for 2h --comment x",
        "logweir alerts silence service=api --for soon --comment x",
        "logweir route-test severity",
        "logweir route-test a=b --at tomorrow",
        "logweir rules explain",
        "logweir rules preview level:error",
    ] {
        let parsed = Cli::try_parse_from(line.split(' '));
        assert_eq!(parsed.expect_err(line).exit_code(), 2, "{line}");
    }
}

#[test]
fn queries_that_begin_with_a_minus_are_queries() {
    let cli = Cli::try_parse_from(["logweir", "search", "-path:/health* status>=500", "-n", "5"]).expect("parses");
    let Command::Search(args) = cli.command else { panic!("not a search") };
    assert_eq!((args.query.as_str(), args.limit), ("-path:/health* status>=500", 5));
}

#[test]
fn durations_and_lists_are_read() {
    let cli = Cli::try_parse_from("logweir search --since 1h30m --fields host,message -o csv".split(' '));
    let Command::Search(args) = cli.expect("parses").command else { panic!("not a search") };
    assert_eq!(args.range.since, Some(std::time::Duration::from_secs(5400)));
    assert_eq!(args.fields, ["host", "message"]);
    assert_eq!(args.output, OutputFormat::Csv);
}

#[test]
fn only_long_answers_for_people_are_paged() {
    for (line, paged) in [
        ("logweir search x", true),
        ("logweir search x -o json", false),
        ("logweir search x --count", false),
        ("logweir tail x", false),
        ("logweir fields", true),
        ("logweir export x --since 1h -o x.csv", false),
    ] {
        let cli = Cli::try_parse_from(line.split(' ')).expect("parses");
        assert_eq!(cli.command.may_be_long(), paged, "{line}");
    }
}
