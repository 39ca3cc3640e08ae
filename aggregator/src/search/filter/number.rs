//! Tests over numbers: ranges that are exact for 64-bit integers.

use arrow::array::{Float64Array, Int64Array};

use crate::search::literal::Number;
use crate::search::mask::Mask;

/// Numbers between two bounds; a bound says whether it is itself inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumRange {
    pub low: Option<(Number, bool)>,
    pub high: Option<(Number, bool)>,
}

impl NumRange {
    pub fn equal(number: Number) -> NumRange {
        NumRange { low: Some((number, true)), high: Some((number, true)) }
    }

    /// The integers of the range, first and last; `None` when there is none.
    pub fn integers(&self) -> Option<(i64, i64)> {
        let low = match self.low {
            None => i64::MIN,
            Some((Number::Int(low), inside)) => {
                if inside {
                    low
                } else {
                    low.checked_add(1)?
                }
            }
            Some((Number::Float(low), inside)) => {
                let first = if inside { low.ceil() } else { low.floor() + 1.0 };
                // 2^63 is the first float beyond the integers.
                if first >= 9_223_372_036_854_775_808.0 {
                    return None;
                }
                first as i64
            }
        };
        let high = match self.high {
            None => i64::MAX,
            Some((Number::Int(high), inside)) => {
                if inside {
                    high
                } else {
                    high.checked_sub(1)?
                }
            }
            Some((Number::Float(high), inside)) => {
                let last = if inside { high.floor() } else { high.ceil() - 1.0 };
                if last < -9_223_372_036_854_775_808.0 {
                    return None;
                }
                last as i64
            }
        };
        (low <= high).then_some((low, high))
    }

    pub fn has_int(&self, value: i64) -> bool {
        self.integers().is_some_and(|(low, high)| low <= value && value <= high)
    }

    pub fn has_float(&self, value: f64) -> bool {
        let above = self.low.is_none_or(|(low, inside)| value > low.as_f64() || inside && value == low.as_f64());
        let below = self.high.is_none_or(|(high, inside)| value < high.as_f64() || inside && value == high.as_f64());
        above && below && !value.is_nan()
    }

    /// Text that spells `number`; integers are compared as integers.
    pub fn has_text(&self, text: &str, number: f64) -> bool {
        text.parse().map_or_else(|_| self.has_float(number), |value| self.has_int(value))
    }

    pub fn scan_ints(&self, array: &Int64Array) -> Mask {
        let Some((low, high)) = self.integers() else { return Mask::none(array.len()) };
        Mask::of_values(array.values(), |value| (value >= low) & (value <= high))
    }

    pub fn scan_floats(&self, array: &Float64Array) -> Mask {
        Mask::of_values(array.values(), |value| self.has_float(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_between_integers_and_beyond_them_are_exact() {
        let range = |low, high| NumRange { low, high };
        let int = |v| Some((Number::Int(v), true));
        let open = |v| Some((Number::Float(v), false));
        assert_eq!(range(int(3), None).integers(), Some((3, i64::MAX)));
        assert_eq!(range(open(2.5), open(4.0)).integers(), Some((3, 3)));
        assert_eq!(range(open(3.0), open(4.0)).integers(), None);
        assert_eq!(range(Some((Number::Int(i64::MAX), false)), None).integers(), None);
        assert_eq!(range(open(1e300), None).integers(), None);
        assert_eq!(range(None, open(-1e300)).integers(), None);
        assert_eq!(range(open(-1e300), open(1e300)).integers(), Some((i64::MIN, i64::MAX)));
        // Beyond 2^53 neighbours differ though their floats do not.
        assert!(!range(int(9_007_199_254_740_993), None).has_int(9_007_199_254_740_992));
        assert!(!range(None, None).has_float(f64::NAN));
    }
}
