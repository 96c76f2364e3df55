//! From the frames to the cover: linear between frames along the normal, linear in the plane where
//! frames are shifted by parts of a pixel.

use rayon::prelude::*;

use super::{Cover, Neighbors};
use crate::volume::{Volume, VolumeError};

impl Cover {
    /// The image on the cover. `frames` holds the frames' values, i fastest, then j, then frame;
    /// where there is no image ([`Cover::image_range`]), the result is `outside`.
    ///
    /// A voxel takes its place between the two frames around it; where only the nearer one reaches,
    /// that one's value. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// [`VolumeError`] when the number of values is not that of the frames' pixels.
    pub fn resample(&self, frames: &[f32], outside: f32) -> Result<Volume<f32>, VolumeError> {
        self.require_frames(frames.len())?;
        let [ni, nj, _] = self.grid.shape();
        let mut values = vec![outside; self.grid.n_voxels()];
        values
            .par_chunks_mut(ni * nj)
            .enumerate()
            .for_each(|(k, slice)| self.fill_slice(k, frames, slice));
        Volume::new(self.grid.clone(), values)
    }

    /// Labels on the cover: each voxel where there is image takes the value of the nearest pixel of
    /// the nearest frame, any other `outside`.
    ///
    /// # Errors
    /// [`VolumeError`] when the number of values is not that of the frames' pixels.
    pub fn spread<T: Copy + Send + Sync>(
        &self,
        frames: &[T],
        outside: T,
    ) -> Result<Volume<T>, VolumeError> {
        self.require_frames(frames.len())?;
        let [ni, nj, _] = self.grid.shape();
        let mut values = vec![outside; self.grid.n_voxels()];
        values
            .par_chunks_mut(ni * nj)
            .enumerate()
            .for_each(|(k, slice)| {
                let nearest = self.neighbors(k).nearest;
                let [in_i, in_j] = self.image_range(k);
                let [shift_i, shift_j, _] = self.nearest_shift(nearest);
                let frame = self.frame(frames, nearest);
                for j in in_j {
                    let from = clamped(j as isize - shift_j, self.shape[1]) * self.shape[0];
                    let row = &frame[from..from + self.shape[0]];
                    for i in in_i.clone() {
                        slice[j * ni + i] = row[clamped(i as isize - shift_i, self.shape[0])];
                    }
                }
            });
        Volume::new(self.grid.clone(), values)
    }

    pub(super) fn require_frames(&self, n_values: usize) -> Result<(), VolumeError> {
        let n_voxels = self.shape[0] * self.shape[1] * self.frames.len();
        if n_values == n_voxels {
            Ok(())
        } else {
            Err(VolumeError { n_voxels, n_values })
        }
    }

    /// The pixels of one frame.
    fn frame<'a, T>(&self, frames: &'a [T], frame: usize) -> &'a [T] {
        let n = self.shape[0] * self.shape[1];
        &frames[frame * n..(frame + 1) * n]
    }

    /// One slice of the cover, which comes filled with the outside value.
    fn fill_slice(&self, k: usize, frames: &[f32], slice: &mut [f32]) {
        let ni = self.grid.shape()[0];
        let Neighbors {
            nearest,
            other,
            weight_of_other,
        } = self.neighbors(k);
        let [in_i, in_j] = self.image_range(k);
        let [near, far] = [nearest, other].map(|f| Shifted::of(self, frames, f));
        let mut beside = vec![0.0_f32; ni];
        for j in in_j {
            let row = &mut slice[j * ni..(j + 1) * ni];
            near.row(j, in_i.clone(), row);
            if weight_of_other == 0.0 || !far.in_j.contains(&j) {
                continue;
            }
            let both = in_i.start.max(far.in_i.start)..in_i.end.min(far.in_i.end);
            far.row(j, both.clone(), &mut beside);
            for i in both {
                row[i] += (beside[i] - row[i]) * weight_of_other;
            }
        }
    }
}

/// The index, held at the frame's edges.
fn clamped(at: isize, n: usize) -> usize {
    at.clamp(0, n as isize - 1) as usize
}

/// A frame seen from the cover's voxels.
struct Shifted<'a> {
    pixels: &'a [f32],
    shape: [usize; 2],
    /// The cover's columns and rows that lie in it.
    in_i: std::ops::Range<usize>,
    in_j: std::ops::Range<usize>,
    /// The pixel at or before voxel 0, and how much of the next one is mixed in.
    first: [isize; 2],
    weight: [f32; 2],
}

impl<'a> Shifted<'a> {
    fn of(cover: &Cover, frames: &'a [f32], frame: usize) -> Self {
        let at = cover.frames[frame].xyz;
        let before = [0, 1].map(|axis| (-at[axis]).floor());
        Self {
            pixels: cover.frame(frames, frame),
            shape: cover.shape,
            in_i: cover.range_of(at[0], 0),
            in_j: cover.range_of(at[1], 1),
            first: before.map(|c| c as isize),
            weight: [0, 1].map(|axis| (-at[axis] - before[axis]) as f32),
        }
    }

    /// Row `j` of the cover's slice, for the columns of `range`.
    fn row(&self, j: usize, range: std::ops::Range<usize>, out: &mut [f32]) {
        let columns = self.shape[0];
        let [low, high] = [0, 1].map(|next| {
            let from = clamped(j as isize + self.first[1] + next, self.shape[1]) * columns;
            &self.pixels[from..from + columns]
        });
        let [weight_i, weight_j] = self.weight;
        let mixed = |i: usize| {
            if weight_j == 0.0 {
                low[i]
            } else {
                low[i] + (high[i] - low[i]) * weight_j
            }
        };
        for i in range {
            let at = i as isize + self.first[0];
            let value = mixed(clamped(at, columns));
            out[i] = if weight_i == 0.0 {
                value
            } else {
                value + (mixed(clamped(at + 1, columns)) - value) * weight_i
            };
        }
    }
}
