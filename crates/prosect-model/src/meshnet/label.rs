//! From a network's planes to labels and how sure they are, and from the cube to the image's grid.

use prosect_volume::{Grid, IndexBox, Point, Volume, Voxel};
use rayon::prelude::*;

/// Logits this far behind the largest change an 8-bit confidence by nothing, for up to 256 classes.
const FAR_BEHIND: f32 = 12.0;
/// Lanes of a block of channels in the engine's output.
const LANES: usize = 8;

/// The channel with the largest logit of each voxel of a plane, the first of equals, and the
/// probability of it less that of the runner-up, 0 to 255. `values` are blocks of eight channels.
pub(super) fn decide(values: &[f32], n_channels: usize, channel: &mut [u8], lead: &mut [u8]) {
    let n_voxels = channel.len();
    let mut logits = vec![0.0_f32; n_channels];
    for voxel in 0..n_voxels {
        for (c, logit) in logits.iter_mut().enumerate() {
            *logit = values[((c / LANES) * n_voxels + voxel) * LANES + c % LANES];
        }
        let (mut best, mut second) = (0, f32::NEG_INFINITY);
        for (c, logit) in logits.iter().enumerate().skip(1) {
            if *logit > logits[best] {
                second = second.max(logits[best]);
                best = c;
            } else {
                second = second.max(*logit);
            }
        }
        channel[voxel] = best as u8;
        lead[voxel] = sureness(&logits, logits[best], second);
    }
}

fn sureness(logits: &[f32], best: f32, second: f32) -> u8 {
    if best - second > FAR_BEHIND {
        return u8::MAX;
    }
    let sum: f32 = logits.iter().map(|l| (l - best).exp()).sum();
    (255.0 * (1.0 - (second - best).exp()) / sum).round() as u8
}

/// Where the labels of a part of a cube lie.
pub(super) struct Labeled {
    pub(super) channel: Volume<u8>,
    pub(super) lead: Volume<u8>,
}

impl Labeled {
    /// The labels of `part`, everything else background of which nobody knows anything.
    pub(super) fn in_cube(part: IndexBox, cube: &Grid, channel: &[u8], lead: &[u8]) -> Self {
        let mut whole = Self {
            channel: Volume::filled(cube.clone(), 0),
            lead: Volume::filled(cube.clone(), 0),
        };
        let ni = part.shape()[0];
        let [mi, mj, _] = cube.shape();
        let rows = channel.chunks_exact(ni).zip(lead.chunks_exact(ni));
        for (row, (channel, lead)) in rows.enumerate() {
            let nj = part.shape()[1];
            let (j, k) = (part.start[1] + row % nj, part.start[2] + row / nj);
            let start = (k * mj + j) * mi + part.start[0];
            whole.channel.values_mut()[start..start + ni].copy_from_slice(channel);
            whole.lead.values_mut()[start..start + ni].copy_from_slice(lead);
        }
        whole
    }

    /// On the image's own grid: the labels of the eight voxels around vote with the weights of
    /// linear interpolation, the lower label wins a draw. Beyond the cube all is background.
    pub(super) fn on(&self, grid: &Grid, labels: &[u16]) -> (Volume<u16>, Volume<u8>) {
        let cube_from_image = self.channel.grid().voxel_from_lps() * grid.lps_from_voxel();
        let [ni, nj, _] = grid.shape();
        let mut found = vec![(0_u16, 0_u8); grid.n_voxels()];
        let step = cube_from_image.column(0);
        found
            .par_chunks_mut(ni * nj)
            .enumerate()
            .for_each(|(k, slice)| {
                for (j, row) in slice.chunks_exact_mut(ni).enumerate() {
                    let start = cube_from_image * Point::new([0.0, j as f64, k as f64]);
                    for (i, voxel) in row.iter_mut().enumerate() {
                        let (channel, lead) = self.vote(start + step * i as f64);
                        let label = labels.get(usize::from(channel)).copied().unwrap_or(0);
                        *voxel = (label, lead);
                    }
                }
            });
        let mut taken = found.into_iter();
        let mut lead = Volume::filled(grid.clone(), 0_u8);
        let leads = lead.values_mut();
        let mut n = 0;
        let labels = Volume::from_fn(grid.clone(), |_| {
            let (label, sure) = taken.next().unwrap_or((0, 0));
            leads[n] = sure;
            n += 1;
            label
        });
        (labels, lead)
    }

