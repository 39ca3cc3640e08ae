//! The sequences of a block: how many literals, then how many bytes from how far before, again and again.

use super::bits::Bits;
use super::fse::Table;

/// Fewer bytes are no match.
pub(super) const MATCH_MIN: usize = 3;

/// Places of the tables, as powers of two. What the three tell of a sequence at once finds place in a word.
const LITERALS_LOG_MAX: u32 = 9;
const DISTANCES_LOG_MAX: u32 = 8;
const LENGTHS_LOG_MAX: u32 = 9;

/// Distances that were used last, and can be used again for less.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recent(pub(super) [usize; 3]);

impl Recent {
    /// The number that stands for a distance, behind literals or behind another match.
    fn number(&mut self, distance: usize, has_literals: bool) -> u32 {
        let Recent([first, second, third]) = *self;
        let place = [first, second, third].iter().position(|recent| *recent == distance);
        let (recent, number) = match (place, has_literals) {
            (Some(0), true) => ([first, second, third], 1),
            (Some(1), _) => ([second, first, third], 1 + u32::from(has_literals)),
            (Some(2), _) => ([third, first, second], 2 + u32::from(has_literals)),
            _ => ([distance, first, second], distance as u32 + 3),
        };
        self.0 = recent;
        number
    }
}

/// A match, and the literals before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) literals: usize,
    pub(super) length: usize,
    pub(super) distance: usize,
}

/// A code, and what is told beside it in how many bits.
#[derive(Clone, Copy)]
struct Coded {
    code: u8,
    rest: u32,
    bits: u32,
}

/// From its first entry on numbers have codes of so many further bits; those before are their codes.
#[cold]
fn coded(number: u32, ranges: &[(u32, u8, u32)]) -> Coded {
    match ranges.iter().rev().find(|(from, ..)| *from <= number) {
        None => Coded { code: number as u8, rest: 0, bits: 0 },
        Some((from, code, bits)) => {
            let beyond = number - from;
            Coded { code: code + (beyond >> bits) as u8, rest: beyond & ((1 << bits) - 1), bits: *bits }
        }
    }
}

#[inline]
fn literals_code(number: u32) -> Coded {
    const RANGES: [(u32, u8, u32); 15] = [
        (16, 16, 1),
        (24, 20, 2),
        (32, 22, 3),
        (48, 24, 4),
        (64, 25, 6),
        (128, 26, 7),
        (256, 27, 8),
        (512, 28, 9),
        (1024, 29, 10),
        (2048, 30, 11),
        (4096, 31, 12),
        (8192, 32, 13),
        (16_384, 33, 14),
        (32_768, 34, 15),
        (65_536, 35, 16),
    ];
    if number < 16 { Coded { code: number as u8, rest: 0, bits: 0 } } else { coded(number, &RANGES) }
}

/// Of a length less [`MATCH_MIN`].
#[inline]
fn match_code(number: u32) -> Coded {
    const RANGES: [(u32, u8, u32); 14] = [
        (32, 32, 1),
        (40, 36, 2),
        (48, 38, 3),
        (64, 40, 4),
        (96, 42, 5),
        (128, 43, 7),
        (256, 44, 8),
        (512, 45, 9),
        (1024, 46, 10),
        (2048, 47, 11),
        (4096, 48, 12),
        (8192, 49, 13),
        (16_384, 50, 14),
        (32_768, 51, 15),
    ];
    match number {
        ..32 => Coded { code: number as u8, rest: 0, bits: 0 },
        65_536.. => Coded { code: 52, rest: number - 65_536, bits: 16 },
        _ => coded(number, &RANGES),
    }
}

fn distance_code(number: u32) -> Coded {
    let bits = number.ilog2();
    Coded { code: bits as u8, rest: number - (1 << bits), bits }
}

/// How the codes of one kind are coded: all are the same, or by a table.
enum Coder {
    Same,
    Table(Table),
}

/// How often each code occurs.
type Counts = [u32; 64];

