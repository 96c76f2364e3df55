//! One cell between the network's voxels: do its corners agree, and who wins between them.

use crate::manifest::Heads;
use crate::nnunet::accumulate::{LANES, Precision};
use crate::nnunet::export::finished::{
    Finished, Grid2, Verdict, exponential_sum, judge, judge_some, runner_up,
};
use crate::nnunet::half::round_double_to_half;

/// The eight corners of a cell, along axes 0, 1, 2; the last varies fastest.
pub(crate) struct Corners<'a> {
    pair: [&'a Finished; 2],
    grid: Grid2,
    rows: [usize; 2],
    columns: [usize; 2],
    verdicts: [Verdict; 8],
}

impl<'a> Corners<'a> {
    /// The corners on two planes, in two rows and two columns.
    pub(crate) fn of(
        pair: [&'a Finished; 2],
        grid: Grid2,
        [rows, columns]: [[usize; 2]; 2],
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

    /// The corners' confidence, interpolated; `shares` are those along axes 0, 1, 2.
    pub(crate) fn confidence(&self, shares: [f64; 3]) -> f32 {
        let [first, second, share] = shares.map(|s| s as f32);
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
    /// In half precision the eight corners one after the other, whole groups of eight channels each.
    /// In single precision the four that lie between the planes, each with the channels of `kept`.
    corners: Vec<f32>,
    /// Channels that may win in the cell or come second, in rising order.
    kept: Vec<u16>,
    /// At each of the four corners, the sum of the exponentials of the other channels, less `base`.
    others: [f32; 4],
    /// Close to the highest logits of the cell.
    base: f32,
    /// Room for the corners of a cell before channels are left out.
    all: Vec<f32>,
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
            kept: Vec::new(),
            others: [0.0; 4],
            base: 0.0,
            all: Vec::new(),
            logits: Vec::new(),
            is_filled: false,
        }
    }

    /// Another cell comes.
    pub(crate) fn forget(&mut self) {
        self.is_filled = false;
    }

    /// The winner at a voxel of the cell and how sure it is; `shares` are those along axes 0, 1, 2, of
    /// which the first is the same for all voxels until the next cell.
    pub(crate) fn decide(&mut self, corners: &Corners<'_>, shares: [f64; 3]) -> (u16, f32) {
        if !self.is_filled {
            self.fill(corners, shares[0]);
            self.is_filled = true;
        }
        if self.precision == Precision::Half {
            self.mix_half(shares);
            let verdict = judge(&self.logits, self.heads, self.precision);
            return (verdict.winner, verdict.confidence);
        }
        let [_, second, third] = shares.map(|share| share as f32);
        self.mix_single([second, third]);
        if matches!(self.heads, Heads::Regions(_)) {
            let verdict = judge(&self.logits, self.heads, self.precision);
            return (verdict.winner, verdict.confidence);
        }
        let mix = |a: f32, b: f32, share: f32| a * (1.0 - share) + b * share;
        let [a, b, c, d] = self.others;
        let others = mix(mix(a, c, second), mix(b, d, second), third);
        let (winner, confidence) = judge_some(&self.logits, self.base, others);
        (self.kept[winner], confidence)
    }

    fn fill(&mut self, corners: &Corners<'_>, first: f64) {
        let padded = self.channels.next_multiple_of(LANES);
        let room = match self.precision {
            Precision::Single => &mut self.all,
            Precision::Half => &mut self.corners,
        };
        room.resize(8 * padded, 0.0);
        for (corner, pixel) in room.chunks_exact_mut(padded).enumerate() {
            let [a, b, c] = bits(corner);
            let at = [corners.rows[b], corners.columns[c]];
            corners.pair[a].read(corners.grid, at, pixel);
        }
        if self.precision == Precision::Half {
            self.logits.resize(self.channels, 0.0);
            return;
        }
        let (low, high) = self.all.split_at_mut(4 * padded);
        mix_into(low, high, first as f32);
        self.keep(padded);
        self.corners.clear();
        let corners = self.all[..4 * padded].chunks_exact_mut(padded);
        for (corner, others) in corners.zip(&mut self.others) {
            for channel in &self.kept {
                let logit = &mut corner[usize::from(*channel)];
                self.corners.push(*logit);
                *logit = f32::NEG_INFINITY;
            }
            *others = exponential_sum(&corner[..self.channels], self.base);
        }
        self.logits.resize(self.kept.len(), 0.0);
    }

    /// Chooses the channels that may win or come second. Between the four corners a channel is at least
    /// its least and at most its greatest corner; two channels are at least the second highest least.
    fn keep(&mut self, padded: usize) {
        self.kept.clear();
        if matches!(self.heads, Heads::Regions(_)) {
            self.kept.extend(0..self.channels as u16);
            return;
        }
        let (corners, rest) = self.all.split_at_mut(4 * padded);
        let (greatest, rest) = rest.split_at_mut(padded);
        let least = &mut rest[..padded];
        greatest.copy_from_slice(&corners[..padded]);
        least.copy_from_slice(&corners[..padded]);
        for corner in corners.chunks_exact(padded).skip(1) {
            for ((greatest, least), value) in greatest.iter_mut().zip(&mut *least).zip(corner) {
                *greatest = if *value > *greatest {
                    *value
                } else {
                    *greatest
                };
                *least = if *value < *least { *value } else { *least };
            }
        }
        let bar = runner_up(&least[..self.channels]);
        self.base = greatest[..self.channels]
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        let channels = greatest[..self.channels].iter().zip(0_u16..);
        let kept = channels.filter(|(value, _)| **value >= bar);
        self.kept.extend(kept.map(|(_, channel)| channel));
    }

    fn mix_single(&mut self, [second, third]: [f32; 2]) {
        let n = self.kept.len();
        let (first_row, second_row) = self.corners.split_at(2 * n);
        let (a, b) = first_row.split_at(n);
        let (c, d) = second_row.split_at(n);
        for (channel, logit) in self.logits.iter_mut().enumerate() {
            let low = a[channel] * (1.0 - second) + c[channel] * second;
            let high = b[channel] * (1.0 - second) + d[channel] * second;
            *logit = low * (1.0 - third) + high * third;
        }
    }

    /// As scipy adds up: in double precision, corner by corner, each value times its weights along
    /// axes 0, 1, 2 in turn; then one rounding to half precision.
    fn mix_half(&mut self, shares: [f64; 3]) {
        let padded = self.channels.next_multiple_of(LANES);
        let weights = shares.map(|s| [1.0 - s, 1.0 - (1.0 - s)]);
        for (channel, logit) in self.logits.iter_mut().enumerate() {
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
