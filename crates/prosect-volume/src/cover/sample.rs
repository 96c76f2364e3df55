//! From the cover back to the frames.

use std::ops::Range;

use rayon::prelude::*;

use super::Cover;
use crate::volume::{Volume, VolumeError};

impl Cover {
    /// The values of a volume on the cover at the frames' pixels, each from the nearest voxel:
    /// i fastest, then j, then frame.
    ///
    /// # Errors
    /// [`VolumeError`] when the volume has another size than the cover.
    pub fn sample_nearest<T: Copy + Send + Sync + Default>(
        &self,
        volume: &Volume<T>,
    ) -> Result<Vec<T>, VolumeError> {
        self.require_cover(volume)?;
        let [columns, rows] = self.shape;
        let mut frames = vec![T::default(); columns * rows * self.frames.len()];
        frames
            .par_chunks_mut(columns * rows)
            .enumerate()
            .for_each(|(f, frame)| {
                let shift = self.nearest_shift(f);
                for (j, row) in frame.chunks_exact_mut(columns).enumerate() {
                    row.copy_from_slice(self.cover_row(volume.values(), shift, j));
                }
            });
        Ok(frames)
    }

    /// The labels at the frames' pixels by the largest confidence: of the voxels around a pixel,
    /// each counts for its label by its confidence and by how near it is.
    ///
    /// # Errors
    /// [`VolumeError`] when either volume has another size than the cover.
    pub fn sample_labels(
        &self,
        labels: &Volume<u16>,
        confidence: &Volume<u8>,
    ) -> Result<Vec<u16>, VolumeError> {
        self.require_cover(labels)?;
        self.require_cover(confidence)?;
        let [columns, rows] = self.shape;
        let mut frames = vec![0_u16; columns * rows * self.frames.len()];
        frames
            .par_chunks_mut(columns * rows)
            .enumerate()
            .for_each(|(f, frame)| self.vote(f, (labels.values(), confidence.values()), frame));
        Ok(frames)
    }

    fn require_cover<T>(&self, volume: &Volume<T>) -> Result<(), VolumeError> {
        if volume.grid().shape() == self.grid.shape() {
            return Ok(());
        }
        Err(VolumeError {
            n_voxels: self.grid.n_voxels(),
            n_values: volume.values().len(),
        })
    }

    /// The voxel nearest to a frame's first pixel; halfway goes up.
    pub(super) fn nearest_shift(&self, frame: usize) -> [isize; 3] {
        self.frames[frame].xyz.map(|c| (c + 0.5).floor() as isize)
    }

    /// Row `j` of a frame, from voxels shifted by whole steps.
    fn cover_row<'a, T>(&self, values: &'a [T], shift: [isize; 3], j: usize) -> &'a [T] {
        let [ni, nj, nk] = self.grid.shape();
        // The plan leaves room for every frame; the bounds only keep rounding from leaving it.
        let row = held(shift[1] + j as isize, 0..nj) + nj * held(shift[2], 0..nk);
        let start = row * ni + held(shift[0], 0..ni + 1 - self.shape[0]);
        &values[start..start + self.shape[0]]
    }

    /// Labels of one frame by the confidence of the voxels around each pixel.
    fn vote(&self, f: usize, volumes: (&[u16], &[u8]), frame: &mut [u16]) {
        let corners = self.corners(f);
        for (j, out) in frame.chunks_exact_mut(self.shape[0]).enumerate() {
            let voters: Vec<Voter<'_>> = corners
                .iter()
                .map(|corner| self.voter(*corner, volumes, j))
                .collect();
            for (i, value) in out.iter_mut().enumerate() {
                *value = elect(&voters, i);
            }
        }
    }

    /// The voxels of a corner for row `j`; beyond the image, the outermost of it.
    fn voter<'a>(
        &self,
        corner: Corner,
        (labels, confidence): (&'a [u16], &'a [u8]),
        j: usize,
    ) -> Voter<'a> {
        let [ni, nj, nk] = self.grid.shape();
        let k = held(corner.shift[2], 0..nk);
        let [in_i, in_j] = self.image_range(k);
        let row = held(corner.shift[1] + j as isize, in_j) + nj * k;
        Voter {
            labels: &labels[row * ni..(row + 1) * ni],
            confidence: &confidence[row * ni..(row + 1) * ni],
            in_i,
            shift_i: corner.shift[0],
            weight: corner.weight,
        }
    }

    /// The voxels around a frame's first pixel with their share in it, the nearest first.
    fn corners(&self, f: usize) -> Vec<Corner> {
        let at = self.frames[f].xyz;
        let mut corners: Vec<Corner> = (0..8)
            .map(|c| {
                let (mut shift, mut weight) = ([0; 3], 1.0);
                for axis in 0..3 {
                    let floor = at[axis].floor();
                    let (part, next) = (at[axis] - floor, c >> axis & 1);
                    shift[axis] = floor as isize + next;
                    weight *= if next == 1 { part } else { 1.0 - part };
                }
                Corner {
                    shift,
                    weight: weight as f32,
                }
            })
            // Less than a ten-thousandth of a pixel is rounding.
            .filter(|corner| corner.weight > 1e-4)
            .collect();
        corners.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        corners
    }
}

/// A voxel beside a frame's pixel.
#[derive(Clone, Copy, Debug)]
struct Corner {
    shift: [isize; 3],
    weight: f32,
}

/// A row of voxels that vote on a row of pixels.
struct Voter<'a> {
    labels: &'a [u16],
    confidence: &'a [u8],
    in_i: Range<usize>,
    shift_i: isize,
    weight: f32,
}

impl Voter<'_> {
    /// Its label for pixel `i`, and how much it counts: one more than the confidence, so that a
    /// voxel which nobody was asked about still counts.
    fn vote(&self, i: usize) -> (u16, f32) {
        let at = held(self.shift_i + i as isize, self.in_i.clone());
        let sure = 1.0 + f32::from(self.confidence[at]);
        (self.labels[at], self.weight * sure)
    }
}

/// The index, held in a range that is not empty.
fn held(at: isize, range: Range<usize>) -> usize {
    let last = range.end.saturating_sub(1).max(range.start);
    at.clamp(range.start as isize, last as isize) as usize
}

/// The label with the most votes at pixel `i`; of equal ones that of the nearest voxel, which
/// comes first.
fn elect(voters: &[Voter<'_>], i: usize) -> u16 {
    let mut votes = [(0_u16, 0.0_f32); 8];
    let mut n_labels = 0;
    for (label, weight) in voters.iter().map(|voter| voter.vote(i)) {
        let known = votes[..n_labels]
            .iter_mut()
            .find(|(known, _)| *known == label);
        if let Some((_, sum)) = known {
            *sum += weight;
        } else {
            votes[n_labels] = (label, weight);
            n_labels += 1;
        }
    }
    let mut best = votes[0];
    for &candidate in &votes[1..n_labels.max(1)] {
        if candidate.1 > best.1 {
            best = candidate;
        }
    }
    best.0
}
