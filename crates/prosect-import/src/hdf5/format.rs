//! HDF5 as h5py writes it by default, read without the library: superblock 0 to 3, groups by symbol
//! tables, object headers 1 and 2, datasets of f32 and f64 stored whole or in chunks, the latter
//! perhaps deflated and shuffled. Attributes are left aside. (HDF5 File Format Specification 3.0.)
//!
//! Nothing is allocated by a length that the file declares without the bytes being there, and a
//! file that points in circles ends at a limit.

use std::collections::BTreeMap;

use crate::error::ImportError;
use crate::write::Array;

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// An address that says that nothing was stored.
pub(super) const UNDEFINED: u64 = u64::MAX;
/// Objects, nodes of trees and messages that are looked at in one file.
const MAX_STEPS: usize = 200_000;
const MAX_DEPTH: usize = 32;
const MAX_RANK: usize = 16;
/// Values of one dataset: 1 GB of f32.
pub(super) const MAX_VALUES: u64 = 1 << 28;

/// Whether bytes begin as an HDF5 file does.
pub(super) fn is_hdf5(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// Every dataset of numbers by its path, such as `conv3d_1/conv3d_1/kernel:0`.
pub(super) fn read(what: &str, bytes: &[u8]) -> Result<BTreeMap<String, Array>, ImportError> {
    let mut file = File {
        what,
        bytes,
        steps: 0,
        arrays: BTreeMap::new(),
    };
    let root = file.superblock()?;
    file.object(root, "", 0)?;
    Ok(file.arrays)
}

pub(super) struct File<'a> {
    pub(super) what: &'a str,
    bytes: &'a [u8],
    steps: usize,
    arrays: BTreeMap<String, Array>,
}

/// A message of an object header.
pub(super) struct Message<'a> {
    kind: u16,
    data: &'a [u8],
}

/// How a dataset's values are stored.
pub(super) enum Layout<'a> {
    Compact(&'a [u8]),
    Contiguous { address: u64, n_bytes: u64 },
    Chunked { address: u64, chunk: Vec<u64> },
}

/// What a dataset is before its values are read.
#[derive(Default)]
pub(super) struct Dataset<'a> {
    pub(super) shape: Option<Vec<u64>>,
    pub(super) element_bytes: Option<usize>,
    pub(super) layout: Option<Layout<'a>>,
    pub(super) filters: Vec<u16>,
}

/// Reads numbers one after the other, little-endian.
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn number(&mut self, n_bytes: usize) -> Option<u64> {
        let taken = self.take(n_bytes)?;
        Some(
            taken
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.number(2).map(|n| n as u16)
    }
}

impl<'a> File<'a> {
    pub(super) fn malformed(&self, reason: impl Into<String>) -> ImportError {
        ImportError::malformed(self.what, reason)
    }

    pub(super) fn unsupported(&self, reason: impl Into<String>) -> ImportError {
        ImportError::unsupported(self.what, reason)
    }

    pub(super) fn cut(&self) -> ImportError {
        self.malformed("it ends within a record, or a record points beyond its end")
    }

