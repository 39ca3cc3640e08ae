//! Codes of numbers as zstd has them for sequences: finite state entropy.

use super::bits::Bits;

const LOG_MIN: u32 = 5;

/// A table that numbers are coded by.
pub(super) struct Table {
    log: u32,
    /// By state of the symbols, one behind the other.
    states: Vec<u16>,
    /// By symbol.
    symbols: Vec<Symbol>,
}

#[derive(Clone, Copy, Default)]
struct Symbol {
    bits: u32,
    find: i32,
}

/// How often each symbol stands in the table, of `1 << log` places.
fn shares(counts: &[u32], log: u32) -> Vec<u32> {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let size = 1u64 << log;
    let share = |count: &u32| match u64::from(*count) {
        0 => 0,
        count => ((count * size + total / 2) / total).max(1) as u32,
    };
    let mut shares: Vec<u32> = counts.iter().map(share).collect();
    let mut given: u64 = shares.iter().map(|share| u64::from(*share)).sum();
    while given != size {
        // The largest one bears it best.
        let Some(largest) = shares.iter_mut().max() else { break };
        if given > size {
            *largest -= 1;
            given -= 1;
        } else {
            *largest += 1;
            given += 1;
        }
    }
    shares
}

impl Table {
    /// For at least two symbols that occur, a table of at most `1 << log_max` places; appends its description.
    pub(super) fn put(counts: &[u32], log_max: u32, out: &mut Vec<u8>) -> Table {
        let total: u32 = counts.iter().sum();
        let present = counts.iter().filter(|count| **count > 0).count() as u32;
        let log = (total.max(2) - 1).ilog2().saturating_sub(2).max(present.ilog2() + 2).clamp(LOG_MIN, log_max);
        let last = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        let shares = shares(&counts[..=last], log);
        put_shares(&shares, log, out);
        Table::new(&shares, log)
    }

    fn new(shares: &[u32], log: u32) -> Table {
        let size = 1usize << log;
        let step = (size >> 1) + (size >> 3) + 3;
        let mut of_place = vec![0; size];
        let mut place = 0;
        for (symbol, share) in shares.iter().enumerate() {
            for _ in 0..*share {
                of_place[place] = symbol;
                place = (place + step) & (size - 1);
            }
        }
        let mut next: Vec<usize> =
            shares.iter().scan(0, |sum, share| Some(std::mem::replace(sum, *sum + *share as usize))).collect();
        let mut states = vec![0; size];
        for (place, symbol) in of_place.into_iter().enumerate() {
            states[next[symbol]] = (size + place) as u16;
            next[symbol] += 1;
        }
        let mut total = 0i32;
        let symbol = |share: &u32| {
            let before = total;
            total += *share as i32;
            match share {
                0 => Symbol::default(),
                1 => Symbol { bits: (log << 16) - (1 << log), find: before - 1 },
                share => {
                    let most = log - (share - 1).ilog2();
                    Symbol { bits: (most << 16) - (share << most), find: before - *share as i32 }
                }
            }
        };
        let symbols = shares.iter().map(symbol).collect();
        Table { log, states, symbols }
    }

    /// The state after the last symbol, which is coded first.
    pub(super) fn begin(&self, symbol: u8) -> u32 {
        let Symbol { bits, find } = self.symbols[usize::from(symbol)];
        let out = (bits + (1 << 15)) >> 16;
        let value = (out << 16) - bits;
        u32::from(self.states[((value >> out) as i32 + find) as usize])
    }

    /// The state after a symbol that comes before. Bits are held, as many as the table has places for, as a power of two.
    #[inline(always)]
    pub(super) fn code(&self, state: u32, symbol: u8, bits: &mut Bits<'_>) -> u32 {
        let Symbol { bits: delta, find } = self.symbols[usize::from(symbol)];
        let out = (state + delta) >> 16;
        bits.hold(u64::from(state & ((1 << out) - 1)), out);
        u32::from(self.states[((state >> out) as i32 + find) as usize])
    }

    pub(super) fn end(&self, state: u32, bits: &mut Bits<'_>) {
        bits.put(state & ((1 << self.log) - 1), self.log);
    }
}

/// The description of a table: each share in as many bits as what is left of the places takes.
fn put_shares(shares: &[u32], log: u32, out: &mut Vec<u8>) {
    /// Symbols that one pair of bits steps over, if more follow.
    const STEP: usize = 3;
    let mut bits = Bits::new(out, 2 * shares.len());
    bits.put(log - LOG_MIN, 4);
    let (mut remaining, mut threshold, mut width) = ((1u32 << log) + 1, 1u32 << log, log + 1);
    let mut symbol = 0;
    while symbol < shares.len() && remaining > 1 {
        let share = shares[symbol];
        symbol += 1;
        let most = 2 * threshold - 1 - remaining;
        remaining -= share;
        let mut number = share + 1;
        if number >= threshold {
            number += most;
        }
        bits.put(number, width - u32::from(number < most));
        if share == 0 {
            let zeros = shares[symbol..].iter().take_while(|share| **share == 0).count();
            (0..zeros / STEP).for_each(|_| bits.put(STEP as u32, 2));
            bits.put((zeros % STEP) as u32, 2);
            symbol += zeros;
        }
        while remaining < threshold {
            width -= 1;
            threshold >>= 1;
        }
    }
    bits.finish();
}
