//! The voxels that receive an answer, and what was answered so far.

use prosect_volume::Grid;
use rayon::prelude::*;

use crate::manifest::Part;
use crate::nnunet::array::Axes;
use crate::nnunet::preprocess::Geometry;
use crate::nnunet::spline::{between, nearest};

/// How a target's voxels lie in the image that the network was given.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// For each voxel along the target's axes next to the image's i, j, k: its place along that axis
    /// of the image, in voxels, centers at integers. Falling numbers are allowed.
    pub(crate) coordinates: [Vec<f64>; 3],
    /// From one voxel to the next along those axes, in the merged answer.
    pub(crate) strides: [usize; 3],
}

impl Target {
    /// The image's own grid.
    pub(crate) fn image(grid: &Grid) -> Self {
        let [ni, nj, _] = grid.shape();
        Self {
            coordinates: (grid.shape()).map(|n| (0..n).map(|at| at as f64).collect()),
            strides: [1, ni, ni * nj],
        }
    }

    /// The grid of which `turned` is a flip and permutation of axes.
    pub(crate) fn turned(turned: &Grid, original: &Grid) -> Self {
        let [ni, nj, _] = original.shape();
        let strides = [1, ni, ni * nj];
        let from_turned = original.voxel_from_lps() * turned.lps_from_voxel();
        let mut target = Self::image(turned);
        for axis in 0..3 {
            let step = from_turned.column(axis).xyz;
            let along = (0..3)
                .max_by(|a, b| step[*a].abs().total_cmp(&step[*b].abs()))
                .unwrap_or(axis);
            target.strides[axis] = strides[along];
            if step[along] < 0.0 {
                // The original's first voxel is the turned one's last.
                target.coordinates[axis].reverse();
            }
        }
        target
    }
}

/// Labels and doubts of all parts so far, on the target's grid.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    /// Label values; 0 is background. A later part overwrites where it finds something.
    pub(crate) labels: Labels,
    /// 255 less the confidence: fresh memory says that nothing is doubted.
    pub(crate) doubts: Vec<u8>,
}

impl Merged {
    /// Nothing is found yet; `parts` will say what is.
    pub(crate) fn new<'a>(n_voxels: usize, parts: impl IntoIterator<Item = &'a Part>) -> Self {
        Self {
            labels: if are_narrow(parts) {
                Labels::Narrow(vec![0; n_voxels])
            } else {
                Labels::Wide(vec![0; n_voxels])
            },
            doubts: vec![0; n_voxels],
        }
    }

    /// Memory of labels and doubts.
    pub(crate) fn bytes(&self) -> u64 {
        let of_label = match self.labels {
            Labels::Narrow(_) => 1,
            Labels::Wide(_) => 2,
        };
        self.doubts.len() as u64 * (of_label + 1)
    }

    /// Takes the labels out, to be worked on.
    pub(crate) fn take_labels(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.labels).widen()
    }
}

/// Label values, as narrow as the parts' values allow: they lie in memory beside the network.
#[derive(Clone, Debug)]
pub(crate) enum Labels {
    /// No value exceeds 255.
    Narrow(Vec<u8>),
    Wide(Vec<u16>),
}

impl Default for Labels {
    fn default() -> Self {
        Self::Wide(Vec::new())
    }
}

impl Labels {
    pub(crate) fn at(&self, voxel: usize) -> u16 {
        match self {
            Self::Narrow(labels) => labels[voxel].into(),
            Self::Wide(labels) => labels[voxel],
        }
    }

    pub(crate) fn widen(self) -> Vec<u16> {
        match self {
            Self::Narrow(labels) => labels.par_iter().map(|label| u16::from(*label)).collect(),
            Self::Wide(labels) => labels,
        }
    }
}

/// Whether a byte holds every label of the parts.
pub(crate) fn are_narrow<'a>(parts: impl IntoIterator<Item = &'a Part>) -> bool {
    (parts.into_iter()).all(|part| part.heads.values().iter().all(|value| *value <= 255))
}

/// A label while parts are merged.
pub(crate) trait Label: Copy + Default + Send + Sync {
    /// A value that is known to fit.
    fn of(value: u16) -> Self;
}

impl Label for u8 {
    fn of(value: u16) -> Self {
        debug_assert!(value <= 255, "{value}");
        value as Self
    }
}

impl Label for u16 {
    fn of(value: u16) -> Self {
        value
    }
}

/// Adds what one part says of a voxel.
#[inline]
pub(crate) fn merge<L: Label>(label: &mut L, doubt: &mut u8, found: u16, new_doubt: u8) {
    if found == 0 {
        *doubt = (*doubt).max(new_doubt);
    } else {
        *label = L::of(found);
        *doubt = new_doubt;
    }
}

/// Where a target's voxel lies along one axis of the network's grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// The network's voxel before it.
    pub(crate) low: usize,
    /// The share of the one after it.
    pub(crate) share: f64,
}

/// The target in the order of the tensor's axes, in the network's voxels.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// `None` outside the crop: there nobody asked the network.
    pub(crate) axes: [Vec<Option<Place>>; 3],
    pub(crate) strides: [usize; 3],
}

impl Places {
    /// `orders` are the spline orders along the tensor's axes, 0 or 1.
    pub(crate) fn of(target: &Target, geometry: &Geometry, orders: [u8; 3]) -> Self {
        let Geometry {
            axes: Axes { array, .. },
            crop,
            shape,
            ..
        } = *geometry;
        let axes = std::array::from_fn(|a| {
            // The array's axes z, y, x are k, j, i.
            let coordinates = &target.coordinates[2 - array[a]];
            let (start, n_from, n_to) = (crop.start[a], shape[a], crop.shape()[a]);
            let place = |at: &f64| {
                let at = at - start as f64;
                (-0.5 <= at && at < n_to as f64 - 0.5).then(|| {
                    let source = if n_from == n_to {
                        at
                    } else {
                        (at + 0.5) * (n_from as f64 / n_to as f64) - 0.5
                    };
                    let (low, share) = match orders[a] {
                        0 => (nearest(source, n_from), 0.0),
                        _ => between(source, n_from),
                    };
                    Place { low, share }
                })
            };
            coordinates.iter().map(place).collect()
        });
        Self {
            axes,
            strides: array.map(|a| target.strides[2 - a]),
        }
    }

    /// Marks what lies outside the crop: nobody can be sure of it.
    pub(crate) fn doubt_outside(&self, merged: &mut Merged) {
        if self
            .axes
            .iter()
            .all(|axis| axis.iter().all(Option::is_some))
        {
            return;
        }
        let [a, b, c] = &self.axes;
        for (i0, p0) in a.iter().enumerate() {
            for (i1, p1) in b.iter().enumerate() {
                let first = i0 * self.strides[0] + i1 * self.strides[1];
                for (i2, p2) in c.iter().enumerate() {
                    if p0.is_none() || p1.is_none() || p2.is_none() {
                        merged.doubts[first + i2 * self.strides[2]] = u8::MAX;
                    }
                }
            }
        }
    }
}
