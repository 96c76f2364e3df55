//! From finished planes of logits to labels and confidence on the target's voxels.
//!
//! Two neighboring planes are all that is kept. Where the corners of a cell agree, so does every
//! voxel within: interpolation cannot change the winner (with half precision, only where the lead is
//! larger than one rounding). Elsewhere the logits are interpolated and compared, those of channels that
//! may win there or count in the confidence; rows of the target that lie between the same two rows of the
//! network share that work.

mod cell;
mod finished;

use prosect_nn::isa::Isa;
use rayon::prelude::*;

use crate::manifest::Heads;
use crate::nnunet::accumulate::Precision;
use crate::nnunet::target::{Label, Labels, Merged, Place, Places, merge};
use cell::{Corners, Interpolation};
pub(crate) use finished::{Finished, Grid2};

/// Neighboring rows of the target between the same two rows of the network's grid.
struct Band {
    /// The two rows; `None` outside the crop.
    between: Option<[usize; 2]>,
    /// For each of the target's rows, the share of the second.
    shares: Vec<f64>,
}

impl Band {
    fn all(rows: &[Option<Place>], height: usize) -> Vec<Self> {
        let mut bands: Vec<Self> = Vec::new();
        for place in rows {
            let between = place.map(|p| corner_pair(p.low, p.share, height));
            let share = place.map_or(0.0, |p| p.share);
            match bands.last_mut() {
                Some(band) if band.between == between => band.shares.push(share),
                _ => bands.push(Self {
                    between,
                    shares: vec![share],
                }),
            }
        }
        bands
    }
}

/// Receives the planes in order and fills the merged answer.
pub(crate) struct Exporter<'a> {
    heads: &'a Heads,
    precision: Precision,
    isa: Isa,
    grid: Grid2,
    places: Places,
    /// Neighboring rows of the target that lie between the same rows of the network's grid.
    bands: Vec<Band>,
    /// For each plane of the network's grid, the target's slices that can be made once it is there.
    due: Vec<Vec<usize>>,
    before: Option<Finished>,
    n_seen: usize,
}

impl<'a> Exporter<'a> {
    /// `n_planes` of the network's grid will come, each as `grid` says.
    pub(crate) fn new(
        heads: &'a Heads,
        (precision, isa): (Precision, Isa),
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
            isa,
            grid,
            bands: Band::all(&places.axes[1], grid.height),
            places,
            due,
            before: None,
            n_seen: 0,
        }
    }

    /// Takes the next plane, `[blocks][height][width][8]` with its padding, and gives back the one
    /// that is not needed any more.
    pub(crate) fn push(&mut self, logits: Vec<f32>, merged: &mut Merged) -> Option<Vec<f32>> {
        let plane = Finished::of(logits, self.grid, (self.heads, self.precision, self.isa));
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
            let (mut labels, mut doubts) = (&mut all_labels[part.clone()], &mut all_doubts[part]);
            let mut work = Vec::with_capacity(self.bands.len());
            for band in &self.bands {
                let length = n * band.shares.len();
                let (mine, rest) = labels.split_at_mut(length);
                let (my_doubts, other_doubts) = doubts.split_at_mut(length);
                (labels, doubts) = (rest, other_doubts);
                work.push((band, mine, my_doubts));
            }
            (work.into_par_iter()).for_each(|(band, labels, doubts)| {
                self.fill_band(share, band, pair, (labels, doubts));
            });
            return;
        }
        let made: Vec<(Vec<u16>, Vec<u8>)> = (self.bands.par_iter())
            .map(|band| {
                let length = n * band.shares.len();
                let (mut labels, mut doubts) = (vec![0_u16; length], vec![0; length]);
                self.fill_band(share, band, pair, (&mut labels, &mut doubts));
                (labels, doubts)
            })
            .collect();
        let mut row = 0;
        for (labels, doubts) in &made {
            for (labels, doubts) in labels.chunks_exact(n).zip(doubts.chunks_exact(n)) {
                let first = slice * s0 + row * s1;
                for (column, (found, doubt)) in labels.iter().zip(doubts).enumerate() {
                    let at = first + column * s2;
                    merge(&mut all_labels[at], &mut all_doubts[at], *found, *doubt);
                }
                row += 1;
            }
        }
    }

    /// The rows of one band in one slice; `share` is that along axis 0.
    fn fill_band<L: Label>(
        &self,
        share: f64,
        band: &Band,
        pair: [&Finished; 2],
        (labels, doubts): (&mut [L], &mut [u8]),
    ) {
        let Some(rows) = band.between else {
            return;
        };
        let mut corners: Option<Corners<'_>> = None;
        let mut interpolation = Interpolation::new(self.heads, self.precision, self.grid.channels);
        let columns = &self.places.axes[2];
        for (column, place) in columns.iter().enumerate() {
            let Some(place) = *place else {
                continue;
            };
            let cell = corner_pair(place.low, place.share, self.grid.width);
            let here = match &corners {
                Some(here) if here.columns() == cell => here,
                _ => {
                    interpolation.forget();
                    corners.insert(Corners::of(pair, self.grid, [rows, cell]))
                }
            };
            let agreed = here.agreed(self.precision);
            for (row, &row_share) in band.shares.iter().enumerate() {
                let shares = [share, row_share, place.share];
                let (found, confidence) = match agreed {
                    Some(winner) => (winner, here.confidence(shares)),
                    None => interpolation.decide(here, shares),
                };
                let value = match (self.heads, found) {
                    (Heads::Labels(values), channel) => values[usize::from(channel)],
                    (Heads::Regions(_), 0) => 0,
                    (Heads::Regions(values), one_more) => values[usize::from(one_more) - 1],
                };
                let sure = (confidence.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
                let at = row * columns.len() + column;
                merge(&mut labels[at], &mut doubts[at], value, 255 - sure);
            }
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
