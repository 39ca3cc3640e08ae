//! Reading a split: the footer when it is opened, everything else when it is asked for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampNanosecondType, UInt32Type, UInt64Type};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use logweir_proto::record::field;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use self::ahead::Ahead;
use super::checked::{Lazy, Rows};
use super::columns::{ColumnAt, Columns};
use super::derived;
use super::footer::{Footer, Known, Section};
use super::foreign;
use super::gate::{Gate, stored};
use super::grams::Grams;
use super::hashes::{HashList, Needs, OPEN_BYTES};
use super::indexer::WORD_FIELDS;
use super::lexicon::Lexicon;
use super::lookup;
use super::pages::{Storage, Undecoded, plain};
use super::parted::Parted;
use super::tail::{TAIL_BYTES, Tail};
use super::tally::Tally;
use crate::store::block::{Block, BlockParts, Lines, pick};
use crate::store::column::{ColumnKey, FIELD_COLUMNS_AT};
use crate::store::head::check_rows;
use crate::store::objects::Objects;
use crate::store::receipts::{self, RECEIPT_BYTES, Receipts};
use crate::store::segment::{BLOCK_ROWS_MAX, Probe, Projection};
use crate::store::skeleton::{self, Skeleton};

mod ahead;
mod check;
mod part;
mod size;

/// The column of `seq`.
const SEQ_AT: usize = 1;

/// A split whose footer is in memory.
#[derive(Debug)]
pub struct OpenSplit {
    known: Known,
    rows: Arc<Rows>,
    ahead: Ahead,
    parquet: Lazy<ArrowReaderMetadata>,
    parquet_bytes: Bytes,
    columns: Arc<Columns>,
    /// Its own among the splits of `columns`.
    number: u64,
    lexicon: Lazy<Arc<Lexicon>>,
    hashes: Lazy<Arc<HashList>>,
    tally: Lazy<Tally>,
    grams: Lazy<Arc<BTreeMap<String, Grams>>>,
    shapes: Lazy<Arc<[Arc<Skeleton>]>>,
    receipts: Lazy<Arc<Receipts>>,
    derived: derived::Reading,
}

impl OpenSplit {
    /// Opens an object and checks its footer. Columns that are decoded are kept in `columns`.
    pub fn open(objects: &Objects, path: &str, columns: &Arc<Columns>) -> Result<OpenSplit, String> {
        let tail = Tail::read(objects, path)?;
        let parquet_bytes = tail.parquet()?;
        let footer = tail.section("footer", tail.trailer.footer)?;
        let footer = Footer::decode(&footer)?;
        let sums = footer.sections.sums;
        let layout = Arc::new(footer.layout());
        let rows = Arc::new(Rows::new(tail.into_parts(), footer.sections.rows_bytes, sums));
        Ok(OpenSplit {
            derived: derived::Reading::new(&footer.derived, &layout),
            known: Known { footer, layout },
            rows,
            ahead: Ahead::default(),
            parquet: Lazy::default(),
            parquet_bytes,
            columns: Arc::clone(columns),
            number: columns.split(),
            lexicon: Lazy::default(),
            hashes: Lazy::default(),
            tally: Lazy::default(),
            grams: Lazy::default(),
            shapes: Lazy::default(),
            receipts: Lazy::default(),
        })
    }

    pub fn known(&self) -> &Known {
        &self.known
    }

    /// What it may come to in memory when all of its parts are loaded, about.
    pub fn memory_bytes(&self) -> u64 {
        let Footer { sections, meta, blocks, .. } = &self.known.footer;
        let footer = TAIL_BYTES + blocks.len() as u64 * 512 + 4096;
        let parts = [sections.sums, sections.lexicon, sections.tally, sections.shapes];
        // Steady receive times are far smaller as they are stored. How many there are is known by what they are of.
        let records = meta.wal.1.saturating_sub(meta.wal.0).min(meta.rows);
        let receipts = if sections.receipts.bytes == 0 { 0 } else { records.saturating_mul(RECEIPT_BYTES) };
        // Of the hash list its table: one part in three hundred.
        footer
            + receipts
            + sections.hashes.bytes / 256
            + 5 * self.parquet_bytes.len() as u64
            + parts.iter().map(|section| section.bytes).sum::<u64>()
    }

