//! What TotalSegmentator does to labels after the networks, in its own order: connectivity is by
//! faces, blobs are counted in voxels, and ties go the way scipy numbers its components.

use std::collections::BTreeSet;

use prosect_volume::{Component, Connectivity, IndexBox, Volume, components, crop, dilate};

use super::framing::SourceAxis;

/// Blobs of more voxels than this count as an error too (`interval[1]`).
const LARGEST_BLOB: f64 = 1e10;
/// The smallest vertebral body, in cubic millimetres (`postprocess_vertebrae_pp`).
const SMALLEST_VERTEBRA_MM3: f64 = 100.0;

/// The label values of `vertebrae_pp`: C1 has the lowest, L5 the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spine {
    /// Value of `vertebrae_C1`.
    pub c1: u16,
    /// Value of `vertebrae_L5`.
    pub l5: u16,
}

/// Of the voxels with `value` only the largest blob stays; of equal ones the first, x slowest.
pub(super) fn keep_largest_blob(labels: &mut Volume<u16>, value: u16) {
    filter_blobs(labels, value, |blobs| {
        let largest = blobs.iter().map(|b| b.n_voxels).max();
        let kept = blobs.iter().find(|b| Some(b.n_voxels) == largest);
        kept.map(|b| b.number).into_iter().collect()
    });
}

/// Blobs of `value` that are not larger than `size_mm3` become background. The threshold is
/// divided by the voxel's volume in f32, as numpy does with a header's zooms.
pub(super) fn remove_small_blobs(
    labels: &mut Volume<u16>,
    value: u16,
    size_mm3: f32,
    zooms_mm: [f32; 3],
) {
    let threshold = f64::from(size_mm3 / voxel_volume_mm3(zooms_mm));
    filter_blobs(labels, value, |blobs| {
        let kept = |b: &&Blob| {
            let n_voxels = b.n_voxels as f64;
            n_voxels > threshold && n_voxels <= LARGEST_BLOB
        };
        blobs.iter().filter(kept).map(|b| b.number).collect()
    });
}

/// Everything farther than `dilation_mm` from `mask` becomes background. The distance is counted
/// in steps over faces, `int(mm / mean zoom)` of them; with no step the original dilates until
/// nothing changes, so everything stays.
pub(super) fn remove_outside(
    labels: &mut Volume<u16>,
    mask: &Volume<bool>,
    dilation_mm: f64,
    zooms_mm: [f32; 3],
) {
    let mean = (zooms_mm[0] + zooms_mm[1] + zooms_mm[2]) / 3.0;
    let n_steps = (dilation_mm / f64::from(mean)) as usize;
    let Some(tight) = IndexBox::around(mask, |inside| *inside) else {
        labels.values_mut().fill(0);
        return;
    };
    if n_steps == 0 {
        return;
    }
    let reach = tight.grown([n_steps; 3], labels.grid().shape());
    let Some(mut near) = crop(mask, reach) else {
        return;
    };
    for _ in 0..n_steps {
        near = dilate(&near, Connectivity::Faces);
    }
    let [ni, nj, _] = labels.grid().shape();
    let near_shape = near.grid().shape();
    for (offset, value) in labels.values_mut().iter_mut().enumerate() {
        let at = [offset % ni, offset / ni % nj, offset / (ni * nj)];
        let inside = (0..3).all(|a| reach.start[a] <= at[a] && at[a] < reach.end[a]);
        let kept = inside && {
            let [i, j, k] = std::array::from_fn(|a| at[a] - reach.start[a]);
            near.values()[i + near_shape[0] * (j + near_shape[1] * k)]
        };
        if !kept {
            *value = 0;
        }
    }
}

/// `postprocess_vertebrae_pp`: bodies of different vertebrae never touch; where they do, the bodies
/// are numbered anew from below (from above, when C1 is seen and L5 is not). Then the 3 mm by which
/// the training labels were eroded are given back.
pub(super) fn renumber_vertebrae(
    labels: &mut Volume<u16>,
    spine: Spine,
    up: SourceAxis,
    ball: &Ball,
    zooms_mm: [f32; 3],
) {
    if labels_touch(labels) {
        let mask = labels.map(|v| *v > 0);
        let (numbers, list) = components(&mask, Connectivity::Faces);
        drop(mask);
        let volume_mm3 = f64::from(voxel_volume_mm3(zooms_mm));
        let blobs: Vec<Blob> = ordered_blobs(&numbers, &list)
            .into_iter()
            .filter(|b| b.n_voxels as f64 * volume_mm3 >= SMALLEST_VERTEBRA_MM3)
            .collect();
        let assigned = assign_vertebrae(labels, &numbers, &blobs, spine, up);
        let mut value_of = vec![0_u16; list.len() + 1];
        for (number, value) in assigned {
            value_of[number as usize] = value;
        }
        for (value, number) in labels.values_mut().iter_mut().zip(numbers.values()) {
            *value = value_of[*number as usize];
        }
    }
    grow_labels(labels, spine.c1..=spine.l5, ball);
}

