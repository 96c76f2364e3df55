//! Which connected part of the probabilities is the organ, and whether it can be one.
//!
//! The network was trained on abdomens and answers something everywhere: shoulders, brain, even
//! the air beside a neck. What it answers on a liver differs: it is sure of the inside, and the
//! inside has a liver's density and place. The bounds were set on 51 head-and-neck CTs without a
//! liver and on 20 slabs and volumes with one (see the model card).

use prosect_volume::{Connectivity, IndexBox, Volume, components, dilate, erode};

use crate::anatomy::{Anatomy, voxel_ml};

/// From here on a voxel belongs to the organ.
pub(crate) const INSIDE: f32 = 0.5;
/// A voxel of which the network is sure.
const SURE: f32 = 0.9;
/// How far the border of a part is followed out from its eroded core, in steps: far enough to get
/// back thin edges, not far enough to run along a bridge into a neighbor.
const REGROWTH_STEPS: usize = 4;
/// Smaller parts are not looked at.
const MIN_ML: f64 = 10.0;
/// Only the largest parts are looked at.
const MAX_PARTS: usize = 4;

/// Seen on livers: at least 0.92 in whole ones, 0.80 in slabs of the lower tip; elsewhere at most 0.89.
const MIN_MEAN_PROBABILITY: f64 = 0.78;
/// Seen on livers: at least 0.69 in whole ones, 0.40 in slabs of the lower tip.
const MIN_SURE_SHARE: f64 = 0.35;
/// Soft tissue, from fat infiltration to arterial enhancement.
const SOFT_HU: [f32; 2] = [-50.0, 250.0];
const MIN_SOFT_SHARE: f64 = 0.85;
/// Median density: fatty livers go below water, enhanced ones to 200 HU.
const DENSITY_HU: [f64; 2] = [-30.0, 220.0];
/// Bowel content and urine have 0 to 20 HU; a liver so fatty is believed only if it is large.
const WATERY_HU: f64 = 25.0;
const WATERY_MIN_ML: f64 = 600.0;
/// Distance of the center from the body's midline, positive to the patient's right: a liver has 55
/// to 110 mm, a brain 3, a shoulder 170 and more.
const RIGHT_OF_MIDLINE_MM: [f64; 2] = [20.0, 150.0];
/// Share of bone in the slices around: 0.02 to 0.06 at livers, 0.15 to 0.3 in a head.
const MAX_BONE_SHARE: f64 = 0.12;
const MIN_BODY_SHARE: f64 = 0.9;

/// A connected part that the network takes for the organ.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Its voxels, on the grid of the probabilities.
    pub(crate) mask: Volume<bool>,
    pub(crate) volume_ml: f64,
    pub(crate) mean_probability: f64,
    /// Share of its voxels of which the network is sure.
    pub(crate) sure_share: f64,
    /// What a CT shows; `None` for other images.
    pub(crate) tissue: Option<Tissue>,
}

/// Density and place on a CT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tissue {
    pub(crate) median_hu: f64,
    /// From the tenth to the ninetieth percentile.
    pub(crate) spread_hu: f64,
    pub(crate) soft_share: f64,
    pub(crate) body_share: f64,
    pub(crate) right_of_midline_mm: f64,
    /// Bone in the slices around it.
    pub(crate) bone_share: f64,
}

/// The image under the probabilities, for the features that only a CT has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// Filtered HU on the grid of the probabilities.
    pub(crate) ct: &'a Volume<f32>,
    pub(crate) anatomy: &'a Anatomy,
    /// Where the grid of the probabilities lies in the anatomy's.
    pub(crate) region: IndexBox,
}

/// The largest parts, largest first.
pub(crate) fn candidates(probability: &Volume<f32>, seen: Option<Seen<'_>>) -> Vec<Candidate> {
    let inside = probability.map(|p| *p >= INSIDE);
    let core = erode(&inside, Connectivity::Edges);
    let core = if core.values().contains(&true) {
        core
    } else {
        inside.clone()
    };
    let (numbers, mut list) = components(&core, Connectivity::Faces);
    list.sort_by_key(|c| (std::cmp::Reverse(c.n_voxels), c.number));
    let mut found = Vec::new();
    for part in list.iter().take(MAX_PARTS) {
        let mut mask = numbers.map(|n| *n == part.number);
        for _ in 0..REGROWTH_STEPS {
            mask = dilate(&mask, Connectivity::Edges);
            mask.values_mut()
                .iter_mut()
                .zip(inside.values())
                .for_each(|(value, inside)| *value &= *inside);
        }
        let candidate = measure(mask, probability, seen);
        if candidate.volume_ml >= MIN_ML {
            found.push(candidate);
        }
    }
    found
}

