//! The operations of a network, as the JSON writes them.

use serde::{Deserialize, Serialize};

/// The operations by their names in the JSON.
pub(super) const KNOWN: [&str; 17] = [
    "conv",
    "conv_transpose",
    "instance_norm",
    "batch_norm",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "sigmoid",
    "softmax",
    "add",
    "concat",
    "max_pool",
    "average_pool",
    "nearest_up",
    "trilinear_up",
    "center_crop",
];

/// One operation with its parameters. Lists of three are in the order of the spatial axes 0, 1, 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// Convolution (cross-correlation, as all frameworks have it).
    Conv(ConvLayer),
    /// Transposed convolution whose kernel is its stride: every input voxel makes a block of output voxels.
    ConvTranspose(ConvTransposeLayer),
    /// Per channel: subtract the mean, divide by the (population) standard deviation, steadied by epsilon; then the affine part.
    InstanceNorm {
        /// Keeps the divisor from zero.
        epsilon: f64,
        /// Where epsilon goes.
        epsilon_added_to: EpsilonPlace,
        /// Name of the tensor `[channels]` that multiplies.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<String>,
        /// Name of the tensor `[channels]` that is added.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
    },
    /// Per channel: `(x - mean) / sqrt(variance + epsilon) * weight + bias` with stored statistics.
    BatchNorm {
        /// Keeps the divisor from zero.
        epsilon: f64,
        /// Name of the tensor `[channels]` of running means.
        mean: String,
        /// Name of the tensor `[channels]` of running variances.
        variance: String,
        /// Name of the tensor `[channels]` that multiplies.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<String>,
        /// Name of the tensor `[channels]` that is added.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bias: Option<String>,
    },
    /// `max(x, 0)`
    Relu {},
    /// `max(x, slope * x)`
    LeakyRelu {
        /// 0 to 1.
        slope: f32,
    },
    /// `x` above zero, `alpha * (exp(x) - 1)` below.
    Elu {
        /// Not negative.
        alpha: f32,
    },
    /// `x * (1 + erf(x / sqrt 2)) / 2`, the exact form.
    Gelu {},
    /// `1 / (1 + exp(-x))`
    Sigmoid {},
    /// Over the channels of each voxel.
    Softmax {},
    /// The sum of two tensors of equal channels and extents.
    Add {},
    /// Joins channels in the order of the inputs.
    Concat {},
    /// Largest value of each window; windows lie wholly within the input and must cover it without a rest.
    MaxPool {
        /// Extents of a window.
        window: [usize; 3],
        /// From window to window.
        stride: [usize; 3],
    },
    /// Mean of each window; as the above.
    AveragePool {
        /// Extents of a window.
        window: [usize; 3],
        /// From window to window.
        stride: [usize; 3],
    },
    /// Repeats every voxel along each axis.
    NearestUp {
        /// So many times.
        factor: [usize; 3],
    },
    /// Linear interpolation between voxel centers, edges repeated (`PyTorch`'s trilinear with `align_corners=False`).
    TrilinearUp {
        /// Output voxels per input voxel.
        factor: [usize; 3],
    },
    /// Cuts voxels off both sides of each axis.
    CenterCrop {
        /// So many.
        margin: [usize; 3],
    },
}

/// Parameters of a convolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvLayer {
    /// In, out.
    pub channels: [usize; 2],
    /// Extents 1 to 7.
    pub kernel: [usize; 3],
    /// From output voxel to output voxel, in input voxels.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub stride: [usize; 3],
    /// From tap to tap, in input voxels.
    #[serde(default = "ones", skip_serializing_if = "are_ones")]
    pub dilation: [usize; 3],
    /// Only 1 is supported.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    /// Zeros around the input.
    pub padding: Padding,
    /// Name of the tensor `[out, in, k0, k1, k2]`.
    pub weight: String,
    /// Name of the tensor `[out]`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<String>,
}

/// Parameters of a transposed convolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTransposeLayer {
    /// In, out.
    pub channels: [usize; 2],
    /// Extents 1 to 7.
    pub kernel: [usize; 3],
    /// Must be the kernel's extents.
    pub stride: [usize; 3],
    /// Name of the tensor `[in, out, k0, k1, k2]`.
    pub weight: String,
    /// Name of the tensor `[out]`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<String>,
}

/// Zeros around the input of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Half of the kernel's reach on both sides, which keeps the extents where the stride is 1; odd kernels only.
    Same,
    /// None.
    Valid,
    /// So many on both sides of each axis.
    #[serde(untagged)]
    Voxels([usize; 3]),
}

/// Where the steadying epsilon of a norm goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpsilonPlace {
    /// `sqrt(variance) + epsilon`
    StandardDeviation,
    /// `sqrt(variance + epsilon)`, as `PyTorch` and ONNX have it.
    Variance,
}

impl ConvLayer {
    /// Zeros on each side of each axis.
    pub(crate) fn padding_voxels(&self) -> [usize; 3] {
        match self.padding {
            Padding::Same => {
                [0, 1, 2].map(|axis| self.dilation[axis] * (self.kernel[axis] - 1) / 2)
            }
            Padding::Valid => [0; 3],
            Padding::Voxels(voxels) => voxels,
        }
    }

    pub(crate) fn weight_shape(&self) -> [usize; 5] {
        let ([i, o], [a, b, c]) = (self.channels, self.kernel);
        [o, i, a, b, c]
    }
}

impl ConvTransposeLayer {
    pub(crate) fn weight_shape(&self) -> [usize; 5] {
        let ([i, o], [a, b, c]) = (self.channels, self.kernel);
        [i, o, a, b, c]
    }
}

fn one() -> usize {
    1
}

fn ones() -> [usize; 3] {
    [1; 3]
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(value: &usize) -> bool {
    *value == 1
}

fn are_ones(values: &[usize; 3]) -> bool {
    *values == [1; 3]
}
