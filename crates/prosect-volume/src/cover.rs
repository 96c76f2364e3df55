//! A regular grid that covers a stack which is none: tilted, uneven, or with slices missing. The
//! network sees the cover; labels come back onto the frames.
//!
//! The cover has the frames' own axes i and j and runs along their normal, so each frame lies in
//! it as a shifted rectangle, parallel to the cover's slices.

mod plan;
mod resample;
mod sample;
mod straighten;

pub use straighten::straighten;

use std::ops::Range;

use prosect_base::Limits;

use crate::affine::Affine;
use crate::grid::Grid;
use crate::space::{Lps, Point, Vector, Voxel};
use crate::stack::{SliceStack, StackError};
use crate::volume::Volume;

/// A regular grid over a stack, and where each frame lies in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cover {
    grid: Grid,
    /// Pixels of a frame along i and j.
    shape: [usize; 2],
    /// The first pixel of each frame in voxel coordinates of the grid.
    frames: Vec<Point<Voxel>>,
}

impl SliceStack {
    /// The regular grid of the stack where it is regular, else one that covers all frames.
    ///
    /// Each frame has a slice of the cover that is nearer to it than to any other frame, and each
    /// pixel a voxel at most half a step away: what is drawn on the cover is found again on the
    /// frames ([`Cover::sample_nearest`]).
    ///
    /// # Errors
    /// [`StackError`] when slices lie at one place or too near, a gap is too large to be bridged,
    /// frames do not lie over each other, or the cover goes over the limits.
    pub fn cover(&self, limits: &Limits) -> Result<Cover, StackError> {
        match self.regular_grid() {
            Ok(grid) => {
                require_limits(grid.shape(), limits)?;
                Ok(self.lying_on(grid))
            }
            Err(StackError::Uneven { .. } | StackError::Tilted { .. }) => self.spanning(limits),
            Err(error) => Err(error),
        }
    }

    /// Whether the frames are the slices of a regular grid, as far as positions are written exactly.
    pub fn is_regular(&self) -> bool {
        self.cover(&Limits::default())
            .is_ok_and(|cover| cover.is_stack())
    }

    /// A regular stack is its own cover.
    fn lying_on(&self, grid: Grid) -> Cover {
        let frames = 0..self.origins.len();
        Cover {
            grid,
            shape: self.shape,
            frames: frames.map(|k| Point::new([0.0, 0.0, k as f64])).collect(),
        }
    }

    fn spanning(&self, limits: &Limits) -> Result<Cover, StackError> {
        let normal = self.require_bridgeable()?;
        let (first, places) = (self.origins[0], self.places_in_plane(normal));
        let along_k = plan::along_normal(&places.heights_mm);
        let [along_i, along_j] = [0, 1].map(|axis| {
            let step_mm = [self.step_i, self.step_j][axis].norm();
            plan::in_plane(&places.shifts[axis], step_mm, self.shape[axis])
        });
        let shape = [along_i.n, along_j.n, along_k.n];
        require_limits(shape, limits)?;
        let origin = first
            + self.step_i * along_i.start
            + self.step_j * along_j.start
            + normal * along_k.start;
        let columns = [self.step_i, self.step_j, normal * along_k.step];
        let grid = Grid::new(
            shape,
            Affine::from_columns(columns, origin),
            self.frame_of_reference.clone(),
        )?;
        let frames = (0..self.origins.len())
            .map(|f| Point::new([along_i.at[f], along_j.at[f], along_k.at[f]]))
            .collect();
        Ok(Cover {
            grid,
            shape: self.shape,
            frames,
        })
    }

    /// How far each frame lies from the first, along the normal and in its plane.
    fn places_in_plane(&self, normal: Vector<Lps>) -> Places {
        let (i, j) = (self.step_i, self.step_j);
        // The axes may be a hair off the right angle: both coordinates are solved for together.
        let (ii, jj, ij) = (i.dot(i), j.dot(j), i.dot(j));
        let determinant = ii * jj - ij * ij;
        let first = self.origins[0];
        let mut places = Places::default();
        for &origin in &self.origins {
            let away = origin - first;
            let (along_i, along_j) = (away.dot(i), away.dot(j));
            places.heights_mm.push(away.dot(normal));
            places.shifts[0].push((along_i * jj - along_j * ij) / determinant);
            places.shifts[1].push((along_j * ii - along_i * ij) / determinant);
        }
        places
    }
}

