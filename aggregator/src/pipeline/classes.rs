//! The retention classes of the configuration as the store wants them: filters of the query language over blocks.

use std::sync::Arc;

use logweir_proto::record::field;

use crate::config::Config;
use crate::error::Error;
use crate::search::cell::EXTRA;
use crate::search::filter::Filter;
use crate::search::mask::Mask;
use crate::store::block::Block;
use crate::store::segment::Projection;
use crate::store::service::classes::{RetentionClass, RowFilter};

/// The classes of a configuration; an error where a filter is right by its form and cannot be run.
pub fn classes(config: &Config) -> Result<Vec<RetentionClass>, Error> {
    let class = |class: &crate::config::Class| {
        let filter = Filter::compile_simple(&class.matches.filter, 0)
            .map_err(|error| Error::Class { name: class.name.clone(), reason: error.to_string() })?;
        let names = filter.columns().into_iter().chain([field::TIME, EXTRA]).map(str::to_owned);
        let columns = Projection::Fields(names.collect());
        let filter = Arc::new(ClassFilter { filter, columns });
        Ok(RetentionClass { name: class.name.clone(), days: class.days, filter })
    };
    config.retention.classes.iter().map(class).collect()
}

#[derive(Debug)]
struct ClassFilter {
    filter: Filter,
    columns: Projection,
}

impl RowFilter for ClassFilter {
    fn rows(&self, block: &Block) -> Vec<u32> {
        match block.read(&self.columns, None) {
            Ok(batch) => {
                let found = self.filter.eval(&batch, &Mask::all(batch.num_rows()));
                found.rows().map(|row| row as u32).collect()
            }
            Err(error) => {
                // They are kept as the default class says.
                tracing::error!(error = %error, "rows cannot be told apart by their class");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{blocks, row};

    #[test]
    fn filters_of_the_configuration_tell_rows_apart() {
        let text = "retention: {classes: [{name: quiet, match: 'level<=debug', days: 1}, {name: api, match: 'service:api \"is up\"', days: 9}]}";
        let config = Config::parse("f", text, &|_| None).expect("a configuration");
        let classes = classes(&config).expect("classes");
        let lines = ["level=debug", "level=info", "level=trace service=api", "service=api \"it is up\"", "service=api"];
        let rows: Vec<_> = (0..).zip(lines).map(|(i, line)| row(i, i as u64, line)).collect();
        let block = blocks(&rows, 10).remove(0);
        let found: Vec<_> = classes.iter().map(|class| (&*class.name, class.filter.rows(&block))).collect();
        assert_eq!(found, [("quiet", vec![0, 2]), ("api", vec![3])]);
        let text = "retention: {classes: [{name: x, match: 'id:in(level:error | fields id)', days: 1}]}";
        let config = Config::parse("f", text, &|_| None).expect("a configuration");
        let error = super::classes(&config).expect_err("a query within").to_string();
        assert_eq!(error, "retention class x: in(…) with a query cannot be used here");
    }
}