/// `refine_vertebrae_pp_with_body_mask`: the labels, grown by `ball`, inside the vertebral bodies.
pub(super) fn refine_vertebrae(
    labels: &mut Volume<u16>,
    bodies: &Volume<bool>,
    spine: Spine,
    ball: &Ball,
) {
    grow_labels(labels, spine.c1..=spine.l5, ball);
    for (value, inside) in labels.values_mut().iter_mut().zip(bodies.values()) {
        if !inside {
            *value = 0;
        }
    }
}

/// Which blob gets which value.
fn assign_vertebrae(
    labels: &Volume<u16>,
    numbers: &Volume<u32>,
    blobs: &[Blob],
    spine: Spine,
    up: SourceAxis,
) -> Vec<(u32, u16)> {
    let kept: BTreeSet<u32> = blobs.iter().map(|b| b.number).collect();
    let present: BTreeSet<u16> = labels
        .values()
        .iter()
        .zip(numbers.values())
        .filter(|(_, number)| kept.contains(number))
        .map(|(value, _)| *value)
        .filter(|value| (spine.c1..=spine.l5).contains(value))
        .collect();
    let Some(&highest) = present.last() else {
        return Vec::new();
    };
    let height = |blob: &Blob| {
        let mean = blob.sums[up.axis] as f64 / blob.n_voxels as f64;
        if up.backwards { -mean } else { mean }
    };
    let mut ordered: Vec<&Blob> = blobs.iter().collect();
    let from_above = !present.contains(&spine.l5) && present.contains(&spine.c1);
    if from_above {
        ordered.sort_by(|a, b| height(b).total_cmp(&height(a)));
        let values = spine.c1..=spine.l5;
        ordered.iter().map(|b| b.number).zip(values).collect()
    } else {
        ordered.sort_by(|a, b| height(a).total_cmp(&height(b)));
        let values = (spine.c1..=highest).rev();
        ordered.iter().map(|b| b.number).zip(values).collect()
    }
}

/// Whether two different labels share a face.
fn labels_touch(labels: &Volume<u16>) -> bool {
    let [ni, nj, nk] = labels.grid().shape();
    let values = labels.values();
    let differ = |a: usize, b: usize| values[a] > 0 && values[b] > 0 && values[a] != values[b];
    (0..values.len()).any(|at| {
        let (i, j, k) = (at % ni, at / ni % nj, at / (ni * nj));
        (i + 1 < ni && differ(at, at + 1))
            || (j + 1 < nj && differ(at, at + ni))
            || (k + 1 < nk && differ(at, at + ni * nj))
    })
}

/// Offsets by which a label grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ball {
    offsets: Vec<[isize; 3]>,
}

impl Ball {
    /// `get_ellipsoid_structuring_element`, in f32 as numpy computes it: where the radius is no
    /// whole number of voxels its samples start at minus the radius, so it lies off centre.
    pub(super) fn original(zooms_mm: [f32; 3], radius_mm: f32) -> Self {
        let radii = zooms_mm.map(|zoom| radius_mm / zoom);
        let axes: [Vec<(isize, f32)>; 3] = radii.map(|radius| {
            let size = ((radius + 1.0) - -radius).ceil() as usize;
            let center = (size / 2) as isize;
            (0..size)
                .map(|n| (n as isize - center, n as f32 + -radius))
                .map(|(offset, at)| (offset, at * at / (radius * radius)))
                .collect()
        });
        Self::inside(&axes)
    }

    /// The voxels whose centres lie within `radius_mm`.
    pub(super) fn centered(zooms_mm: [f32; 3], radius_mm: f32) -> Self {
        let axes: [Vec<(isize, f32)>; 3] = zooms_mm.map(|zoom| {
            let reach = (radius_mm / zoom).floor() as isize;
            (-reach..=reach)
                .map(|offset| (offset, (offset as f32 * zoom / radius_mm).powi(2)))
                .collect()
        });
        Self::inside(&axes)
    }

    fn inside(axes: &[Vec<(isize, f32)>; 3]) -> Self {
        let mut offsets = Vec::new();
        for (i, x) in &axes[0] {
            for (j, y) in &axes[1] {
                for (k, z) in &axes[2] {
                    if x + y + z <= 1.0 {
                        offsets.push([*i, *j, *k]);
                    }
                }
            }
        }
        Self { offsets }
    }
}

