//! From organs to voxels: soft edges, texture and noise on any grid, the same for any number of threads.

use prosect_volume::Grid;
use rayon::prelude::*;

use crate::anatomy::Organ;
use crate::noise::{Texture, slice_noise};
use crate::paint::Tissue;
use crate::solid::{Bounds, Vec3};
use crate::trunk::TrunkSlice;

/// What a grid of voxels shows.
#[derive(Debug)]
pub(crate) struct Sampled {
    /// Hounsfield units, i fastest.
    pub(crate) hu: Vec<i16>,
    /// What stands in the center of each voxel.
    pub(crate) tissue: Vec<Tissue>,
}

/// A body and how it is looked at.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) organs: &'a [Organ],
    pub(crate) texture: &'a Texture,
    /// Left and right exchanged.
    pub(crate) mirrored: bool,
    /// Standard deviation of the noise within the body at 1 mm3 voxels; 0 switches it off.
    pub(crate) noise_hu: f32,
}

/// Air outside; also the lowest value that is written.
const AIR_HU: f32 = -1000.0;
const LOWEST_HU: f32 = -1024.0;
/// Smoothing of the noise in the slice: a soft-tissue kernel of 1.6 mm width at half maximum.
const NOISE_SIGMA_MM: f32 = 0.7;
/// Beyond this distance from the skin there is air or table only.
const NEAR_SKIN_MM: f32 = 4.0;
const NOISE_SEED: u64 = 0x5072_6f73_6563_7421;

/// Calls `finished(slices done)` as it goes, from worker threads. `None` when it answers `false`.
pub(crate) fn sample(
    scene: &Scene<'_>,
    grid: &Grid,
    keep_going: &(dyn Fn() -> bool + Sync),
) -> Option<Sampled> {
    let [ni, nj, nk] = grid.shape();
    let n_slice = ni * nj;
    let mut hu = vec![0i16; grid.n_voxels()];
    let mut tissue = vec![Tissue::Air; grid.n_voxels()];
    let view = View::new(grid, scene.mirrored);
    let whole = hu
        .par_chunks_mut(n_slice)
        .zip(tissue.par_chunks_mut(n_slice))
        .enumerate()
        .all(|(k, (hu, tissue))| {
            sample_slice(scene, &view, k, (hu, tissue));
            keep_going()
        });
    debug_assert_eq!(hu.len(), n_slice * nk);
    whole.then_some(Sampled { hu, tissue })
}

/// The grid in the precision and orientation of the solids.
#[derive(Debug)]
struct View {
    shape: [usize; 3],
    origin: [f64; 3],
    steps: [[f64; 3]; 3],
    spacing_mm: [f32; 3],
}

impl View {
    fn new(grid: &Grid, mirrored: bool) -> Self {
        let affine = grid.lps_from_voxel();
        let flip = |xyz: [f64; 3]| {
            if mirrored {
                [-xyz[0], xyz[1], xyz[2]]
            } else {
                xyz
            }
        };
        Self {
            shape: grid.shape(),
            origin: flip(affine.origin().xyz),
            steps: std::array::from_fn(|axis| flip(affine.column(axis).xyz)),
            spacing_mm: grid.spacing_mm().map(|mm| mm as f32),
        }
    }

    fn point(&self, [i, j, k]: [usize; 3]) -> Vec3 {
        std::array::from_fn(|axis| {
            (self.origin[axis]
                + self.steps[0][axis] * i as f64
                + self.steps[1][axis] * j as f64
                + self.steps[2][axis] * k as f64) as f32
        })
    }

    /// Width over which an edge fades: about what a voxel covers, and never sharper than a scanner.
    fn edge_mm(&self) -> f32 {
        let widest = self.spacing_mm.into_iter().fold(0.0, f32::max);
        (0.75 * widest).clamp(1.2, 4.0)
    }

    fn noise_factor(&self) -> f32 {
        let voxel_mm3: f32 = self.spacing_mm.iter().product();
        voxel_mm3.max(0.2).sqrt().recip().min(1.6)
    }
}