    pub fn bytes_read(&self) -> u64 {
        self.rows.bytes_read()
    }

    /// See [`crate::store::segment::Segment::candidates`].
    pub fn candidates(&self, probe: &Probe) -> Result<Vec<bool>, String> {
        lookup::candidates(self, probe)
    }

    /// See [`crate::store::segment::Segment::word_rows`].
    pub fn word_rows(&self, word: &str) -> Result<Option<Vec<u32>>, String> {
        let Some(mut rows) = self.tally()?.rows(word).filter(|rows| rows.len() == self.known.footer.blocks.len())
        else {
            return Ok(None);
        };
        for block in &self.known.footer.scan_words {
            if let Some(rows) = rows.get_mut(*block as usize) {
                *rows = 0;
            }
        }
        Ok(Some(rows))
    }

    /// See [`crate::store::segment::Segment::read`].
    pub fn read(&self, block: usize, projection: &Projection, rows: Option<&[u32]>) -> Result<RecordBatch, String> {
        let stat = self.known.footer.blocks.get(block).ok_or_else(|| format!("there is no block {block}"))?;
        check_rows(rows, stat.rows as usize)?;
        let has_extra = self.known.footer.extra_blocks.binary_search(&(block as u32)).is_ok();
        let columns = self.known.layout.project(projection, has_extra);
        let (mut fields, mut arrays) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
        for column in columns {
            let array = self.column(block, column, stat.rows as usize)?;
            let field = &self.known.layout.schema().fields()[column];
            fields.push(match field.data_type() == array.data_type() {
                true => Arc::clone(field),
                false => Arc::new(Field::new(field.name(), array.data_type().clone(), field.is_nullable())),
            });
            arrays.push(array);
        }
        if receipts::is_wanted(projection) {
            let seqs = self.column(block, SEQ_AT, stat.rows as usize)?;
            arrays.push(self.receipts()?.column(seqs.as_primitive::<UInt64Type>().values()));
            fields.push(Arc::new(receipts::schema_field()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(stat.rows as usize));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
        let batch = batch.and_then(|batch| rows.map_or(Ok(batch.clone()), |rows| pick(&batch, rows)));
        batch.map_err(|error| format!("block {block}: {error}"))
    }

    /// See [`crate::store::segment::Segment::recall`].
    pub fn recall(&self, block: usize, question: u128) -> Option<ArrayRef> {
        self.columns.get(ColumnAt::answer(self.number, question, block))
    }

    /// See [`crate::store::segment::Segment::remember`].
    pub fn remember(&self, block: usize, question: u128, answer: &ArrayRef) {
        self.columns.insert(ColumnAt::answer(self.number, question, block), answer);
    }

    /// All rows of a column in a block.
    fn column(&self, block: usize, column: usize, rows: usize) -> Result<ArrayRef, String> {
        let at = ColumnAt::block(self.number, column, block);
        if let Some(array) = self.columns.get(at) {
            return Ok(array);
        }
        let damaged = |reason: String| format!("block {block}: {reason}");
        let array = match self.derived.message() {
            Some(message) if message == column => {
                self.message(block, rows, &|place| self.column(block, place, rows))?
            }
            _ => match self.decode(block, column, rows).map_err(damaged)? {
                Some(array) => array,
                None => Arc::clone(self.read_columns(block, &[column], None)?.column(0)),
            },
        };
        self.columns.insert(at, &array);
        Ok(array)
    }

    /// The messages of a block, put together from columns that `read` gives.
    fn message(
        &self,
        block: usize,
        rows: usize,
        read: &dyn Fn(usize) -> Result<ArrayRef, String>,
    ) -> Result<ArrayRef, String> {
        let damaged = || format!("block {block}: a message cannot be put together");
        let mut columns: Vec<(usize, ArrayRef)> = Vec::new();
        let stored = self.derived.message().map(|message| (message, self.derived.kept()));
        for (column, place) in stored.into_iter().chain([(self.derived.numbers(), self.derived.numbers())]) {
            let known = self.columns.get(ColumnAt::block(self.number, place, block));
            let array = known.map_or_else(|| self.decode(block, column, rows), |array| Ok(Some(array)))?;
            columns.push((column, array.ok_or_else(damaged)?));
        }
        for column in self.derived.parts() {
            columns.push((column, read(column)?));
        }
        let find = |place: usize| columns.iter().find(|(column, _)| *column == place).map(|(_, array)| array);
        self.derived.put_together(find).ok_or_else(damaged)
    }

    /// See [`crate::store::segment::Segment::parts`]; `None` as well when the messages are there already.
    pub fn parts(&self, block: usize) -> Result<Option<Parted<'_>>, String> {
        let Some(message) = self.derived.message() else { return Ok(None) };
        let has_extra = self.known.footer.extra_blocks.binary_search(&(block as u32)).is_ok();
        // Other types of messages are columns by themselves.
        let columns = self.known.layout.project(&Projection::Fields(vec![field::MESSAGE.to_owned()]), has_extra);
        let (Some(stat), true) = (self.known.footer.blocks.get(block), columns == [message]) else { return Ok(None) };
        if has_extra || self.columns.get(ColumnAt::block(self.number, message, block)).is_some() {
            return Ok(None);
        }
        let numbers = self.part(block, self.derived.numbers(), stat.rows as usize)?;
        Ok(Parted::new(self, block, &numbers))
    }

    /// A column that messages are made of, by its place for [`derived::Reading`].
    pub(super) fn part(&self, block: usize, place: usize, rows: usize) -> Result<ArrayRef, String> {
        let is_stored = [self.derived.kept(), self.derived.numbers()].contains(&place);
        if !is_stored {
            return self.column(block, place, rows);
        }
        let at = ColumnAt::block(self.number, place, block);
        if let Some(array) = self.columns.get(at) {
            return Ok(array);
        }
        let column = self.derived.message().filter(|_| place == self.derived.kept()).unwrap_or(place);
        let array = self.decode(block, column, rows)?;
        let array = array.ok_or_else(|| format!("block {block}: the parts of messages cannot be read"))?;
        self.columns.insert(at, &array);
        Ok(array)
    }

    pub(super) fn derived(&self) -> &derived::Reading {
        &self.derived
    }

    /// A column by its pages, as it is stored; `None` when only the `parquet` crate may know how.
    fn decode(&self, block: usize, column: usize, rows: usize) -> Result<Option<ArrayRef>, String> {
        let metadata = self.parquet()?;
        let metadata = metadata.metadata();
        let group_blocks = foreign::group_blocks(metadata);
        let group = block / group_blocks;
        let chunk = metadata.row_groups().get(group).and_then(|group| group.columns().get(column));
        let places = metadata.offset_index().and_then(|index| index.get(group)?.get(column));
        let (Some(chunk), Some(places)) = (chunk, places.map(|index| index.page_locations())) else { return Ok(None) };
        let first = ((block % group_blocks) * BLOCK_ROWS_MAX) as i64;
        let end = first + rows as i64;
        let from = places.partition_point(|place| place.first_row_index < first);
        let to = places.partition_point(|place| place.first_row_index < end);
        let (Some(places), next) = (places.get(from..to), places.get(to)) else { return Ok(None) };
        let begins = |row: i64| move |place: &PageLocation| place.first_row_index == row;
        let (Some(head), Some(tail)) = (places.first().filter(|place| begins(first)(place)), places.last()) else {
            return Ok(None);
        };
        if !next.is_none_or(begins(end)) {
            return Ok(None);
        }
        let storage = self.storage(chunk, column);
        let wanted = head.offset..tail.offset.saturating_add(i64::from(tail.compressed_page_size));
        let (from, len) = chunk.byte_range();
        let end = i64::try_from(from.saturating_add(len)).unwrap_or(i64::MAX);
        let bytes = self.pages_of((column, group), wanted, &(chunk.data_page_offset()..end))?;
        let page = |place: &PageLocation| {
            let from = usize::try_from(place.offset.checked_sub(head.offset)?).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(place.compressed_page_size).ok()?)?)
        };
        let pages: Vec<&[u8]> =
            places.iter().map(page).collect::<Option<_>>().ok_or("a page lies outside its column")?;
        let dictionary = match chunk.dictionary_page_offset() {
            Some(offset) => match self.dictionary(&storage, column, group, offset..chunk.data_page_offset())? {
                Some(dictionary) => Some(dictionary),
                None => return Ok(None),
            },
            None => None,
        };
        let array = known(storage.rows(&pages, dictionary.as_ref()))?;
        // Forged pages may hold fewer rows than their index says, and columns are read side by side.
        match array.as_ref().map(|array| array.len()) {
            Some(got) if got != rows => Err(format!("{got} rows came back for {rows}")),
            _ => Ok(array),
        }
    }

    fn storage(&self, chunk: &ColumnChunkMetaData, column: usize) -> Storage<'_> {
        let schema = self.known.layout.schema();
        Storage {
            data_type: schema.fields().get(column).map_or(&DataType::Int64, |field| field.data_type()),
            nullable: chunk.column_descr().max_def_level() > 0,
            compression: chunk.compression(),
        }
    }

    /// The values that the numbers of a column in a row group stand for.
    fn dictionary(
        &self,
        storage: &Storage<'_>,
        column: usize,
        group: usize,
        span: Range<i64>,
    ) -> Result<Option<ArrayRef>, String> {
        let at = ColumnAt::dictionary(self.number, column, group);
        if let Some(dictionary) = self.columns.get(at) {
            return Ok(Some(dictionary));
        }
        let dictionary = known(storage.dictionary(&self.rows.read_span(span.start, span.end)?))?;
        if let Some(dictionary) = &dictionary {
            self.columns.insert(at, dictionary);
        }
        Ok(dictionary)
    }

    /// See [`crate::store::segment::Segment::raw`].
    pub fn raw(&self, block: usize, rows: &[u32]) -> Result<Vec<Vec<u8>>, String> {
        let layout = &self.known.layout;
        let mut order: Vec<u32> = rows.to_vec();
        order.sort_unstable();
        order.dedup();
        let mut first = vec![0, layout.shape(), layout.raw()];
        first.extend(self.known.footer.foretold.iter().flat_map(|foretold| &foretold.columns));
        first.sort_unstable();
        first.dedup();
        let lines = self.read_columns(block, &first, Some(&order))?;
        let find = |place: usize| lines.columns().get(first.binary_search(&place).ok()?);
        let shape = self.shapes_of(block, find)?;
        let raw = find(layout.raw()).ok_or("a column is missing")?;
        let shapes = self.shapes()?;
        let mut needed = vec![0];
        for id in shape.as_primitive::<UInt32Type>().iter().flatten() {
            let skeleton = shapes.get(id as usize).ok_or("a line names a skeleton that is not there")?;
            needed.extend(skeleton.columns().filter_map(|key| layout.column(key)));
        }
        needed.sort_unstable();
        needed.dedup();
        let batch = self.read_columns(block, &needed, Some(&order))?;
        let find = |key: &ColumnKey| needed.binary_search(&layout.column(key)?).ok();
        let lines = Lines { batch: &batch, shape: &shape, raw, shapes: &shapes };
        let line = |row: &u32| lines.line(order.binary_search(row).ok()?, find);
        rows.iter().map(line).collect::<Option<_>>().ok_or_else(|| format!("block {block}: a line cannot be rebuilt"))
    }

    /// All rows with all columns, to be merged with others.
    pub fn to_blocks(&self) -> Result<Vec<Block>, String> {
        let Known { footer, layout } = &self.known;
        let has_column = |name: &str| layout.keys().iter().any(|key| &*key.field == name);
        let extra = footer.fields.iter().filter(|(name, _)| !has_column(name));
        let extra_fields: BTreeMap<_, _> = extra.map(|(name, stat)| (name.clone(), stat.clone())).collect();
        let (shapes, receipts) = (self.shapes()?, self.receipts()?);
        let mut blocks = Vec::with_capacity(footer.blocks.len());
        let (mut rows, mut raw_bytes) = (0u64, 0u64);
        for block in 0..footer.blocks.len() {
            let batch = self.whole(block)?;
            rows += batch.num_rows() as u64;
            // A block's share of the raw bytes is by its share of the rows; the shares add up.
            let until = u128::from(footer.meta.raw_bytes) * u128::from(rows) / u128::from(footer.meta.rows.max(1));
            let parts = BlockParts {
                layout: Arc::clone(layout),
                shapes: Arc::clone(&shapes),
                receipts: Arc::clone(&receipts),
                raw_bytes: until as u64 - raw_bytes,
                extra_fields: if block == 0 { extra_fields.clone() } else { BTreeMap::new() },
            };
            raw_bytes = until as u64;
            blocks.push(Block::new(parts, batch));
        }
        Ok(blocks)
    }

    /// All columns of a block as a block in memory has them. They are not kept: whoever wants them wants them once.
    pub fn whole(&self, block: usize) -> Result<RecordBatch, String> {
        let stat = self.known.footer.blocks.get(block).ok_or_else(|| format!("there is no block {block}"))?;
        let rows = stat.rows as usize;
        let keys = self.known.layout.keys();
        let may_be_numbered = |column: usize| {
            let key = column.checked_sub(FIELD_COLUMNS_AT).and_then(|at| keys.get(at));
            key.is_some_and(|key| !WORD_FIELDS.contains(&&*key.field))
        };
        let read = |column: usize| -> Result<ArrayRef, String> {
            match self.decode(block, column, rows).map_err(|error| format!("block {block}: {error}"))? {
                Some(array) if may_be_numbered(column) => Ok(array),
                Some(array) => plain(array).map_err(|_| format!("block {block}: a dictionary is damaged")),
                None => Ok(Arc::clone(self.read_columns(block, &[column], None)?.column(0))),
            }
        };
        let column = |column: usize| match self.derived.message() {
            Some(message) if message == column => self.message(block, rows, &read),
            _ => read(column),
        };
        let mut arrays = (0..=self.known.layout.raw()).map(column).collect::<Result<Vec<_>, _>>()?;
        arrays[self.known.layout.shape()] = self.shapes_of(block, |place| arrays.get(place))?;
        self.known.layout.batch(arrays).map_err(|error| format!("block {block}: {error}"))
    }

    /// The skeletons of some rows, from the columns that `find` finds by their places.
    fn shapes_of<'a>(&self, block: usize, find: impl Fn(usize) -> Option<&'a ArrayRef>) -> Result<ArrayRef, String> {
        let stored = find(self.known.layout.shape());
        let shapes = match &self.known.footer.foretold {
            Some(foretold) => stored.and_then(|stored| foretold.put_in(stored, find)),
            None => stored.cloned(),
        };
        shapes.ok_or_else(|| format!("block {block}: the skeletons of its lines are damaged"))
    }

    /// Some columns of some rows of a block, as the layout types them.
    fn read_columns(&self, block: usize, columns: &[usize], rows: Option<&[u32]>) -> Result<RecordBatch, String> {
        let stat = self.known.footer.blocks.get(block).ok_or_else(|| format!("there is no block {block}"))?;
        check_rows(rows, stat.rows as usize)?;
        let schema = Arc::new(self.known.layout.schema().project(columns).map_err(|error| error.to_string())?);
        if rows.is_some_and(<[u32]>::is_empty) {
            return Ok(RecordBatch::new_empty(schema));
        }
        let read = self.derived.columns(columns);
        let batch = self.parquet().and_then(|metadata| foreign::read(&self.rows, metadata, block, &read, rows));
        let batch = batch.map_err(|error| format!("block {block}: {error}"))?;
        let mut arrays = batch.columns().to_vec();
        if columns.first() == Some(&0) {
            let times = arrays[0].as_primitive_opt::<TimestampNanosecondType>();
            let times = times.ok_or_else(|| format!("block {block}: times are of another type"))?;
            let times = times.reinterpret_cast::<Int64Type>();
            arrays[0] = Arc::new(times);
        }
        let want = rows.map_or(stat.rows as usize, <[u32]>::len);
        if batch.num_rows() != want {
            return Err(format!("block {block}: {} rows came back for {want}", batch.num_rows()));
        }
        if read != columns {
            let find = |place: usize| read.binary_search(&place).ok().and_then(|at| arrays.get(at));
            let message = self.derived.put_together(find);
            let message = message.ok_or_else(|| format!("block {block}: a message cannot be put together"))?;
            let wanted = columns.iter().map(|column| match self.derived.message() {
                Some(place) if place == *column => Some(&message),
                _ => find(*column),
            });
            let wanted: Option<Vec<ArrayRef>> = wanted.map(Option::<&ArrayRef>::cloned).collect();
            arrays = wanted.ok_or_else(|| format!("block {block}: a column is missing"))?;
        }
        RecordBatch::try_new(schema, arrays).map_err(|error| format!("block {block}: {error}"))
    }

    fn parquet(&self) -> Result<ArrowReaderMetadata, String> {
        self.parquet.get(|| foreign::metadata(&self.parquet_bytes, &self.rows))
    }

    fn shapes(&self) -> Result<Arc<[Arc<Skeleton>]>, String> {
        self.shapes.get(|| {
            let bytes = self.section("shapes", self.known.footer.sections.shapes)?;
            Ok(skeleton::decode(&bytes).ok_or("the shapes section is damaged")?.into())
        })
    }

    pub(super) fn receipts(&self) -> Result<Arc<Receipts>, String> {
        self.receipts.get(|| {
            let section = self.known.footer.sections.receipts;
            let bytes = if section.bytes == 0 { Bytes::new() } else { self.section("receipts", section)? };
            Ok(Arc::new(Receipts::decode(&bytes).ok_or("the receipts section is damaged")?))
        })
    }

    fn section(&self, name: &str, section: Section) -> Result<Bytes, String> {
        self.rows.section(name, section)
    }

    fn lexicon(&self) -> Result<Arc<Lexicon>, String> {
        self.lexicon.get(|| {
            let bytes = self.section("lexicon", self.known.footer.sections.lexicon)?;
            Lexicon::open(&bytes).map(Arc::new).map_err(|error| error.to_string())
        })
    }

    fn tally(&self) -> Result<Tally, String> {
        self.tally.get(|| {
            let section = self.known.footer.sections.tally;
            let bytes = if section.bytes == 0 { Bytes::new() } else { self.section("tally", section)? };
            Tally::open(bytes).ok_or_else(|| "the tally section is damaged".to_owned())
        })
    }

    fn hashes(&self) -> Result<Arc<HashList>, String> {
        let section = self.known.footer.sections.hashes;
        let damaged = || "the hashes section is damaged".to_owned();
        self.hashes.get(|| {
            let gate = self.known.footer.sections.gate;
            // What is read to open the list stands there, too, and was read with the footer.
            if gate.bytes > stored::END_BYTES
                && let Ok(Some(read)) = self.section("gate", gate).and_then(|gate| stored::decode(&gate))
            {
                return Ok(Arc::new(read.hashes));
            }
            let first = self.rows.piece(section, 0..OPEN_BYTES.min(section.bytes))?;
            let bytes = match HashList::needs(&first).ok_or_else(damaged)? {
                Needs::All => self.section("hashes", section)?,
                Needs::Bytes(bytes) if bytes > first.len() as u64 => self.rows.piece(section, 0..bytes)?,
                Needs::Bytes(_) => first,
            };
            HashList::open(bytes, section.bytes).map(Arc::new).ok_or_else(damaged)
        })
    }

    /// What is kept of it when it is open no more, where it does not store that itself.
    pub fn gate(&self) -> Result<Gate, String> {
        let terms = self.lexicon()?.filter().map_err(|error| error.to_string())?;
        Ok(Gate::new(&self.known.footer, terms, (*self.hashes()?).clone(), Arc::clone(self.rows.object())))
    }
}