    fn vote(&self, at: Point<Voxel>) -> (u8, u8) {
        let shape = self.channel.grid().shape();
        let mut low = [0_usize; 3];
        let mut share = [0.0_f64; 3];
        for axis in 0..3 {
            let last = (shape[axis] - 1) as f64;
            if !(-0.5 - 1e-6..=last + 0.5 + 1e-6).contains(&at.xyz[axis]) {
                return (0, 0);
            }
            let held = at.xyz[axis].clamp(0.0, last);
            // A center that rounding moved is that center.
            let held = if (held - held.round()).abs() < 1e-4 {
                held.round()
            } else {
                held
            };
            low[axis] = held.floor() as usize;
            share[axis] = held - held.floor();
        }
        let mut votes: [(u8, f64, f64); 8] = [(0, 0.0, 0.0); 8];
        let mut n_votes = 0;
        for corner in 0..8_usize {
            let mut weight = 1.0;
            let mut offset = 0;
            for axis in (0..3).rev() {
                let up = corner >> axis & 1;
                weight *= if up == 1 {
                    share[axis]
                } else {
                    1.0 - share[axis]
                };
                offset = offset * shape[axis] + (low[axis] + up).min(shape[axis] - 1);
            }
            if weight == 0.0 {
                continue;
            }
            let channel = self.channel.values()[offset];
            let sure = weight * f64::from(self.lead.values()[offset]);
            if let Some(vote) = votes[..n_votes].iter_mut().find(|v| v.0 == channel) {
                vote.1 += weight;
                vote.2 += sure;
            } else {
                votes[n_votes] = (channel, weight, sure);
                n_votes += 1;
            }
        }
        votes[..n_votes]
            .iter()
            .fold(None, |best: Option<(u8, f64, f64)>, &vote| match best {
                Some(b) if b.1 > vote.1 || (b.1 == vote.1 && b.0 < vote.0) => Some(b),
                _ => Some(vote),
            })
            .map_or((0, 0), |(channel, _, sure)| (channel, sure.round() as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::{Labeled, decide};
    use prosect_volume::{Affine, Grid, IndexBox, Point, Vector, Volume};

    #[test]
    fn the_largest_logit_wins_and_says_by_how_much() {
        // Ten channels, two voxels: blocks of eight lanes.
        let mut values = vec![0.0; 2 * 2 * 8];
        let mut set = |channel: usize, voxel: usize, logit: f32| {
            values[((channel / 8) * 2 + voxel) * 8 + channel % 8] = logit;
        };
        for channel in 0..10 {
            set(channel, 0, -50.0);
            set(channel, 1, -50.0);
        }
        set(9, 0, 1.0);
        set(2, 0, 0.0);
        set(3, 1, 4.0);
        set(5, 1, 4.0);
        let (mut channel, mut lead) = ([7; 2], [7; 2]);
        decide(&values, 10, &mut channel, &mut lead);
        assert_eq!(channel, [9, 3]);
        // 1 / (1 + e^-1) less e^-1 / (1 + e^-1) = 0.462.
        assert_eq!(lead, [118, 0]);
    }

    #[test]
    fn labels_come_back_to_their_place_and_vote_where_voxels_differ() {
        let cube = Grid::axis_aligned([4, 4, 4], [1.0; 3], Point::new([0.0; 3])).unwrap();
        let part = IndexBox {
            start: [2, 0, 0],
            end: [4, 4, 4],
        };
        let labeled = Labeled::in_cube(part, &cube, &[1; 32], &[200; 32]);
        let (labels, lead) = labeled.on(&cube, &[0, 77]);
        assert_eq!(
            labels,
            Volume::from_fn(cube.clone(), |v| if v.i >= 2 { 77 } else { 0 })
        );
        assert_eq!(
            lead.map(|v| u16::from(*v)),
            labels.map(|v| if *v == 77 { 200 } else { 0 })
        );
        // Half-size voxels, turned around, one millimetre beyond the cube on the left.
        let columns = [[-0.5, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(Vector::new);
        let fine = Grid::new(
            [10, 4, 4],
            Affine::from_columns(columns, Point::new([3.25, 0.0, 0.0])),
            None,
        )
        .unwrap();
        let (labels, _) = labeled.on(&fine, &[0, 77]);
        assert_eq!(labels.values()[..10], [77, 77, 77, 77, 0, 0, 0, 0, 0, 0]);
    }
}
