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
fn long_lists_find_every_term() {
    let term = |i: u32| format!("term{i}").into_bytes();
    let blocks_of = |i: u32| [i % 7, 20 - i % 5];
    let entries = (0..20_000).flat_map(|i| blocks_of(i).map(|b| entry(&term(i), b)));
    let bytes = Bytes::from(encode(entries.collect()));
    let Some(Needs::Bytes(first)) = HashList::needs(&bytes) else { panic!("a list of pages") };
    let list = HashList::open(bytes.slice(..first as usize), bytes.len() as u64).expect("a list");
    for i in (0..20_000).step_by(37) {
        let mut found = [false; 21];
        let read = |span: Range<u64>| Ok::<_, ()>(bytes.slice(span.start as usize..span.end as usize));
        assert_eq!(list.find(&term(i), &mut found, read), Ok(Some(())));
        assert!(blocks_of(i).iter().all(|block| found[*block as usize]), "term {i}");
    }
}

#[test]
fn hashes_that_lie_unevenly_are_found() {
    let hash = |i: u64| ((i * i * i) << 25) | (i % 7);
    let bytes = Bytes::from(encode((0..8000).map(hash).collect()));
    let Some(Needs::Bytes(first)) = HashList::needs(&bytes) else { panic!("a list of pages") };
    let list = HashList::open(bytes.slice(..first as usize), bytes.len() as u64).expect("a list");
    assert!(list.table >= 3, "{} pages", list.table);
    let read = |span: Range<u64>| Ok::<_, ()>(bytes.slice(span.start as usize..span.end as usize));
    for i in 0..8000 {
        assert_eq!(list.may_have(hash(i), 7, read), Ok(Some(true)), "{i}");
    }
    let beyond = (0..8000).filter(|i| list.may_have(u64::MAX - (i << 40), 7, read) != Ok(Some(false))).count();
    assert!(beyond < 100, "{beyond}");
}

/// A list of one group of terms, each in one block, as it was written in an older form.
fn old_list(marker: u32, entries: &mut [u64], blocks: u64) -> Vec<u8> {
    entries.sort_unstable();
    let hash_bits = hash_bits_of(entries.len());
    let hash = |entry: &u64| entry >> (64 - hash_bits);
    let (first, delta_k) = (hash(&entries[0]), rice_parameter((1 << hash_bits) / entries.len() as u64));
    let mut body = BitWriter::default();
    let mut last = first;
    for entry in &*entries {
        let delta = hash(entry) - std::mem::replace(&mut last, hash(entry));
        body.put_rice(delta, delta_k);
        body.put(1, 1);
        body.put(block_of(entry), old::number_bits(blocks));
    }
    let body = body.finish();
    let mut list = marker.to_le_bytes().to_vec();
    list.extend([hash_bits as u8, delta_k as u8]);
    for number in [entries.len() as u32, 1, blocks as u32] {
        list.extend_from_slice(&number.to_le_bytes());
    }
    let mut table = Vec::new();
    SKIP.put(first, 0, &mut table);
    if marker != MARKER_GROUPS {
        table.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        let sum = head_sum(&list, &table);
        list.extend_from_slice(&sum.to_le_bytes());
    }
    [list, table, body].concat()
}

#[test]
fn lists_of_older_forms_are_read() {
    let mut entries: Vec<u64> = (0..100u32).map(|i| entry(format!("term{i}").as_bytes(), i % 7)).collect();
    for marker in [MARKER_GROUPS, MARKER_PAGES, MARKER_PARTED_PAGES] {
        let bytes = Bytes::from(old_list(marker, &mut entries, 7));
        let in_memory = marker == MARKER_GROUPS;
        assert_eq!(HashList::needs(&bytes) == Some(Needs::All), in_memory);
        let list = HashList::open(bytes.clone(), bytes.len() as u64).expect("a list");
        for i in 0..100 {
            let mut found = [false; 7];
            let read = |span: Range<u64>| {
                (!in_memory).then(|| bytes.slice(span.start as usize..span.end as usize)).ok_or("it is in memory")
            };
            assert_eq!(list.find(format!("term{i}").as_bytes(), &mut found, read), Ok(Some(())));
            assert!(found[i % 7]);
            assert_eq!(list.may_have(hash64(format!("term{i}").as_bytes()), 7, read), Ok(Some(true)));
        }
    }
}

