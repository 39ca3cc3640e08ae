//! Links of Markdown files to other files of the tree.

use std::collections::BTreeSet;

use super::{Finding, Tree};

/// A relative link leads to a tracked file, or to a folder that holds one.
pub fn links(tree: &Tree) -> Vec<Finding> {
    let mut places: BTreeSet<&str> = BTreeSet::from([""]);
    for path in &tree.paths {
        places.insert(path);
        places.extend(path.match_indices('/').filter_map(|(slash, _)| path.get(..slash)));
    }
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut in_code = false;
        for (number, line) in (1..).zip(file.text.lines()) {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in targets(line) {
                if !resolve(folder, target).is_some_and(|path| places.contains(path.as_str())) {
                    let what = format!("link to '{target}', which is not there");
                    let mend = "name a tracked file, relative to this one".to_owned();
                    findings.push(Finding { path: file.path.clone(), line: number, what, mend });
                }
            }
        }
    }
    findings
}

/// What `[text](target)` names, without a title or an anchor; links into the same file or to another host are left out.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let inside = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let paths = inside.filter(|target| !target.contains(':')).filter_map(|target| target.split('#').next());
    paths.filter(|path| !path.is_empty())
}

/// The path from the root; `None` above it.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::listed;
    use super::*;

    #[test]
    fn links_to_nothing_are_found() {
        let text = "[a](b.md) [b](../README.md#x) [c](https://example.com/gone) [d](#here) [e](sub/) [f](.. \"up\")\n\
                    ```\n[code](gone.md)\n```\n\
                    [g](gone.md), [h](../../README.md) and [i](su)\n";
        let tree = Tree::of(&[("README.md", ""), ("docs/a.md", text), ("docs/b.md", ""), ("docs/sub/c.png", "")]);
        expect_test::expect![[r#"
            docs/a.md:5: link to 'gone.md', which is not there; name a tracked file, relative to this one
            docs/a.md:5: link to '../../README.md', which is not there; name a tracked file, relative to this one
            docs/a.md:5: link to 'su', which is not there; name a tracked file, relative to this one
        "#]]
        .assert_eq(&listed(&links(&tree)));
    }
}