/// Where frames lie, counted from the first.
#[derive(Debug, Default)]
struct Places {
    heights_mm: Vec<f64>,
    /// Along i and j, in pixels.
    shifts: [Vec<f64>; 2],
}

fn require_limits(shape: [usize; 3], limits: &Limits) -> Result<(), StackError> {
    let n_voxels = shape.iter().map(|&n| n as u64).fold(1, u64::saturating_mul);
    if n_voxels > limits.voxels || shape[0].max(shape[1]) > limits.edge {
        return Err(StackError::CoverTooLarge { shape });
    }
    Ok(())
}

impl Cover {
    /// The grid of the cover.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// How many frames lie in it.
    pub fn n_frames(&self) -> usize {
        self.frames.len()
    }

    /// Pixels of each frame along i and j.
    pub fn frame_shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Whether the frames are the slices of the grid themselves.
    pub fn is_stack(&self) -> bool {
        let own = |(k, at): (usize, &Point<Voxel>)| at.xyz == [0.0, 0.0, k as f64];
        self.grid.shape() == [self.shape[0], self.shape[1], self.frames.len()]
            && self.frames.iter().enumerate().all(own)
    }

    /// The voxels along i and j of slice `k` where there is image: those that lie in the frame
    /// nearest to the slice. Empty for a slice that the grid does not have.
    pub fn image_range(&self, k: usize) -> [Range<usize>; 2] {
        if k >= self.grid.shape()[2] {
            return [0..0, 0..0];
        }
        let at = self.frames[self.neighbors(k).nearest].xyz;
        [0, 1].map(|axis| self.range_of(at[axis], axis))
    }

    /// The share of the grid's voxels where there is image.
    pub fn image_share(&self) -> f64 {
        let slices = 0..self.grid.shape()[2];
        let inside = slices.map(|k| {
            let [i, j] = self.image_range(k);
            i.len() * j.len()
        });
        inside.sum::<usize>() as f64 / self.grid.n_voxels() as f64
    }

    /// Gives `value` to every voxel of a volume on the cover where there is no image.
    pub fn clear_outside<T: Copy>(&self, volume: &mut Volume<T>, value: T) {
        let [ni, nj, _] = volume.grid().shape();
        for (k, slice) in volume.values_mut().chunks_exact_mut(ni * nj).enumerate() {
            let [in_i, in_j] = self.image_range(k);
            for (j, row) in slice.chunks_exact_mut(ni).enumerate() {
                if in_j.contains(&j) {
                    row[..in_i.start.min(ni)].fill(value);
                    row[in_i.end.min(ni)..].fill(value);
                } else {
                    row.fill(value);
                }
            }
        }
    }

    /// The voxels along an axis that lie in a frame whose first pixel lies at `at`: up to half a
    /// step beyond the outermost pixels.
    fn range_of(&self, at: f64, axis: usize) -> Range<usize> {
        let n = self.grid.shape()[axis];
        let whole = |c: f64| (c.max(0.0) as usize).min(n);
        // 1e-6: a voxel on the very edge stays inside in spite of rounding.
        let start = (at - 0.5 - 1e-6).ceil();
        let end = (at + self.shape[axis] as f64 - 0.5 + 1e-6).floor() + 1.0;
        whole(start)..whole(end)
    }

    /// The frames around a slice of the cover.
    fn neighbors(&self, k: usize) -> Neighbors {
        let height = k as f64;
        let above = self.frames.partition_point(|at| at.xyz[2] < height);
        let last = self.frames.len() - 1;
        let (below, above) = (above.saturating_sub(1), above.min(last));
        let [low, high] = [below, above].map(|f| self.frames[f].xyz[2]);
        if above == below || height <= low {
            return Neighbors::only(below);
        }
        if height >= high {
            return Neighbors::only(above);
        }
        let weight = (height - low) / (high - low);
        if weight <= 0.5 {
            Neighbors {
                nearest: below,
                other: above,
                weight_of_other: weight as f32,
            }
        } else {
            Neighbors {
                nearest: above,
                other: below,
                weight_of_other: (1.0 - weight) as f32,
            }
        }
    }
}

/// The frames between which a slice of the cover lies.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Neighbors {
    nearest: usize,
    other: usize,
    /// At most one half; 0 where the slice lies on its frame.
    weight_of_other: f32,
}

impl Neighbors {
    fn only(frame: usize) -> Self {
        Self {
            nearest: frame,
            other: frame,
            weight_of_other: 0.0,
        }
    }
}

#[cfg(test)]
mod tests;
