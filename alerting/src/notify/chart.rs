//! A small line chart as PNG: what mails show inline and chat programs fetch.
//!
//! 640 × 200 pixels in eight colours, drawn by hand: a font of digits and a line are all that it takes.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::state::Episode;

/// Points that make a picture worth while.
pub const POINTS_MIN: usize = 3;
const WIDTH: usize = 640;
const HEIGHT: usize = 200;
const LEFT: usize = 56;
const RIGHT: usize = 12;
const TOP: usize = 12;
const BOTTOM: usize = 24;
/// White, grid, ink, line, threshold, fill.
const PALETTE: [[u8; 3]; 6] =
    [[255, 255, 255], [225, 228, 232], [80, 86, 94], [31, 111, 235], [207, 34, 46], [221, 235, 255]];
const GRID: u8 = 1;
const INK: u8 = 2;
const LINE: u8 = 3;
const LIMIT: u8 = 4;
const FILL: u8 = 5;
/// Five rows of three bits.
const FONT: [(char, [u8; 5]); 17] = [
    ('0', [7, 5, 5, 5, 7]),
    ('1', [2, 6, 2, 2, 7]),
    ('2', [7, 1, 7, 4, 7]),
    ('3', [7, 1, 7, 1, 7]),
    ('4', [5, 5, 7, 1, 1]),
    ('5', [7, 4, 7, 1, 7]),
    ('6', [7, 4, 7, 5, 7]),
    ('7', [7, 1, 1, 2, 2]),
    ('8', [7, 5, 7, 5, 7]),
    ('9', [7, 5, 7, 1, 7]),
    ('.', [0, 0, 0, 0, 2]),
    ('-', [0, 0, 7, 0, 0]),
    (':', [0, 2, 0, 2, 0]),
    ('k', [4, 5, 6, 6, 5]),
    ('M', [5, 7, 7, 5, 5]),
    ('G', [7, 4, 5, 5, 7]),
    ('Z', [7, 1, 2, 4, 7]),
];

struct Canvas(Vec<u8>);

impl Canvas {
    fn set(&mut self, x: usize, y: usize, color: u8) {
        if x < WIDTH && y < HEIGHT {
            self.0[y * WIDTH + x] = color;
        }
    }

    fn line(&mut self, (x0, y0): (usize, usize), (x1, y1): (usize, usize), color: u8) {
        let steps = x0.abs_diff(x1).max(y0.abs_diff(y1)).max(1);
        for step in 0..=steps {
            let between = |a: usize, b: usize| (a * (steps - step) + b * step) / steps;
            let (x, y) = (between(x0, x1), between(y0, y1));
            self.set(x, y, color);
            self.set(x, y + 1, color);
        }
    }

    /// Twice as large as the font.
    fn text(&mut self, x: usize, y: usize, text: &str) {
        for (i, c) in text.chars().enumerate() {
            let Some((_, rows)) = FONT.iter().find(|(known, _)| *known == c) else { continue };
            for (row, bits) in rows.iter().enumerate() {
                for column in (0..3).filter(|column| bits & (4 >> column) != 0) {
                    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                        self.set(x + i * 8 + column * 2 + dx, y + row * 2 + dy, INK);
                    }
                }
            }
        }
    }
}

/// The chart of an alert; `None` when there is too little to see.
pub fn png(alert: &Episode) -> Option<Vec<u8>> {
    let points: Vec<(i64, f64)> = alert.extra.points.iter().copied().filter(|(_, value)| value.is_finite()).collect();
    if points.len() < POINTS_MIN {
        return None;
    }
    encode(&draw(&points, alert.extra.threshold.filter(|limit| limit.is_finite()))).ok()
}