fn measure(mask: Volume<bool>, probability: &Volume<f32>, seen: Option<Seen<'_>>) -> Candidate {
    let (mut count, mut sure, mut sum) = (0_usize, 0_usize, 0.0_f64);
    for (p, _) in probability
        .values()
        .iter()
        .zip(mask.values())
        .filter(|(_, inside)| **inside)
    {
        count += 1;
        sure += usize::from(*p > SURE);
        sum += f64::from(*p);
    }
    let n = count.max(1) as f64;
    Candidate {
        volume_ml: count as f64 * voxel_ml(&mask),
        mean_probability: sum / n,
        sure_share: sure as f64 / n,
        tissue: seen.map(|seen| tissue(&mask, seen)),
        mask,
    }
}

fn tissue(mask: &Volume<bool>, seen: Seen<'_>) -> Tissue {
    let core = erode(&erode(mask, Connectivity::Faces), Connectivity::Faces);
    let core = if core.values().contains(&true) {
        &core
    } else {
        mask
    };
    let mut densities: Vec<f32> = seen
        .ct
        .values()
        .iter()
        .zip(core.values())
        .filter(|(_, inside)| **inside)
        .map(|(hu, _)| *hu)
        .collect();
    densities.sort_by(f32::total_cmp);
    let percentile = |percent: usize| {
        densities
            .get(densities.len() * percent / 100)
            .map_or(f64::NAN, |hu| f64::from(*hu))
    };
    let [ni, nj, _] = mask.grid().shape();
    let spacing = mask.grid().spacing_mm()[0];
    let [body_ni, body_nj, _] = seen.anatomy.body.grid().shape();
    let (mut count, mut soft, mut in_body, mut right_mm, mut bone) =
        (0_usize, 0_usize, 0_usize, 0.0, 0.0);
    for (offset, _) in mask
        .values()
        .iter()
        .enumerate()
        .filter(|(_, inside)| **inside)
    {
        let [i, j, k] = [
            offset % ni + seen.region.start[0],
            offset / ni % nj + seen.region.start[1],
            offset / ni / nj + seen.region.start[2],
        ];
        count += 1;
        soft += usize::from((SOFT_HU[0]..SOFT_HU[1]).contains(&seen.ct.values()[offset]));
        in_body += usize::from(seen.anatomy.body.values()[i + body_ni * (j + body_nj * k)]);
        bone += seen.anatomy.bone_share[k];
        right_mm += (i as f64 - seen.anatomy.midline[k]) * spacing;
    }
    let n = count.max(1) as f64;
    Tissue {
        median_hu: percentile(50),
        spread_hu: percentile(90) - percentile(10),
        soft_share: soft as f64 / n,
        body_share: in_body as f64 / n,
        right_of_midline_mm: right_mm / n,
        bone_share: bone / n,
    }
}

impl Candidate {
    /// Why this is no liver, or `None` if it can be one.
    pub(crate) fn objection(&self) -> Option<&'static str> {
        let unsure =
            self.mean_probability < MIN_MEAN_PROBABILITY || self.sure_share < MIN_SURE_SHARE;
        if unsure {
            return Some("the network is not sure of it");
        }
        let tissue = self.tissue?;
        let in_range = |value: f64, range: [f64; 2]| (range[0]..=range[1]).contains(&value);
        if tissue.body_share < MIN_BODY_SHARE {
            Some("it lies outside the body")
        } else if tissue.soft_share < MIN_SOFT_SHARE {
            Some("it is not soft tissue")
        } else if !in_range(tissue.median_hu, DENSITY_HU) {
            Some("it does not have the density of a liver")
        } else if tissue.median_hu < WATERY_HU && self.volume_ml < WATERY_MIN_ML {
            Some("it has the density of bowel content")
        } else if tissue.bone_share > MAX_BONE_SHARE {
            Some("it lies in a head")
        } else if !in_range(tissue.right_of_midline_mm, RIGHT_OF_MIDLINE_MM) {
            Some("it does not lie where a liver lies")
        } else {
            None
        }
    }

    /// First and one past the last slice.
    pub(crate) fn slices(&self) -> Option<[usize; 2]> {
        IndexBox::around(&self.mask, |m| *m).map(|b| [b.start[2], b.end[2]])
    }

    /// One line for `case.json`.
    pub(crate) fn describe(&self) -> String {
        let head = format!(
            "{:.0} ml, mean probability {:.3}, sure {:.2}",
            self.volume_ml, self.mean_probability, self.sure_share
        );
        match self.tissue {
            Some(t) => format!(
                "{head}, median {:.0} HU, spread {:.0} HU, soft {:.2}, in body {:.2}, bone around {:.2}, {:.0} mm right of the midline",
                t.median_hu,
                t.spread_hu,
                t.soft_share,
                t.body_share,
                t.bone_share,
                t.right_of_midline_mm
            ),
            None => head,
        }
    }
}

