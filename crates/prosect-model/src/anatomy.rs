//! Where body, lungs and pelvis are on a CT, roughly: enough to say where a liver can be.
//!
//! Everything here works on the working grid (RAS axes, millimetres, HU) and knows nothing of the
//! network. Numbers are measured on adults; what they are based on stands beside each.

mod plane;

use prosect_volume::{Connectivity, IndexBox, Volume, components, dilate, erode};
use rayon::prelude::*;

/// Between air and fat (-100 HU), with room for partial volume.
const BODY_MIN_HU: f32 = -300.0;
/// Sheets thinner than twice this are clothes, blankets and the table.
const BODY_OPENING_MM: f64 = 9.0;
/// Lung with its vessels; lower is gas in the bowel and in the airways, higher is tissue.
const LUNG_HU: [f32; 2] = [-975.0, -500.0];
/// Less air than this in one piece is a bowel loop.
const LUNG_MIN_ML: f64 = 60.0;
/// Bone and nothing soft, not even most enhanced vessels.
const BONE_MIN_HU: f32 = 200.0;
/// Distance from the midline at which hip bones lie, but neither spine nor arms.
const HIP_FROM_MIDLINE_MM: [f64; 2] = [40.0, 170.0];
/// Bone on one side in one piece: a hip bone has 200 ml, a rib less than 25.
const HIP_MIN_ML: f64 = 80.0;
/// The two crests are about equally high.
const HIP_MAX_DIFFERENCE_MM: f64 = 45.0;
/// A slice of a hip bone has more voxels than this; fewer are noise.
const HIP_MIN_VOXELS: usize = 3;

/// What was seen on a CT.
#[derive(Clone, Debug)]
pub(crate) struct Anatomy {
    /// The patient without table and air around.
    pub(crate) body: Volume<bool>,
    /// Index i of the body's middle in each slice; the volume's middle where there is no body.
    pub(crate) midline: Vec<f64>,
    /// Area of lung in each slice.
    pub(crate) lung_cm2: Vec<f64>,
    /// Share of each slice's body that is bone; 0 without a body.
    pub(crate) bone_share: Vec<f64>,
    /// The highest slice of the hip bones, if both are there.
    pub(crate) hip_crest: Option<usize>,
}

impl Anatomy {
    /// Looks at a CT on the working grid.
    pub(crate) fn of(ct: &Volume<f32>) -> Self {
        let body = body(ct);
        let midline = midline(&body);
        let lung_cm2 = lung_areas(ct, &body);
        let bone_share = bone_shares(ct, &body);
        let hip_crest = hip_crest(ct, &body, &midline, &lung_cm2);
        Self {
            body,
            midline,
            lung_cm2,
            bone_share,
            hip_crest,
        }
    }

    /// The first and one past the last slice with body.
    pub(crate) fn body_slices(&self) -> Option<[usize; 2]> {
        IndexBox::around(&self.body, |b| *b).map(|b| [b.start[2], b.end[2]])
    }

    /// The box of the body within some slices.
    pub(crate) fn body_box(&self, slices: [usize; 2]) -> Option<IndexBox> {
        let [ni, nj, _] = self.body.grid().shape();
        let part = IndexBox {
            start: [0, 0, slices[0]],
            end: [ni, nj, slices[1]],
        };
        let cropped = prosect_volume::crop(&self.body, part)?;
        let mut found = IndexBox::around(&cropped, |b| *b)?;
        found.start[2] = slices[0];
        found.end[2] = slices[1];
        Some(found)
    }
}

/// Millilitres of one voxel.
pub(crate) fn voxel_ml<T>(volume: &Volume<T>) -> f64 {
    volume.grid().voxel_volume_mm3() / 1000.0
}

/// The largest piece denser than air, thin sheets removed and lungs filled slice by slice.
fn body(ct: &Volume<f32>) -> Volume<bool> {
    let [ni, nj, _] = ct.grid().shape();
    let rounds = (BODY_OPENING_MM / ct.grid().spacing_mm()[0]).round() as usize;
    let mut mask = ct.map(|hu| *hu > BODY_MIN_HU);
    mask.values_mut()
        .par_chunks_mut(ni * nj)
        .for_each(|slice| plane::open(slice, ni, rounds));
    let (numbers, list) = components(&mask, Connectivity::Faces);
    drop(mask);
    let largest = list
        .iter()
        .max_by_key(|c| (c.n_voxels, std::cmp::Reverse(c.number)))
        .map_or(0, |c| c.number);
    let mut body = numbers.map(|n| largest > 0 && *n == largest);
    body.values_mut()
        .par_chunks_mut(ni * nj)
        .for_each(|slice| plane::fill_holes(slice, ni));
    body
}

