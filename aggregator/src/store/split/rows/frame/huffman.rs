//! The literals of a block: a Huffman code of its own, and four streams.

use super::bits::Bits;
use super::fse::Table;

/// Longest code.
const BITS_MAX: u32 = 11;

const SYMBOLS: usize = 256;

/// So many weights can stand in half a byte each.
const PLAIN_WEIGHTS_MAX: usize = 128;

/// Places of the table of weights, as a power of two.
const WEIGHTS_LOG_MAX: u32 = 6;

/// Fewer literals are kept as they are.
const LITERALS_MIN: usize = 64;

/// Sizes below this one fit into the shorter header.
const MEDIUM_SIZE: usize = 1 << 14;

const RAW: u8 = 0;
const COMPRESSED: u8 = 2;

/// How often each symbol stands there. Four counts of each, so that none waits for the same one before it.
fn count(literals: &[u8]) -> [u32; SYMBOLS] {
    let mut counts = [[0u32; SYMBOLS]; 4];
    let (fours, rest) = literals.as_chunks::<4>();
    for four in fours {
        for (counts, literal) in counts.iter_mut().zip(four) {
            counts[usize::from(*literal)] += 1;
        }
    }
    rest.iter().for_each(|literal| counts[0][usize::from(*literal)] += 1);
    let [mut all, others @ ..] = counts;
    others.iter().for_each(|counts| all.iter_mut().zip(counts).for_each(|(all, count)| *all += count));
    all
}

/// By symbol the bits of its code; no more than [`BITS_MAX`], and all codes are used. `None` for fewer than two symbols.
fn lengths(counts: &[u32; SYMBOLS]) -> Option<[u8; SYMBOLS]> {
    let mut sorted = [0u64; SYMBOLS];
    let mut leaves = 0;
    for (symbol, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        sorted[leaves] = u64::from(*count) << 8 | symbol as u64;
        leaves += 1;
    }
    if leaves < 2 {
        return None;
    }
    sorted[..leaves].sort_unstable();
    // Nodes: the leaves, and then what two make together; both ascend.
    let (mut weights, mut parents) = ([0u32; 2 * SYMBOLS], [0u16; 2 * SYMBOLS]);
    weights.iter_mut().zip(&sorted[..leaves]).for_each(|(weight, leaf)| *weight = (leaf >> 8) as u32);
    let (mut leaf, mut inner) = (0, leaves);
    for node in leaves..2 * leaves - 1 {
        for _ in 0..2 {
            let is_leaf = leaf < leaves && (inner >= node || weights[leaf] <= weights[inner]);
            let next = if is_leaf { &mut leaf } else { &mut inner };
            parents[*next] = node as u16;
            weights[node] += weights[*next];
            *next += 1;
        }
    }
    let mut depths = [0u32; 2 * SYMBOLS];
    for node in (0..2 * leaves - 2).rev() {
        depths[node] = depths[usize::from(parents[node])] + 1;
    }
    shorten(&mut depths[..leaves]).then(|| {
        let mut lengths = [0; SYMBOLS];
        sorted.iter().zip(&depths[..leaves]).for_each(|(leaf, depth)| lengths[*leaf as usize & 255] = *depth as u8);
        lengths
    })
}

/// Makes codes that are too long shorter, and others longer for them; whether all codes are used then. The rarest symbol
/// comes first.
fn shorten(depths: &mut [u32]) -> bool {
    let share = |depth: u32| 1u32 << (BITS_MAX - depth);
    depths.iter_mut().for_each(|depth| *depth = (*depth).min(BITS_MAX));
    let mut used: u32 = depths.iter().map(|depth| share(*depth)).sum();
    for depth in depths.iter_mut() {
        while used > share(0) && *depth < BITS_MAX {
            *depth += 1;
            used -= share(*depth);
        }
    }
    for depth in depths.iter_mut().rev() {
        while used < share(0) && share(*depth) <= share(0) - used {
            used += share(*depth);
            *depth -= 1;
        }
    }
    used == share(0)
}

