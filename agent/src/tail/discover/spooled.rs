//! Our own spool: what came over syslog, standard input and from the journal, on its way to the server.

use std::path::PathBuf;

use logweir_proto::batch::SourceKind;

use super::{Candidate, Finding};
use crate::config::{Config, StartAt};
use crate::decode::frames;
use crate::spool::{self, Segment};

/// The spools, with the kind of what is in them.
pub const SPOOLS: [(&str, SourceKind); 3] =
    [("syslog", SourceKind::Syslog), ("journald", SourceKind::Journald), ("stdin", SourceKind::File)];

pub(super) fn find(config: &Config, all: &mut Vec<Finding>) {
    for (name, kind) in SPOOLS {
        for segment in spool::segments(&spool::root(&config.state_dir).join(name)) {
            let mut candidate = Candidate::new(segment.path, kind);
            candidate.format = frames::FORMAT.into();
            candidate.start_at = StartAt::Beginning;
            let service = match name {
                "syslog" => config.inputs.syslog.as_ref().and_then(|syslog| syslog.service.clone()),
                _ => segment.service,
            };
            candidate = candidate.label("service", service.unwrap_or_default());
            if name == "stdin" {
                candidate = candidate.label("file", "stdin");
            }
            all.push(Finding::follow(candidate, format!("the spool of {name}")));
        }
    }
}

pub(super) fn directories(config: &Config) -> impl Iterator<Item = PathBuf> {
    let root = spool::root(&config.state_dir);
    SPOOLS.into_iter().map(move |(name, _)| root.join(name))
}

/// Segments that nothing is added to any more; with `ended` also the newest of standard input.
pub fn closed_segments(config: &Config, ended: bool) -> Vec<Segment> {
    let root = spool::root(&config.state_dir);
    let of = |(name, _): (&'static str, SourceKind)| {
        spool::segments(&root.join(name))
            .into_iter()
            .filter(move |segment| segment.closed || (ended && name == "stdin"))
    };
    SPOOLS.into_iter().flat_map(of).collect()
}