impl lookup::Indexes for OpenSplit {
    fn footer(&self) -> &Footer {
        &self.known.footer
    }

    fn find_term(&self, term: &[u8], flags: &mut [bool]) -> Result<(), String> {
        self.lexicon()?.find(term, flags).map_err(|error| error.to_string())
    }

    fn find_prefix(&self, prefix: &[u8], flags: &mut [bool]) -> Result<(), String> {
        self.lexicon()?.find_prefix(prefix, flags).map_err(|error| error.to_string())
    }

    fn find_hash(&self, term: &[u8], flags: &mut [bool]) -> Result<(), String> {
        let section = self.known.footer.sections.hashes;
        let found = self.hashes()?.find(term, flags, |span| self.rows.piece(section, span))?;
        found.ok_or_else(|| "the hashes section is damaged".to_owned())
    }

    fn find_part(&self, field: &str, part: &[u8], flags: &mut [bool]) -> Result<bool, String> {
        self.blocks_with(field, part, flags)
    }
}

/// What of a page was decoded; `None` when the `parquet` crate is to try.
fn known(decoded: Result<ArrayRef, Undecoded>) -> Result<Option<ArrayRef>, String> {
    match decoded {
        Ok(array) => Ok(Some(array)),
        Err(Undecoded::Unknown) => Ok(None),
        Err(Undecoded::Damaged) => Err("a page is damaged".to_owned()),
    }
}
