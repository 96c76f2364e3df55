//! One cell between the network's voxels: do its corners agree, and who wins between them.

use crate::manifest::Heads;
use crate::nnunet::accumulate::{LANES, Precision};
use crate::nnunet::export::finished::{Finished, Grid2, Verdict, judge};
use crate::nnunet::half::round_double_to_half;

/// The eight corners of a cell, along axes 0, 1, 2; the last varies fastest.
pub(crate) struct Corners<'a> {
    pair: [&'a Finished; 2],
    grid: Grid2,
    rows: [usize; 2],
    columns: [usize; 2],
    shares: [f64; 2],
    verdicts: [Verdict; 8],
}

impl<'a> Corners<'a> {
    /// `shares` are those along axes 0 and 1.
    pub(crate) fn of(
        pair: [&'a Finished; 2],
        grid: Grid2,
        [rows, columns]: [[usize; 2]; 2],
        shares: [f64; 2],
    ) -> Self {
        let verdicts = std::array::from_fn(|corner| {
            let [a, b, c] = bits(corner);
            pair[a].verdict(grid, rows[b], columns[c])
        });
        Self {
            pair,
            grid,
            rows,
            columns,
            shares,
            verdicts,
        }
    }

    /// The cell's two columns.
    pub(crate) fn columns(&self) -> [usize; 2] {
        self.columns
    }

    /// The winner of all corners, where rounding cannot take it away between them.
    pub(crate) fn agreed(&self, precision: Precision) -> Option<u16> {
        let winner = self.verdicts[0].winner;
        if self.verdicts.iter().any(|verdict| verdict.winner != winner) {
            return None;
        }
        if precision == Precision::Half {
            let lead = (self.verdicts.iter()).fold(f32::INFINITY, |m, v| m.min(v.lead));
            let step = self.verdicts.iter().fold(0.0_f32, |m, v| m.max(v.step));
            // Two steps: one for each of the two logits that are rounded.
            if lead <= 2.0 * step {
                return None;
            }
        }
        Some(winner)
    }

    /// The corners' confidence, interpolated; `share` is that along axis 2.
    pub(crate) fn confidence(&self, share: f32) -> f32 {
        let [first, second] = self.shares.map(|s| s as f32);
        let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
        let v = |corner: usize| self.verdicts[corner].confidence;
        let along = |c: usize| {
            mix(
                mix(v(c), v(4 + c), first),
                mix(v(2 + c), v(6 + c), first),
                second,
            )
        };
        mix(along(0), along(1), share)
    }
}

/// Logits between the corners of one cell after the other; what a cell's voxels share is kept.
pub(crate) struct Interpolation<'a> {
    heads: &'a Heads,
    precision: Precision,
    channels: usize,
    /// Corner by corner, whole groups of eight channels each; or, in single precision, the first two
    /// hold what lies between the others along axes 0 and 1.
    corners: Vec<f32>,
    logits: Vec<f32>,
    is_filled: bool,
}

impl<'a> Interpolation<'a> {
    pub(crate) fn new(heads: &'a Heads, precision: Precision, channels: usize) -> Self {
        Self {
            heads,
            precision,
            channels,
            corners: Vec::new(),
            logits: Vec::new(),
            is_filled: false,
        }
    }

    /// Another cell comes.
    pub(crate) fn forget(&mut self) {
        self.is_filled = false;
    }

    /// The winner at a voxel of the cell and how sure it is; `share` is that along axis 2.
    pub(crate) fn decide(&mut self, corners: &Corners<'_>, share: f64) -> (u16, f32) {
        let padded = self.channels.next_multiple_of(LANES);
        if !self.is_filled {
            self.fill(corners, padded);
            self.is_filled = true;
        }
        match self.precision {
            Precision::Single => self.mix_single(padded, share as f32),
            Precision::Half => self.mix_half(corners.shares, padded, share),
        }
        let verdict = judge(&self.logits[..self.channels], self.heads, self.precision);
        (verdict.winner, verdict.confidence)
    }

    fn fill(&mut self, corners: &Corners<'_>, padded: usize) {
        self.corners.resize(8 * padded, 0.0);
        self.logits.resize(padded, 0.0);
        for (corner, pixel) in self.corners.chunks_exact_mut(padded).enumerate() {
            let [a, b, c] = bits(corner);
            let at = [corners.rows[b], corners.columns[c]];
            corners.pair[a].read(corners.grid, at, pixel);
        }
        if self.precision == Precision::Single {
            let [first, second] = corners.shares.map(|s| s as f32);
            let (low, high) = self.corners.split_at_mut(4 * padded);
            mix_into(low, high, first);
            let (low, high) = low.split_at_mut(2 * padded);
            mix_into(low, high, second);
        }
    }

    fn mix_single(&mut self, padded: usize, share: f32) {
        let (low, high) = self.corners.split_at(padded);
        for ((logit, a), b) in self.logits.iter_mut().zip(low).zip(high) {
            *logit = a * (1.0 - share) + b * share;
        }
    }

    /// As scipy adds up: in double precision, corner by corner, each value times its weights along
    /// axes 0, 1, 2 in turn; then one rounding to half precision.
    fn mix_half(&mut self, [first, second]: [f64; 2], padded: usize, share: f64) {
        let weights = [first, second, share].map(|s| [1.0 - s, 1.0 - (1.0 - s)]);
        for (channel, logit) in self.logits[..self.channels].iter_mut().enumerate() {
            let mut sum = 0.0_f64;
            for corner in 0..8 {
                let [a, b, c] = bits(corner);
                let value = f64::from(self.corners[corner * padded + channel]);
                sum += value * weights[0][a] * weights[1][b] * weights[2][c];
            }
            *logit = round_double_to_half(sum);
        }
    }
}

fn mix_into(low: &mut [f32], high: &[f32], share: f32) {
    for (a, b) in low.iter_mut().zip(high) {
        *a = *a * (1.0 - share) + b * share;
    }
}

/// The place of a corner along axes 0, 1, 2.
fn bits(corner: usize) -> [usize; 3] {
    [corner >> 2 & 1, corner >> 1 & 1, corner & 1]
}
