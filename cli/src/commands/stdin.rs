//! `search --stdin`: the same engine on a pipe, without a server.

mod engine;

use std::io::Read;
use std::path::PathBuf;

use logweir_proto::api::{Frame, QueryRequest};
use logweir_runtime::clock::Clock;

use crate::args::StdinFormat;
use crate::client::about_query;
use crate::error::Result;

/// Takes each frame of an answer; an error (stdout is gone) ends the search.
pub type FrameSink<'a> = &'a mut dyn FnMut(Frame) -> Result<()>;

/// Parses lines and runs a query over them.
pub trait StdinEngine {
    /// Reads `input` to its end and hands over `meta`, rows and `end`, in the order of the HTTP API.
    fn search(
        &self,
        input: &mut dyn Read,
        format: &StdinFormat,
        request: &QueryRequest,
        sink: FrameSink<'_>,
    ) -> Result<()>;
}

/// Searches what comes on stdin.
pub fn search(format: &StdinFormat, parsers: &[PathBuf], request: &QueryRequest, sink: FrameSink<'_>) -> Result<()> {
    let engine = engine(parsers);
    let done = engine.search(&mut std::io::stdin().lock(), format, request, sink);
    done.map_err(|error| about_query(error, &request.query))
}

fn engine(parsers: &[PathBuf]) -> Box<dyn StdinEngine> {
    Box::new(engine::InMemory { clock: Clock::system(), parsers: parsers.to_vec() })
}
