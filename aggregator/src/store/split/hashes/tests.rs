//! What goes in comes out, in every form of the list.

use proptest::prelude::*;

use super::*;

#[test]
fn the_hash_is_part_of_the_format() {
    assert_eq!(hash64(b""), 0);
    let hashes = [hash64(b"a"), hash64(b"wuser42"), hash64(b"a longer term than eight bytes")];
    expect_test::expect!["[6d08fdde432f4286, 5a9def5f67c3b3eb, 1a53dec017a6d1ea]"].assert_eq(&format!("{hashes:x?}"));
}

#[test]
fn long_lists_are_sorted_by_digits_and_find_every_term() {
    let term = |i: u32| format!("term{i}").into_bytes();
    let blocks_of = |i: u32| [i % 7, 20 - i % 5];
    let mut entries: Vec<u64> = (0..20_000).flat_map(|i| blocks_of(i).map(|b| entry(&term(i), b))).collect();
    assert!(entries.len() > SORTED_MIN);
    let (mut sorted, mut want) = (entries.clone(), entries.clone());
    let sorted_bits = hash_bits_of(entries.len());
    sort(&mut sorted, sorted_bits);
    want.sort_unstable();
    let bits = |entries: &[u64]| entries.iter().map(|entry| entry >> (64 - sorted_bits)).collect::<Vec<_>>();
    assert_eq!(bits(&sorted), bits(&want));
    let bytes = Bytes::from(encode(&mut entries));
    let Some(Needs::Bytes(first)) = HashList::needs(&bytes) else { panic!("a list of pages") };
    let list = HashList::open(bytes.slice(..first as usize), bytes.len() as u64).expect("a list");
    for i in (0..20_000).step_by(37) {
        let mut found = [false; 21];
        let read = |span: Range<u64>| Ok::<_, ()>(bytes.slice(span.start as usize..span.end as usize));
        assert_eq!(list.find(&term(i), &mut found, read), Ok(Some(())));
        assert!(blocks_of(i).iter().all(|block| found[*block as usize]), "term {i}");
    }
}

/// With no more entries than a group has, the forms differ in what is before them only.
#[test]
fn lists_of_the_second_and_third_form_are_read() {
    let mut entries: Vec<u64> = (0..100u32).map(|i| entry(format!("term{i}").as_bytes(), i % 7)).collect();
    let now = encode(&mut entries);
    let body_at = HEADER_BYTES + PAGE_HEAD_BYTES;
    let mut before = MARKER_GROUPS.to_le_bytes().to_vec();
    before.extend_from_slice(&now[4..GROUPS_HEADER_BYTES]);
    before.extend_from_slice(&now[HEADER_BYTES..HEADER_BYTES + SKIP_BYTES]);
    before.extend_from_slice(&now[body_at..]);
    // A page of one group has nothing before it.
    let mut third = now.clone();
    third[..4].copy_from_slice(&MARKER_PAGES.to_le_bytes());
    let sum = head_sum(&third[..HEADER_BYTES - 4], &third[HEADER_BYTES..body_at]);
    third[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    let list = HashList::open(third.clone().into(), third.len() as u64).expect("a list");
    let read = |span: Range<u64>| Ok::<_, ()>(Bytes::copy_from_slice(&third[span.start as usize..span.end as usize]));
    let mut found = [false; 7];
    assert_eq!(list.find(b"term9", &mut found, read), Ok(Some(())));
    assert!(found[2]);
    assert_eq!(HashList::needs(&before), Some(Needs::All));
    let total = before.len() as u64;
    let list = HashList::open(before.into(), total).expect("a list");
    for i in 0..100 {
        let mut found = [false; 7];
        let nothing = |_| Err::<Bytes, &str>("it is in memory");
        assert_eq!(list.find(format!("term{i}").as_bytes(), &mut found, nothing), Ok(Some(())));
        assert!(found[i % 7]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_list_finds_every_term_in_its_blocks(
        terms in prop::collection::vec((0u32..2000, 0u32..20), 0..1600),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut entries: Vec<u64> =
            terms.iter().map(|(term, block)| entry(format!("term{term}").as_bytes(), *block)).collect();
        let bytes = encode(&mut entries);
        let total = bytes.len() as u64;
        prop_assert_eq!(HashList::needs(&[0; 3]), None);
        let Some(Needs::Bytes(first)) = HashList::needs(&bytes) else { panic!("a list of pages") };
        let list = HashList::open(bytes[..first as usize].to_vec().into(), total).expect("a list");
        let read = |span: Range<u64>| Ok::<Bytes, ()>(bytes[span.start as usize..span.end as usize].to_vec().into());
        let mut more = 0;
        for term in 0..2000 {
            let mut found = vec![false; 20];
            list.find(format!("term{term}").as_bytes(), &mut found, read).expect("it reads").expect("a whole list");
            let want: Vec<bool> = (0..20).map(|block| terms.contains(&(term, block))).collect();
            // Short hashes find a block too many now and then, never one too few.
            prop_assert!(found.iter().zip(&want).all(|(found, want)| *found || !want), "term {}", term);
            more += found.iter().zip(&want).filter(|(found, want)| **found && !**want).count();
        }
        prop_assert!(more < 120, "{} blocks too many", more);
        for cut in 0..first {
            prop_assert!(HashList::open(bytes[..cut as usize].to_vec().into(), total).is_none(), "cut at {}", cut);
        }
        // A page that is not what it was is never believed.
        let torn = |span: Range<u64>| Ok::<Bytes, ()>(vec![0; (span.end - span.start) as usize].into());
        for (term, block) in &terms {
            let mut found = [false; 20];
            let damaged = list.find(format!("term{term}").as_bytes(), &mut found, torn) == Ok(None);
            prop_assert!(damaged && !found[*block as usize]);
        }
        let total = noise.len() as u64;
        for marker in [MARKER_PARTED_PAGES, MARKER_PAGES, MARKER_GROUPS, 1] {
            let bytes = [&marker.to_le_bytes()[..], &noise].concat();
            if let Some(list) = HashList::open(bytes.into(), total) {
                let _ = list.find(b"term1", &mut [false; 20], torn);
            }
        }
    }
}
