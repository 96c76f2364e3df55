//! Named f32 tensors read from safetensors bytes.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};

use crate::error::NetworkError;

/// One tensor of a weights file.
#[derive(Debug, Clone)]
pub(crate) struct WeightTensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// All tensors of a weights file, by name. Values are not yet checked: [`crate::network::Network::load`] does.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    tensors: BTreeMap<String, WeightTensor>,
}

impl Weights {
    /// Reads safetensors. Nothing is allocated by a declared length: every tensor must lie within `bytes`.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, NetworkError> {
        let malformed = |error: safetensors::SafeTensorError| NetworkError::MalformedWeights {
            reason: error.to_string(),
        };
        let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                let found = format!("{:?}", view.dtype());
                return Err(NetworkError::UnsupportedElement {
                    tensor: name.to_owned(),
                    found,
                });
            }
            let values = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            tensors.insert(
                name.to_owned(),
                WeightTensor {
                    shape: view.shape().to_vec(),
                    values,
                },
            );
        }
        Ok(Self { tensors })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The values of tensor `name`, which must have exactly `shape` and hold finite values only.
    pub(crate) fn require(&self, name: &str, shape: &[usize]) -> Result<&[f32], NetworkError> {
        let missing = || NetworkError::InconsistentWeights {
            tensor: name.to_owned(),
            reason: "the graph needs it, the weights file lacks it".to_owned(),
        };
        let tensor = self.tensors.get(name).ok_or_else(missing)?;
        if tensor.shape != shape || tensor.values.len() != shape.iter().product::<usize>() {
            let reason = format!("has shape {:?}, the graph needs {shape:?}", tensor.shape);
            return Err(NetworkError::InconsistentWeights {
                tensor: name.to_owned(),
                reason,
            });
        }
        if !tensor.values.iter().all(|value| value.is_finite()) {
            return Err(NetworkError::NonFiniteWeight {
                tensor: name.to_owned(),
            });
        }
        Ok(&tensor.values)
    }
}
