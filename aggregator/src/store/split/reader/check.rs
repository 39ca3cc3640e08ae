//! What a check of the whole store asks of a split beyond what a search does.

use arrow::array::AsArray;
use arrow::datatypes::UInt64Type;

use super::OpenSplit;
use crate::store::split::footer::Section;
use crate::store::split::gate::stored;
use crate::store::split::hashes::HashList;

/// Bytes of the rows section that are read at once.
const PIECE_BYTES: u64 = 4 << 20;

impl OpenSplit {
    /// What is wrong with its sections besides the rows.
    pub fn check_sections(&self) -> Vec<String> {
        let parts = [
            self.lexicon().map(drop),
            self.check_hashes(),
            self.tally().map(drop),
            self.check_gate(),
            self.shapes().map(drop),
            self.receipts().map(drop),
            self.parquet().map(drop).map_err(|error| format!("Parquet metadata: {error}")),
        ];
        parts.into_iter().filter_map(Result::err).collect()
    }

    /// The whole list, of which a look-up reads a page.
    fn check_hashes(&self) -> Result<(), String> {
        let section = self.known.footer.sections.hashes;
        let list = HashList::open(self.section("hashes", section)?, section.bytes);
        list.map(drop).ok_or_else(|| "the hashes section is damaged".to_owned())
    }

    fn check_gate(&self) -> Result<(), String> {
        match self.known.footer.sections.gate {
            Section { bytes: 0, .. } => Ok(()),
            section => stored::decode(&self.section("gate", section)?).map(drop),
        }
    }

    /// Reads every byte of the rows and checks it.
    pub fn check_rows(&self) -> Result<(), String> {
        let end = self.known.footer.sections.rows_bytes;
        let mut at = 0;
        while at < end {
            let bytes = PIECE_BYTES.min(end - at);
            self.rows.read(at, bytes as usize)?;
            at += bytes;
        }
        Ok(())
    }

    /// The `seq` of each row of a block.
    pub fn seqs(&self, block: usize) -> Result<Vec<u64>, String> {
        let batch = self.read_columns(block, &[1], None)?;
        Ok(batch.column(0).as_primitive::<UInt64Type>().values().to_vec())
    }
}
