//! A grid with values.

use prosect_base::{Fault, Faulty};

use crate::grid::Grid;

/// Integer position of a voxel along i, j, k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VoxelIndex {
    /// Along x of the grid.
    pub i: usize,
    /// Along y of the grid.
    pub j: usize,
    /// Along z of the grid.
    pub k: usize,
}

/// A grid and one value for each of its voxels, i fastest, then j, then k.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume<T> {
    grid: Grid,
    values: Vec<T>,
}

/// The number of values is not the number of voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the grid has {n_voxels} voxels, but {n_values} values were given")]
pub struct VolumeError {
    /// Voxels of the grid.
    pub n_voxels: usize,
    /// Values given.
    pub n_values: usize,
}

impl Faulty for VolumeError {
    fn fault(&self) -> Fault {
        Fault::Inconsistent
    }
}

impl<T> Volume<T> {
    /// Joins a grid and its values.
    ///
    /// # Errors
    /// [`VolumeError`] when their numbers differ.
    pub fn new(grid: Grid, values: Vec<T>) -> Result<Self, VolumeError> {
        let n_voxels = grid.n_voxels();
        if values.len() == n_voxels {
            Ok(Self { grid, values })
        } else {
            Err(VolumeError {
                n_voxels,
                n_values: values.len(),
            })
        }
    }

    /// The value that `value` gives for each voxel.
    pub fn from_fn(grid: Grid, mut value: impl FnMut(VoxelIndex) -> T) -> Self {
        let [ni, nj, nk] = grid.shape();
        let mut values = Vec::with_capacity(grid.n_voxels());
        for k in 0..nk {
            for j in 0..nj {
                for i in 0..ni {
                    values.push(value(VoxelIndex { i, j, k }));
                }
            }
        }
        Self { grid, values }
    }

    /// Where the voxels are.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// All values, i fastest.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// All values, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Number of values in one slice of constant k.
    pub fn slice_len(&self) -> usize {
        let [ni, nj, _] = self.grid.shape();
        ni * nj
    }

    /// The values of slice `slice_index`, i fastest, or `None` outside the volume.
    pub fn slice(&self, slice_index: usize) -> Option<&[T]> {
        self.values.chunks_exact(self.slice_len()).nth(slice_index)
    }

    /// Grid and values, apart.
    pub fn into_parts(self) -> (Grid, Vec<T>) {
        (self.grid, self.values)
    }

    /// The same grid with values derived one by one.
    pub fn map<U>(&self, value: impl FnMut(&T) -> U) -> Volume<U> {
        Volume {
            grid: self.grid.clone(),
            values: self.values.iter().map(value).collect(),
        }
    }
}

impl<T: Clone> Volume<T> {
    /// One value everywhere.
    pub fn filled(grid: Grid, value: T) -> Self {
        let values = vec![value; grid.n_voxels()];
        Self { grid, values }
    }
}

impl<T: Copy> Volume<T> {
    /// The value of a voxel, or `None` outside.
    pub fn get(&self, index: VoxelIndex) -> Option<T> {
        let [ni, nj, nk] = self.grid.shape();
        let inside = index.i < ni && index.j < nj && index.k < nk;
        if inside {
            self.values.get(self.grid.offset(index)).copied()
        } else {
            None
        }
    }
}
