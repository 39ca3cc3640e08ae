//! The web page: files that are embedded into the binary, with what a browser must be told about them.
//!
//! `web/` is the source and, but for the names of modules, also what is shipped; see `build.rs`.

use std::borrow::Cow;

use rust_embed::RustEmbed;

/// The content security policy of the page. Nothing inline, nothing from elsewhere, and no string ever becomes code
/// or markup.
pub const CSP: &str = "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; base-uri 'none'; \
                       frame-ancestors 'none'; require-trusted-types-for 'script'";

/// A file of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    pub bytes: Cow<'static, [u8]>,
    pub mime: &'static str,
    /// Quoted, from the content: the same file has the same tag in every build.
    pub etag: String,
}

#[derive(RustEmbed)]
#[folder = "$OUT_DIR/assets"]
struct Files;

/// The file for the path of a request: `/`, `/e/ID` (the page itself, which reads its address) or `/assets/NAME`;
/// `NAME` alone means the same.
pub fn asset(path: &str) -> Option<Asset> {
    let name = match path.trim_start_matches('/') {
        "" | "index.html" => "index.html",
        page if page.starts_with("e/") => "index.html",
        other => other.strip_prefix("assets/").unwrap_or(other),
    };
    // Embedded names are flat; in debug builds they are looked up on disk, where `..` would mean something.
    if name.contains(['/', '\\']) {
        return None;
    }
    let file = Files::get(name)?;
    Some(Asset { mime: mime(name), etag: etag(&file.metadata.sha256_hash()), bytes: file.data })
}

fn mime(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// 64 bits tell the builds of a few files apart.
fn etag(hash: &[u8; 32]) -> String {
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> String {
        let asset = asset(path).unwrap_or_else(|| panic!("{path} is not embedded"));
        String::from_utf8(asset.bytes.into_owned()).expect("text")
    }

    #[test]
    fn the_page_answers_its_own_addresses_only() {
        assert_eq!(asset("/").map(|asset| asset.mime), Some("text/html; charset=utf-8"));
        assert_eq!(asset("/e/40000000000000000000000001"), asset("/"));
        assert_eq!(asset("app.js"), asset("/assets/app.js"));
        for path in ["/assets/../Cargo.toml", "/assets/nothing.js", "assets//app.js", "/api/v1/query", "/assets/"] {
            assert_eq!(asset(path), None, "{path}");
        }
    }

    /// Follows every import from the page, so that no module is missing and none is a bare name.
    #[test]
    fn every_module_is_there() {
        let page = text("/");
        let mut todo: Vec<String> =
            page.split('"').filter(|part| part.starts_with("/assets/")).map(str::to_owned).collect();
        let mut seen = Vec::new();
        while let Some(path) = todo.pop() {
            let source = text(&path);
            if path.ends_with("js") {
                for part in source.split("from").skip(1) {
                    let part = part.trim_start();
                    let Some(quote) = part.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
                    let Some(name) = part[1..].split(quote).next() else { continue };
                    if name.len() > 64 || name.contains(['\n', ' ']) {
                        continue;
                    }
                    let name = name.strip_prefix("./").unwrap_or_else(|| panic!("{path} imports '{name}'"));
                    let import = format!("/assets/{name}");
                    if !seen.contains(&import) && !todo.contains(&import) {
                        todo.push(import);
                    }
                }
            }
            seen.push(path);
        }
        assert!(seen.len() > 15, "{seen:?}");
    }

    /// The policy forbids these; finding them here is sooner than finding them in a browser.
    #[test]
    fn nothing_is_inline_and_no_text_becomes_markup() {
        let page = text("/");
        assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" on"), "{page}");
        for script in page.split("<script").skip(1) {
            assert!(script.starts_with(" src="), "{script}");
        }
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")).expect("a folder") {
            let path = entry.expect("an entry").path();
            let source = std::fs::read_to_string(&path).expect("text");
            for banned in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!source.contains(banned), "{} uses {banned}", path.display());
            }
        }
    }
}