/// The probabilities of one candidate alone, so that its border interpolates as if nothing else
/// were there: what belongs to other parts is mirrored below one half, what lies further away is 0.
pub(crate) fn isolate(probability: &Volume<f32>, mask: &Volume<bool>) -> Volume<f32> {
    let near = dilate(&dilate(mask, Connectivity::Corners), Connectivity::Corners);
    let mut kept = probability.clone();
    for ((p, near), own) in kept
        .values_mut()
        .iter_mut()
        .zip(near.values())
        .zip(mask.values())
    {
        if !*near {
            *p = 0.0;
        } else if !*own && *p >= INSIDE {
            *p = (1.0 - *p).min(JUST_OUTSIDE);
        }
    }
    kept
}

/// A probability that is certainly not `INSIDE`.
const JUST_OUTSIDE: f32 = 0.499;

#[cfg(test)]
mod tests {
    use super::{Candidate, INSIDE, Tissue, candidates, isolate};
    use prosect_volume::{Grid, Point, Volume, VoxelIndex};

    fn grid() -> Grid {
        Grid::axis_aligned([60, 24, 24], [3.0; 3], Point::new([0.0; 3])).unwrap()
    }

    /// A large block and a small one, joined by a bridge of one voxel's width.
    fn bridged() -> Volume<f32> {
        Volume::from_fn(grid(), |v| {
            let in_block = |low: usize, high: usize, edge: usize| {
                (low..high).contains(&v.i) && (4..edge).contains(&v.j) && (4..edge).contains(&v.k)
            };
            let bridge = (24..44).contains(&v.i) && v.j == 10 && v.k == 10;
            if in_block(4, 24, 20) || in_block(44, 54, 14) || bridge {
                0.95
            } else {
                0.1
            }
        })
    }

    #[test]
    fn a_thin_bridge_does_not_join_a_neighbor() {
        let probability = bridged();
        let found = candidates(&probability, None);
        assert_eq!(found.len(), 2);
        assert!(found[0].volume_ml > 100.0 && found[1].volume_ml > 20.0);
        let kept = isolate(&probability, &found[0].mask);
        let inside = |i: usize| kept.get(VoxelIndex { i, j: 10, k: 10 }).unwrap() >= INSIDE;
        assert!(inside(4) && inside(23) && !inside(40) && !inside(50));
        // The block keeps its corners, which an opening alone would round off.
        assert_eq!(kept.get(VoxelIndex { i: 4, j: 4, k: 4 }), Some(0.95));
        // Far away nothing is left to interpolate from.
        assert_eq!(kept.get(VoxelIndex { i: 50, j: 6, k: 6 }), Some(0.0));
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Candidate, &mut Tissue), objection: Option<&str>) {
        let mut tissue = Tissue {
            median_hu: 60.0,
            spread_hu: 15.0,
            soft_share: 0.99,
            body_share: 1.0,
            right_of_midline_mm: 75.0,
            bone_share: 0.04,
        };
        let mask = Volume::filled(grid(), true);
        let mut candidate = Candidate {
            mask,
            volume_ml: 1500.0,
            mean_probability: 0.92,
            sure_share: 0.75,
            tissue: None,
        };
        change(&mut candidate, &mut tissue);
        candidate.tissue = Some(tissue);
        assert_eq!(candidate.objection(), objection);
    }

    #[test]
    fn what_cannot_be_a_liver_is_refused() {
        check(|_, _| {}, None);
        check(|_, t| t.median_hu = 5.0, None);
        check(
            |c, t| (c.volume_ml, t.median_hu) = (200.0, 5.0),
            Some("it has the density of bowel content"),
        );
        check(
            |c, _| c.mean_probability = 0.7,
            Some("the network is not sure of it"),
        );
        check(
            |c, _| c.sure_share = 0.1,
            Some("the network is not sure of it"),
        );
        check(
            |_, t| t.right_of_midline_mm = 206.0,
            Some("it does not lie where a liver lies"),
        );
        check(
            |_, t| t.right_of_midline_mm = -60.0,
            Some("it does not lie where a liver lies"),
        );
        check(
            |_, t| t.right_of_midline_mm = 3.0,
            Some("it does not lie where a liver lies"),
        );
        check(|_, t| t.bone_share = 0.2, Some("it lies in a head"));
        check(
            |_, t| t.median_hu = -35.0,
            Some("it does not have the density of a liver"),
        );
        check(|_, t| t.soft_share = 0.5, Some("it is not soft tissue"));
        check(|_, t| t.body_share = 0.0, Some("it lies outside the body"));
    }
}
