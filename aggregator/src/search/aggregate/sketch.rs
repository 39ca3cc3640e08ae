//! Numbers about many values in little memory: how many are distinct, and where their percentiles lie.
//!
//! Both are exact while the values are few and become sketches when they are many. Sketches of parts can be merged
//! into the sketch of the whole.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use super::hasher::FastState;

/// Distinct values that are counted exactly.
pub const DISTINCT_EXACT_MAX: usize = 10_000;

/// Values whose percentiles are exact.
pub const QUANTILES_EXACT_MAX: usize = 10_000;

/// Greatest relative error of a percentile of many values.
pub const QUANTILES_ERROR: f64 = 0.01;

/// Registers of the HyperLogLog are 2 to this: 16 KiB, and a standard error of 0.8 %.
const REGISTER_BITS: u32 = 14;

/// How many distinct 64-bit hashes were seen.
#[derive(Debug, Clone)]
pub enum Distinct {
    Exact(HashSet<u64, FastState>),
    /// HyperLogLog: for each register the longest run of leading zeros seen, plus one.
    Sketch(Vec<u8>),
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct::Exact(HashSet::default())
    }
}

impl Distinct {
    pub fn add(&mut self, hash: u64) {
        match self {
            Distinct::Exact(hashes) => {
                hashes.insert(hash);
                if hashes.len() > DISTINCT_EXACT_MAX {
                    let mut registers = vec![0; 1 << REGISTER_BITS];
                    hashes.iter().for_each(|hash| add_to_registers(&mut registers, *hash));
                    *self = Distinct::Sketch(registers);
                }
            }
            Distinct::Sketch(registers) => add_to_registers(registers, hash),
        }
    }

    pub fn merge(&mut self, other: &Distinct) {
        match (&mut *self, other) {
            (_, Distinct::Exact(hashes)) => hashes.iter().for_each(|hash| self.add(*hash)),
            (Distinct::Sketch(mine), Distinct::Sketch(theirs)) => {
                mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
            }
            (Distinct::Exact(_), Distinct::Sketch(_)) => {
                let mine = std::mem::replace(self, other.clone());
                self.merge(&mine);
            }
        }
    }

    pub fn count(&self) -> u64 {
        match self {
            Distinct::Exact(hashes) => hashes.len() as u64,
            Distinct::Sketch(registers) => estimate(registers).round() as u64,
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Distinct::Exact(hashes) => hashes.capacity() * 9,
            Distinct::Sketch(registers) => registers.len(),
        }
    }
}

fn add_to_registers(registers: &mut [u8], hash: u64) {
    let register = (hash >> (64 - REGISTER_BITS)) as usize;
    // The set bit bounds the run of zeros when all bits that are left are zero.
    let rest = hash << REGISTER_BITS | 1 << (REGISTER_BITS - 1);
    let run = rest.leading_zeros() as u8 + 1;
    registers[register] = registers[register].max(run);
}

/// The estimator of O. Ertl (2017, "New cardinality estimation algorithms for HyperLogLog sketches", algorithm 6): it
/// needs no table of corrections, whatever the number.
fn estimate(registers: &[u8]) -> f64 {
    const RUN_MAX: usize = (64 - REGISTER_BITS + 1) as usize;
    let m = registers.len() as f64;
    let mut runs = [0u32; RUN_MAX + 1];
    for run in registers {
        runs[usize::from(*run).min(RUN_MAX)] += 1;
    }
    let mut z = m * tau(1.0 - f64::from(runs[RUN_MAX]) / m);
    for run in (1..RUN_MAX).rev() {
        z = 0.5 * (z + f64::from(runs[run]));
    }
    z += m * sigma(f64::from(runs[0]) / m);
    m * m / (2.0 * std::f64::consts::LN_2 * z)
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

/// The values at percentiles, by nearest rank.
#[derive(Debug, Clone)]
pub enum Quantiles {
    Exact(Vec<f64>),
    Sketch(Sketch),
}

impl Default for Quantiles {
    fn default() -> Quantiles {
        Quantiles::Exact(Vec::new())
    }
}

/// Counts of values in buckets whose bounds grow by a constant factor, as in DDSketch.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    negative: Buckets,
    zero: u64,
    positive: Buckets,
    count: u64,
}

/// Counts by bucket: side by side where the buckets are near to each other, which they nearly always are.
#[derive(Debug, Clone, Default)]
struct Buckets {
    /// The bucket of the first of `near`.
    first: i32,
    near: Vec<u64>,
    far: BTreeMap<i32, u64>,
}

