//! The plain tensor at the engine's border.

use crate::error::NetworkError;

/// Values `[channel][d0][d1][d2]`, the last axis fastest. What the three spatial axes mean is the graph's business.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    channels: usize,
    shape: [usize; 3],
    values: Vec<f32>,
}

impl Tensor {
    /// Takes `channels * d0 * d1 * d2` values; any other number is refused.
    pub fn new(channels: usize, shape: [usize; 3], values: Vec<f32>) -> Result<Self, NetworkError> {
        let wanted = shape
            .iter()
            .try_fold(channels, |product, &extent| product.checked_mul(extent));
        if wanted != Some(values.len()) {
            let reason = format!(
                "{channels} channels of {shape:?} voxels do not make {} values",
                values.len()
            );
            return Err(NetworkError::InputTensor { reason });
        }
        Ok(Self {
            channels,
            shape,
            values,
        })
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Spatial extents d0, d1, d2 in voxels.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All values, `[channel][d0][d1][d2]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Gives the values away, `[channel][d0][d1][d2]`.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}
