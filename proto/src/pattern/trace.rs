//! What a stack trace is about: the type of the exception and the functions of the application, not its message.
//!
//! A frame is known by how its line begins and ends: JavaScript and .NET (`at f (file:1:2)`, `at N.C.f() in file:line 1`),
//! Java (`at p.C.f(C.java:1)`), Python (`File "f.py", line 1, in f`), Go (`main.f(…)` above `\t/a/f.go:1`), Ruby (`f.rb:1:in
//! 'f'`), PHP (`#0 f.php(1): f()`), Rust (`0: crate::f`). Line numbers are left out, because every release moves them.

/// Frames of one trace that count.
pub const FRAMES_MAX: usize = 5;
/// Lines of one trace that are looked at.
pub const LINES_MAX: usize = 400;
const NAME_CHARS_MAX: usize = 120;

/// Where the frames of runtimes, frameworks and libraries come from.
const FOREIGN: [&str; 34] = [
    "node_modules/",
    "node:",
    "internal/",
    "<anonymous>",
    "native",
    "java.",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "kotlin.",
    "scala.",
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "io.netty.",
    "reactor.",
    "site-packages/",
    "dist-packages/",
    "/lib/python",
    "<frozen ",
    "/usr/local/go/",
    "/pkg/mod/",
    "runtime.",
    "net/http.",
    "/gems/",
    "/lib/ruby/",
    "/vendor/",
    "System.",
    "Microsoft.",
    "std::",
    "core::",
    "/rustc/",
];

/// One frame: a function, and where it stands without a line.
struct Frame<'a> {
    function: &'a str,
    place: &'a str,
}

impl Frame<'_> {
    fn is_own(&self) -> bool {
        // Java names the module first: `java.base/java.net.Socket.connect`.
        let function = self.function.rsplit('/').next().unwrap_or_default();
        let begins = |mark: &str| self.function.starts_with(mark) || function.starts_with(mark);
        // The name of a package is the beginning of the function.
        !FOREIGN.iter().any(|mark| begins(mark) || (!mark.ends_with('.') && self.place.contains(mark)))
    }

    fn write(&self, out: &mut String) {
        out.extend(self.function.chars().take(NAME_CHARS_MAX));
        let file = self.place.rsplit(['/', '\\']).next().unwrap_or_default();
        if self.function.is_empty() {
            out.extend(file.chars().take(NAME_CHARS_MAX));
        } else if !file.is_empty() {
            out.push_str(" (");
            out.extend(file.chars().take(NAME_CHARS_MAX));
            out.push(')');
        }
    }
}

/// `TypeError in checkout (cart.js), handle (server.js)`; `None` when there are no frames to tell it by.
pub fn identity(exception: Option<&str>, stack: &str) -> Option<String> {
    let frames = frames(stack);
    let own: Vec<&Frame<'_>> = frames.iter().filter(|frame| frame.is_own()).take(FRAMES_MAX).collect();
    // A trace of nothing but libraries is told by these.
    let shown = if own.is_empty() { frames.iter().take(FRAMES_MAX).collect() } else { own };
    if shown.is_empty() {
        return None;
    }
    let mut out = String::new();
    out.extend(exception.or_else(|| kind(stack)).unwrap_or("error").chars().take(NAME_CHARS_MAX));
    for (index, frame) in shown.iter().enumerate() {
        out.push_str(if index == 0 { " in " } else { ", " });
        frame.write(&mut out);
    }
    Some(out)
}

/// `TypeError` of `TypeError: x is undefined`, from the first line that looks so, for Python from the last.
fn kind(stack: &str) -> Option<&str> {
    let name = |line: &'_ str| -> Option<usize> {
        let end = line.find([':', ' ', '(']).unwrap_or(line.len());
        let is_name = end > 2 && line[..end].bytes().all(|b| b.is_ascii_alphanumeric() || b"._$\\".contains(&b));
        (is_name && (end == line.len() || line[end..].starts_with(':'))).then_some(end)
    };
    // Ruby: `cart.rb:12:in 'pay': gone (RuntimeError)`
    if let Some(line) = stack.lines().next().filter(|line| line.contains(":in ")) {
        return line.strip_suffix(')')?.rsplit_once('(').map(|(_, name)| name);
    }
    let lines = stack.lines().take(LINES_MAX).filter(|line| !line.starts_with([' ', '\t']));
    let mut names = lines.filter_map(|line| line.get(..name(line)?));
    if stack.starts_with("Traceback") { names.last() } else { names.next() }
}

/// The innermost frame first.
fn frames(stack: &str) -> Vec<Frame<'_>> {
    let mut found = Vec::new();
    let mut above = "";
    for line in stack.lines().take(LINES_MAX) {
        let trimmed = line.trim();
        found.extend(frame(line, trimmed, above));
        above = trimmed;
    }
    // Python tells the outermost first.
    if stack.starts_with("Traceback") {
        found.reverse();
    }
    found
}

