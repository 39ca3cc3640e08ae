//! What a test found of the values of dictionaries.

use std::sync::{Mutex, PoisonError};

use arrow::array::{Array, StringArray};

use crate::search::mask::Mask;

/// Dictionaries of which is known what was found: the columns of a template, about.
const MEMO_DICTIONARIES_MAX: usize = 8;

/// What was found of the values of some dictionaries: the blocks of a row group share them.
#[derive(Debug, Default)]
pub struct Memo(Mutex<Vec<(StringArray, Mask)>>);

impl Clone for Memo {
    /// What is found is for one thread.
    fn clone(&self) -> Memo {
        Memo::default()
    }
}

impl Memo {
    pub fn get_or(&self, values: &StringArray, find: impl FnOnce() -> Mask) -> Mask {
        // The memo holds the values that it knows, so no others can lie at their place.
        let place = |array: &StringArray| (array.value_data().as_ptr(), array.value_offsets().as_ptr(), array.len());
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = slot.iter().find(|(kept, _)| place(kept) == place(values)) {
            return found.clone();
        }
        if slot.len() == MEMO_DICTIONARIES_MAX {
            slot.remove(0);
        }
        let found = find();
        slot.push((values.clone(), found.clone()));
        found
    }
}
