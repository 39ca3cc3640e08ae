//! Field names as small numbers, so that the hot path neither hashes nor allocates a name twice.

use std::collections::HashMap;
use std::sync::Arc;

use logweir_proto::record::field;

/// Most distinct names that one interner holds; further ones are refused and their fields stay in the raw line.
pub const NAMES_MAX: usize = 1 << 16;

/// Longest field name that becomes a field.
pub const NAME_BYTES_MAX: usize = 256;

/// A field name of one [`Names`]. The canonical names have the same number everywhere: their place in
/// [`field::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub u32);

macro_rules! canonical {
    ($($id:ident = $index:literal $name:ident;)*) => {
        impl NameId {
            $(pub const $id: NameId = NameId($index);)*
        }

        #[cfg(test)]
        const CANONICAL: &[(NameId, &str)] = &[$((NameId::$id, field::$name)),*];
    };
}

canonical! {
    TIME = 0 TIME; SEQ = 1 SEQ; LEVEL = 2 LEVEL; SERVICE = 3 SERVICE; HOST = 4 HOST; ENV = 5 ENV;
    VERSION = 6 VERSION; TRACK = 7 TRACK; SOURCE = 8 SOURCE; STREAM = 9 STREAM; FILE = 10 FILE;
    MESSAGE = 11 MESSAGE; ROUTE = 12 ROUTE; METHOD = 13 METHOD; PATH = 14 PATH; STATUS = 15 STATUS;
    DURATION_MS = 16 DURATION_MS; BYTES = 17 BYTES; CLIENT_IP = 18 CLIENT_IP; USER_ID = 19 USER_ID;
    USER_AGENT = 20 USER_AGENT; UPSTREAM = 21 UPSTREAM; CONTAINER = 22 CONTAINER; IMAGE = 23 IMAGE;
    PM2_APP = 24 PM2_APP; TRACE_ID = 25 TRACE_ID; EXCEPTION_TYPE = 26 EXCEPTION_TYPE;
    EXCEPTION_STACK = 27 EXCEPTION_STACK; PATTERN_ID = 28 PATTERN_ID;
}

/// Interns names; one per indexing thread.
#[derive(Debug)]
pub struct Names {
    ids: HashMap<Arc<str>, NameId>,
    names: Vec<Arc<str>>,
}

impl Default for Names {
    fn default() -> Names {
        let mut names = Names { ids: HashMap::new(), names: Vec::new() };
        for name in field::ALL {
            let _ = names.intern(name);
        }
        names
    }
}

impl Names {
    /// The number of `name`; `None` when it is empty, too long, or one too many.
    pub fn intern(&mut self, name: &str) -> Option<NameId> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX || self.names.len() >= NAMES_MAX {
            return None;
        }
        let name: Arc<str> = name.into();
        let id = NameId(self.names.len() as u32);
        self.names.push(Arc::clone(&name));
        self.ids.insert(name, id);
        Some(id)
    }

    /// The number of `name` if it has one already.
    pub fn get(&self, name: &str) -> Option<NameId> {
        self.ids.get(name).copied()
    }

    pub fn name(&self, id: NameId) -> &Arc<str> {
        &self.names[id.0 as usize]
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_names_have_fixed_numbers() {
        let mut names = Names::default();
        assert_eq!(CANONICAL.len(), field::ALL.len());
        for (id, name) in CANONICAL {
            assert_eq!(names.intern(name), Some(*id), "{name}");
            assert_eq!(&**names.name(*id), *name);
        }
        let own = names.intern("order_id").expect("there is room");
        assert_eq!(names.intern("order_id"), Some(own));
        assert_eq!(names.intern(""), None);
    }
}
