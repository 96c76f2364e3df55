//! Arrays of f32 as `.npy` files (format version 1.0 of numpy), written as they come.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::ModelError;

/// An array `[channel][0][1][2]` on disk that is filled plane by plane.
#[derive(Debug)]
pub(crate) struct NpyFile {
    path: PathBuf,
    file: File,
    header_len: u64,
    shape: [usize; 4],
    buffer: Vec<u8>,
}

impl NpyFile {
    /// Begins a file; its folder is made if it is not there.
    pub(crate) fn create(path: &Path, shape: [usize; 4]) -> Result<Self, ModelError> {
        let failed = |source| ModelError::Write {
            path: path.to_path_buf(),
            source,
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let header = header(shape);
        let mut file = File::create(path).map_err(failed)?;
        file.write_all(&header).map_err(failed)?;
        let n_values: u64 = shape.iter().map(|n| *n as u64).product();
        file.set_len(header.len() as u64 + 4 * n_values)
            .map_err(failed)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            header_len: header.len() as u64,
            shape,
            buffer: Vec::new(),
        })
    }

    /// Writes values from `[channel][plane][row][0]` on.
    pub(crate) fn write(
        &mut self,
        [channel, plane, row]: [usize; 3],
        values: impl Iterator<Item = f32>,
    ) -> Result<(), ModelError> {
        let [_, n0, n1, n2] = self.shape;
        let first = ((channel * n0 + plane) * n1 + row) * n2;
        self.buffer.clear();
        for value in values {
            self.buffer.extend_from_slice(&value.to_le_bytes());
        }
        let place = SeekFrom::Start(self.header_len + 4 * first as u64);
        self.file
            .seek(place)
            .and_then(|_| self.file.write_all(&self.buffer))
            .map_err(|source| ModelError::Write {
                path: self.path.clone(),
                source,
            })
    }
}

fn header(shape: [usize; 4]) -> Vec<u8> {
    let [c, a, b, d] = shape;
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({c}, {a}, {b}, {d}), }}");
    // The magic word, two bytes of version and two of length come first; all is a multiple of 64.
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::NpyFile;

    #[test]
    fn planes_land_where_the_header_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/logits.npy");
        let mut file = NpyFile::create(&path, [2, 2, 1, 3]).unwrap();
        for (channel, plane) in [(1, 1), (0, 0), (1, 0), (0, 1)] {
            let first = (channel * 2 + plane) as f32 * 3.0;
            file.write([channel, plane, 0], (0..3).map(|n| first + n as f32))
                .unwrap();
        }
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let header = usize::from(bytes[8]) + 256 * usize::from(bytes[9]);
        assert_eq!((10 + header) % 64, 0);
        let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
        assert!(text.contains("'shape': (2, 2, 1, 3)"), "{text}");
        let values: Vec<f32> = (bytes[10 + header..].chunks_exact(4))
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        assert_eq!(values, (0..12).map(|n| n as f32).collect::<Vec<_>>());
    }
}