/// Most buckets side by side: values up to 10^17 times each other.
const NEAR_BUCKETS_MAX: i64 = 2048;

impl Buckets {
    fn add(&mut self, bucket: i32, count: u64) {
        let place = i64::from(bucket) - i64::from(self.first);
        if let Some(slot) = usize::try_from(place).ok().and_then(|place| self.near.get_mut(place)) {
            *slot += count;
            return;
        }
        self.add_outside(bucket, count);
    }

    #[cold]
    fn add_outside(&mut self, bucket: i32, count: u64) {
        if self.near.is_empty() {
            self.first = bucket;
        }
        let (first, last) = (i64::from(self.first), i64::from(self.first) + self.near.len() as i64 - 1);
        let (low, high) = (first.min(bucket.into()), last.max(bucket.into()));
        if high - low >= NEAR_BUCKETS_MAX {
            *self.far.entry(bucket).or_default() += count;
            return;
        }
        self.near.splice(0..0, std::iter::repeat_n(0, (first - low) as usize));
        self.near.resize((high - low + 1) as usize, 0);
        self.first = low as i32;
        // A bucket that was far before stays in both; they are added up when they are read.
        self.near[(i64::from(bucket) - low) as usize] += count;
    }

    fn merge(&mut self, other: &Buckets) {
        other.iter().for_each(|(bucket, count)| self.add(bucket, count));
    }

    /// By rising bucket; one may come twice.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> {
        let near = self.near.iter().enumerate().filter(|(_, count)| **count > 0);
        let near = near.map(|(place, count)| (self.first + place as i32, *count));
        let mut all: Vec<(i32, u64)> = near.chain(self.far.iter().map(|(bucket, count)| (*bucket, *count))).collect();
        all.sort_unstable();
        all.into_iter()
    }

    fn bytes(&self) -> usize {
        self.near.capacity() * 8 + self.far.len() * 24
    }
}

impl Quantiles {
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        match self {
            Quantiles::Exact(values) => {
                values.push(value);
                if values.len() > QUANTILES_EXACT_MAX {
                    let mut sketch = Sketch::default();
                    values.iter().for_each(|value| sketch.add(*value));
                    *self = Quantiles::Sketch(sketch);
                }
            }
            Quantiles::Sketch(sketch) => sketch.add(value),
        }
    }

    pub fn add_int(&mut self, value: i64) {
        match self {
            Quantiles::Sketch(sketch) if 0 < value && value < TABLE_VALUES as i64 => {
                sketch.count += 1;
                sketch.positive.add(TABLE[value as usize], 1);
            }
            _ => self.add(value as f64),
        }
    }

    pub fn merge(&mut self, other: &Quantiles) {
        match (&mut *self, other) {
            (_, Quantiles::Exact(values)) => values.iter().for_each(|value| self.add(*value)),
            (Quantiles::Sketch(mine), Quantiles::Sketch(theirs)) => mine.merge(theirs),
            (Quantiles::Exact(_), Quantiles::Sketch(_)) => {
                let mine = std::mem::replace(self, other.clone());
                self.merge(&mine);
            }
        }
    }

    /// The smallest value that `percent` of all values do not exceed; `None` without values.
    pub fn at(&self, percent: f64) -> Option<f64> {
        match self {
            Quantiles::Exact(values) => {
                let mut values = values.clone();
                values.sort_unstable_by(f64::total_cmp);
                let rank = rank(percent, values.len() as u64)?;
                values.get(rank as usize).copied()
            }
            Quantiles::Sketch(sketch) => sketch.at(rank(percent, sketch.count)?),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Quantiles::Exact(values) => values.capacity() * 8,
            Quantiles::Sketch(sketch) => sketch.negative.bytes() + sketch.positive.bytes(),
        }
    }
}

/// The 0-based place of a percentile among `count` sorted values.
fn rank(percent: f64, count: u64) -> Option<u64> {
    let rank = (percent / 100.0 * count as f64).ceil() as u64;
    Some(rank.clamp(1, count.max(1)) - 1).filter(|_| count > 0)
}

/// Whole numbers up to this have their bucket in a table: most durations and sizes are such.
const TABLE_VALUES: usize = 1 << 14;

static TABLE: LazyLock<Vec<i32>> = LazyLock::new(|| (0..TABLE_VALUES).map(|value| logarithm(value as f64)).collect());