    fn step(&mut self) -> Result<(), ImportError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            let reason = format!("it has more than {MAX_STEPS} records");
            return Err(ImportError::limit(self.what, reason));
        }
        Ok(())
    }

    pub(super) fn at(&self, address: u64) -> Result<Cursor<'a>, ImportError> {
        let start = usize::try_from(address)
            .ok()
            .and_then(|a| self.bytes.get(a..));
        start.map(|rest| Cursor { rest }).ok_or_else(|| self.cut())
    }

    /// The address of the root group's object header.
    fn superblock(&self) -> Result<u64, ImportError> {
        let mut cursor = self.at(SIGNATURE.len() as u64)?;
        let cut = || self.cut();
        let version = cursor.u8().ok_or_else(cut)?;
        let sizes = match version {
            0 | 1 => {
                cursor.take(4).ok_or_else(cut)?;
                let sizes = [cursor.u8().ok_or_else(cut)?, cursor.u8().ok_or_else(cut)?];
                cursor
                    .take(if version == 0 { 9 } else { 13 })
                    .ok_or_else(cut)?;
                // Base address, free space, end of file, driver; then the root's link name.
                cursor.take(5 * 8).ok_or_else(cut)?;
                sizes
            }
            2 | 3 => {
                let sizes = [cursor.u8().ok_or_else(cut)?, cursor.u8().ok_or_else(cut)?];
                cursor.take(1 + 3 * 8).ok_or_else(cut)?;
                sizes
            }
            other => return Err(self.unsupported(format!("its superblock has version {other}"))),
        };
        if sizes != [8, 8] {
            return Err(self.unsupported(format!("its addresses have {} bytes, not 8", sizes[0])));
        }
        cursor.number(8).ok_or_else(cut)
    }

    /// A group is entered, a dataset read.
    fn object(&mut self, address: u64, path: &str, depth: usize) -> Result<(), ImportError> {
        self.step()?;
        if depth > MAX_DEPTH {
            let reason = format!("its groups lie deeper than {MAX_DEPTH}");
            return Err(ImportError::limit(self.what, reason));
        }
        let messages = self.messages(address)?;
        let mut dataset = Dataset::default();
        for message in &messages {
            let mut cursor = Cursor { rest: message.data };
            match message.kind {
                0x11 => {
                    let tree = cursor.number(8).ok_or_else(|| self.cut())?;
                    let heap = cursor.number(8).ok_or_else(|| self.cut())?;
                    let heap = self.heap(heap)?;
                    self.group(tree, heap, path, depth)?;
                }
                0x06 | 0x02 if !path.is_empty() || message.kind == 0x06 => {
                    return Err(self.unsupported(
                        "its groups are of the new style; save it with libver=\"earliest\"",
                    ));
                }
                0x01 => dataset.shape = Some(self.dataspace(&mut cursor)?),
                0x03 => dataset.element_bytes = self.datatype(&mut cursor, path)?,
                0x08 => dataset.layout = Some(self.layout(cursor)?),
                0x0B => dataset.filters = self.filters(&mut cursor)?,
                _ => {}
            }
        }
        if dataset.layout.is_some() && dataset.element_bytes.is_some() {
            let array = self.values(path, dataset)?;
            self.arrays.insert(path.to_owned(), array);
        }
        Ok(())
    }

    /// All messages of an object header, continuations included.
    fn messages(&mut self, address: u64) -> Result<Vec<Message<'a>>, ImportError> {
        let mut cursor = self.at(address)?;
        let is_second = cursor.rest.starts_with(b"OHDR");
        let (mut blocks, has_order) = if is_second {
            self.second_header(&mut cursor)?
        } else {
            let cut = || self.cut();
            if cursor.u8().ok_or_else(cut)? != 1 {
                return Err(self.malformed("an address of an object leads to none"));
            }
            cursor.take(7).ok_or_else(cut)?;
            let n = cursor.number(4).ok_or_else(cut)? as usize;
            cursor.take(4).ok_or_else(cut)?;
            (vec![cursor.take(n).ok_or_else(cut)?], false)
        };
        let mut messages = Vec::new();
        let mut next = 0;
        while next < blocks.len() {
            let mut block = Cursor { rest: blocks[next] };
            next += 1;
            let head = match (is_second, has_order) {
                (false, _) => 8,
                (true, false) => 4,
                (true, true) => 6,
            };
            while block.rest.len() >= head {
                self.step()?;
                let cut = || self.cut();
                let (kind, n) = if is_second {
                    let kind = u16::from(block.u8().ok_or_else(cut)?);
                    let n = block.u16().ok_or_else(cut)?;
                    block.take(head - 3).ok_or_else(cut)?;
                    (kind, n)
                } else {
                    let kind = block.u16().ok_or_else(cut)?;
                    let n = block.u16().ok_or_else(cut)?;
                    block.take(4).ok_or_else(cut)?;
                    (kind, n)
                };
                let data = block.take(usize::from(n)).ok_or_else(cut)?;
                if kind == 0x10 {
                    let mut cursor = Cursor { rest: data };
                    let place = (cursor.number(8), cursor.number(8));
                    let (Some(address), Some(n)) = place else {
                        return Err(self.cut());
                    };
                    let mut block = self.at(address)?;
                    let block = usize::try_from(n)
                        .ok()
                        .and_then(|n| block.take(n))
                        .ok_or_else(cut)?;
                    // A second header's continuation has a signature before and a checksum behind.
                    let inner = if is_second {
                        block
                            .get(4..block.len().saturating_sub(4))
                            .ok_or_else(cut)?
                    } else {
                        block
                    };
                    blocks.push(inner);
                } else {
                    messages.push(Message { kind, data });
                }
            }
        }
        Ok(messages)
    }

    /// The first block of messages, and whether each message carries its creation order.
    fn second_header(&self, cursor: &mut Cursor<'a>) -> Result<(Vec<&'a [u8]>, bool), ImportError> {
        let cut = || self.cut();
        cursor.take(4).ok_or_else(cut)?;
        if cursor.u8().ok_or_else(cut)? != 2 {
            return Err(self.unsupported("an object header has an unknown version"));
        }
        let flags = cursor.u8().ok_or_else(cut)?;
        let times = if flags & 0x20 == 0 { 0 } else { 16 };
        let phases = if flags & 0x10 == 0 { 0 } else { 4 };
        cursor.take(times + phases).ok_or_else(cut)?;
        let n = cursor.number(1 << (flags & 3)).ok_or_else(cut)?;
        let block = usize::try_from(n)
            .ok()
            .and_then(|n| cursor.take(n))
            .ok_or_else(cut)?;
        Ok((vec![block], flags & 0x04 != 0))
    }

    /// The names of a group's members.
    fn heap(&self, address: u64) -> Result<&'a [u8], ImportError> {
        let mut cursor = self.at(address)?;
        let cut = || self.cut();
        if cursor.take(4).ok_or_else(cut)? != b"HEAP" {
            return Err(self.malformed("a group's names are not where they should be"));
        }
        cursor.take(4).ok_or_else(cut)?;
        let n = cursor.number(8).ok_or_else(cut)?;
        cursor.take(8).ok_or_else(cut)?;
        let mut data = self.at(cursor.number(8).ok_or_else(cut)?)?;
        usize::try_from(n)
            .ok()
            .and_then(|n| data.take(n))
            .ok_or_else(cut)
    }

    /// Enters every member that a group's tree names.
    fn group(
        &mut self,
        tree: u64,
        heap: &[u8],
        path: &str,
        depth: usize,
    ) -> Result<(), ImportError> {
        for node in self.leaves(tree, 0, 8)? {
            self.step()?;
            let mut cursor = self.at(node.child)?;
            let cut = self.cut();
            let head = (cursor.take(4), cursor.take(2), cursor.u16());
            let (Some(b"SNOD"), Some(_), Some(n)) = head else {
                return Err(cut);
            };
            for _ in 0..n {
                let (Some(name), Some(object)) = (cursor.number(8), cursor.number(8)) else {
                    return Err(cut);
                };
                cursor.take(24).ok_or_else(|| self.cut())?;
                let name = usize::try_from(name).ok().and_then(|at| heap.get(at..));
                let name = name.and_then(|rest| rest.split(|b| *b == 0).next());
                let name = name.and_then(|bytes| std::str::from_utf8(bytes).ok());
                let Some(name) = name.filter(|n| !n.is_empty()) else {
                    return Err(self.malformed("a member of a group has no name"));
                };
                let path = if path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{path}/{name}")
                };
                self.object(object, &path, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The children of the lowest nodes of a tree, with their keys of `key_bytes`.
    pub(super) fn leaves(
        &mut self,
        root: u64,
        kind: u8,
        key_bytes: usize,
    ) -> Result<Vec<Leaf<'a>>, ImportError> {
        let mut leaves = Vec::new();
        let mut open = vec![(root, MAX_DEPTH)];
        while let Some((address, depth)) = open.pop() {
            self.step()?;
            let mut cursor = self.at(address)?;
            let head = (
                cursor.take(4),
                cursor.u8(),
                cursor.u8(),
                cursor.u16(),
                cursor.take(16),
            );
            let (Some(b"TREE"), Some(found), Some(level), Some(n), Some(_)) = head else {
                return Err(self.malformed("a tree of records is broken"));
            };
            if found != kind || depth == 0 {
                return Err(self.malformed("a tree of records is of another kind or without end"));
            }
            for _ in 0..n {
                let (Some(key), Some(child)) = (cursor.take(key_bytes), cursor.number(8)) else {
                    return Err(self.cut());
                };
                if level == 0 {
                    self.step()?;
                    leaves.push(Leaf { key, child });
                } else {
                    open.push((child, depth - 1));
                }
            }
        }
        Ok(leaves)
    }

    fn dataspace(&self, cursor: &mut Cursor<'_>) -> Result<Vec<u64>, ImportError> {
        let cut = || self.cut();
        let version = cursor.u8().ok_or_else(cut)?;
        let rank = usize::from(cursor.u8().ok_or_else(cut)?);
        cursor
            .take(if version == 1 { 6 } else { 2 })
            .ok_or_else(cut)?;
        if rank > MAX_RANK || !(1..=2).contains(&version) {
            return Err(self.unsupported(format!("a dataset has {rank} axes")));
        }
        (0..rank)
            .map(|_| cursor.number(8).ok_or_else(cut))
            .collect()
    }

    /// Bytes of an element; `None` for what is no number of floating point, which is left aside.
    fn datatype(&self, cursor: &mut Cursor<'_>, path: &str) -> Result<Option<usize>, ImportError> {
        let cut = || self.cut();
        let class = cursor.u8().ok_or_else(cut)? & 0x0F;
        let bits = cursor.take(3).ok_or_else(cut)?;
        let n_bytes = cursor.number(4).ok_or_else(cut)?;
        if class != 1 {
            return Ok(None);
        }
        let is_big_endian = bits[0] & 0x41 != 0;
        match n_bytes {
            4 | 8 if !is_big_endian => Ok(Some(n_bytes as usize)),
            _ => Err(self.unsupported(format!(
                "the dataset {path} has elements of {n_bytes} bytes or of foreign order; float32 and float64, little-endian, are supported"
            ))),
        }
    }

    fn layout(&self, mut cursor: Cursor<'a>) -> Result<Layout<'a>, ImportError> {
        let cut = || self.cut();
        let version = cursor.u8().ok_or_else(cut)?;
        if version != 3 {
            return Err(self.unsupported(format!(
                "a dataset's layout has version {version}; 3 is supported"
            )));
        }
        match cursor.u8().ok_or_else(cut)? {
            0 => {
                let n = usize::from(cursor.u16().ok_or_else(cut)?);
                cursor.take(n).map(Layout::Compact).ok_or_else(cut)
            }
            1 => {
                let address = cursor.number(8).ok_or_else(cut)?;
                let n_bytes = cursor.number(8).ok_or_else(cut)?;
                Ok(Layout::Contiguous { address, n_bytes })
            }
            2 => {
                let rank = usize::from(cursor.u8().ok_or_else(cut)?);
                let address = cursor.number(8).ok_or_else(cut)?;
                let chunk: Option<Vec<u64>> = (0..rank.min(MAX_RANK + 1))
                    .map(|_| cursor.number(4))
                    .collect();
                let mut chunk = chunk.ok_or_else(cut)?;
                // The last one is the element's size.
                chunk.pop();
                Ok(Layout::Chunked { address, chunk })
            }
            other => Err(self.unsupported(format!("a dataset's layout is of class {other}"))),
        }
    }

    fn filters(&self, cursor: &mut Cursor<'_>) -> Result<Vec<u16>, ImportError> {
        let cut = || self.cut();
        let version = cursor.u8().ok_or_else(cut)?;
        let n = cursor.u8().ok_or_else(cut)?;
        if version == 1 {
            cursor.take(6).ok_or_else(cut)?;
        }
        let mut filters = Vec::new();
        for _ in 0..n {
            let filter = cursor.u16().ok_or_else(cut)?;
            let has_name = version == 1 || filter >= 256;
            let name = if has_name {
                cursor.u16().ok_or_else(cut)?
            } else {
                0
            };
            cursor.take(2).ok_or_else(cut)?;
            let n_values = usize::from(cursor.u16().ok_or_else(cut)?);
            let padding = if version == 1 { 4 * (n_values % 2) } else { 0 };
            cursor
                .take(usize::from(name) + 4 * n_values + padding)
                .ok_or_else(cut)?;
            filters.push(filter);
        }
        Ok(filters)
    }
}

/// A lowest child of a tree.
pub(super) struct Leaf<'a> {
    pub(super) key: &'a [u8],
    pub(super) child: u64,
}

#[cfg(test)]
mod tests {
    use super::read;

    /// Written by h5py 3.16: `tests/make_small_hdf5.py`.
    const SMALL: &[u8] = include_bytes!("../../tests/small.hdf5");

    #[test]
    fn what_h5py_writes_is_read() {
        let arrays = read("small.hdf5", SMALL).unwrap();
        let counted = |n: usize| (0..n).map(|n| n as f32).collect::<Vec<_>>();
        assert_eq!(
            (&arrays["plain"].shape[..], &arrays["plain"].values),
            (&[2, 3][..], &counted(6))
        );
        let packed = &arrays["group/inner/packed:0"];
        assert_eq!(
            (&packed.shape[..], &packed.values),
            (&[5, 7, 3][..], &counted(105))
        );
        assert_eq!(arrays["group/inner/double"].values, [0.5, -2.0]);
        assert_eq!(arrays["group/inner/scalar"].values, [4.5]);
        for n in 0..20 {
            assert_eq!(arrays[&format!("many/m{n:02}")].values, [n as f32]);
        }
        // Texts and whole numbers are left aside.
        assert_eq!(arrays.len(), 24);
    }

    #[test]
    fn a_cut_or_changed_file_is_refused_or_read_but_never_a_crash() {
        for n in (0..SMALL.len()).step_by(61) {
            let _ = read("small.hdf5", &SMALL[..n]);
            for value in [0, 1, 0x7F, 0xFF] {
                let mut changed = SMALL.to_vec();
                changed[n] = value;
                let _ = read("small.hdf5", &changed);
            }
        }
    }

    #[test]
    fn a_file_that_points_in_circles_ends() {
        let mut bytes = super::SIGNATURE.to_vec();
        bytes.extend([0, 0, 0, 0, 0, 8, 8, 0, 4, 0, 16, 0, 0, 0, 0, 0]);
        bytes.extend([0; 40]);
        bytes.extend(96_u64.to_le_bytes());
        bytes.resize(96, 0);
        // An object header whose continuation is itself.
        bytes.extend([1, 0, 1, 0, 1, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0x10, 0, 16, 0, 0, 0, 0, 0]);
        bytes.extend(112_u64.to_le_bytes());
        bytes.extend(24_u64.to_le_bytes());
        let error = read("a.h5", &bytes).unwrap_err().to_string();
        assert!(error.contains("records"), "{error}");
        for n in 0..bytes.len() {
            let _ = read("a.h5", &bytes[..n]).unwrap_err();
        }
    }
}
