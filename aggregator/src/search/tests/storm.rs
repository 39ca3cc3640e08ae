//! The store and the search together: lines, seals, merges, retention and crashes in random order, and between them
//! random queries of the whole language against a naive reader of the lines (`naive.rs`).
//!
//! A longer run: `make model`, which prints how many answers were compared; `PROPTEST_RNG_SEED` repeats a run.

use std::cell::Cell;

use logweir_proto::api::Order;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::random::{any_line, any_query};
use super::world::{Asked, DAY_NS, ROUND_NS, World};

/// `quiet` keeps for a day, the rest for three.
const RETENTION: &str = "retention: {days: 3, classes: [{name: quiet, match: 'level<=debug', days: 1}]}";

#[derive(Debug, Clone)]
enum Step {
    /// Lines, each so many milliseconds old.
    Write(Vec<(i64, String)>),
    Seal,
    /// A round of housekeeping.
    Maintain,
    Crash,
    /// Time passes, and retention looks.
    Days(i64),
    Ask(Vec<Asked>),
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let ago = prop_oneof![0i64..3_600_000, 0i64..90_000_000].prop_map(|ms| ms * 1_000_000);
    let order = prop_oneof![3 => Just(Order::Desc), 1 => Just(Order::Asc)];
    (any_query(), order, 1usize..50, prop::option::weighted(0.3, ago.clone()), prop::option::weighted(0.2, ago))
        .prop_map(|(text, order, limit, from_ns, to_ns)| Asked { text, order, limit, from_ns, to_ns })
}

fn any_step() -> impl Strategy<Value = Step> {
    let lines = prop::collection::vec((prop_oneof![0i64..1000, 0i64..40_000_000], any_line()), 1..30);
    prop_oneof![
        8 => lines.prop_map(Step::Write),
        6 => Just(Step::Seal),
        4 => Just(Step::Maintain),
        2 => Just(Step::Crash),
        1 => (1i64..3).prop_map(Step::Days),
        16 => prop::collection::vec(any_asked(), 1..80).prop_map(Step::Ask),
    ]
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Checks {
    pub(super) answers: usize,
    /// Stored rows that the naive reader looked at for them.
    pub(super) rows: usize,
}

impl std::ops::AddAssign for Checks {
    fn add_assign(&mut self, more: Checks) {
        *self = Checks { answers: self.answers + more.answers, rows: self.rows + more.rows };
    }
}

/// Runs `test` with a seed that is printed. The cases are few of those that the environment names: each is long.
pub(super) fn check<S: Strategy>(what: &str, strategy: S, one_in: u32, test: impl Fn(S::Value) -> Checks)
where
    S::Value: std::fmt::Debug,
{
    let config = ProptestConfig::default();
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => rand_seed(),
    };
    let cases = (config.cases / one_in).max(4);
    let config = ProptestConfig { cases, rng_seed: RngSeed::Fixed(seed), max_shrink_iters: 400, ..config };
    println!("{what}: PROPTEST_RNG_SEED={seed}, {cases} cases");
    let checks = Cell::new(Checks::default());
    let result = TestRunner::new(config).run(&strategy, |value| {
        let mut sum = checks.get();
        sum += test(value);
        checks.set(sum);
        Ok(())
    });
    let Checks { answers, rows } = checks.get();
    println!("{what}: {answers} answers compared, {rows} rows judged");
    if let Err(error) = result {
        panic!("PROPTEST_RNG_SEED={seed}: {error}");
    }
}

fn rand_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

#[test]
fn whatever_happens_to_the_store_a_query_finds_what_a_naive_reader_finds() {
    check("storm", prop::collection::vec(any_step(), 20..70), 50, |steps| {
        let mut world = World::new(RETENTION);
        let mut store = world.open();
        let mut checks = Checks::default();
        for step in steps {
            match step {
                Step::Write(lines) => world.write(&store, lines),
                Step::Seal => store.seal_now().expect("a seal"),
                Step::Maintain => {
                    world.clock.set(world.clock.now_ns() + ROUND_NS);
                    store.maintain();
                    world.retire(&store);
                }
                Step::Crash => store = world.open(),
                Step::Days(days) => {
                    world.clock.set(world.clock.now_ns() + days * DAY_NS);
                    store.retain().expect("retention");
                    world.retire(&store);
                }
                Step::Ask(asked) => {
                    let events = world.events();
                    for asked in &asked {
                        world.judge(&store, &events, asked).unwrap_or_else(|wrong| panic!("{wrong}"));
                    }
                    checks += Checks { answers: asked.len(), rows: asked.len() * events.len() };
                }
            }
        }
        store = world.open();
        world.retire(&store);
        let all = Asked { text: "*".to_owned(), order: Order::Desc, limit: 1000, from_ns: None, to_ns: None };
        world.judge(&store, &world.events(), &all).unwrap_or_else(|wrong| panic!("{wrong}"));
        checks
    });
}
