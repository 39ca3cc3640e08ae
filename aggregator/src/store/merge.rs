//! Merging blocks: the rows of several in the one order `(time, seq)`, under one layout and one table of skeletons.
//!
//! The head merges its small blocks so, sealing makes the blocks of a split so, and compaction those of several.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, StringArray, StringBuilder, UInt32Array, UInt32Builder, new_null_array,
};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::block::texts::{Numbering, have_one_place, numbered, plain};
use super::block::{Block, BlockParts, cell, json_of};
use super::column::{COLUMNS_MAX, ColumnKey, EXTRA_NAMES_MAX, FIELD_COLUMNS_AT, Kind, Layout, add_stats, is_canonical};
use super::receipts::Receipts;
use super::segment::{BLOCK_ROWS_MAX, FieldStat};
use super::skeleton::{ShapeTable, Skeleton};

/// Blocks about to be merged.
pub struct Merge {
    layout: Arc<Layout>,
    shapes: Arc<[Arc<Skeleton>]>,
    /// Per block the arrays in the order of the layout; a column that a block lacks is a longer array of nulls.
    sources: Vec<Vec<ArrayRef>>,
    /// (block, row) in the order of the rows to come.
    order: Vec<(u32, u32)>,
    receipts: Arc<Receipts>,
    raw_bytes: u64,
    extra_fields: BTreeMap<String, FieldStat>,
}

impl Merge {
    pub fn new(blocks: &[Arc<Block>]) -> Result<Merge, ArrowError> {
        let (keys, demoted) = choose_columns(blocks);
        let layout = Arc::new(Layout::new(keys));
        let mut extra_fields = BTreeMap::new();
        for block in blocks {
            add_stats(&mut extra_fields, block.extra_fields());
            for (name, stat) in block.fields() {
                if demoted.iter().any(|key| *key.field == **name) {
                    add_stats(&mut extra_fields, &BTreeMap::from([(name.clone(), stat.clone())]));
                }
            }
        }
        while extra_fields.len() > EXTRA_NAMES_MAX {
            extra_fields.pop_last();
        }
        let mut table = ShapeTable::default();
        let mut nulls = Nulls { rows: blocks.iter().map(|b| b.len()).max().unwrap_or(0), arrays: HashMap::new() };
        let mut sources = Vec::with_capacity(blocks.len());
        for block in blocks {
            sources.push(prepare(block, &layout, &demoted, &mut table, &mut nulls)?);
        }
        Ok(Merge {
            layout,
            shapes: table.shapes().into(),
            sources,
            order: order(blocks),
            receipts: Receipts::union(blocks.iter().map(|block| block.receipts())),
            raw_bytes: blocks.iter().map(|block| block.raw_bytes()).sum(),
            extra_fields,
        })
    }

    pub fn rows(&self) -> usize {
        self.order.len()
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub fn shapes(&self) -> &Arc<[Arc<Skeleton>]> {
        &self.shapes
    }

    /// When the lines came.
    pub fn receipts(&self) -> &Arc<Receipts> {
        &self.receipts
    }

    /// Whether any row lacks a value in a column.
    pub fn has_nulls(&self, column: usize) -> bool {
        self.sources.iter().any(|source| source[column].null_count() > 0)
    }

    /// Fields within `_extra`.
    pub fn extra_fields(&self) -> &BTreeMap<String, FieldStat> {
        &self.extra_fields
    }

    /// The ranges of rows that become blocks.
    pub fn chunks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.rows();
        (0..rows).step_by(BLOCK_ROWS_MAX).map(move |from| from..(from + BLOCK_ROWS_MAX).min(rows))
    }

    /// Some of the merged rows, with all columns of the layout.
    pub fn batch(&self, rows: Range<usize>) -> Result<RecordBatch, ArrowError> {
        let runs = runs(&self.order[rows]);
        let columns = (0..self.layout.raw() + 1).map(|column| self.column(column, &runs));
        self.layout.batch(columns.collect::<Result<Vec<_>, _>>()?)
    }

