//! The files of one model: inside the program or in a folder, verified whenever they are read.

use std::borrow::Cow;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::ModelError;
use crate::manifest::FileRef;

/// The largest file of a model that is read: ten times the largest network in the field (1 GB).
const MAX_FILE_BYTES: u64 = 10 << 30;

/// Where the files of one model lie.
#[derive(Clone, Debug)]
pub(crate) enum ModelFiles {
    /// In the program: names and contents.
    Shipped(&'static [(&'static str, &'static [u8])]),
    /// In this folder.
    Folder(PathBuf),
}

impl ModelFiles {
    /// Reads a file of `model` and compares its checksum.
    ///
    /// # Errors
    /// [`ModelError::Checksum`] for a file that was changed, or what the system says.
    pub(crate) fn read(
        &self,
        model: &str,
        file: &FileRef,
    ) -> Result<Cow<'static, [u8]>, ModelError> {
        let bytes = match self {
            Self::Folder(folder) => {
                Cow::Owned(read_limited(&folder.join(&file.name), MAX_FILE_BYTES)?)
            }
            Self::Shipped(files) => {
                let found = files.iter().find(|(name, _)| *name == file.name);
                Cow::Borrowed(found.map_or(&[][..], |(_, bytes)| *bytes))
            }
        };
        let found = hexadecimal(&Sha256::digest(&bytes));
        if found == file.sha256 {
            return Ok(bytes);
        }
        Err(ModelError::Checksum {
            model: model.to_owned(),
            file: file.name.clone(),
            expected: file.sha256.clone(),
            found,
        })
    }
}

/// SHA-256 digests and their like, as text.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('?');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Reads a file of at most `limit` bytes; memory grows with what is there, not with what is declared.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, ModelError> {
    let failed = |source| ModelError::Io {
        path: path.to_path_buf(),
        source,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(ModelError::TooLarge {
            path: path.to_path_buf(),
            bytes: bytes.len() as u64,
            limit,
        });
    }
    Ok(bytes)
}
