//! What becomes of the leaves of a line, decided once for all lines of its shape.
//!
//! Which leaf gets which role depends on the keys and on whether each leaf can have the role that its key asks for.
//! Where every leaf has got what its key asks for first, the next line of the shape is decided alike as long as that
//! holds again; [`Plan::run`] stops where it does not, and the line is decided on its own.

use super::keys::{Keys, Role};
use super::scan::{Kind, Leaf};
use super::{Judged, judge, push_leaf};
use crate::names::NameId;
use crate::parse::line::{Line, Spelling, Value};
use crate::parse::number;
use crate::parse::piece::Piece;

/// Leaves of a line that can have a plan: far fewer than a line can have fields.
const LEAVES_MAX: usize = 100;

/// Lines of a shape that are decided on their own before it is known to have no plan.
const TRIES_MAX: u8 = 3;

/// How one leaf becomes a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// As it stands; `u8` is the least length that its role asks for.
    Text(NameId, u8),
    Number(NameId),
    Other(NameId),
    Integer(Role),
    Time,
    Level,
    Duration,
    Path,
}

/// The plan of one shape.
#[derive(Debug, Default)]
pub(super) struct Plan {
    ops: Box<[Op]>,
    tries: u8,
}

impl Plan {
    pub(super) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether lines of the shape should be shown to [`Plan::learn`].
    pub(super) fn is_open(&self) -> bool {
        self.ops.is_empty() && self.tries < TRIES_MAX
    }

    /// Makes the plan from a line that was decided on its own; `role_of` tells what each leaf got.
    pub(super) fn learn(&mut self, leaves: &[Leaf], keys: &Keys, role_of: impl Fn(usize) -> Role) {
        self.tries += 1;
        if leaves.len() > LEAVES_MAX {
            return;
        }
        let ops = leaves.iter().enumerate().map(|(at, leaf)| {
            let key = keys.get(leaf.key);
            let role = role_of(at);
            if role != key.roles[0].0 {
                return None;
            }
            op(role, leaf.kind, key.name)
        });
        self.ops = ops.collect::<Option<Box<[Op]>>>().unwrap_or_default();
    }

    /// Adds the fields of a line of the shape to `line`, which has none; false, and what was added is worthless, where
    /// the line needs a decision of its own. `path` emits a path, which may have a query.
    pub(super) fn run(
        &self,
        piece: Piece<'_>,
        leaves: &[Leaf],
        offset_minutes: i16,
        line: &mut Line,
        path: impl Fn(&Leaf, &mut Line),
    ) -> bool {
        if self.ops.len() != leaves.len() {
            return false;
        }
        for (leaf, op) in leaves.iter().zip(&self.ops) {
            if leaf.kind == (Kind::String { escaped: true }) || !run(*op, piece, leaf, offset_minutes, line, &path) {
                return false;
            }
        }
        true
    }
}

fn op(role: Role, kind: Kind, own: Option<NameId>) -> Option<Op> {
    let text = matches!(kind, Kind::String { .. });
    let canonical = |name: NameId, least: u8| text.then_some(Op::Text(name, least));
    match role {
        Role::Time => Some(Op::Time),
        Role::Level => Some(Op::Level),
        Role::DurationMs => Some(Op::Duration),
        Role::Path => Some(Op::Path),
        Role::Status | Role::Bytes => Some(Op::Integer(role)),
        Role::RequestTime => None,
        Role::Message | Role::MessageStandIn => canonical(NameId::MESSAGE, 0),
        Role::Service | Role::LoggerName => canonical(NameId::SERVICE, 0),
        Role::TraceId if kind == Kind::Number => Some(Op::Number(NameId::TRACE_ID)),
        Role::TraceId => canonical(NameId::TRACE_ID, 1),
        Role::ExceptionType => canonical(NameId::EXCEPTION_TYPE, 0),
        Role::ExceptionStack => canonical(NameId::EXCEPTION_STACK, 2),
        Role::Method => canonical(NameId::METHOD, 0),
        Role::ClientIp => canonical(NameId::CLIENT_IP, 0),
        Role::UserId if kind == Kind::Number => Some(Op::Number(NameId::USER_ID)),
        Role::UserId => canonical(NameId::USER_ID, 1),
        Role::UserAgent => canonical(NameId::USER_AGENT, 0),
        Role::Upstream => canonical(NameId::UPSTREAM, 0),
        Role::Env => canonical(NameId::ENV, 0),
        Role::Version => canonical(NameId::VERSION, 0),
        Role::Own => own.map(|name| match kind {
            Kind::String { .. } => Op::Text(name, 0),
            Kind::Number => Op::Number(name),
            Kind::Bool(_) | Kind::Null | Kind::Compound => Op::Other(name),
        }),
    }
}

#[inline]
fn run(
    op: Op,
    piece: Piece<'_>,
    leaf: &Leaf,
    offset_minutes: i16,
    line: &mut Line,
    path: &impl Fn(&Leaf, &mut Line),
) -> bool {
    let range = leaf.start..leaf.end;
    match op {
        Op::Text(name, least) => {
            piece.push(line, name, range);
            leaf.end - leaf.start >= usize::from(least)
        }
        Op::Number(name) => {
            match number::parse(&piece.text[range.clone()]) {
                Some((value, spelling)) => line.push(name, value, piece.cut(range, spelling)),
                None => piece.push(line, name, range),
            }
            true
        }
        Op::Other(name) => {
            push_leaf(piece, leaf, name, line);
            true
        }
        Op::Integer(role) => {
            let name = if role == Role::Status { NameId::STATUS } else { NameId::BYTES };
            let fits = judge(role, leaf, piece.text, offset_minutes).is_some();
            match number::integer(&piece.text[range.clone()]).filter(|_| fits) {
                Some(value) => line.push(name, Value::Int(value), piece.cut(range, Spelling::Plain)),
                None => return false,
            }
            true
        }
        Op::Path => {
            path(leaf, line);
            piece.text.get(leaf.start) == Some(&b'/') && !range.is_empty() && matches!(leaf.kind, Kind::String { .. })
        }
        Op::Time | Op::Level | Op::Duration => {
            let role = match op {
                Op::Time => Role::Time,
                Op::Level => Role::Level,
                _ => Role::DurationMs,
            };
            match judge(role, leaf, piece.text, offset_minutes) {
                Some(Judged::Time(time_ns, spelling)) => {
                    line.time_ns = Some(time_ns);
                    line.time_cut = piece.cut(range, spelling);
                }
                Some(Judged::Level(level)) => line.level = Some(level),
                Some(Judged::Duration(value, spelling)) => {
                    line.push(NameId::DURATION_MS, Value::Float(value), piece.cut(range, spelling));
                }
                Some(Judged::Fits) | None => return false,
            }
            true
        }
    }
}
