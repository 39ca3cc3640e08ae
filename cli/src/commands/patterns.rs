//! `logweir patterns`: a search that ends with the pipe of that name, and what people say about patterns.

mod marks;

use logweir_proto::query::value::format_duration_ns;

use crate::args::{PatternsArgs, SearchArgs};
use crate::commands::search;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::Console;

pub(super) async fn run(args: &PatternsArgs, console: &mut Console) -> Result<Exit> {
    if let Some(command) = &args.command {
        return marks::run(command, console).await;
    }
    let new = args.new.and_then(|new| i64::try_from(new.as_nanos()).ok());
    let new = new.map(|new| format!("new {} ", format_duration_ns(new))).unwrap_or_default();
    let filter = if args.query.trim().is_empty() { "*" } else { &args.query };
    let mut range = args.range.clone();
    // What is new since a week ago is looked for in that week, unless somebody says otherwise.
    if range.since.is_none() && range.from.is_none() && range.to.is_none() {
        range.since = args.new;
    }
    let query = format!("{filter} | patterns {new}{}", args.limit.max(1));
    let search = SearchArgs::of(query, range, args.limit, args.output, args.server.clone());
    search::run(&search, console).await
}