    /// The rows of some runs in one column. Texts stay numbered where they are in all of them.
    fn column(&self, column: usize, runs: &[Run]) -> Result<ArrayRef, ArrowError> {
        let source = |run: &Run| &self.sources[run.block][column];
        if let [run] = runs {
            return Ok(source(run).slice(run.from, run.rows));
        }
        let is_numbered = |run: &Run| numbered(source(run)).is_some();
        if runs.iter().any(is_numbered) {
            let is_empty = |run: &Run| source(run).null_count() == source(run).len();
            if runs.iter().all(|run| is_numbered(run) || is_empty(run)) {
                return Ok(renumber_texts(runs.iter().map(|run| (run, source(run)))));
            }
        }
        let rows: usize = runs.iter().map(|run| run.rows).sum();
        if runs.len() * 8 <= rows {
            let slice = |run: &Run| plain(&source(run).slice(run.from, run.rows));
            let slices = runs.iter().map(slice).collect::<Result<Vec<_>, _>>()?;
            return concat(&slices.iter().map(|slice| &**slice).collect::<Vec<_>>());
        }
        let mut used: Vec<usize> = runs.iter().map(|run| run.block).collect();
        used.sort_unstable();
        used.dedup();
        let arrays = used.iter().map(|block| plain(&self.sources[*block][column])).collect::<Result<Vec<_>, _>>()?;
        let mut places = Vec::with_capacity(rows);
        for run in runs {
            let at = used.partition_point(|block| *block < run.block);
            places.extend((run.from..run.from + run.rows).map(|row| (at, row)));
        }
        interleave(&arrays.iter().map(|array| &**array).collect::<Vec<_>>(), &places)
    }

    /// The merged rows as blocks. A block's share of the raw bytes is by its share of the rows.
    pub fn blocks(&self) -> Result<Vec<Block>, ArrowError> {
        let all = self.rows().max(1) as u64;
        let mut blocks = Vec::new();
        for rows in self.chunks() {
            let until = |row: usize| (u128::from(self.raw_bytes) * row as u128 / u128::from(all)) as u64;
            let parts = BlockParts {
                layout: Arc::clone(&self.layout),
                shapes: Arc::clone(&self.shapes),
                receipts: Arc::clone(&self.receipts),
                raw_bytes: until(rows.end) - until(rows.start),
                extra_fields: self.extra_fields.clone(),
            };
            blocks.push(Block::new(parts, self.batch(rows)?));
        }
        Ok(blocks)
    }
}

/// The columns of all blocks in the order in which they appear, and those that are too many: the rarest.
fn choose_columns(blocks: &[Arc<Block>]) -> (Vec<ColumnKey>, HashSet<ColumnKey>) {
    let mut keys: Vec<(ColumnKey, usize)> = Vec::new();
    let mut at: HashMap<&ColumnKey, usize> = HashMap::new();
    for block in blocks {
        for (key, column) in block.layout().keys().iter().zip(&block.batch().columns()[FIELD_COLUMNS_AT..]) {
            let rows = column.len() - column.null_count();
            match at.get(key) {
                Some(&at) => keys[at].1 += rows,
                None => {
                    at.insert(key, keys.len());
                    keys.push((key.clone(), rows));
                }
            }
        }
    }
    // Columns of rows that went to another class.
    keys.retain(|(_, rows)| *rows > 0);
    let mut demoted = HashSet::new();
    if keys.len() > COLUMNS_MAX {
        let mut by_rows: Vec<&(ColumnKey, usize)> = keys.iter().filter(|(key, _)| !is_canonical(&key.field)).collect();
        by_rows.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        demoted.extend(by_rows.into_iter().skip(COLUMNS_MAX).map(|(key, _)| key.clone()));
    }
    let kept = keys.into_iter().map(|(key, _)| key).filter(|key| !demoted.contains(key)).collect();
    (kept, demoted)
}

/// Arrays of nulls, shared by all columns that lack values.
struct Nulls {
    rows: usize,
    arrays: HashMap<Kind, ArrayRef>,
}

impl Nulls {
    fn of(&mut self, kind: Kind) -> ArrayRef {
        let array = self.arrays.entry(kind).or_insert_with(|| new_null_array(&kind.data_type(), self.rows));
        Arc::clone(array)
    }
}