fn bucket_of(value: f64) -> i32 {
    let whole = value as usize;
    if whole as f64 == value
        && let Some(bucket) = TABLE.get(whole)
    {
        return *bucket;
    }
    logarithm(value)
}

fn logarithm(value: f64) -> i32 {
    (value.ln() / Sketch::GROWTH.ln()).ceil() as i32
}

impl Sketch {
    /// By how much the bounds of the buckets grow.
    const GROWTH: f64 = (1.0 + QUANTILES_ERROR) / (1.0 - QUANTILES_ERROR);

    fn add(&mut self, value: f64) {
        self.count += 1;
        if value == 0.0 {
            self.zero += 1;
            return;
        }
        let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        side.add(bucket_of(value.abs()), 1);
    }

    fn merge(&mut self, other: &Sketch) {
        self.zero += other.zero;
        self.count += other.count;
        self.negative.merge(&other.negative);
        self.positive.merge(&other.positive);
    }

    fn at(&self, rank: u64) -> Option<f64> {
        // The middle of a bucket is within the error of all that is in it.
        let middle = |bucket: i32| 2.0 * Sketch::GROWTH.powi(bucket) / (Sketch::GROWTH + 1.0);
        let negative = self.negative.iter().rev().map(|(bucket, count)| (-middle(bucket), count));
        let positive = self.positive.iter().map(|(bucket, count)| (middle(bucket), count));
        let mut seen = 0;
        negative.chain(std::iter::once((0.0, self.zero))).chain(positive).find_map(|(value, count)| {
            seen += count;
            (seen > rank).then_some(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use proptest::prelude::*;

    use super::*;

    fn hash(value: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(value);
        hasher.finish()
    }

    #[test]
    fn distinct_counts_are_exact_while_few_and_near_when_many() {
        for n in [0u64, 1, 9_999, 10_000, 10_001, 40_000, 300_000] {
            let mut distinct = Distinct::default();
            (0..n).for_each(|i| distinct.add(hash(i)));
            (0..n / 2).for_each(|i| distinct.add(hash(i)));
            let error = (distinct.count() as f64 - n as f64).abs() / (n as f64).max(1.0);
            assert!(error < if n <= DISTINCT_EXACT_MAX as u64 { 1e-9 } else { 0.03 }, "{n}: {}", distinct.count());
        }
    }

    #[test]
    fn merged_counts_are_the_counts_of_all() {
        for (a, b) in [(100, 200), (100, 50_000), (50_000, 100), (30_000, 60_000)] {
            let (mut left, mut right, mut all) = (Distinct::default(), Distinct::default(), Distinct::default());
            (0..a).for_each(|i| left.add(hash(i)));
            (a / 2..b).for_each(|i| right.add(hash(i)));
            (0..b.max(a)).for_each(|i| all.add(hash(i)));
            left.merge(&right);
            assert_eq!(left.count(), all.count());
        }
    }

    proptest! {
        #[test]
        fn percentiles_of_many_values_are_within_one_percent(
            mut values in prop::collection::vec(prop_oneof![-1e9..1e9f64, 0.0..1.0f64, Just(0.0)], 1..400),
            percent in 0.0..100.0f64,
        ) {
            let mut sketch = Sketch::default();
            values.iter().for_each(|value| sketch.add(*value));
            let mut exact = Quantiles::default();
            values.iter().for_each(|value| exact.add(*value));
            values.sort_unstable_by(f64::total_cmp);
            let rank = rank(percent, values.len() as u64).expect("there are values");
            let want = values[rank as usize];
            prop_assert_eq!(exact.at(percent), Some(want));
            let got = sketch.at(rank).expect("there are values");
            prop_assert!((got - want).abs() <= want.abs() * (QUANTILES_ERROR + 1e-9), "{got} for {want}");
        }
    }

    #[test]
    fn merged_percentiles_are_those_of_all() {
        let (mut left, mut right, mut all) = (Quantiles::default(), Quantiles::default(), Quantiles::default());
        (0..20_000).for_each(|i| left.add(f64::from(i)));
        (0..500).for_each(|i| right.add(f64::from(-i)));
        (0..20_000).chain((0..500).map(|i| -i)).for_each(|i| all.add(f64::from(i)));
        right.merge(&left);
        for percent in [0.0, 1.0, 50.0, 99.0, 100.0] {
            assert_eq!(right.at(percent), all.at(percent));
        }
        assert_eq!(Quantiles::default().at(50.0), None);
    }
}
