//! Named f32 tensors read from safetensors bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use safetensors::{Dtype, SafeTensors};

use crate::error::NetworkError;

/// Where one tensor lies within the file.
#[derive(Debug, Clone)]
struct Place {
    shape: Vec<usize>,
    bytes: Range<usize>,
}

/// All tensors of a weights file, by name. Values are not yet checked: [`crate::network::Network::load`] does. It holds the file
/// as it is; drop it once the network is loaded, which keeps packed weights of its own.
#[derive(Clone, Default)]
pub struct Weights {
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Place>,
}

impl Weights {
    /// Reads safetensors from a copy of `bytes`; [`Self::from_vec`] needs no copy.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, NetworkError> {
        Self::from_vec(bytes.to_vec())
    }

    /// Reads safetensors. Nothing is allocated by a declared length: every tensor must lie within `bytes`.
    pub fn from_vec(bytes: Vec<u8>) -> Result<Self, NetworkError> {
        let malformed = |error: safetensors::SafeTensorError| NetworkError::MalformedWeights {
            reason: error.to_string(),
        };
        let mut tensors = BTreeMap::new();
        let (header_len, header) = SafeTensors::read_metadata(&bytes).map_err(malformed)?;
        for (name, info) in header.tensors() {
            if info.dtype != Dtype::F32 {
                let found = format!("{:?}", info.dtype);
                return Err(NetworkError::UnsupportedElement {
                    tensor: name,
                    found,
                });
            }
            // The values follow the header, which follows its own length in 8 bytes.
            let start = 8 + header_len;
            let (first, end) = info.data_offsets;
            let place = Place {
                shape: info.shape.clone(),
                bytes: start + first..start + end,
            };
            tensors.insert(name, place);
        }
        Ok(Self { bytes, tensors })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The values of tensor `name`, which must have exactly `shape` and hold finite values only.
    pub(crate) fn require(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, NetworkError> {
        let inconsistent = |reason: String| NetworkError::InconsistentWeights {
            tensor: name.to_owned(),
            reason,
        };
        let missing = || inconsistent("the graph needs it, the weights file lacks it".to_owned());
        let place = self.tensors.get(name).ok_or_else(missing)?;
        let values = self.bytes.get(place.bytes.clone()).ok_or_else(missing)?;
        if place.shape != shape || values.len() != 4 * shape.iter().product::<usize>() {
            return Err(inconsistent(format!(
                "has shape {:?}, the graph needs {shape:?}",
                place.shape
            )));
        }
        let values: Vec<f32> = values
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(NetworkError::NonFiniteWeight {
                tensor: name.to_owned(),
            });
        }
        Ok(values)
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("tensors", &self.tensors)
            .finish_non_exhaustive()
    }
}
