//! What is made here the library reads.

use proptest::prelude::*;

use super::*;

fn lines(texts: &[String]) -> (Vec<u8>, Vec<usize>) {
    (texts.concat().into_bytes(), texts.iter().map(String::len).collect())
}

/// The frame, if one is made.
fn packed(bytes: &[u8], texts_at: usize, lengths: &[usize]) -> Option<Vec<u8>> {
    let before = (texts_at > 0).then(|| zstd::bulk::compress(&bytes[..texts_at], 1).unwrap());
    let mut out = Vec::new();
    put_texts(bytes, texts_at, lengths.iter().copied(), before.as_deref(), &mut out).map(|()| out)
}

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % below
    }
}

#[test]
fn pieces_at_the_same_place_cost_little() {
    let mut random = random(7);
    let texts: Vec<String> = (0..1600).map(|_| format!("{}&s={:x}", random(40), random(1 << 32))).collect();
    let (bytes, lengths) = lines(&texts);
    let packed = packed(&bytes, 0, &lengths).expect("a frame");
    assert_eq!(zstd::bulk::decompress(&packed, bytes.len()).unwrap(), bytes);
    let library = zstd::bulk::compress(&bytes, 1).unwrap();
    // By chance a text has 37.3 bits.
    let bits = |packed: &[u8]| packed.len() * 80 / texts.len();
    expect_test::expect!["(423, 493)"].assert_eq(&format!("{:?}", (bits(&packed), bits(&library))));
}

#[test]
fn long_texts_and_many_blocks_come_back() {
    let mut random = random(3);
    let texts: Vec<String> = (0..30_000).map(|i| format!("/api/orders/{}/{:x}", i / 7, random(1 << 20))).collect();
    let (bytes, lengths) = lines(&texts);
    assert!(bytes.len() > 3 * BLOCK_BYTES_MAX);
    let packed = packed(&bytes, 0, &lengths).expect("a frame");
    assert_eq!(zstd::bulk::decompress(&packed, bytes.len()).unwrap(), bytes);
    let long = "ab".repeat(BLOCK_BYTES_MAX);
    assert_eq!(self::packed(long.as_bytes(), 0, &[long.len()]), None);
}

/// Twice as many cases as elsewhere, also where the environment asks for more (`PROPTEST_CASES`).
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: 2 * config.cases, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn frames_come_back(
        before in prop::collection::vec(any::<u8>(), 0..300),
        shape in 0u64..6,
        count in 1u64..2000,
        seed in any::<u64>(),
    ) {
        let mut random = random(seed);
        let text = |i: u64| match shape {
            0 => format!("page={}&s={:x}", random(40), random(1 << 32)),
            1 => format!("{}\0\0\0/api/{}/{}", (random(20) + 1) as u8 as char, random(3), i * 3 + random(3)),
            2 => "x".repeat(random(300) as usize),
            // Letters as rare as each other's double: the longest codes.
            3 => ((b'A' + random(1 << 30).leading_zeros().saturating_sub(34) as u8) as char).to_string(),
            4 => (0..random(40)).map(|_| char::from(random(255) as u8)).collect(),
            _ => format!("{}.{}.{}.{}", random(200), random(9), random(256), i % 13),
        };
        let texts: Vec<String> = (0..count).map(text).collect();
        let (bytes, lengths) = lines(&texts);
        let bytes = [&before[..], &bytes].concat();
        if let Some(packed) = packed(&bytes, before.len(), &lengths) {
            prop_assert_eq!(zstd::zstd_safe::find_frame_compressed_size(&packed), Ok(packed.len()));
            prop_assert_eq!(&zstd::bulk::decompress(&packed, bytes.len()).unwrap(), &bytes);
        }
    }

    #[test]
    fn literals_come_back(count in 0u64..9000, most in 1u64..300, seed in any::<u64>(), how in 0u8..4) {
        let mut random = random(seed);
        let byte = |_| match how {
            0 => random(most) as u8,
            1 => (1u64 << random(8)) as u8,
            2 => { let once = random(most) + 1; random(once) as u8 }
            _ => random(1 << 40).leading_zeros() as u8 * 3,
        };
        let bytes: Vec<u8> = (0..count).map(byte).collect();
        let mut packed = Vec::new();
        if put_literals(&bytes, &mut packed).is_some() {
            prop_assert_eq!(zstd::zstd_safe::find_frame_compressed_size(&packed), Ok(packed.len()));
            prop_assert_eq!(&zstd::bulk::decompress(&packed, bytes.len()).unwrap(), &bytes);
        }
    }
}