/// The arrays of one block in the order of the common layout.
fn prepare(
    block: &Block,
    layout: &Layout,
    demoted: &HashSet<ColumnKey>,
    table: &mut ShapeTable,
    nulls: &mut Nulls,
) -> Result<Vec<ArrayRef>, ArrowError> {
    let (own, batch) = (block.layout(), block.batch());
    let mut arrays = Vec::with_capacity(layout.raw() + 1);
    arrays.push(Arc::clone(batch.column(0)));
    arrays.push(Arc::clone(batch.column(1)));
    for key in layout.keys() {
        arrays.push(match own.column(key) {
            Some(column) => Arc::clone(batch.column(column)),
            None => nulls.of(key.kind),
        });
    }
    let lost: Vec<(usize, &ColumnKey)> = own
        .keys()
        .iter()
        .enumerate()
        .filter(|(_, key)| demoted.contains(key))
        .map(|(i, key)| (i + FIELD_COLUMNS_AT, key))
        .collect();
    arrays.push(if lost.is_empty() { Arc::clone(batch.column(own.extra())) } else { with_extra(block, &lost) });
    let (shape, raw) = renumber(block, demoted, table)?;
    arrays.push(shape);
    arrays.push(raw);
    Ok(arrays)
}

/// The `_extra` column with the values of columns that found no place.
fn with_extra(block: &Block, lost: &[(usize, &ColumnKey)]) -> ArrayRef {
    let have = block.batch().column(block.layout().extra()).as_string::<i32>();
    let mut extra = StringBuilder::new();
    for row in 0..block.len() {
        let mut object = match have.is_valid(row).then(|| serde_json::from_str(have.value(row))) {
            Some(Ok(serde_json::Value::Object(object))) => object,
            _ => serde_json::Map::new(),
        };
        for (column, key) in lost {
            if let Some(value) = cell(block.batch().column(*column), key.kind, row) {
                object.insert(key.field.to_string(), json_of(value));
            }
        }
        extra.append_option((!object.is_empty()).then(|| serde_json::Value::Object(object).to_string()));
    }
    Arc::new(extra.finish())
}

/// The `_shape` and `_raw` columns under the common table. Lines whose skeleton finds no place are kept whole.
fn renumber(
    block: &Block,
    demoted: &HashSet<ColumnKey>,
    table: &mut ShapeTable,
) -> Result<(ArrayRef, ArrayRef), ArrowError> {
    let (shape, raw) = (block.batch().column(block.layout().shape()), block.batch().column(block.layout().raw()));
    let shape_values = shape.as_primitive::<UInt32Type>();
    let mut used = vec![false; block.shapes().len()];
    let mut mark = |id: u32| {
        if let Some(used) = used.get_mut(id as usize) {
            *used = true;
        }
    };
    match shape_values.null_count() {
        0 => shape_values.values().iter().for_each(|id| mark(*id)),
        _ => shape_values.iter().flatten().for_each(mark),
    }
    let number = |(skeleton, used): (&Arc<Skeleton>, &bool)| {
        let whole = *used && !skeleton.columns().any(|key| demoted.contains(key));
        if whole { table.intern(skeleton) } else { None }
    };
    let numbers: Vec<Option<u32>> = block.shapes().iter().zip(&used).map(number).collect();
    if used.iter().zip(&numbers).all(|(used, number)| !used || number.is_some()) {
        // Rows without a skeleton may have any number.
        let numbers: Vec<u32> = numbers.into_iter().map(Option::unwrap_or_default).collect();
        let renumbered: UInt32Array = shape_values.unary(|id| numbers.get(id as usize).copied().unwrap_or_default());
        return Ok((Arc::new(renumbered), Arc::clone(raw)));
    }
    let (mut new_shape, mut new_raw) = (UInt32Builder::new(), BinaryBuilder::new());
    for row in 0..block.len() {
        let number = shape_values.is_valid(row).then(|| numbers[shape_values.value(row) as usize]).flatten();
        new_shape.append_option(number);
        if number.is_some() {
            new_raw.append_null();
        } else {
            let lines = block.raw(&[row as u32]).unwrap_or_default();
            let line = lines.first().ok_or_else(|| ArrowError::InvalidArgumentError("a line is damaged".to_owned()))?;
            new_raw.append_value(line);
        }
    }
    debug_assert_eq!(raw.data_type(), &DataType::Binary);
    Ok((Arc::new(new_shape.finish()), Arc::new(new_raw.finish())))
}