fn sample_slice(
    scene: &Scene<'_>,
    view: &View,
    k: usize,
    (hu, tissue): (&mut [i16], &mut [Tissue]),
) {
    let [ni, nj, _] = view.shape;
    let sigma_px = [
        NOISE_SIGMA_MM / view.spacing_mm[0],
        NOISE_SIGMA_MM / view.spacing_mm[1],
    ];
    let noise_hu = scene.noise_hu * view.noise_factor();
    let noise = if noise_hu > 0.0 {
        slice_noise(NOISE_SEED ^ k as u64, ni, nj, sigma_px)
    } else {
        Vec::new()
    };
    let mut values = vec![0.0f32; ni];
    for j in 0..nj {
        let row = j * ni..(j + 1) * ni;
        let mut depths = vec![0.0f32; ni];
        sample_row(
            scene,
            view,
            [j, k],
            RowOut {
                hu: &mut values,
                depth_mm: &mut depths,
                tissue: &mut tissue[row.clone()],
            },
        );
        for (i, out) in hu[row.clone()].iter_mut().enumerate() {
            let mut value = values[i];
            if let Some(noise) = noise.get(row.start + i) {
                // Fewer photons come through the middle of a body than along its rim.
                value += noise * noise_hu * (0.75 + (depths[i] / 250.0).clamp(0.0, 0.5));
            }
            *out = value.round().clamp(LOWEST_HU, 3071.0) as i16;
        }
    }
}

/// Where a row's values go.
struct RowOut<'a> {
    hu: &'a mut [f32],
    depth_mm: &'a mut [f32],
    tissue: &'a mut [Tissue],
}

/// An organ that the row may touch, from voxel `first` to `last`.
struct Candidate<'a> {
    organ: &'a Organ,
    first: usize,
    last: usize,
}

fn sample_row(scene: &Scene<'_>, view: &View, [j, k]: [usize; 2], out: RowOut<'_>) {
    let edge_mm = view.edge_mm();
    let last = view.shape[0] - 1;
    let ends = [view.point([0, j, k]), view.point([last, j, k])];
    let candidates: Vec<Candidate<'_>> = scene
        .organs
        .iter()
        .filter_map(|organ| {
            let (first, last) = span(organ.bounds.grown(edge_mm), ends, last)?;
            Some(Candidate { organ, first, last })
        })
        .collect();
    let mut slice = TrunkSlice::at(ends[0][2]);
    let mut slice_z = ends[0][2];
    for i in 0..=last {
        let point = view.point([i, j, k]);
        if point[2] != slice_z {
            slice = TrunkSlice::at(point[2]);
            slice_z = point[2];
        }
        let site = slice.site(point);
        let near = site.skin_mm < NEAR_SKIN_MM;
        let mut left = 1.0;
        let mut value = 0.0;
        let mut here = None;
        for Candidate { organ, first, last } in &candidates {
            if i < *first || i > *last || (!near && organ.tissue != Tissue::Table) {
                continue;
            }
            let distance = organ.solid.distance(&site);
            let share = (0.5 - distance / edge_mm).clamp(0.0, 1.0);
            if share > 0.0 {
                value += left * share * organ.paint.hu(&site, (-distance).max(0.0), scene.texture);
                left *= 1.0 - share;
            }
            if distance < 0.0 && here.is_none() {
                here = Some(organ.tissue);
            }
            if left < 0.01 && here.is_some() {
                break;
            }
        }
        out.hu[i] = value + left * AIR_HU;
        out.depth_mm[i] = -site.skin_mm;
        out.tissue[i] = here.unwrap_or(Tissue::Air);
    }
}

/// The voxels of a straight row, from `ends[0]` (voxel 0) to `ends[1]` (voxel `last`), that lie in a box.
fn span(bounds: Bounds, ends: [Vec3; 2], last: usize) -> Option<(usize, usize)> {
    let (mut from, mut to) = (0.0f32, 1.0f32);
    for (axis, (&start, &end)) in ends[0].iter().zip(&ends[1]).enumerate() {
        let along = end - start;
        if along.abs() < 1e-6 {
            if start < bounds.low[axis] || start > bounds.high[axis] {
                return None;
            }
            continue;
        }
        let (a, b) = (
            (bounds.low[axis] - start) / along,
            (bounds.high[axis] - start) / along,
        );
        from = from.max(a.min(b));
        to = to.min(a.max(b));
    }
    if from > to {
        return None;
    }
    let count = last as f32;
    Some((
        (from * count).floor() as usize,
        ((to * count).ceil() as usize).min(last),
    ))
}
