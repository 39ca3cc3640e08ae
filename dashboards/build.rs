//! Fetches the page's few packages with npm, and puts them and `web/` into one flat folder for embedding.
//!
//! There is no bundler: the shipped source is the readable one. Only the names of modules change, because a browser
//! does not know what `from "preact"` is, and the page's content security policy allows no inline import map.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Bare module names, with the file of the package and its name in `/assets/`.
const MODULES: [(&str, &str, &str); 5] = [
    ("preact", "preact/dist/preact.mjs", "preact.mjs"),
    ("preact/hooks", "preact/hooks/dist/hooks.mjs", "hooks.mjs"),
    ("@preact/signals", "@preact/signals/dist/signals.mjs", "signals.mjs"),
    ("@preact/signals-core", "@preact/signals-core/dist/signals-core.mjs", "signals-core.mjs"),
    ("htm", "htm/dist/htm.module.js", "htm.mjs"),
];

/// Loaded as they are: uPlot's minified file is a classic script, a third of the size of its module.
const PLAIN: [(&str, &str); 2] =
    [("uplot/dist/uPlot.iife.min.js", "uPlot.iife.min.js"), ("uplot/dist/uPlot.min.css", "uPlot.min.css")];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    for path in ["build.rs", "web", "package.json", "package-lock.json", ".npmrc"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo did not name the crate's folder")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not name the output folder")?).join("assets");
    fetch_packages(&root)?;
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    for entry in fs::read_dir(root.join("web"))? {
        copy(&entry?.path(), &out)?;
    }
    let packages = root.join("node_modules");
    for (_, from, to) in MODULES {
        copy(&packages.join(from), &out.join(to))?;
    }
    for (from, to) in PLAIN {
        fs::copy(packages.join(from), out.join(to)).map_err(|error| missing(&packages.join(from), &error))?;
    }
    Ok(())
}

/// Copies one file; scripts get the addresses of their modules. A directory as target keeps the name.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let to = if to.is_dir() { to.join(from.file_name().ok_or("a file has a name")?) } else { to.to_owned() };
    let script = from.extension().is_some_and(|extension| extension == "js" || extension == "mjs");
    if !script {
        fs::copy(from, &to).map_err(|error| missing(from, &error))?;
        return Ok(());
    }
    let mut text = fs::read_to_string(from).map_err(|error| missing(from, &error))?;
    for (name, _, file) in MODULES {
        for quote in ['"', '\''] {
            for before in ["from", "from "] {
                text = text.replace(&format!("{before}{quote}{name}{quote}"), &format!("from{quote}./{file}{quote}"));
            }
        }
    }
    // Source maps are not embedded; naming them would only make browsers ask.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("//# sourceMappingURL=")).collect();
    fs::write(to, lines.join("\n") + "\n")?;
    Ok(())
}

/// Runs `npm ci` unless `node_modules` was made from exactly this lockfile.
fn fetch_packages(root: &Path) -> Result<(), Failure> {
    let lock = fs::read(root.join("package-lock.json"))?;
    let stamp = root.join("node_modules/.logweir-lock");
    if fs::read(&stamp).is_ok_and(|stamped| stamped == lock) {
        return Ok(());
    }
    let run =
        Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(root).output();
    let output = match run {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(
                "npm is not installed: the web page is built from a few npm packages; install Node.js 20 or later"
                    .into(),
            );
        }
        Err(error) => return Err(format!("npm cannot be started: {error}").into()),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`npm ci` in {} failed ({}):\n{said}", root.display(), output.status).into());
    }
    fs::write(stamp, lock)?;
    Ok(())
}

fn missing(path: &Path, error: &io::Error) -> Failure {
    format!("{}: {error}; remove dashboards/node_modules and build again", path.display()).into()
}