fn midline(body: &Volume<bool>) -> Vec<f64> {
    let [ni, nj, _] = body.grid().shape();
    let middle = |slice: &[bool]| {
        let (mut sum, mut count) = (0_usize, 0_usize);
        for (n, inside) in slice.iter().enumerate() {
            if *inside {
                sum += n % ni;
                count += 1;
            }
        }
        if count == 0 {
            (ni as f64 - 1.0) / 2.0
        } else {
            sum as f64 / count as f64
        }
    };
    body.values().par_chunks(ni * nj).map(middle).collect()
}

fn lung_areas(ct: &Volume<f32>, body: &Volume<bool>) -> Vec<f64> {
    let [ni, nj, _] = ct.grid().shape();
    let mut air = ct.map(|hu| (LUNG_HU[0]..LUNG_HU[1]).contains(hu));
    air.values_mut()
        .iter_mut()
        .zip(body.values())
        .for_each(|(air, inside)| *air &= *inside);
    let opened = dilate(&erode(&air, Connectivity::Faces), Connectivity::Faces);
    let (numbers, list) = components(&opened, Connectivity::Faces);
    let ml = voxel_ml(ct);
    let is_lung: Vec<bool> = std::iter::once(false)
        .chain(list.iter().map(|c| c.n_voxels as f64 * ml > LUNG_MIN_ML))
        .collect();
    let spacing = ct.grid().spacing_mm();
    let voxel_cm2 = spacing[0] * spacing[1] / 100.0;
    let area =
        |slice: &[u32]| slice.iter().filter(|n| is_lung[**n as usize]).count() as f64 * voxel_cm2;
    numbers.values().par_chunks(ni * nj).map(area).collect()
}

fn bone_shares(ct: &Volume<f32>, body: &Volume<bool>) -> Vec<f64> {
    let plane = ct.slice_len();
    let share = |(hu, body): (&[f32], &[bool])| {
        let inside = body.iter().filter(|b| **b).count();
        let bone = hu
            .iter()
            .zip(body)
            .filter(|(hu, body)| **body && **hu > BONE_MIN_HU)
            .count();
        bone as f64 / inside.max(1) as f64
    };
    ct.values()
        .par_chunks(plane)
        .zip(body.values().par_chunks(plane))
        .map(share)
        .collect()
}

/// Lung in one slice below which nothing is said: a lung apex, a bowel loop.
pub(crate) const LUNG_SEEN_CM2: f64 = 30.0;

/// The slice with most lung, if there is enough of it.
pub(crate) fn lung_peak(lung_cm2: &[f64]) -> Option<usize> {
    let peak =
        (0..lung_cm2.len()).max_by(|&a, &b| lung_cm2[a].total_cmp(&lung_cm2[b]).then(b.cmp(&a)))?;
    (lung_cm2[peak] >= LUNG_SEEN_CM2).then_some(peak)
}

/// The top of the hip bones: on each side the largest piece of bone away from spine and arms that
/// begins below the lungs (shoulders and skull do not).
fn hip_crest(
    ct: &Volume<f32>,
    body: &Volume<bool>,
    midline: &[f64],
    lung_cm2: &[f64],
) -> Option<usize> {
    let lungs_begin = lung_peak(lung_cm2)
        .and_then(|peak| lung_cm2.iter().position(|a| *a > 0.5 * lung_cm2[peak]));
    let below = lungs_begin.unwrap_or(lung_cm2.len());
    let tops = [1.0, -1.0].map(|side| hip_top(ct, body, midline, side, below));
    let (right, left) = (tops[0]?, tops[1]?);
    let difference_mm = right.abs_diff(left) as f64 * ct.grid().spacing_mm()[2];
    Some(if difference_mm <= HIP_MAX_DIFFERENCE_MM {
        right.max(left)
    } else {
        right.min(left)
    })
}

