//! Every trouble by what makes it, and as alerts that are told and end.

use super::super::Watcher;
use super::*;
use crate::check::tests::RULE;
use crate::fixture::{S, T0, Watched};
use crate::source::{AgentHealth, Ahead, LowDisk, Shared};
use crate::state::store::{EPISODES, GROUPS, Store};

const M: i64 = 60 * S;

fn rules() -> Arc<RuleSet> {
    let text = RULE.to_owned();
    Arc::new(crate::check::rules(&[("r.yaml".to_owned(), text)]).unwrap_or_else(|p| panic!("{p:?}")))
}

fn mark(host: &str, heard_wall: i64, watermark_ns: i64) -> HostMark {
    HostMark { host: host.to_owned(), heard_wall, watermark_ns: Some(watermark_ns), passing: false }
}

fn agent(host: &str, skew_ns: i64, ahead: Option<(i64, i64)>) -> AgentHealth {
    let ahead = ahead.map(|(wall, by_ns)| Ahead { path: "/var/log/app.log".to_owned(), wall, by_ns });
    AgentHealth { host: host.to_owned(), skew_ns, ahead }
}

#[test]
fn each_trouble_has_its_cause_and_its_words() {
    let now = T0 + 3600 * S;
    let status = |last_at: i64, error: Option<&str>, refused: usize| RuleStatus {
        last_at: Some(last_at),
        error: error.map(str::to_owned),
        instances: 1,
        refused,
    };
    let fine = Seen {
        marks: vec![mark("a", now - 5 * S, now - 6 * S), mark("b", now - 20 * M, now - 20 * M)],
        health: Health {
            host: "srv".to_owned(),
            agents: vec![agent("a", 4 * M, None), agent("b", -M, Some((now - 11 * M, 9 * M)))],
            disk: None,
        },
        statuses: [("Errors".to_owned(), status(now - 20 * S, None, 0))].into(),
        rules: rules(),
    };
    let memory = |since: i64, heard: i64| AgentMemory { since_wall: since, heard_wall: heard };
    let agents = [
        ("a".to_owned(), memory(T0, now - 5 * S)),
        // It ran once, for a moment.
        ("once".to_owned(), memory(now - 20 * M, now - 19 * M)),
        ("gone".to_owned(), memory(T0 - 100 * 86_400 * S, now - FORGET_NS)),
    ];
    assert_eq!(all(&fine, &agents.into(), T0, now), Vec::new());

    let bad = Seen {
        marks: vec![mark("a", now - 5 * S, now - 6 * M)],
        health: Health {
            host: "srv".to_owned(),
            agents: vec![agent("a", 7 * M + 1, None), agent("c", 0, Some((now - M, 121 * M + S)))],
            disk: Some(LowDisk { full: true, reason: "the disk is full".to_owned() }),
        },
        statuses: [
            ("Errors".to_owned(), status(now - 10 * M, Some("unknown field"), 0)),
            ("Many".to_owned(), status(now, Some("3 new instances over the limit were refused"), 3)),
        ]
        .into(),
        rules: rules(),
    };
    let agents = [("b".to_owned(), memory(T0, now - 40 * S))].into();
    let told: Vec<String> = all(&bad, &agents, T0, now)
        .iter()
        .map(|t| format!("{} {} {:?} for {}s: {}", t.severity, t.name, t.instance, t.for_ns / S, t.summary))
        .collect();
    expect_test::expect![[r#"
        warning AgentDown {"host": "b"} for 30s: the agent on b was last heard at 2026-09-21T15:12:40Z
        warning IngestLag {"host": "a"} for 60s: what a wrote since 2026-09-21T15:07:20Z cannot be searched yet
        info ClockSkew {"host": "a"} for 60s: the clock of a is 7m ahead
        info ClockSkew {"host": "c"} for 60s: lines of /var/log/app.log on c say a time 2h1m ahead: is it in another time zone?
        warning RuleFailing {"rule": "Errors"} for 120s: the rule Errors cannot be evaluated: unknown field
        warning RuleLimited {"rule": "Many"} for 0s: the rule Many has as many alerts as it may: 3 new ones are left out
        warning EvaluationLag {"rule_group": "g"} for 0s: the rules of group g were last evaluated for 2026-09-21T15:03:20Z
        critical DiskLow {"host": "srv"} for 0s: the server on srv: the disk is full"#]].assert_eq(&told.join("\n"));
    // Our own heartbeat stops when a group is late, or when nobody's lines arrive.
    assert_eq!(stalled(&fine, T0, now), None);
    assert!(stalled(&bad, T0, now).is_some_and(|why| why.contains("group g ")), "{:?}", stalled(&bad, T0, now));
    let stuck = Seen { statuses: fine.statuses, ..bad };
    assert_eq!(stalled(&stuck, T0, now).as_deref(), Some("agents speak, but nobody's lines arrive"));
    let bad = Seen { statuses: [("Errors".to_owned(), status(now - 10 * M, None, 0))].into(), ..stuck };
    // A server that has just begun knows nothing yet, and has had no time to evaluate.
    let young: Vec<&str> = all(&bad, &agents, now - 20 * S, now).iter().map(|trouble| trouble.name).collect();
    assert!(!young.contains(&AGENT_DOWN) && !young.contains(&EVALUATION_LAG), "{young:?}");
}

#[tokio::test]
async fn an_agent_that_goes_is_told_once_and_ends_when_it_is_back_also_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = logweir_runtime::clock::Clock::manual(T0);
    let text =
        "route: {receiver: ops, group_wait: 0s}\nreceivers: [{name: ops, webhook: [{url: 'https://ops.example/'}]}]\n";
    let routing = crate::route::file::load("alerting.yaml", text, &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
    let routing = Arc::new(routing);
    let watched = Watched::new();
    let begin = |dir: &std::path::Path| {
        let store = Store::open(dir).expect("opens");
        let live = Arc::new(crate::service::Live::new("http://l.example", logweir_runtime::secrets::Secret::new("k")));
        live.set_routing(Some(Arc::clone(&routing)));
        (Watcher::new(store.clone(), live, Shared(watched.clone()), clock.clone()), store)
    };
    let firing = |store: &Store| -> Vec<String> {
        let all = store.read(|view| view.scan(EPISODES, "")).expect("reads").into_iter().map(|(_, one)| one);
        all.filter(crate::state::Episode::is_firing)
            .map(|one| format!("{} {}", one.rule, one.instance["host"]))
            .collect()
    };
    let (mut watcher, store) = begin(dir.path());
    for second in (0..=600).step_by(5) {
        clock.set(T0 + second * S);
        // One that cron starts every two minutes is not missed between its runs.
        let ran = clock.now_ns() - second % 120 * S;
        let cron = HostMark { passing: true, ..mark("cron-1", ran, ran) };
        watched.set(vec![mark("web-1", clock.now_ns(), clock.now_ns()), cron]);
        watcher.look().await.expect("looks");
    }
    assert_eq!(firing(&store), Vec::<String>::new());
    // It goes: nothing for a minute, then one alert, in a group of its route.
    for second in (605..=655).step_by(5) {
        clock.set(T0 + second * S);
        watcher.look().await.expect("looks");
        assert_eq!(firing(&store), Vec::<String>::new(), "{second}");
    }
    for second in (660..=700).step_by(5) {
        clock.set(T0 + second * S);
        watcher.look().await.expect("looks");
    }
    assert_eq!(firing(&store), ["AgentDown web-1"]);
    assert_eq!(store.read(|view| view.scan(GROUPS, "")).expect("reads").len(), 1);

    // A restart of the server changes nothing of it, although nobody speaks of the host any more.
    drop((watcher, store));
    watched.set(Vec::new());
    let (mut watcher, store) = begin(dir.path());
    for second in (700..=1000).step_by(5) {
        clock.set(T0 + second * S);
        watcher.look().await.expect("looks");
        assert_eq!(firing(&store), ["AgentDown web-1"], "{second}");
    }
    for second in (1005..=1070).step_by(5) {
        clock.set(T0 + second * S);
        watched.set(vec![mark("web-1", clock.now_ns(), clock.now_ns())]);
        watcher.look().await.expect("looks");
    }
    assert_eq!(firing(&store), Vec::<String>::new());
    let all = store.read(|view| view.scan(EPISODES, "")).expect("reads");
    assert_eq!((all.len(), all[0].1.close_reason.as_deref()), (1, Some("it is well again")));
}
