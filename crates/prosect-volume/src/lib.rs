//! 3-D grids in space: points and affines that carry their space as a type, the
//! scanner's slice stacks, regular grids, volumes, and the operations on them.
//!
//! One space inside: LPS, millimetres, f64; index order i, j, k = x, y, z with i fastest.
//! This crate reads no file and knows no modality and no label.

mod space;
mod affine;
mod grid;
mod stack;
mod cover;
mod nearest;
mod volume;
mod reorient;
mod resample;
mod crop;
mod component;
mod morphology;
mod median;

pub use affine::{Affine, InvalidAffine};
pub use component::{Component, Connectivity, components};
pub use cover::{Cover, straighten};
pub use crop::{IndexBox, crop};
pub use grid::{FrameOfReference, Grid, GridError};
pub use median::median_3;
pub use morphology::{dilate, erode};
pub use nearest::Planes;
pub use reorient::{AxisOrder, Reorientation, reorient};
pub use resample::resample_linear;
pub use space::{Lps, Point, Ras, Space, Vector, Voxel, lps_from_ras, ras_from_lps};
pub use stack::{SliceStack, StackError};
pub use volume::{Volume, VolumeError, VoxelIndex};