fn hip_top(
    ct: &Volume<f32>,
    body: &Volume<bool>,
    midline: &[f64],
    side: f64,
    below: usize,
) -> Option<usize> {
    let [ni, nj, _] = ct.grid().shape();
    let spacing = ct.grid().spacing_mm()[0];
    let mut bone = ct.map(|hu| *hu > BONE_MIN_HU);
    bone.values_mut()
        .par_chunks_mut(ni * nj)
        .enumerate()
        .for_each(|(k, slice)| {
            for (n, value) in slice.iter_mut().enumerate() {
                let lateral_mm = side * ((n % ni) as f64 - midline[k]) * spacing;
                *value &= body.values()[k * ni * nj + n]
                    && (HIP_FROM_MIDLINE_MM[0]..HIP_FROM_MIDLINE_MM[1]).contains(&lateral_mm);
            }
        });
    let (numbers, list) = components(&bone, Connectivity::Faces);
    let ml = voxel_ml(ct);
    let candidates = list
        .iter()
        .filter(|c| c.first.k < below && c.n_voxels as f64 * ml >= HIP_MIN_ML);
    let hip = candidates
        .max_by_key(|c| (c.n_voxels, std::cmp::Reverse(c.number)))?
        .number;
    let counts = numbers
        .values()
        .par_chunks(ni * nj)
        .map(|slice| slice.iter().filter(|n| **n == hip).count());
    counts
        .collect::<Vec<_>>()
        .iter()
        .rposition(|count| *count >= HIP_MIN_VOXELS)
}

#[cfg(test)]
mod tests {
    use super::{Anatomy, lung_peak};
    use prosect_volume::{Grid, Point, Volume, VoxelIndex};

    const SHAPE: [usize; 3] = [130, 90, 140];

    /// A trunk of water over all slices on a table: hip bones in slices 0 to 39, lungs in 90 to 129.
    fn trunk(with_hips: bool) -> Volume<f32> {
        let grid = Grid::axis_aligned(SHAPE, [3.0; 3], Point::new([0.0; 3])).unwrap();
        let ellipse = |v: VoxelIndex, center: [f64; 2], radii: [f64; 2]| {
            let (x, y) = (
                (v.i as f64 - center[0]) / radii[0],
                (v.j as f64 - center[1]) / radii[1],
            );
            x * x + y * y <= 1.0
        };
        Volume::from_fn(grid, |v| {
            let lungs = (90..130).contains(&v.k)
                && (ellipse(v, [45.0, 50.0], [14.0, 20.0])
                    || ellipse(v, [85.0, 50.0], [14.0, 20.0]));
            let hips = with_hips
                && v.k < 40
                && (ellipse(v, [40.0, 50.0], [6.0, 14.0]) || ellipse(v, [90.0, 50.0], [6.0, 14.0]));
            let table = (3..5).contains(&v.j);
            if lungs {
                -850.0
            } else if hips {
                500.0
            } else if ellipse(v, [65.0, 50.0], [55.0, 35.0]) {
                30.0
            } else if table {
                100.0
            } else {
                -1000.0
            }
        })
    }

    #[test]
    fn landmarks_of_a_trunk_are_seen() {
        let anatomy = Anatomy::of(&trunk(true));
        assert_eq!(anatomy.hip_crest, Some(39));
        assert_eq!(
            lung_peak(&anatomy.lung_cm2).map(|k| (90..130).contains(&k)),
            Some(true)
        );
        assert_eq!(anatomy.body_slices(), Some([0, 140]));
        let around = anatomy.body_box([50, 60]).unwrap();
        assert!(
            around.start[1] >= 14 && around.end[1] <= 87,
            "the table is not the body: {around:?}"
        );
        assert!((anatomy.midline[20] - 65.0).abs() < 1.0);
        let inside = |i, j, k| anatomy.body.get(VoxelIndex { i, j, k }).unwrap();
        assert!(inside(45, 50, 100), "lungs are part of the body");
    }

    #[test]
    fn without_hips_or_lungs_nothing_is_seen() {
        assert_eq!(Anatomy::of(&trunk(false)).hip_crest, None);
        let slab = prosect_volume::crop(
            &trunk(false),
            prosect_volume::IndexBox {
                start: [0, 0, 50],
                end: [130, 90, 70],
            },
        )
        .unwrap();
        assert_eq!(lung_peak(&Anatomy::of(&slab).lung_cm2), None);
        let air = slab.map(|_| -1000.0);
        assert_eq!(Anatomy::of(&air).body_slices(), None);
    }
}
