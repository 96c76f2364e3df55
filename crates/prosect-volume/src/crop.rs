//! Boxes of voxel indices, and cutting them out.

use crate::affine::Affine;
use crate::grid::Grid;
use crate::space::Point;
use crate::volume::{Volume, VoxelIndex};

/// A box of voxels: `start` inside, `end` outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexBox {
    /// First index along i, j, k.
    pub start: [usize; 3],
    /// One past the last index along i, j, k.
    pub end: [usize; 3],
}

impl IndexBox {
    /// The box of a whole grid.
    pub fn whole(grid: &Grid) -> Self {
        Self {
            start: [0; 3],
            end: grid.shape(),
        }
    }

    /// The smallest box around the voxels for which `inside` holds, or `None` without any.
    pub fn around<T>(volume: &Volume<T>, inside: impl Fn(&T) -> bool) -> Option<Self> {
        let [ni, nj, _] = volume.grid().shape();
        let mut found: Option<Self> = None;
        for (row, values) in volume.values().chunks_exact(ni).enumerate() {
            let (Some(first), Some(last)) = (
                values.iter().position(&inside),
                values.iter().rposition(&inside),
            ) else {
                continue;
            };
            let (j, k) = (row % nj, row / nj);
            let here = Self {
                start: [first, j, k],
                end: [last + 1, j + 1, k + 1],
            };
            found = Some(found.map_or(here, |b| b.joined(here)));
        }
        found
    }

    /// The smallest box around both.
    pub fn joined(self, other: Self) -> Self {
        Self {
            start: std::array::from_fn(|a| self.start[a].min(other.start[a])),
            end: std::array::from_fn(|a| self.end[a].max(other.end[a])),
        }
    }

    /// The box grown by `margin` voxels on every side, held inside `shape`.
    pub fn grown(self, margin: [usize; 3], shape: [usize; 3]) -> Self {
        Self {
            start: std::array::from_fn(|a| self.start[a].saturating_sub(margin[a])),
            end: std::array::from_fn(|a| self.end[a].saturating_add(margin[a]).min(shape[a])),
        }
    }

    /// Voxels along i, j, k.
    pub fn shape(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.end[a].saturating_sub(self.start[a]))
    }

    /// Whether a voxel lies inside.
    pub fn contains(&self, index: VoxelIndex) -> bool {
        let at = [index.i, index.j, index.k];
        (0..3).all(|a| self.start[a] <= at[a] && at[a] < self.end[a])
    }
}

/// The part of a volume inside `index_box`, at the same place in the patient; `None` when the
/// box is empty or reaches out of the volume.
pub fn crop<T: Copy>(volume: &Volume<T>, index_box: IndexBox) -> Option<Volume<T>> {
    let grid = volume.grid();
    let shape = index_box.shape();
    if shape.contains(&0) || (0..3).any(|a| index_box.end[a] > grid.shape()[a]) {
        return None;
    }
    let affine = grid.lps_from_voxel();
    let origin = affine * Point::new(index_box.start.map(|s| s as f64));
    let columns = [0, 1, 2].map(|axis| affine.column(axis));
    let part = Grid::new(
        shape,
        Affine::from_columns(columns, origin),
        grid.frame_of_reference.clone(),
    )
    .ok()?;
    let mut values = Vec::with_capacity(part.n_voxels());
    for k in index_box.start[2]..index_box.end[2] {
        for j in index_box.start[1]..index_box.end[1] {
            let row = grid.offset(VoxelIndex {
                i: index_box.start[0],
                j,
                k,
            });
            values.extend_from_slice(&volume.values()[row..row + shape[0]]);
        }
    }
    Volume::new(part, values).ok()
}

#[cfg(test)]
mod tests {
    use super::{IndexBox, crop};
    use crate::grid::Grid;
    use crate::space::Point;
    use crate::volume::{Volume, VoxelIndex};

    #[test]
    fn a_crop_keeps_values_and_places() {
        let grid =
            Grid::axis_aligned([5, 6, 7], [0.5, 1.0, 2.0], Point::new([1.0, 2.0, 3.0])).unwrap();
        let volume = Volume::from_fn(grid, |v| v.i + 10 * v.j + 100 * v.k);
        let index_box = IndexBox {
            start: [1, 2, 3],
            end: [4, 4, 7],
        };
        let part = crop(&volume, index_box).unwrap();
        let (here, there) = (
            VoxelIndex { i: 1, j: 1, k: 2 },
            VoxelIndex { i: 2, j: 3, k: 5 },
        );
        assert_eq!(part.get(here), volume.get(there));
        assert_eq!(part.grid().position(here), volume.grid().position(there));
        assert!(
            crop(
                &volume,
                IndexBox {
                    start: [0; 3],
                    end: [6, 6, 7]
                }
            )
            .is_none()
        );
        assert!(
            crop(
                &volume,
                IndexBox {
                    start: [2; 3],
                    end: [2, 6, 7]
                }
            )
            .is_none()
        );
    }

    #[test]
    fn the_box_around_is_tight() {
        let grid = Grid::axis_aligned([5, 6, 7], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let mut volume = Volume::filled(grid.clone(), 0_u8);
        for index in [
            VoxelIndex { i: 4, j: 1, k: 2 },
            VoxelIndex { i: 2, j: 3, k: 6 },
        ] {
            volume.values_mut()[grid.offset(index)] = 1;
        }
        let tight = IndexBox::around(&volume, |&v| v > 0).unwrap();
        assert_eq!(
            tight,
            IndexBox {
                start: [2, 1, 2],
                end: [5, 4, 7]
            }
        );
        assert_eq!(
            tight.grown([1, 5, 1], grid.shape()),
            IndexBox {
                start: [1, 0, 1],
                end: [5, 6, 7]
            }
        );
        let endless = tight.grown([usize::MAX; 3], grid.shape());
        assert_eq!(endless, IndexBox::whole(&grid));
        assert_eq!(IndexBox::around(&volume, |&v| v > 1), None);
    }
}