fn frame<'a>(line: &'a str, trimmed: &'a str, above: &'a str) -> Option<Frame<'a>> {
    if let Some(rest) = trimmed.strip_prefix("at ").filter(|_| line.len() > trimmed.len()) {
        return Some(called_at(rest));
    }
    if let Some(rest) = trimmed.strip_prefix("File \"") {
        let (place, rest) = rest.split_once('"')?;
        return Some(Frame { function: rest.rsplit_once(" in ")?.1, place });
    }
    if let Some((place, function)) = trimmed.split_once(":in ") {
        let function = function.trim_start_matches(['\'', '`']).split(['\'', '`']).next().unwrap_or(function);
        return Some(Frame { function, place: unnumbered(place.strip_prefix("from ").unwrap_or(place)) });
    }
    if let Some((number, rest)) = trimmed.strip_prefix('#').and_then(|rest| rest.split_once(' ')) {
        let (place, function) = rest.split_once(": ")?;
        let good = number.bytes().all(|b| b.is_ascii_digit());
        let function = function.split('(').next().unwrap_or(function);
        return good.then(|| Frame { function, place: place.split('(').next().unwrap_or(place) });
    }
    // Go: the place stands below the function.
    if line.starts_with('\t') && trimmed.contains(".go:") {
        let place = unnumbered(trimmed.split(' ').next().unwrap_or(trimmed));
        let function = above.strip_prefix("created by ").unwrap_or(above);
        return Some(Frame { function: function.rsplit_once('(').map_or(function, |(name, _)| name), place });
    }
    let (number, function) = trimmed.split_once(": ")?;
    let good = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && function.contains("::");
    good.then_some(Frame { function, place: "" })
}

/// `f (file:1:2)`, `file:1:2`, `p.C.f(C.java:1)`, `N.C.f() in file:line 1`
fn called_at(rest: &str) -> Frame<'_> {
    if let Some((function, place)) = rest.split_once(" in ").filter(|(function, _)| function.ends_with(')')) {
        let function = function.split('(').next().unwrap_or(function);
        return Frame { function, place: place.rsplit_once(":line ").map_or(place, |(place, _)| place) };
    }
    match rest.rsplit_once('(') {
        Some((function, place)) => {
            Frame { function: function.trim_end(), place: unnumbered(place.trim_end_matches(')')) }
        }
        None => Frame { function: "", place: unnumbered(rest) },
    }
}

/// `file:1:2` without its numbers.
fn unnumbered(place: &str) -> &str {
    let mut place = place;
    while let Some((before, number)) = place.rsplit_once(':') {
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            break;
        }
        place = before;
    }
    place
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACES: [&str; 8] = [
        "TypeError: x is undefined\n    at checkout (/srv/shop/cart.js:10:5)\n    at next (/srv/shop/node_modules/express/lib/router.js:1:2)\n    at /srv/shop/server.js:3:4\n    at process.processTimers (node:internal/timers:519:7)",
        "Error: gone\n    at Module._load (node:internal/modules/cjs/loader:1038:27)",
        "java.io.IOException: gone\n\tat java.base/java.net.Socket.connect(Socket.java:12)\n\tat shop.Cart.pay(Cart.java:44)\n\tat org.springframework.web.Servlet.run(Servlet.java:1)\nCaused by: x.Y: z",
        "Traceback (most recent call last):\n  File \"/srv/w.py\", line 7, in main\n    run()\n  File \"/usr/lib/python3/site-packages/lib.py\", line 1, in run\n    x\nKeyError: 'x'",
        "panic: boom\n\ngoroutine 1 [running]:\nmain.pay(0x1, 0x2)\n\t/srv/pay.go:12 +0x1d\nnet/http.serve(...)\n\t/usr/local/go/src/net/http/server.go:1 +0x2",
        "cart.rb:12:in 'pay': gone (RuntimeError)\n\tfrom app.rb:3:in '<main>'",
        "PDOException: no\n#0 /srv/shop/cart.php(12): Cart->pay(1)\n#1 /srv/vendor/x.php(1): Y->z()\n#2 {main}",
        "System.NullReferenceException: Object\n   at Shop.Cart.Pay(Int32 id) in /src/Cart.cs:line 12\n   at System.Threading.Run()",
    ];

    #[test]
    fn type_and_own_frames_tell_a_trace() {
        let all: Vec<String> = TRACES.iter().map(|t| identity(None, t).unwrap_or_default()).collect();
        expect_test::expect![[r#"
            TypeError in checkout (cart.js), server.js
            Error in Module._load (loader)
            java.io.IOException in shop.Cart.pay (Cart.java)
            KeyError in main (w.py)
            panic in main.pay (pay.go)
            RuntimeError in pay (cart.rb), <main> (app.rb)
            PDOException in Cart->pay (cart.php)
            System.NullReferenceException in Shop.Cart.Pay (Cart.cs)"#]]
        .assert_eq(&all.join("\n"));
        assert_eq!(identity(None, "just a message: with 12 things"), None);
        assert_eq!(
            identity(Some("ShopError"), TRACES[0]).map(|text| text.starts_with("ShopError in checkout")),
            Some(true)
        );
    }

    #[test]
    fn message_and_line_numbers_do_not_matter() {
        let other = TRACES[0].replace("x is undefined", "y is not 7").replace(":10:5", ":11:9");
        assert_eq!(identity(None, &other), identity(None, TRACES[0]));
        assert_ne!(identity(None, &TRACES[0].replace("checkout", "refund")), identity(None, TRACES[0]));
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(at |File \"|#0 |\t|[a-z(:)\" \n.]|é){0,80}") {
            let _ = identity(None, &text);
        }
    }
}
