//! What every fuzz target needs: to be a program of libFuzzer, and to be fed its kept inputs by a test.
//!
//! A target is a file of `targets/` with a function `run(&[u8])` that panics when what it feeds is wrong, and
//! [`target!`] below it. Its seeds are the files of `corpus/NAME/`: found inputs go there too, and stay.

pub mod decoding;
pub mod lines;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
#[cfg(feature = "libfuzzer")]
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

#[cfg(feature = "libfuzzer")]
pub use libfuzzer_sys;

/// Makes a program of the file's `run` where cargo-fuzz builds it.
#[macro_export]
macro_rules! target {
    ($run:ident) => {
        #[cfg(feature = "libfuzzer")]
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $run(data));
    };
}

/// Runs what catches some panics itself. The hook of libFuzzer would end the program at these, too: here only one that
/// is not caught does, and of the others each place is printed once.
pub fn but_for_caught_panics(run: impl FnOnce()) {
    #[cfg(feature = "libfuzzer")]
    {
        static HOOK: std::sync::Once = std::sync::Once::new();
        static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        HOOK.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                if SEEN.lock().unwrap_or_else(PoisonError::into_inner).insert(place) {
                    eprintln!("{info}");
                }
            }));
        });
    }
    run();
}

/// A module of each target and a test of each that replays its seeds.
#[macro_export]
macro_rules! seeds {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*

        mod replayed {
            $(#[test]
            fn $name() {
                $crate::replay(stringify!($name), super::$name::run);
            })*
        }

        /// The targets that are replayed.
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

/// A folder of this crate.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Names of what is in a folder, sorted.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Feeds each seed of a target to it, and the empty input.
///
/// # Panics
/// Where the target does, and when it has no seeds.
pub fn replay(name: &str, run: fn(&[u8])) {
    let corpus = folder("corpus").join(name);
    let seeds = names(&corpus).unwrap_or_default();
    assert!(!seeds.is_empty(), "no seeds in {}", corpus.display());
    run(b"");
    for seed in seeds {
        let path = corpus.join(seed);
        // A panic within does not say which input it was; the captured output of the test does.
        eprintln!("{}", path.display());
        match fs::read(&path) {
            Ok(bytes) => run(&bytes),
            Err(error) => panic!("cannot read {}: {error}", path.display()),
        }
    }
}