impl Coder {
    /// Appends what it is, and how its mode is told.
    fn put(counts: &Counts, count: usize, log_max: u32, out: &mut Vec<u8>) -> (Coder, u8) {
        const SAME: u8 = 1;
        const TABLE: u8 = 2;
        if let Some(code) = counts.iter().position(|codes| *codes as usize == count) {
            out.push(code as u8);
            return (Coder::Same, SAME);
        }
        (Coder::Table(Table::put(counts, log_max, out)), TABLE)
    }

    fn begin(&self, last: u8) -> u32 {
        if let Coder::Table(table) = self { table.begin(last) } else { 0 }
    }

    #[inline(always)]
    fn code(&self, state: &mut u32, code: u8, bits: &mut Bits<'_>) {
        if let Coder::Table(table) = self {
            *state = table.code(*state, code, bits);
        }
    }

    fn end(&self, state: u32, bits: &mut Bits<'_>) {
        if let Coder::Table(table) = self {
            table.end(state, bits);
        }
    }
}

/// The codes of a sequence, and all that is told beside them.
struct Told {
    literals: u8,
    distance: u8,
    length: u8,
    bits: u8,
    rest: u64,
}

impl Told {
    fn of(sequence: &Sequence, recent: &mut Recent) -> Told {
        let literals = literals_code(sequence.literals as u32);
        let distance = distance_code(recent.number(sequence.distance, sequence.literals > 0));
        let length = match_code((sequence.length - MATCH_MIN) as u32);
        let rest = u64::from(literals.rest)
            | u64::from(length.rest) << literals.bits
            | u64::from(distance.rest) << (literals.bits + length.bits);
        let bits = (literals.bits + length.bits + distance.bits) as u8;
        Told { literals: literals.code, distance: distance.code, length: length.code, bits, rest }
    }
}

/// Appends the section of sequences.
pub(super) fn put_sequences(sequences: &[Sequence], recent: &mut Recent, out: &mut Vec<u8>) {
    const LONG: usize = 0x7f00;
    let count = sequences.len();
    match count {
        0 => return out.push(0),
        1..128 => out.push(count as u8),
        128..LONG => out.extend([(count >> 8) as u8 + 0x80, count as u8]),
        _ => {
            out.push(0xff);
            out.extend_from_slice(&((count - LONG) as u16).to_le_bytes());
        }
    }
    let told: Vec<Told> = sequences.iter().map(|sequence| Told::of(sequence, recent)).collect();
    let [mut literals, mut distances, mut lengths] = [[0; 64]; 3];
    for told in &told {
        literals[usize::from(told.literals & 63)] += 1;
        distances[usize::from(told.distance & 63)] += 1;
        lengths[usize::from(told.length & 63)] += 1;
    }
    let modes_at = out.len();
    out.push(0);
    let (of_literals, literals_mode) = Coder::put(&literals, count, LITERALS_LOG_MAX, out);
    let (of_distances, distances_mode) = Coder::put(&distances, count, DISTANCES_LOG_MAX, out);
    let (of_lengths, lengths_mode) = Coder::put(&lengths, count, LENGTHS_LOG_MAX, out);
    out[modes_at] = literals_mode << 6 | distances_mode << 4 | lengths_mode << 2;
    let mut bits = Bits::new(out, 4 * count);
    let Some((last, before)) = told.split_last() else { return };
    let mut states =
        (of_literals.begin(last.literals), of_distances.begin(last.distance), of_lengths.begin(last.length));
    put_rest(last, &mut bits);
    for told in before.iter().rev() {
        of_distances.code(&mut states.1, told.distance, &mut bits);
        of_lengths.code(&mut states.2, told.length, &mut bits);
        of_literals.code(&mut states.0, told.literals, &mut bits);
        bits.flush();
        put_rest(told, &mut bits);
    }
    of_lengths.end(states.2, &mut bits);
    of_distances.end(states.1, &mut bits);
    of_literals.end(states.0, &mut bits);
    bits.close();
}

#[inline(always)]
fn put_rest(told: &Told, bits: &mut Bits<'_>) {
    bits.hold(told.rest, u32::from(told.bits));
    bits.flush();
}
