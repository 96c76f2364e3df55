//! An image's voxels seen in the order of a network's axes, without copying them.

use prosect_volume::{Grid, Volume};

/// How a network's axes 0, 1, 2 run through a volume's voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axes {
    /// Voxels along each axis of the tensor.
    pub(crate) shape: [usize; 3],
    /// From one voxel to the next along each axis of the tensor.
    pub(crate) strides: [usize; 3],
    /// The axis of the array z, y, x that each axis of the tensor is.
    pub(crate) array: [usize; 3],
}

impl Axes {
    /// The array of a volume is z, y, x = k, j, i; `transpose_forward` names the array axis that
    /// becomes each axis of the tensor.
    pub(crate) fn of(grid: &Grid, transpose_forward: [usize; 3]) -> Self {
        let [ni, nj, nk] = grid.shape();
        let (shape, strides) = ([nk, nj, ni], [ni * nj, ni, 1]);
        Self {
            shape: transpose_forward.map(|a| shape[a]),
            strides: transpose_forward.map(|a| strides[a]),
            array: transpose_forward,
        }
    }

    /// Where a voxel lies.
    pub(crate) fn offset(&self, at: [usize; 3]) -> usize {
        (0..3).map(|a| at[a] * self.strides[a]).sum()
    }
}

/// Distance of a grid's voxels along the axes of the tensor, in the precision of image files: NIfTI
/// keeps f32, and so does what the original was trained and run with.
pub(crate) fn spacing_mm(grid: &Grid, transpose_forward: [usize; 3]) -> [f64; 3] {
    let [x, y, z] = grid.spacing_mm().map(|mm| f64::from(mm as f32));
    let array = [z, y, x];
    transpose_forward.map(|a| array[a])
}

/// A half-open box along the axes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TensorBox {
    pub(crate) start: [usize; 3],
    pub(crate) end: [usize; 3],
}

impl TensorBox {
    pub(crate) fn shape(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.end[a] - self.start[a])
    }
}

/// Copies a line along axis 2 of a tensor's view of a volume.
pub(crate) fn copy_line(image: &Volume<f32>, axes: &Axes, start: [usize; 3], line: &mut [f32]) {
    let first = axes.offset(start);
    let values = &image.values()[first..];
    if axes.strides[2] == 1 {
        line.copy_from_slice(&values[..line.len()]);
    } else {
        for (value, at) in line.iter_mut().zip(values.iter().step_by(axes.strides[2])) {
            *value = *at;
        }
    }
}
