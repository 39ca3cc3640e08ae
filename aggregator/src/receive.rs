//! From the door to the log: cap, decode, check, drop what is already stored, append, sync, and only then acknowledge.
//!
//! Whatever the protocol, what passes the door is a [`Received`]: a batch of `proto::batch`. Foreign protocols are
//! turned into one first, so there is one path behind the door.

pub mod admission;
pub mod dedup;
pub mod encoding;
pub mod json;
pub mod record;
pub mod sources;
pub mod writer;

use bytes::Bytes;
use logweir_proto::batch::{BatchError, Body, Envelope, Header, Whole};

use self::admission::{Refusal, Ticket};
use crate::spans::Spans;

/// The tenant of everything until tenancy is configured.
pub const DEFAULT_TENANT: &str = "default";

/// Why a batch does not get past the door.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("{}", .0.reason())]
    Refused(Refusal),
}

impl From<Refusal> for ReceiveError {
    fn from(refusal: Refusal) -> ReceiveError {
        ReceiveError::Refused(refusal)
    }
}

/// A batch that is whole and correct, and not yet durable.
#[derive(Debug)]
pub struct Received {
    pub tenant: String,
    /// When it came, nanoseconds since the epoch: the time of lines that have none.
    pub received_ns: i64,
    /// As it came, still compressed: this is what the log keeps.
    pub bytes: Bytes,
    pub header: Header,
    pub body: Body,
    /// Where the values of its lines are, as far as the door knows.
    pub spans: Spans,
    /// Its share of the memory for data in flight.
    pub ticket: Ticket,
}

impl Received {
    /// Checks everything that could make the batch unreadable later: an acknowledged batch must never be that.
    pub fn decode(
        tenant: String,
        received_ns: i64,
        bytes: Bytes,
        mut ticket: Ticket,
    ) -> Result<Received, ReceiveError> {
        let envelope = Envelope::parse(&bytes)?;
        // Before it is decompressed: a bomb is asked for its full size.
        ticket.resize((bytes.len() + envelope.raw_len) as u64)?;
        let body = envelope.decompress()?;
        let header = envelope.header;
        Ok(Received { tenant, received_ns, bytes, header, body, spans: Spans::default(), ticket })
    }

    /// A batch that was built here, from a body of another protocol: its parts are at hand.
    pub fn built(
        tenant: String,
        received_ns: i64,
        whole: Whole,
        spans: Spans,
        mut ticket: Ticket,
    ) -> Result<Received, ReceiveError> {
        let Whole { bytes, header, body } = whole;
        ticket.resize((bytes.len() + body.bytes() + spans.bytes()) as u64)?;
        Ok(Received { tenant, received_ns, bytes: Bytes::from(bytes), header, body, spans, ticket })
    }
}
