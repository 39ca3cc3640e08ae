//! The commit that a directory is at, read from its git files: an alert names the version of its rule.

use std::path::Path;

/// Characters of the hash that are shown.
const SHOWN: usize = 7;

/// The short hash of `HEAD` of the checkout around a path, if there is one.
pub(super) fn of(path: &Path) -> Option<String> {
    let path = std::fs::canonicalize(path).ok()?;
    let git = path.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    // A worktree has a file there that names the folder.
    let git = match std::fs::read_to_string(&git) {
        Ok(text) => git.parent()?.join(text.strip_prefix("gitdir:")?.trim()),
        Err(_) => git,
    };
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref:").map(str::trim) else { return short(head.trim()) };
    let common = std::fs::read_to_string(git.join("commondir")).map_or(git.clone(), |text| git.join(text.trim()));
    if let Ok(hash) = std::fs::read_to_string(common.join(name)) {
        return short(hash.trim());
    }
    let packed = std::fs::read_to_string(common.join("packed-refs")).ok()?;
    packed.lines().find_map(|line| short(line.strip_suffix(name)?.trim()))
}

fn short(hash: &str) -> Option<String> {
    let good = hash.len() >= 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| hash[..SHOWN].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_found_loose_and_packed() {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = dir.path().join("rules");
        std::fs::create_dir_all(&rules).expect("directories");
        std::fs::create_dir_all(dir.path().join(".git/refs/heads")).expect("directories");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(".git").join(name), text).expect("writes");
        write("HEAD", "ref: refs/heads/main\n");
        write("packed-refs", "# pack-refs\n3f2a91c0123456789012345678901234567890ab refs/heads/main\n");
        assert_eq!(of(&rules).as_deref(), Some("3f2a91c"));
        write("refs/heads/main", "aaaaaaa0123456789012345678901234567890ab\n");
        assert_eq!(of(&rules).as_deref(), Some("aaaaaaa"));
        write("HEAD", "bbbbbbb0123456789012345678901234567890ab\n");
        assert_eq!(of(&rules).as_deref(), Some("bbbbbbb"));
        write("HEAD", "nonsense");
        assert_eq!(of(&rules), None);
    }
}
