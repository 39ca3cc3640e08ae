//! Entries of the lists that are no longer written.

use logweir_proto::varint;

use super::Packed;
use crate::store::split::bits::{BitReader, rice_parameter};

/// Bits of the number of a block.
pub(super) fn number_bits(blocks: u64) -> u32 {
    blocks.saturating_sub(1).checked_ilog2().map_or(0, |bits| bits + 1)
}

/// The Rice parameter of the gaps between so many blocks.
fn gap_parameter(count: u64, blocks: u64) -> u32 {
    rice_parameter(blocks / count.max(1))
}

/// [`Packed::find`] in the second, third and fourth form.
pub(super) fn find(
    packed: &Packed,
    input: &mut BitReader<'_>,
    count: usize,
    want: u64,
    flags: &mut [bool],
) -> Option<()> {
    let mut at = 0u64;
    for _ in 0..count {
        at = at.checked_add(input.take_rice(packed.delta_k)?)?;
        if at > want {
            break;
        }
        let found = at == want;
        let mut flag = |block: u64| {
            if found {
                *flags.get_mut(usize::try_from(block).ok()?)? = true;
            }
            Some(())
        };
        if input.take(1)? == 1 {
            flag(input.take(number_bits(packed.blocks))?)?;
        } else if input.take(1)? == 1 {
            for block in 0..packed.blocks {
                if input.take(1)? == 1 {
                    flag(block)?;
                }
            }
        } else {
            let blocks = input.take_gamma()?.checked_add(1)?;
            let k = gap_parameter(blocks, packed.blocks);
            let mut next = 0u64;
            for _ in 0..blocks {
                let block = next.checked_add(input.take_rice(k)?)?;
                flag(block)?;
                next = block.checked_add(1)?;
            }
        }
        if found {
            break;
        }
    }
    Some(())
}

/// [`Packed::find`] in a list of version 1.
pub(super) fn find_bytes(mut input: &[u8], count: usize, want: u64, flags: &mut [bool]) -> Option<()> {
    let mut at = 0u64;
    for _ in 0..count {
        let head = varint::take(&mut input)?;
        at = at.checked_add(head >> 1)?;
        let blocks = if head & 1 == 1 { varint::take(&mut input)? } else { 1 };
        let mut block = 0u64;
        for _ in 0..blocks {
            block = block.checked_add(varint::take(&mut input)?)?;
            if at == want {
                *flags.get_mut(usize::try_from(block).ok()?)? = true;
            }
        }
        if at >= want {
            break;
        }
    }
    Some(())
}