fn draw(points: &[(i64, f64)], threshold: Option<f64>) -> Canvas {
    let mut canvas = Canvas(vec![0; WIDTH * HEIGHT]);
    let (first, last) = (points.first().map_or(0, |p| p.0), points.last().map_or(1, |p| p.0));
    let span = (last.saturating_sub(first)).max(1) as f64;
    let values = || points.iter().map(|(_, value)| *value).chain(threshold);
    let low = values().fold(0.0f64, f64::min);
    let high = values().fold(f64::MIN, f64::max).max(low + 1e-9);
    let x = |at: i64| LEFT + ((WIDTH - LEFT - RIGHT) as f64 * (at.saturating_sub(first)) as f64 / span) as usize;
    let range = (high - low) * 1.05;
    let y = |value: f64| {
        let part = ((value - low) / range).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) as f64 * part) as usize
    };
    for value in [low, (low + high) / 2.0, high] {
        let row = y(value);
        (LEFT..WIDTH - RIGHT).for_each(|column| canvas.set(column, row, GRID));
        let text = short(value);
        canvas.text(LEFT.saturating_sub(6 + text.chars().count() * 8), row.saturating_sub(5), &text);
    }
    for pair in points.windows(2) {
        let (from, to) = (x(pair[0].0), x(pair[1].0));
        for column in from..=to {
            let part = (column - from) as f64 / (to - from).max(1) as f64;
            let top = y(pair[0].1 + (pair[1].1 - pair[0].1) * part);
            (top..y(low)).for_each(|row| canvas.set(column, row, FILL));
        }
    }
    for pair in points.windows(2) {
        canvas.line((x(pair[0].0), y(pair[0].1)), (x(pair[1].0), y(pair[1].1)), LINE);
    }
    if let Some(limit) = threshold {
        let row = y(limit);
        (LEFT..WIDTH - RIGHT).filter(|column| column % 8 < 5).for_each(|column| canvas.set(column, row, LIMIT));
    }
    canvas.text(LEFT, HEIGHT - 14, &clock(first));
    canvas.text(WIDTH - RIGHT - 9 * 8, HEIGHT - 14, &clock(last));
    canvas
}

/// `09:13:36Z`
fn clock(ns: i64) -> String {
    let text = super::message::time_text(ns);
    text.split_once('T').map_or(String::new(), |(_, time)| time.to_owned())
}

/// `1.5k`, at most six characters.
fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if scaled.fract().abs() < 0.05 {
        0
    } else if scaled.abs() < 1.0 {
        2
    } else {
        1
    };
    format!("{scaled:.digits$}{unit}").chars().take(6).collect()
}

fn encode(canvas: &Canvas) -> std::io::Result<Vec<u8>> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut head = Vec::new();
    head.extend_from_slice(&(WIDTH as u32).to_be_bytes());
    head.extend_from_slice(&(HEIGHT as u32).to_be_bytes());
    // Eight bits, palette, and the only compression, filter and interlace that matter.
    head.extend_from_slice(&[8, 3, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &head);
    chunk(&mut out, b"PLTE", &PALETTE.concat());
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in canvas.0.chunks(WIDTH) {
        packed.write_all(&[0])?;
        packed.write_all(row)?;
    }
    chunk(&mut out, b"IDAT", &packed.finish()?);
    chunk(&mut out, b"IEND", &[]);
    Ok(out)
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(kind);
    crc.update(data);
    out.extend_from_slice(kind);
    out.extend_from_slice(data);
    out.extend_from_slice(&crc.finalize().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{S, T0, episode};

    /// Reads our own kind of PNG back, checking every length and sum.
    fn decode(png: &[u8]) -> Vec<u8> {
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let (mut rest, mut data, mut kinds) = (&png[8..], Vec::new(), Vec::new());
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().expect("four")) as usize;
            let body = &rest[4..8 + length];
            let sum = u32::from_be_bytes(rest[8 + length..12 + length].try_into().expect("four"));
            assert_eq!(crc32fast::hash(body), sum);
            kinds.push(String::from_utf8_lossy(&body[..4]).into_owned());
            if &body[..4] == b"IDAT" {
                data.extend_from_slice(&body[4..]);
            }
            rest = &rest[12 + length..];
        }
        assert_eq!(kinds, ["IHDR", "PLTE", "IDAT", "IEND"]);
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&data[..]).read_to_end(&mut rows).expect("it unpacks");
        assert_eq!(rows.len(), (WIDTH + 1) * HEIGHT);
        rows
    }

    #[test]
    fn the_line_and_the_threshold_are_there() {
        let mut alert = episode("e1");
        assert_eq!(png(&alert), None);
        alert.extra.points = (0..50).map(|i| (T0 + i * 60 * S, (i % 7) as f64 * 300.0)).collect();
        alert.extra.threshold = Some(1_000.0);
        let rows = decode(&png(&alert).expect("a picture"));
        for color in [GRID, INK, LINE, LIMIT, FILL] {
            assert!(rows.iter().filter(|pixel| **pixel == color).count() > 50, "colour {color}");
        }
        assert_eq!((short(1500.0), short(0.25), short(-3.0)), ("1.5k".into(), "0.25".into(), "-3".into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_numbers_make_a_picture_or_none(
            points in proptest::collection::vec((any::<i64>(), any::<f64>()), 0..40),
            threshold in proptest::option::of(any::<f64>()),
        ) {
            let mut alert = episode("e1");
            let mut points = points;
            points.sort_by_key(|(at, _)| *at);
            alert.extra.points = points;
            alert.extra.threshold = threshold;
            if let Some(png) = png(&alert) {
                decode(&png);
            }
        }
    }
}
