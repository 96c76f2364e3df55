//! Logits of overlapping patches, added up plane by plane. Only as many planes as a patch is deep
//! are kept: a plane that no later patch touches is finished, handed out and its memory used again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::nnunet::half::round_to_half;

/// Channels that lie side by side in memory.
pub(crate) const LANES: usize = 8;

/// The extents of a padded plane: `[blocks][height][width][8]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaneLayout {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl PlaneLayout {
    /// Groups of eight channels.
    pub(crate) fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Numbers of a plane.
    pub(crate) fn len(&self) -> usize {
        self.blocks() * self.height * self.width * LANES
    }
}

/// How numbers are kept while they are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// As f32.
    Single,
    /// Rounded to half precision after each step, as the original does.
    Half,
}

/// One plane while it is added up: weighted logits, and the weights.
#[derive(Debug, Default)]
struct Sum {
    logits: Vec<f32>,
    weights: Vec<f32>,
}

/// The planes of one row of patches.
#[derive(Debug)]
pub(crate) struct Accumulator {
    layout: PlaneLayout,
    precision: Precision,
    /// The padded plane that `sums` begins with.
    first: usize,
    sums: VecDeque<Mutex<Sum>>,
    /// Memory of planes that were handed out.
    free: Vec<Vec<f32>>,
}

/// One output plane of the network and where it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contribution<'a> {
    /// `[blocks][patch height][patch width][8]`.
    pub(crate) logits: &'a [f32],
    /// The weight of each of its pixels.
    pub(crate) weights: &'a [f32],
    /// Patch height and width.
    pub(crate) patch: [usize; 2],
    /// Where its first pixel goes in the padded plane.
    pub(crate) at: [usize; 2],
    /// Along which axes of the plane it is mirrored.
    pub(crate) flipped: [bool; 2],
    /// The share of this pass among the mirrored ones.
    pub(crate) share: f32,
    /// Whether the weights are counted: for one of the mirrored passes.
    pub(crate) counts: bool,
}

impl Accumulator {
    pub(crate) fn new(layout: PlaneLayout, precision: Precision) -> Self {
        Self {
            layout,
            precision,
            first: 0,
            sums: VecDeque::new(),
            free: Vec::new(),
        }
    }

    /// Makes room for the planes up to `end`.
    pub(crate) fn extend_to(&mut self, end: usize) {
        while self.first + self.sums.len() < end {
            let mut logits = self.free.pop().unwrap_or_default();
            logits.clear();
            logits.resize(self.layout.len(), 0.0);
            self.sums.push_back(Mutex::new(Sum {
                logits,
                weights: vec![0.0; self.layout.height * self.layout.width],
            }));
        }
    }

    /// Adds a contribution to a plane; different planes may be added to at the same time.
    pub(crate) fn add(&self, plane: usize, contribution: &Contribution<'_>) {
        let Some(sum) = plane
            .checked_sub(self.first)
            .and_then(|at| self.sums.get(at))
        else {
            debug_assert!(false, "a patch touches only planes that are kept");
            return;
        };
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        match self.precision {
            Precision::Single => self.add_rows::<false>(&mut sum, contribution),
            Precision::Half => self.add_rows::<true>(&mut sum, contribution),
        }
    }

    fn add_rows<const HALF: bool>(&self, sum: &mut Sum, c: &Contribution<'_>) {
        let [height, width] = c.patch;
        let PlaneLayout {
            height: full_height,
            width: full_width,
            ..
        } = self.layout;
        if c.counts {
            for (row, weights) in c.weights.chunks_exact(width).enumerate() {
                let first = (c.at[0] + row) * full_width + c.at[1];
                for (total, weight) in sum.weights[first..first + width].iter_mut().zip(weights) {
                    *total = add::<HALF>(*total, *weight);
                }
            }
        }
        let full_block = full_height * full_width * LANES;
        let blocks = c.logits.chunks_exact(height * width * LANES);
        for (total, logits) in sum.logits.chunks_exact_mut(full_block).zip(blocks) {
            for (row, weights) in c.weights.chunks_exact(width).enumerate() {
                let from_row = if c.flipped[0] { height - 1 - row } else { row };
                let from = &logits[from_row * width * LANES..(from_row + 1) * width * LANES];
                let first = ((c.at[0] + row) * full_width + c.at[1]) * LANES;
                let to = &mut total[first..first + width * LANES];
                let pixels = to.chunks_exact_mut(LANES).zip(weights);
                if c.flipped[1] {
                    for ((to, weight), from) in pixels.zip(from.chunks_exact(LANES).rev()) {
                        add_pixel::<HALF>(to, from, weight * c.share);
                    }
                } else {
                    for ((to, weight), from) in pixels.zip(from.chunks_exact(LANES)) {
                        add_pixel::<HALF>(to, from, weight * c.share);
                    }
                }
            }
        }
    }

    /// Takes out the first plane and divides it by its weights; `n_folds` contributions of each
    /// patch were counted as one. `None` when a value is not finite.
    pub(crate) fn release(&mut self, n_folds: f32) -> Option<Vec<f32>> {
        let sum = self.sums.pop_front()?;
        self.first += 1;
        let Sum {
            mut logits,
            weights,
        } = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        let is_half = self.precision == Precision::Half;
        let is_finite = (logits.par_chunks_exact_mut(weights.len() * LANES))
            .map(|block| divide(block, &weights, n_folds, is_half))
            .reduce(|| true, |a, b| a & b);
        is_finite.then_some(logits)
    }

    /// Takes back the memory of a plane that was handed out.
    pub(crate) fn recycle(&mut self, plane: Vec<f32>) {
        self.free.push(plane);
    }
}

/// Divides a block of channels by the weights and says whether all values are finite.
fn divide(block: &mut [f32], weights: &[f32], n_folds: f32, is_half: bool) -> bool {
    let mut is_finite = true;
    for (pixel, weight) in block.chunks_exact_mut(LANES).zip(weights) {
        let divisor = weight * n_folds;
        for value in pixel {
            *value /= divisor;
            if is_half {
                *value = round_to_half(*value);
            }
            is_finite &= value.is_finite();
        }
    }
    is_finite
}

#[inline]
fn add<const HALF: bool>(a: f32, b: f32) -> f32 {
    if HALF { round_to_half(a + b) } else { a + b }
}

#[inline]
fn add_pixel<const HALF: bool>(to: &mut [f32], from: &[f32], weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = add::<HALF>(*to, from * weight);
    }
}

#[cfg(test)]
mod tests;
