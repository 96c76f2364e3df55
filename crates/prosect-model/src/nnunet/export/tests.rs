//! Rows given out plane by plane against the whole volume at once.

use proptest::prelude::*;

use super::{Exporter, Grid2};
use crate::manifest::Heads;
use crate::nnunet::accumulate::{PlaneLayout, Precision};
use crate::nnunet::export::finished::is_inside;
use crate::nnunet::half::{round_double_to_half, round_to_half};
use crate::nnunet::spline::{between, source};
use crate::nnunet::target::{Labels, Merged, Place, Places};

/// Logits `[channel][0][1][2]` and where they go.
#[derive(Debug, Clone)]
struct Scene {
    channels: usize,
    from: [usize; 3],
    to: [usize; 3],
    before: [usize; 2],
    logits: Vec<f32>,
    precision: Precision,
    heads: Heads,
}

fn scene() -> impl Strategy<Value = Scene> {
    let shape = || prop::array::uniform3(1..5_usize);
    (
        1..11_usize,
        shape(),
        prop::array::uniform3(1..9_usize),
        prop::array::uniform2(0..3_usize),
        any::<[bool; 2]>(),
    )
        .prop_flat_map(|(channels, from, to, before, [is_half, are_regions])| {
            let n = channels * from.iter().product::<usize>();
            // Few values, so that corners often agree and often tie; some far apart.
            let value = prop_oneof![(-3_i32..4).prop_map(|n| n as f32 / 2.0), -9.0..9.0_f32];
            let values = (0..channels as u16).collect::<Vec<_>>();
            let (precision, heads) = (
                if is_half {
                    Precision::Half
                } else {
                    Precision::Single
                },
                if are_regions {
                    Heads::Regions(values.iter().map(|v| v + 1).collect())
                } else {
                    Heads::Labels(values)
                },
            );
            prop::collection::vec(value, n).prop_map(move |logits| Scene {
                channels,
                from,
                to,
                before,
                precision,
                heads: heads.clone(),
                logits: logits.into_iter().map(round_to_half).collect(),
            })
        })
}

impl Scene {
    fn at(&self, channel: usize, [a, b, c]: [usize; 3]) -> f32 {
        let [n0, n1, n2] = self.from;
        self.logits[((channel * n0 + a) * n1 + b) * n2 + c]
    }

    /// The plane as the accumulator hands it out, with padding that nobody may look at.
    fn plane(&self, index: usize, grid: Grid2) -> Vec<f32> {
        let mut plane = vec![f32::NAN; grid.layout.len()];
        for channel in 0..self.channels {
            for b in 0..self.from[1] {
                for c in 0..self.from[2] {
                    let at = channel / 8 * grid.block_stride() + grid.offset(b, c) + channel % 8;
                    plane[at] = self.at(channel, [index, b, c]);
                }
            }
        }
        plane
    }

    fn grid(&self) -> Grid2 {
        Grid2 {
            layout: PlaneLayout {
                channels: self.channels,
                height: self.from[1] + self.before[0] + 1,
                width: self.from[2] + self.before[1],
            },
            channels: self.channels,
            height: self.from[1],
            width: self.from[2],
            before: self.before,
        }
    }

    fn export(&self, [is_backwards, is_narrow]: [bool; 2]) -> Merged {
        let axes = std::array::from_fn(|a| {
            let mut places: Vec<Option<Place>> = (0..self.to[a])
                .map(|i| {
                    let (low, share) = between(source(i, self.from[a], self.to[a]), self.from[a]);
                    Some(Place { low, share })
                })
                .collect();
            if is_backwards {
                places.reverse();
            }
            places
        });
        let [_, m1, m2] = self.to;
        let places = Places {
            axes,
            strides: if is_backwards {
                [1, self.to[0], self.to[0] * m1]
            } else {
                [m1 * m2, m2, 1]
            },
        };
        let grid = self.grid();
        let n_voxels = self.to.iter().product();
        let mut merged = Merged::new(n_voxels, []);
        if !is_narrow {
            merged.labels = Labels::Wide(vec![0; n_voxels]);
        }
        let mut exporter = {
            let how = (self.precision, prosect_nn::isa::Isa::detect());
            Exporter::new(&self.heads, how, grid, self.from[0], places)
        };
        for index in 0..self.from[0] {
            exporter.push(self.plane(index, grid), &mut merged);
        }
        merged
    }

