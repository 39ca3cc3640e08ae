//! What each group stands for, as first seen.
//!
//! A group of one short text takes 16 bytes in one place: with hundreds of thousands of groups a look-up costs what it
//! touches of memory.

use crate::search::cell::Value;

/// Bytes of a text that stands within its key.
const SHORT_BYTES: usize = 14;

/// The values of groups, by their numbers.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    keys: Vec<Key>,
    /// Texts that are too long for a key, one behind the other.
    texts: String,
    others: Vec<Box<[Value]>>,
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Short {
        len: u8,
        bytes: [u8; SHORT_BYTES],
    },
    Long {
        at: u32,
        len: u32,
    },
    /// Anything but one text: its place in `others`.
    Other(u32),
}

const _: () = assert!(size_of::<Key>() == 16);

/// What a group stands for, where it lies.
#[derive(Debug)]
pub enum Known<'a> {
    Text(&'a [u8]),
    Values(&'a [Value]),
}

impl Keys {
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// A group of one text.
    pub fn push_text(&mut self, text: &str) -> u32 {
        let mut bytes = [0; SHORT_BYTES];
        let key = match bytes.get_mut(..text.len()) {
            Some(front) => {
                front.copy_from_slice(text.as_bytes());
                Key::Short { len: text.len() as u8, bytes }
            }
            None => match (u32::try_from(self.texts.len()), u32::try_from(text.len())) {
                (Ok(at), Ok(len)) => {
                    self.texts.push_str(text);
                    Key::Long { at, len }
                }
                _ => return self.push_values(Box::new([Value::Text(text.into())])),
            },
        };
        self.add(key)
    }

    pub fn push(&mut self, values: Vec<Value>) -> u32 {
        match &values[..] {
            [Value::Text(text)] => self.push_text(text),
            _ => self.push_values(values.into()),
        }
    }

    fn push_values(&mut self, values: Box<[Value]>) -> u32 {
        self.others.push(values);
        self.add(Key::Other(self.others.len() as u32 - 1))
    }

    fn add(&mut self, key: Key) -> u32 {
        self.keys.push(key);
        self.keys.len() as u32 - 1
    }

    pub fn known(&self, group: u32) -> Known<'_> {
        match &self.keys[group as usize] {
            Key::Short { len, bytes } => Known::Text(&bytes[..usize::from(*len)]),
            Key::Long { at, len } => Known::Text(&self.texts.as_bytes()[*at as usize..][..*len as usize]),
            Key::Other(place) => Known::Values(&self.others[*place as usize]),
        }
    }

    pub fn values(&self, group: u32) -> Vec<Value> {
        match self.known(group) {
            Known::Text(text) => vec![Value::Text(String::from_utf8_lossy(text).into())],
            Known::Values(values) => values.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let text = |len: usize| Value::Text("ä".repeat(len).into());
        let all =
            [vec![], vec![text(0)], vec![text(7)], vec![text(8)], vec![text(1), Value::Null], vec![Value::Int(7)]];
        let mut keys = Keys::default();
        for (place, values) in all.iter().enumerate() {
            assert_eq!(keys.push(values.clone()), place as u32);
        }
        for (place, values) in all.iter().enumerate() {
            assert_eq!(&keys.values(place as u32), values);
        }
        assert_eq!(keys.count(), all.len());
    }
}
