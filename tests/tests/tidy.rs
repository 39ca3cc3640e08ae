//! The rules of the repository over the tree as it is; `tests/src/tidy.rs` says what they are.

use logweir_tests::tidy::{Finding, Tree, imports, limits, links, size, stages, words, workspace_root};

fn tree() -> anyhow::Result<Tree> {
    Tree::read(&workspace_root())
}

/// All findings of a check at once, so that one run shows all there is to mend.
fn check(findings: &[Finding]) {
    let list: String = findings.iter().map(|finding| format!("\n  {finding}")).collect();
    assert!(findings.is_empty(), "{} broken:{list}", findings.len());
}

#[test]
fn crates_import_downwards() -> anyhow::Result<()> {
    check(&imports::crates(&imports::Metadata::read(&workspace_root())?));
    Ok(())
}

#[test]
fn stages_do_not_know_what_is_behind_them() -> anyhow::Result<()> {
    check(&stages::stages(&tree()?));
    Ok(())
}

#[test]
fn files_are_short() -> anyhow::Result<()> {
    let tree = tree()?;
    let (median, p90) = size::distribution(&tree);
    println!("lines of a file without tests: median {median}, p90 {p90}");
    check(&size::files(&tree));
    Ok(())
}

#[test]
fn functions_are_short() -> anyhow::Result<()> {
    check(&size::functions(&tree()?));
    Ok(())
}

#[test]
fn modules_say_what_they_are() -> anyhow::Result<()> {
    let tree = tree()?;
    check(&[size::heads(&tree), size::names(&tree)].concat());
    Ok(())
}

#[test]
fn lints_are_not_silenced() -> anyhow::Result<()> {
    check(&words::allows(&tree()?));
    Ok(())
}

#[test]
fn errors_are_returned() -> anyhow::Result<()> {
    let tree = tree()?;
    check(&[words::unwraps(&tree), words::expects(&tree)].concat());
    Ok(())
}

#[test]
fn nothing_is_left_to_do() -> anyhow::Result<()> {
    check(&words::notes(&tree()?));
    Ok(())
}

#[test]
fn no_file_names_a_package_registry() -> anyhow::Result<()> {
    check(&words::registry_hosts(&tree()?));
    Ok(())
}

#[test]
fn text_is_what_it_looks_like() -> anyhow::Result<()> {
    check(&words::odd_characters(&tree()?));
    Ok(())
}

#[test]
fn documents_link_to_what_is_there() -> anyhow::Result<()> {
    check(&links::links(&tree()?));
    Ok(())
}

#[test]
fn the_document_of_limits_is_made_from_the_code() -> anyhow::Result<()> {
    let tree = tree()?;
    let sources = tree.texts.iter().filter(|file| file.path.ends_with(".rs") && !file.path.starts_with("tests/"));
    let all = sources.flat_map(|file| limits::limits_of(&file.path, &file.text)).collect();
    expect_test::expect_file!["../../docs/limits.md"].assert_eq(&limits::document(all));
    Ok(())
}
