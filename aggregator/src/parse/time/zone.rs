//! Zones by name, as PostgreSQL, `date` and RFC 2822 write them.
//!
//! A name that several countries use stands for the one that most of the logs come from: `CST` is Chicago's, `IST`
//! India's, `BST` London's. The place of a name in the table is written to splits: names are added at the end only.

const ZONES: [(&str, i16); 46] = [
    ("UTC", 0),
    ("GMT", 0),
    ("CET", 60),
    ("CEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("WEST", 60),
    ("MEZ", 60),
    ("MESZ", 120),
    ("BST", 60),
    ("MSK", 180),
    ("SAST", 120),
    ("WAT", 60),
    ("CAT", 120),
    ("EAT", 180),
    ("PKT", 300),
    ("IST", 330),
    ("NPT", 345),
    ("WIB", 420),
    ("SGT", 480),
    ("HKT", 480),
    ("PHT", 480),
    ("AWST", 480),
    ("JST", 540),
    ("KST", 540),
    ("ACST", 570),
    ("ACDT", 630),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
    ("BRT", -180),
    ("ART", -180),
    ("NST", -210),
    ("NDT", -150),
    ("AST", -240),
    ("ADT", -180),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("HST", -600),
];

/// The place of the zone whose name begins `text`, and the length of the name; no letter follows it.
pub(super) fn leading(text: &[u8]) -> Option<(u8, usize)> {
    let len = text.iter().take(6).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let at = ZONES.iter().position(|(name, _)| name.as_bytes() == &text[..len])?;
    Some((at as u8, len))
}

pub(super) fn minutes(zone: u8) -> i16 {
    ZONES.get(usize::from(zone)).map_or(0, |(_, minutes)| *minutes)
}

pub(super) fn name(zone: u8) -> &'static str {
    ZONES.get(usize::from(zone)).map_or("UTC", |(name, _)| name)
}