/// All rows by `(time, seq)`.
fn order(blocks: &[Arc<Block>]) -> Vec<(u32, u32)> {
    let mut order = Vec::with_capacity(blocks.iter().map(|b| b.len()).sum());
    for together in overlapping(blocks) {
        if together.len() == 1 {
            let block = together.start;
            order.extend((0..blocks[block].len() as u32).map(|row| (block as u32, row)));
            continue;
        }
        let mut rows: Vec<(i64, u64, u32, u32)> =
            Vec::with_capacity(blocks[together.clone()].iter().map(|b| b.len()).sum());
        for i in together {
            let keys = blocks[i].times().iter().zip(blocks[i].seqs()).enumerate();
            rows.extend(keys.map(|(row, (time, seq))| (*time, *seq, i as u32, row as u32)));
        }
        // Runs that are in order already are what the stable sort is fast at.
        rows.sort();
        order.extend(rows.into_iter().map(|(_, _, block, row)| (block, row)));
    }
    order
}

/// Neighbours whose rows come between one another's, each with those that do; all rows of one range come before those of
/// the next. Mostly each block is alone: to sort its rows would take three times their place in the order.
fn overlapping(blocks: &[Arc<Block>]) -> Vec<Range<usize>> {
    let first = |block: &Block| Some((*block.times().first()?, *block.seqs().first()?));
    let last = |block: &Block| Some((*block.times().last()?, *block.seqs().last()?));
    // Before which row all those of a block and of the ones behind it do not come.
    let mut least = vec![(i64::MAX, u64::MAX); blocks.len() + 1];
    for (i, block) in blocks.iter().enumerate().rev() {
        least[i] = first(block).map_or(least[i + 1], |first| first.min(least[i + 1]));
    }
    let (mut ranges, mut from, mut greatest) = (Vec::new(), 0, None);
    for (i, block) in blocks.iter().enumerate() {
        greatest = greatest.max(last(block));
        if greatest <= Some(least[i + 1]) {
            ranges.push(from..i + 1);
            from = i + 1;
        }
    }
    ranges
}

/// Neighbours of one block.
struct Run {
    block: usize,
    from: usize,
    rows: usize,
}

fn runs(order: &[(u32, u32)]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for &(block, row) in order {
        let (block, row) = (block as usize, row as usize);
        match runs.last_mut() {
            Some(last) if last.block == block && last.from + last.rows == row => last.rows += 1,
            _ => runs.push(Run { block, from: row, rows: 1 }),
        }
    }
    runs
}

/// The rows of numbered columns under one list of values, each of which stands in it once. Columns that are not
/// numbered have no values.
fn renumber_texts<'a>(parts: impl Iterator<Item = (&'a Run, &'a ArrayRef)>) -> ArrayRef {
    /// In a table of numbers: not met yet.
    const UNKNOWN: u32 = u32::MAX;
    let mut texts = Numbering::default();
    // By the values of a source what their numbers are now.
    let mut tables: Vec<(&StringArray, Vec<u32>)> = Vec::new();
    for (run, array) in parts {
        let Some((keys, values)) = numbered(array) else {
            texts.append_nulls(run.rows);
            continue;
        };
        let known = tables.iter().position(|(known, _)| have_one_place(known, values));
        let known = known.unwrap_or_else(|| {
            tables.push((values, vec![UNKNOWN; values.len()]));
            tables.len() - 1
        });
        let table = &mut tables[known].1;
        for row in run.from..run.from + run.rows {
            if keys.is_null(row) {
                texts.append_nulls(1);
                continue;
            }
            let key = usize::from(keys.value(row));
            if table[key] == UNKNOWN {
                table[key] = u32::from(texts.number(values.value(key)));
            }
            texts.append_key(table[key] as u16);
        }
    }
    texts.finish()
}
