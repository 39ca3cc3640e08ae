//! Every kept input again, through the same functions as the fuzzer: a seed is never dead.

logweir_fuzz::seeds!(
    batch, condition, cri, docker, frames, journald, lines, multiline, packed, parse, query, routing, rules, split,
    syslog, template, utf16
);

#[test]
fn every_target_is_replayed_and_every_folder_of_seeds_has_one() {
    let of = |folder: &str| logweir_fuzz::names(&logweir_fuzz::folder(folder)).expect("a folder of this crate");
    let stems = of("targets").into_iter().filter_map(|name| name.strip_suffix(".rs").map(str::to_owned));
    let targets: Vec<String> = stems.filter(|name| name != "seeds").collect();
    let mut replayed = REPLAYED.to_vec();
    replayed.sort_unstable();
    assert_eq!(targets, replayed);
    assert_eq!(of("corpus"), replayed);
}
