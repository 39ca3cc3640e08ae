//! How large columns are in storage, as the metadata of the rows says: no row is read.

use super::OpenSplit;
use crate::store::segment::Projection;
use crate::store::split::foreign;

impl OpenSplit {
    /// See [`crate::store::segment::Segment::stored_bytes`]: the share that the block has in the columns of its row group.
    pub fn stored_bytes(&self, block: usize, projection: &Projection) -> Result<u64, String> {
        let metadata = self.parquet()?;
        let metadata = metadata.metadata();
        let stat = self.known.footer.blocks.get(block);
        let group = metadata.row_groups().get(block / foreign::group_blocks(metadata));
        let (Some(stat), Some(group)) = (stat, group) else { return Err(format!("there is no block {block}")) };
        let has_extra = self.known.footer.extra_blocks.binary_search(&(block as u32)).is_ok();
        let columns = self.derived.columns(&self.known.layout.project(projection, has_extra));
        let chunks = columns.iter().filter_map(|column| group.columns().get(*column));
        let bytes: u64 = chunks.map(|chunk| chunk.byte_range().1).sum();
        let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        Ok((u128::from(bytes) * u128::from(stat.rows) / u128::from(rows)) as u64)
    }
}