/// Each label grows into background only, the lower values first.
fn grow_labels(labels: &mut Volume<u16>, values: impl Iterator<Item = u16>, ball: &Ball) {
    let [ni, nj, nk] = labels.grid().shape().map(|n| n as isize);
    let boxes = boxes_of_values(labels);
    for value in values {
        let Some(found) = boxes.get(usize::from(value)).copied().flatten() else {
            continue;
        };
        let seeds = seeds(labels, found, value);
        let grown = labels.values_mut();
        for [i, j, k] in seeds {
            for [di, dj, dk] in &ball.offsets {
                let at = [i + di, j + dj, k + dk];
                if at[0] < 0 || at[1] < 0 || at[2] < 0 || at[0] >= ni || at[1] >= nj || at[2] >= nk
                {
                    continue;
                }
                let voxel = &mut grown[(at[0] + ni * (at[1] + nj * at[2])) as usize];
                if *voxel == 0 {
                    *voxel = value;
                }
            }
        }
    }
}

/// The voxels of `value` inside `found`.
fn seeds(labels: &Volume<u16>, found: IndexBox, value: u16) -> Vec<[isize; 3]> {
    let [ni, nj, _] = labels.grid().shape();
    let mut seeds = Vec::new();
    for k in found.start[2]..found.end[2] {
        for j in found.start[1]..found.end[1] {
            let row = ni * (j + nj * k);
            for i in found.start[0]..found.end[0] {
                if labels.values()[row + i] == value {
                    seeds.push([i as isize, j as isize, k as isize]);
                }
            }
        }
    }
    seeds
}

/// The smallest box around each value; `None` for a value without voxels.
fn boxes_of_values(labels: &Volume<u16>) -> Vec<Option<IndexBox>> {
    let [ni, nj, _] = labels.grid().shape();
    let mut boxes: Vec<Option<IndexBox>> = Vec::new();
    for (offset, value) in labels.values().iter().enumerate() {
        if *value == 0 {
            continue;
        }
        let start = [offset % ni, offset / ni % nj, offset / (ni * nj)];
        let here = IndexBox {
            start,
            end: start.map(|n| n + 1),
        };
        let value = usize::from(*value);
        if boxes.len() <= value {
            boxes.resize(value + 1, None);
        }
        boxes[value] = Some(boxes[value].map_or(here, |b| b.joined(here)));
    }
    boxes
}

/// A component as scipy would number it.
#[derive(Clone, Copy, Debug)]
struct Blob {
    number: u32,
    n_voxels: usize,
    /// Place of its first voxel when x is slowest and z fastest.
    first: usize,
    /// Sums of its indices i, j, k.
    sums: [u64; 3],
}

/// The components in the order of their first voxels, x slowest, as scipy numbers them.
fn ordered_blobs(numbers: &Volume<u32>, list: &[Component]) -> Vec<Blob> {
    let [ni, nj, nk] = numbers.grid().shape();
    let mut blobs: Vec<Blob> = list
        .iter()
        .map(|c| Blob {
            number: c.number,
            n_voxels: c.n_voxels,
            first: usize::MAX,
            sums: [0; 3],
        })
        .collect();
    for (offset, number) in numbers.values().iter().enumerate() {
        let Some(blob) = number
            .checked_sub(1)
            .and_then(|n| blobs.get_mut(n as usize))
        else {
            continue;
        };
        let at = [offset % ni, offset / ni % nj, offset / (ni * nj)];
        blob.first = blob.first.min((at[0] * nj + at[1]) * nk + at[2]);
        for (sum, index) in blob.sums.iter_mut().zip(at) {
            *sum += index as u64;
        }
    }
    blobs.sort_by_key(|blob| blob.first);
    blobs
}

/// Of the voxels with `value`, only the blobs that `kept` names stay.
fn filter_blobs(labels: &mut Volume<u16>, value: u16, kept: impl Fn(&[Blob]) -> BTreeSet<u32>) {
    let Some(found) = IndexBox::around(labels, |v| *v == value) else {
        return;
    };
    let Some(part) = crop(labels, found) else {
        return;
    };
    let (numbers, list) = components(&part.map(|v| *v == value), Connectivity::Faces);
    let kept = kept(&ordered_blobs(&numbers, &list));
    let [ni, nj, _] = labels.grid().shape();
    let [pi, pj, _] = found.shape();
    let values = labels.values_mut();
    for (offset, number) in numbers.values().iter().enumerate() {
        if *number == 0 || kept.contains(number) {
            continue;
        }
        let at = [offset % pi, offset / pi % pj, offset / (pi * pj)];
        let [i, j, k]: [usize; 3] = std::array::from_fn(|a| found.start[a] + at[a]);
        values[i + ni * (j + nj * k)] = 0;
    }
}

/// `np.prod(header.get_zooms())`.
fn voxel_volume_mm3(zooms_mm: [f32; 3]) -> f32 {
    zooms_mm[0] * zooms_mm[1] * zooms_mm[2]
}
