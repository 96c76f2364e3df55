//! The binary weights of a TensorFlow.js model.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::error::ImportError;
use crate::json::Json;
use crate::source::Source;
use crate::write::{Array, hexadecimal};

/// Largest sum of all weights; the networks that are meant have less than a megabyte.
const MAX_BYTES: u64 = 1 << 30;
/// Most tensors of a model.
const MAX_TENSORS: usize = 10_000;

/// Every tensor by name, and the SHA-256 of all binary files together, in their order.
pub(super) fn read(
    source: &Source,
    folder: &str,
    root: &Json<'_>,
) -> Result<(BTreeMap<String, Array>, String), ImportError> {
    let mut arrays = BTreeMap::new();
    let mut digest = Sha256::new();
    let mut left = MAX_BYTES;
    let groups = root.get("weightsManifest")?.each(|group| {
        let entries = group.get("weights")?.each(entry)?;
        Ok((group.get("paths")?.texts()?, entries))
    })?;
    for (paths, entries) in groups {
        let mut bytes = Vec::new();
        for path in paths {
            let plain = !path.split('/').any(|part| part == ".." || part.is_empty());
            if !plain || path.contains(':') || path.contains('\\') {
                let reason =
                    format!("the weights lie in {path:?}, which is not beside the description");
                return Err(ImportError::unsupported(root.what(), reason));
            }
            let file = if folder.is_empty() {
                path
            } else {
                format!("{folder}/{path}")
            };
            if !source.has(&file) {
                let reason = "the description names it, but it is not there; put it beside";
                return Err(ImportError::inconsistent(file, reason));
            }
            let part = source.read(&file, left)?;
            left -= part.len() as u64;
            digest.update(&part);
            bytes.extend(part);
        }
        let mut rest = bytes.as_slice();
        for entry in entries {
            let (array, after) = entry.take(rest)?;
            rest = after;
            if arrays.len() >= MAX_TENSORS {
                let reason = format!("it has more than {MAX_TENSORS} tensors");
                return Err(ImportError::limit(root.what(), reason));
            }
            if arrays.insert(entry.name.clone(), array).is_some() {
                let reason = format!("two tensors are called {}", entry.name);
                return Err(ImportError::malformed(root.what(), reason));
            }
        }
        if !rest.is_empty() {
            let reason = format!("{} bytes of the weights belong to no tensor", rest.len());
            return Err(ImportError::inconsistent(root.what(), reason));
        }
    }
    Ok((arrays, hexadecimal(&digest.finalize())))
}

struct Entry {
    name: String,
    shape: Vec<usize>,
}

fn entry(entry: &Json<'_>) -> Result<Entry, ImportError> {
    let name = entry.get("name")?.text()?.to_owned();
    let kind = entry.get("dtype")?.text()?;
    let what = format!("tensor {name}");
    if kind != "float32" {
        let reason = format!("its element type is {kind}; float32 is supported");
        return Err(ImportError::unsupported(what, reason));
    }
    if entry.find("quantization").is_some() {
        let reason = "its values are quantized; export the model without quantization";
        return Err(ImportError::unsupported(what, reason));
    }
    Ok(Entry {
        name,
        shape: entry.get("shape")?.sizes()?,
    })
}

impl Entry {
    /// Its values from the start of `bytes`, and what follows.
    fn take<'a>(&self, bytes: &'a [u8]) -> Result<(Array, &'a [u8]), ImportError> {
        let n_bytes = (self.shape.iter()).try_fold(4_usize, |n, extent| n.checked_mul(*extent));
        let split = n_bytes.and_then(|n| bytes.split_at_checked(n));
        let Some((own, rest)) = split else {
            let reason = format!(
                "it has shape {:?}, but only {} bytes of weights are left; the binary file was cut",
                self.shape,
                bytes.len()
            );
            return Err(ImportError::malformed(
                format!("tensor {}", self.name),
                reason,
            ));
        };
        let values = own
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let shape = self.shape.clone();
        Ok((Array { shape, values }, rest))
    }
}