    /// All logits at a voxel of the target, in double precision, corner by corner.
    fn interpolated(&self, at: [usize; 3]) -> Vec<f64> {
        let places: [(usize, f64); 3] =
            std::array::from_fn(|a| between(source(at[a], self.from[a], self.to[a]), self.from[a]));
        (0..self.channels)
            .map(|channel| {
                let mut sum = 0.0;
                for corner in 0..8_usize {
                    let bit = |a: usize| corner >> (2 - a) & 1;
                    let voxel =
                        std::array::from_fn(|a| (places[a].0 + bit(a)).min(self.from[a] - 1));
                    let weight = |a: usize| {
                        if bit(a) == 1 {
                            places[a].1
                        } else {
                            1.0 - places[a].1
                        }
                    };
                    sum += f64::from(self.at(channel, voxel)) * weight(0) * weight(1) * weight(2);
                }
                sum
            })
            .collect()
    }

    fn decide(&self, logits: &[f64]) -> u16 {
        let rounded: Vec<f32> = logits.iter().map(|l| round_double_to_half(*l)).collect();
        match &self.heads {
            Heads::Labels(values) => {
                let best = rounded.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                values[rounded.iter().position(|l| *l == best).unwrap()]
            }
            Heads::Regions(values) => (values.iter().zip(&rounded))
                .rfind(|(_, l)| is_inside(**l, Precision::Half))
                .map_or(0, |(value, _)| *value),
        }
    }
}

proptest! {
    /// Rounded to half precision, planes that come one by one give exactly what the whole volume gives;
    /// in single precision the winner is one that no other exceeds by more than rounding.
    #[test]
    fn planes_one_by_one_are_as_good_as_the_whole(scene in scene()) {
        let mut merged = scene.export([false, false]);
        let [_, m1, m2] = scene.to;
        for (n, found) in merged.take_labels().iter().enumerate() {
            let at = [n / (m1 * m2), n / m2 % m1, n % m2];
            let logits = scene.interpolated(at);
            let wanted = scene.decide(&logits);
            if scene.precision == Precision::Half {
                prop_assert_eq!(*found, wanted, "at {:?}: {:?}", at, logits);
                continue;
            }
            match &scene.heads {
                Heads::Labels(_) => {
                    let best = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    // 1e-5: three roundings of numbers below 9.
                    prop_assert!(best - logits[usize::from(*found)] < 1e-5, "at {:?}", at);
                }
                Heads::Regions(_) => {
                    let unsure = logits.iter().any(|l| l.abs() < 1e-5);
                    prop_assert!(unsure || *found == wanted, "at {:?}: {:?}", at, logits);
                }
            }
        }
    }

    /// Turned axes and falling coordinates receive the same answer at the same place, and so do
    /// labels in one byte.
    #[test]
    fn a_turned_target_receives_the_same(scene in scene()) {
        let (straight, turned) = (scene.export([false, false]), scene.export([true, true]));
        let [m0, m1, m2] = scene.to;
        for n in 0..straight.doubts.len() {
            let [a, b, c] = [n / (m1 * m2), n / m2 % m1, n % m2];
            let there = (m0 - 1 - a) + m0 * ((m1 - 1 - b) + m1 * (m2 - 1 - c));
            prop_assert_eq!(straight.labels.at(n), turned.labels.at(there));
            prop_assert_eq!(straight.doubts[n], turned.doubts[there]);
        }
    }
}