#[test]
fn a_list_says_its_blocks_in_few_bits() {
    let term = |i: u32| format!("term{i}").into_bytes();
    let alone: Vec<u64> = (0..40_000u32).map(|i| entry(&term(i), i % 65)).collect();
    let several: Vec<u64> =
        (0..5_000u32).flat_map(|i| (0..70).step_by(9).map(move |b| entry(&term(i), b + i % 7))).collect();
    let bits = |entries: &[u64], terms: u64| encode(entries.iter().copied().collect()).len() as u64 * 80 / terms;
    expect_test::expect!["(166, 535)"].assert_eq(&format!("{:?}", (bits(&alone, 40_000), bits(&several, 5_000))));
}

proptest! {
    #[test]
    fn several_blocks_come_back(blocks in prop::collection::btree_set(0u64..150, 1..150), noise in any::<[u8; 16]>()) {
        let list: Vec<u64> = blocks.into_iter().collect();
        for counts in [1, 2, 40] {
            let code = BlockCode::new(150, counts).expect("a code");
            let mut body = BitWriter::default();
            code.put(&mut body, (3, 1), &list);
            let body = body.finish();
            let mut input = BitReader::new(&body);
            let (delta, told) = code.take(&mut input, 1).expect("an entry");
            prop_assert_eq!(delta, 3);
            let mut found = Vec::new();
            match told {
                Told::One(block) => found.push(block),
                Told::Several(count) => {
                    code.take_several(&mut input, count, &mut |block| found.push(block)).expect("blocks");
                }
            }
            prop_assert_eq!(&found, &list);
            let mut passing = BitReader::new(&body);
            if let Some((_, Told::Several(count))) = code.take(&mut passing, 1) {
                passing = code.behind_several(passing, count).expect("blocks");
            }
            prop_assert_eq!(passing.at(), input.at());
            let (mut input, mut passing) = (BitReader::new(&noise), BitReader::new(&noise));
            while let Some((_, told)) = code.take(&mut input, 1) {
                code.take(&mut passing, 1).expect("the same");
                if let Told::Several(count) = told {
                    let taken = code.take_several(&mut input, count, &mut |block| assert!(block < 150));
                    let behind = code.behind_several(passing, count);
                    prop_assert_eq!(behind.is_some(), taken.is_some());
                    let Some(behind) = behind else { break };
                    passing = behind;
                }
                prop_assert_eq!(passing.at(), input.at());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_list_finds_every_term_in_its_blocks(
        terms in prop::collection::vec((0u32..2000, 0u32..20), 0..1600),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let entries = terms.iter().map(|(term, block)| entry(format!("term{term}").as_bytes(), *block));
        let bytes = encode(entries.collect());
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
            let may_have = list.may_have(hash64(format!("term{term}").as_bytes()), 20, read);
            prop_assert_eq!(may_have, Ok(Some(found.contains(&true))), "term {}", term);
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
            prop_assert_eq!(list.may_have(hash64(format!("term{term}").as_bytes()), 20, torn), Ok(None));
        }
        let total = noise.len() as u64;
        for marker in [MARKER_BELOW, MARKER_PARTED_PAGES, MARKER_PAGES, MARKER_GROUPS, 1] {
            let bytes = [&marker.to_le_bytes()[..], &noise].concat();
            if let Some(list) = HashList::open(bytes.into(), total) {
                let _ = list.find(b"term1", &mut [false; 20], torn);
                let _ = list.may_have(hash64(b"term1"), 20, torn);
            }
        }
    }
}
