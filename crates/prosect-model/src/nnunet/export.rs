//! From finished planes of logits to labels and confidence on the target's voxels.
//!
//! Two neighboring planes are all that is kept. Where the corners of a cell agree, so does every
//! voxel within: interpolation cannot change the winner (with half precision, only where the lead is
//! larger than one rounding). Elsewhere the logits are interpolated and compared.

mod cell;
mod finished;

use rayon::prelude::*;

use crate::manifest::Heads;
use crate::nnunet::accumulate::Precision;
use crate::nnunet::target::{Label, Labels, Merged, Place, Places, merge};
use cell::{Corners, Interpolation};
pub(crate) use finished::{Finished, Grid2};

/// Receives the planes in order and fills the merged answer.
pub(crate) struct Exporter<'a> {
    heads: &'a Heads,
    precision: Precision,
    grid: Grid2,
    places: Places,
    /// For each plane of the network's grid, the target's slices that can be made once it is there.
    due: Vec<Vec<usize>>,
    before: Option<Finished>,
    n_seen: usize,
}

impl<'a> Exporter<'a> {
    /// `n_planes` of the network's grid will come, each as `grid` says.
    pub(crate) fn new(
        heads: &'a Heads,
        precision: Precision,
        grid: Grid2,
        n_planes: usize,
        places: Places,
    ) -> Self {
        let mut due = vec![Vec::new(); n_planes];
        for (slice, place) in places.axes[0].iter().enumerate() {
            if let Some(Place { low, share }) = place {
                let needs = if *share > 0.0 { low + 1 } else { *low };
                due[needs.min(n_planes - 1)].push(slice);
            }
        }
        Self {
            heads,
            precision,
            grid,
            places,
            due,
            before: None,
            n_seen: 0,
        }
    }

    /// Takes the next plane, `[blocks][height][width][8]` with its padding, and gives back the one
    /// that is not needed any more.
    pub(crate) fn push(&mut self, logits: Vec<f32>, merged: &mut Merged) -> Option<Vec<f32>> {
        let plane = Finished::of(logits, self.grid, self.heads, self.precision);
        for slice in std::mem::take(&mut self.due[self.n_seen]) {
            let Some(place) = self.places.axes[0][slice] else {
                continue;
            };
            let pair = match &self.before {
                Some(before) if place.low < self.n_seen => [before, &plane],
                _ => [&plane, &plane],
            };
            self.fill_slice(slice, pair, place.share, merged);
        }
        self.n_seen += 1;
        self.before.replace(plane).map(Finished::into_logits)
    }

    fn fill_slice(&self, slice: usize, pair: [&Finished; 2], share: f64, merged: &mut Merged) {
        let doubts = &mut merged.doubts;
        match &mut merged.labels {
            Labels::Narrow(labels) => self.fill(slice, pair, share, (labels, doubts)),
            Labels::Wide(labels) => self.fill(slice, pair, share, (labels, doubts)),
        }
    }

    fn fill<L: Label>(
        &self,
        slice: usize,
        pair: [&Finished; 2],
        share: f64,
        (all_labels, all_doubts): (&mut [L], &mut [u8]),
    ) {
        let [_, rows, columns] = &self.places.axes;
        let [s0, s1, s2] = self.places.strides;
        let n = columns.len();
        if s2 == 1 && s1 == n && s0 == n * rows.len() {
            let part = slice * s0..(slice + 1) * s0;
            (all_labels[part.clone()].par_chunks_mut(n))
                .zip(all_doubts[part].par_chunks_mut(n))
                .enumerate()
                .for_each(|(row, (labels, doubts))| {
                    if let Some(place) = rows[row] {
                        self.fill_row([share, place.share], place.low, pair, labels, doubts);
                    }
                });
            return;
        }
        let made: Vec<(Vec<u16>, Vec<u8>)> = (0..rows.len())
            .into_par_iter()
            .map(|row| {
                let (mut labels, mut doubts) = (vec![0_u16; n], vec![0; n]);
                if let Some(place) = rows[row] {
                    let shares = [share, place.share];
                    self.fill_row(shares, place.low, pair, &mut labels, &mut doubts);
                }
                (labels, doubts)
            })
            .collect();
        for (row, (labels, doubts)) in made.iter().enumerate() {
            let first = slice * s0 + row * s1;
            for (column, (found, doubt)) in labels.iter().zip(doubts).enumerate() {
                let at = first + column * s2;
                merge(&mut all_labels[at], &mut all_doubts[at], *found, *doubt);
            }
        }
    }

    /// One row of one slice. `shares` are those along axes 0 and 1; the row lies after `low`.
    fn fill_row<L: Label>(
        &self,
        shares: [f64; 2],
        low: usize,
        pair: [&Finished; 2],
        labels: &mut [L],
        doubts: &mut [u8],
    ) {
        let rows = corner_pair(low, shares[1], self.grid.height);
        let mut corners: Option<Corners<'_>> = None;
        let mut interpolation = Interpolation::new(self.heads, self.precision, self.grid.channels);
        let columns = &self.places.axes[2];
        for ((place, label), doubt) in columns.iter().zip(labels).zip(doubts) {
            let Some(Place { low, share }) = *place else {
                continue;
            };
            let cell = corner_pair(low, share, self.grid.width);
            let here = match &corners {
                Some(here) if here.columns() == cell => here,
                _ => {
                    interpolation.forget();
                    corners.insert(Corners::of(pair, self.grid, [rows, cell], shares))
                }
            };
            let (found, confidence) = if let Some(winner) = here.agreed(self.precision) {
                (winner, here.confidence(share as f32))
            } else {
                interpolation.decide(here, share)
            };
            let value = match (self.heads, found) {
                (Heads::Labels(values), channel) => values[usize::from(channel)],
                (Heads::Regions(_), 0) => 0,
                (Heads::Regions(values), one_more) => values[usize::from(one_more) - 1],
            };
            let sure = (confidence.clamp(0.0, 1.0) * 255.0).round() as u8;
            merge(label, doubt, value, 255 - sure);
        }
    }
}

/// The voxels on either side of a place; on a voxel it is that voxel alone.
fn corner_pair(low: usize, share: f64, length: usize) -> [usize; 2] {
    let high = if share > 0.0 { low + 1 } else { low };
    [low, high.min(length - 1)]
}

#[cfg(test)]
mod tests;