/// Appends the section of literals; `None`, and anything may have been appended, when it would not be shorter.
pub(super) fn put_literals(literals: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if literals.len() < LITERALS_MIN {
        let size = literals.len() as u16;
        out.extend_from_slice(&(u16::from(RAW) | 1 << 2 | size << 4).to_le_bytes());
        out.extend_from_slice(literals);
        return Some(());
    }
    let lengths = lengths(&count(literals))?;
    let header_at = out.len();
    let medium = literals.len() < MEDIUM_SIZE;
    let (form, size_bits, header) = if medium { (2u64, 14, 4) } else { (3, 18, 5) };
    out.resize(header_at + header, 0);
    let body_at = out.len();
    let codes = put_code(&lengths, out)?;
    let jumps_at = out.len();
    out.extend_from_slice(&[0; 6]);
    for (i, stream) in literals.chunks(literals.len().div_ceil(4)).enumerate() {
        let at = out.len();
        put_stream(stream, &codes, out);
        let size = u16::try_from(out.len() - at).ok()?;
        if i < 3 {
            out[jumps_at + 2 * i..jumps_at + 2 * i + 2].copy_from_slice(&size.to_le_bytes());
        }
    }
    let size = out.len() - body_at;
    if size >= literals.len() {
        return None;
    }
    let head = u64::from(COMPRESSED) | form << 2 | (literals.len() as u64) << 4 | (size as u64) << (4 + size_bits);
    out[header_at..body_at].copy_from_slice(&head.to_le_bytes()[..header]);
    Some(())
}

/// Appends the codes of one stream, of its last literal first.
fn put_stream(stream: &[u8], codes: &[Code; SYMBOLS], out: &mut Vec<u8>) {
    /// So many codes are held at once, and what is left of a byte.
    const AT_ONCE: usize = 5;
    const { assert!(AT_ONCE as u32 * BITS_MAX + 7 < u64::BITS) };
    let mut bits = Bits::new(out, stream.len() * BITS_MAX as usize / 8);
    let (rest, fives) = stream.as_rchunks::<AT_ONCE>();
    let hold = |literal: &u8, bits: &mut Bits<'_>| {
        let Code { code, length } = codes[usize::from(*literal)];
        bits.hold(u64::from(code), u32::from(length));
    };
    for five in fives.iter().rev() {
        five.iter().rev().for_each(|literal| hold(literal, &mut bits));
        bits.flush();
    }
    rest.iter().rev().for_each(|literal| hold(literal, &mut bits));
    bits.flush();
    bits.close();
}

/// The code of a symbol, and how many bits it has.
#[derive(Clone, Copy, Default)]
struct Code {
    code: u16,
    length: u8,
}

/// Appends how long the codes are, and makes them: the longest first. `None` where they cannot be told.
fn put_code(lengths: &[u8; SYMBOLS], out: &mut Vec<u8>) -> Option<[Code; SYMBOLS]> {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let last = lengths.iter().rposition(|length| *length > 0).unwrap_or(0);
    let mut weights = [0; SYMBOLS];
    // In a table with places for all codes of the longest length, how many those of each weight take.
    let mut cells = [0u16; BITS_MAX as usize + 2];
    for (weight, length) in weights.iter_mut().zip(lengths).filter(|(_, length)| **length > 0) {
        *weight = longest + 1 - length;
        cells[usize::from(*weight)] += 1 << (*weight - 1);
    }
    // That of the last symbol follows from the others.
    put_weights(&weights[..last], out)?;
    let mut next = 0;
    cells.iter_mut().for_each(|cells| next += std::mem::replace(cells, next));
    let mut codes = [Code::default(); SYMBOLS];
    for (symbol, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
        let cell = &mut cells[usize::from(*weight)];
        codes[symbol] = Code { code: *cell >> (weight - 1), length: lengths[symbol] };
        *cell += 1 << (weight - 1);
    }
    Some(codes)
}

/// Appends weights, coded by a table or in half a byte each.
fn put_weights(weights: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let plain = weights.len().div_ceil(2);
    let at = out.len();
    out.push(0);
    if code_weights(weights, out).is_some() && out.len() - at - 1 < plain.min(128) {
        out[at] = (out.len() - at - 1) as u8;
        return Some(());
    }
    out.truncate(at);
    if weights.len() > PLAIN_WEIGHTS_MAX {
        return None;
    }
    out.push((127 + weights.len()) as u8);
    out.extend(weights.chunks(2).map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0)));
    Some(())
}

/// Appends weights by a table; those at even places have a state of their own. `None` where there is but one.
fn code_weights(weights: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut counts = [0u32; BITS_MAX as usize + 2];
    weights.iter().for_each(|weight| counts[usize::from(*weight)] += 1);
    if weights.len() < 4 || counts.iter().filter(|count| **count > 0).count() < 2 {
        return None;
    }
    let table = Table::put(&counts, WEIGHTS_LOG_MAX, out);
    let mut bits = Bits::new(out, weights.len());
    let (mut states, mut rest) = ([0; 2], weights);
    for _ in 0..2 {
        let (last, before) = rest.split_last()?;
        states[before.len() % 2] = table.begin(*last);
        rest = before;
    }
    for (place, weight) in rest.iter().enumerate().rev() {
        states[place % 2] = table.code(states[place % 2], *weight, &mut bits);
        bits.flush();
    }
    table.end(states[1], &mut bits);
    table.end(states[0], &mut bits);
    bits.close();
    Some(())
}
