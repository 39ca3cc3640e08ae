//! How many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to `wanted`, or as far as the process may: a service starts with 1,024. Answers what holds then.
pub fn raise(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current else { return u64::MAX };
    let goal = maximum.map_or(wanted, |maximum| wanted.min(maximum));
    if current >= goal {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(goal), maximum }) {
        Ok(()) => goal,
        Err(error) => {
            tracing::warn!(error = %error, wanted = goal, "cannot raise the number of open files");
            current
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_grows_and_never_shrinks() {
        let before = raise(1);
        assert!(before > 1);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current.unwrap_or(u64::MAX), before);
        assert_eq!(raise(u64::MAX), maximum.unwrap_or(u64::MAX));
    }
}
