//! The values of HDF5 datasets: stored whole, or in chunks that are put together.

use std::io::Read;

use crate::error::ImportError;
use crate::hdf5::format::{Cursor, Dataset, File, Layout, MAX_VALUES, UNDEFINED};
use crate::write::Array;

impl<'a> File<'a> {
    pub(super) fn values(
        &mut self,
        path: &str,
        dataset: Dataset<'a>,
    ) -> Result<Array, ImportError> {
        let shape = dataset
            .shape
            .ok_or_else(|| self.malformed(format!("the dataset {path} has no shape")))?;
        let element_bytes = dataset.element_bytes.unwrap_or(4);
        let n_values = shape
            .iter()
            .try_fold(1_u64, |n, extent| n.checked_mul(*extent));
        let Some(n_values) = n_values.filter(|n| *n <= MAX_VALUES) else {
            let reason =
                format!("the dataset {path} has shape {shape:?}, more than {MAX_VALUES} values");
            return Err(ImportError::limit(self.what, reason));
        };
        let wanted = n_values as usize * element_bytes;
        let what = self.what;
        let lacking =
            || ImportError::malformed(what, format!("the values of {path} are not all there"));
        let bytes: std::borrow::Cow<'_, [u8]> = match dataset.layout {
            Some(Layout::Compact(bytes)) => bytes.into(),
            Some(Layout::Contiguous { address, n_bytes }) if address != UNDEFINED => {
                let mut cursor = self.at(address)?;
                let n = usize::try_from(n_bytes).map_err(|_| lacking())?;
                cursor.take(n).ok_or_else(lacking)?.into()
            }
            Some(Layout::Chunked { address, chunk }) if address != UNDEFINED => self
                .chunks(
                    path,
                    &shape,
                    (&chunk, address),
                    element_bytes,
                    &dataset.filters,
                )?
                .into(),
            _ => return Err(lacking()),
        };
        if bytes.len() < wanted {
            return Err(lacking());
        }
        let values = match element_bytes {
            4 => bytes[..wanted]
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
            _ => bytes[..wanted]
                .chunks_exact(8)
                .map(|b| {
                    f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32
                })
                .collect(),
        };
        let shape = shape.iter().map(|n| *n as usize).collect();
        Ok(Array { shape, values })
    }

    /// Puts a dataset together from its chunks.
    fn chunks(
        &mut self,
        path: &str,
        shape: &[u64],
        (chunk, address): (&[u64], u64),
        element_bytes: usize,
        filters: &[u16],
    ) -> Result<Vec<u8>, ImportError> {
        let lacking = format!("the values of {path} are not all there");
        let n_chunk = chunk
            .iter()
            .try_fold(element_bytes as u64, |n, extent| n.checked_mul(*extent));
        let n_chunk = n_chunk.filter(|n| *n > 0 && *n <= 8 * MAX_VALUES);
        let (Some(n_chunk), true) = (n_chunk, chunk.len() == shape.len()) else {
            return Err(self.malformed(format!("the chunks of {path} do not fit it")));
        };
        let leaves = self.leaves(address, 1, 8 + 8 * (shape.len() + 1))?;
        let grid = shape
            .iter()
            .zip(chunk)
            .map(|(n, c)| n.div_ceil(*c))
            .product::<u64>();
        if (leaves.len() as u64) < grid {
            return Err(self.malformed(lacking));
        }
        // Every chunk's bytes are there, or unpack to no more than a chunk has.
        let mut stored = Vec::new();
        for leaf in &leaves {
            let mut key = Cursor { rest: leaf.key };
            let cut = || self.cut();
            let n = key.number(4).ok_or_else(cut)? as usize;
            let mask = key.number(4).ok_or_else(cut)?;
            let offset: Option<Vec<u64>> = (0..shape.len()).map(|_| key.number(8)).collect();
            let raw = self.at(leaf.child)?.take(n).ok_or_else(cut)?;
            let bytes = self.unfiltered(path, raw, (filters, mask), n_chunk, element_bytes)?;
            stored.push((offset.ok_or_else(cut)?, bytes));
        }
        let total = shape.iter().product::<u64>() as usize * element_bytes;
        let mut made = vec![0; total];
        for (offset, bytes) in &stored {
            if place_chunk(&mut made, shape, (chunk, offset), bytes, element_bytes).is_none() {
                return Err(self.malformed(lacking));
            }
        }
        Ok(made)
    }

    /// A chunk as it was before its filters.
    fn unfiltered(
        &self,
        path: &str,
        raw: &[u8],
        (filters, mask): (&[u16], u64),
        n_chunk: u64,
        element_bytes: usize,
    ) -> Result<Vec<u8>, ImportError> {
        let mut bytes = raw.to_vec();
        for (n, filter) in filters.iter().enumerate().rev() {
            if mask >> n & 1 == 1 {
                continue;
            }
            match filter {
                1 => {
                    let mut unpacked = Vec::new();
                    // A checksum of another filter may follow the values.
                    let read = flate2::read::ZlibDecoder::new(bytes.as_slice())
                        .take(n_chunk + 4)
                        .read_to_end(&mut unpacked);
                    read.map_err(|error| self.malformed(format!("a chunk of {path}: {error}")))?;
                    bytes = unpacked;
                }
                2 => bytes = unshuffled(&bytes, element_bytes),
                3 => {
                    let without = bytes.len().saturating_sub(4);
                    bytes.truncate(without);
                }
                other => {
                    let reason = format!(
                        "{path} is packed by filter {other}; deflate and shuffle are supported"
                    );
                    return Err(self.unsupported(reason));
                }
            }
        }
        if (bytes.len() as u64) < n_chunk {
            return Err(self.malformed(format!("a chunk of {path} is too short")));
        }
        Ok(bytes)
    }
}

/// First all first bytes, then all second ones: back to whole elements.
fn unshuffled(bytes: &[u8], element_bytes: usize) -> Vec<u8> {
    let n = bytes.len() / element_bytes;
    let mut made = bytes.to_vec();
    for (e, element) in made.chunks_exact_mut(element_bytes).enumerate() {
        for (b, byte) in element.iter_mut().enumerate() {
            *byte = bytes[b * n + e];
        }
    }
    made
}

/// Copies a chunk, row by row, to its place; what reaches beyond the dataset is left out.
fn place_chunk(
    made: &mut [u8],
    shape: &[u64],
    (chunk, offset): (&[u64], &[u64]),
    bytes: &[u8],
    element_bytes: usize,
) -> Option<()> {
    let last = shape.len().checked_sub(1)?;
    let n_rows = chunk[..last].iter().product::<u64>();
    let length = chunk[last].min(shape[last].checked_sub(offset[last])?) as usize * element_bytes;
    'rows: for row in 0..n_rows {
        let mut left = row;
        let (mut to, mut stride) = (0_u64, 1_u64);
        for axis in (0..=last).rev() {
            let within = if axis == last {
                0
            } else {
                let within = left % chunk[axis];
                left /= chunk[axis];
                within
            };
            let index = offset[axis].checked_add(within)?;
            if index >= shape[axis] {
                continue 'rows;
            }
            to += index * stride;
            stride *= shape[axis];
        }
        let from = row as usize * chunk[last] as usize * element_bytes;
        let to = to as usize * element_bytes;
        made.get_mut(to..to + length)?
            .copy_from_slice(bytes.get(from..from + length)?);
    }
    Some(())
}
