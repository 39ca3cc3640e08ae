//! One number per set of label values, as a signal gives it.
//!
//! The label sets stand once, sorted, and are shared by all tables over the same series; the numbers are a row beside
//! them. A table of the next step is then a new row of numbers, and rules meet the rows of several tables by walking
//! along them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::Labels;

/// Label sets in their order.
pub type Keys = Arc<[Arc<Labels>]>;

/// Numbers by label set; a label set can be there without a number.
#[derive(Debug, Clone)]
pub struct Table {
    keys: Keys,
    /// One for each key; NaN is none.
    values: Vec<f64>,
}

impl Default for Table {
    fn default() -> Table {
        Table { keys: Arc::from([]), values: Vec::new() }
    }
}

impl Table {
    pub fn new() -> Table {
        Table::default()
    }

    /// A table without numbers over these label sets.
    pub fn over(keys: Keys) -> Table {
        let values = vec![f64::NAN; keys.len()];
        Table { keys, values }
    }

    /// The numbers of all keys, in their order, to be written.
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// Whether the label sets are these very ones.
    pub fn is_over(&self, keys: &Keys) -> bool {
        Arc::ptr_eq(&self.keys, keys)
    }

    /// The label sets with a number.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Labels>, f64)> {
        self.keys.iter().zip(&self.values).filter(|(_, value)| !value.is_nan()).map(|(labels, value)| (labels, *value))
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub fn get(&self, labels: &Labels) -> Option<f64> {
        let index = self.keys.binary_search_by(|own| (**own).cmp(labels)).ok()?;
        Some(self.values[index]).filter(|value| !value.is_nan())
    }

    /// The same for label sets that are asked for in their order: `place` is where the last one was.
    pub(crate) fn next(&self, place: &mut usize, labels: &Arc<Labels>) -> Option<f64> {
        while let Some(own) = self.keys.get(*place) {
            match compare(own, labels) {
                std::cmp::Ordering::Less => *place += 1,
                std::cmp::Ordering::Equal => return Some(self.values[*place]).filter(|value| !value.is_nan()),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }
}

/// The order of label sets, quick where two are the same one.
pub(crate) fn compare(a: &Arc<Labels>, b: &Arc<Labels>) -> std::cmp::Ordering {
    if Arc::ptr_eq(a, b) { std::cmp::Ordering::Equal } else { a.cmp(b) }
}

/// Two tables are the same when they say the same, whatever label sets have no number.
impl PartialEq for Table {
    fn eq(&self, other: &Table) -> bool {
        if Arc::ptr_eq(&self.keys, &other.keys) {
            let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
            return self.values.iter().zip(&other.values).all(same);
        }
        self.iter().eq(other.iter())
    }
}

impl From<BTreeMap<Labels, f64>> for Table {
    fn from(rows: BTreeMap<Labels, f64>) -> Table {
        let (keys, values): (Vec<Arc<Labels>>, Vec<f64>) =
            rows.into_iter().map(|(labels, value)| (Arc::new(labels), value)).unzip();
        Table { keys: keys.into(), values }
    }
}

impl FromIterator<(Labels, f64)> for Table {
    fn from_iter<I: IntoIterator<Item = (Labels, f64)>>(rows: I) -> Table {
        rows.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Labels {
        Labels::from([("host".to_owned(), name.to_owned())])
    }

    #[test]
    fn a_table_is_what_it_says_and_not_what_it_could_say() {
        let wide: Table = ["a", "b", "c"].map(|name| (host(name), 1.0)).into_iter().collect();
        let mut next = Table::over(Arc::clone(&wide.keys));
        assert!(next.is_empty() && next.is_over(&wide.keys) && next == Table::new());
        next.values_mut()[1] = 7.0;
        assert_eq!(
            (next.len(), next.get(&host("b")), next.get(&host("a")), next.get(&host("z"))),
            (1, Some(7.0), None, None)
        );
        assert_eq!(next, [(host("b"), 7.0)].into_iter().collect());
        assert_ne!(next, wide);
        let mut place = 0;
        let asked = ["a", "aa", "b", "c", "d"].map(|name| wide.next(&mut place, &Arc::new(host(name))));
        assert_eq!(asked, [Some(1.0), None, Some(1.0), Some(1.0), None]);
    }
}
