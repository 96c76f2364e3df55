//! What a person should know about a result.

use prosect_volume::IndexBox;

use crate::candidate::{Candidate, INSIDE};
use crate::liver::{Found, Working};
use crate::manifest::{ManifestStructure, ModalityStatus};
use crate::output::{ModelFinding, StructureOutput};
use crate::pass::answered;

/// Whole livers had at least 0.91, slabs of a lower tip that also took in bowel 0.80 to 0.84.
const LOW_MEAN_PROBABILITY: f64 = 0.87;
/// Whole livers spread over 8 to 36 HU between their 10th and 90th percentile, a liver joined with
/// bowel over 43 and more.
const WIDE_SPREAD_HU: f64 = 42.0;
/// The passes agreed to 0.98 and more on every liver of the test data.
const LOW_AGREEMENT: f64 = 0.95;
/// A second part as large as this could be liver, too.
const SECOND_PART_ML: f64 = 50.0;

/// All findings, most important first.
pub(super) fn findings(
    working: &Working<'_>,
    found: &Found,
    structure: Option<&StructureOutput>,
) -> Vec<ModelFinding> {
    let wanted = &working.model.manifest().structures[0];
    let mut list = List {
        name: wanted.structure.name.clone(),
        findings: Vec::new(),
    };
    match (
        structure,
        found.answer.as_ref().and_then(super::Answer::best),
    ) {
        (Some(output), Some(best)) => {
            list.doubts(found, best);
            list.volume(output, wanted);
            list.cuts(working, found, best);
        }
        _ => list.not_found(found),
    }
    if working.support.status == ModalityStatus::Experimental {
        let message = format!(
            "the model is experimental on {}: nobody has measured how good it is there",
            working.support.modality
        );
        list.push(true, "experimental_modality", message);
    }
    list.findings
}

struct List {
    name: String,
    findings: Vec<ModelFinding>,
}

impl List {
    fn push(&mut self, check: bool, code: &'static str, message: String) {
        self.findings.push(ModelFinding {
            check,
            code,
            message,
            structure: Some(self.name.clone()),
        });
    }

    fn not_found(&mut self, found: &Found) {
        let candidates = found.answer.as_ref().map_or(&[][..], |a| &a.candidates);
        let largest = candidates
            .first()
            .and_then(|c| c.objection().map(|why| (c.volume_ml, why)));
        let why = match (found.no_place, largest) {
            (Some(why), _) => format!(": {why}"),
            (None, Some((ml, why))) => {
                format!(": the largest part that resembles one has {ml:.0} ml, but {why}")
            }
            (None, None) => String::new(),
        };
        self.push(
            true,
            "not_found",
            format!("no {} found in the field of view{why}", self.name),
        );
    }

    /// Signs that other tissue was taken in, or that liver was left out.
    fn doubts(&mut self, found: &Found, best: &Candidate) {
        let name = self.name.clone();
        if best.mean_probability < LOW_MEAN_PROBABILITY {
            let message = format!(
                "the network is less sure of this {name} than usual (mean probability {:.2}): look at its whole border",
                best.mean_probability
            );
            self.push(true, "low_confidence", message);
        }
        if let Some(tissue) = best.tissue.filter(|t| t.spread_hu > WIDE_SPREAD_HU) {
            let message = format!(
                "densities inside the {name} spread over {:.0} HU: a large lesion, or bowel, kidney or stomach was taken in",
                tissue.spread_hu
            );
            self.push(true, "uneven_density", message);
        }
        if let Some(agreement) = found.agreement.filter(|a| *a < LOW_AGREEMENT) {
            let message = format!(
                "two passes over slightly different regions agree only to Dice {agreement:.2}: the border of the {name} is not stable"
            );
            self.push(true, "unstable", message);
        }
        let candidates = found.answer.as_ref().map_or(&[][..], |a| &a.candidates);
        let refused = candidates
            .iter()
            .filter(|c| c.volume_ml > best.volume_ml)
            .find_map(|c| c.objection().map(|why| (c.volume_ml, why)));
        if let Some((ml, why)) = refused {
            let message = format!(
                "a larger part of {ml:.0} ml resembles a {name} too, but {why}; is the image mirrored, or the anatomy unusual"
            );
            self.push(true, "larger_part_refused", message);
        }
        let rest = second_parts_ml(candidates, best);
        if rest > 0.0 {
            self.push(
                true,
                "several_candidates",
                format!(
                    "{rest:.0} ml apart from the {name} look like {name} too and were left out"
                ),
            );
        }
    }

    fn volume(&mut self, output: &StructureOutput, wanted: &ManifestStructure) {
        let voxels = output
            .probability
            .values()
            .iter()
            .filter(|p| **p >= INSIDE)
            .count();
        let ml = voxels as f64 * output.probability.grid().voxel_volume_mm3() / 1000.0;
        let [low, high] = wanted.plausible_volume_ml.unwrap_or([0.0, f64::INFINITY]);
        if ml < low || ml > high {
            let message = format!(
                "the {} has {ml:.0} ml; whole ones of adults have {low:.0} to {high:.0} ml",
                self.name
            );
            self.push(true, "volume_unusual", message);
        }
    }

    /// A structure that the field of view cuts off, or the box that the network was shown.
    fn cuts(&mut self, working: &Working<'_>, found: &Found, best: &Candidate) {
        let around = IndexBox::around(&best.mask, |inside| *inside);
        let Some((answer, part)) = found.answer.as_ref().zip(around) else {
            return;
        };
        let input_shape = working.recipe.grid.input_shape;
        let seen = answered(answer.region.shape(), input_shape, working.network.margin);
        let place = |inner: IndexBox| IndexBox {
            start: std::array::from_fn(|a| inner.start[a] + answer.region.start[a]),
            end: std::array::from_fn(|a| inner.end[a] + answer.region.start[a]),
        };
        let [ni, nj, _] = working.grid.shape();
        let [first, past] = found.body_slices;
        let image = IndexBox {
            start: [0, 0, first],
            end: [ni, nj, past],
        };
        for (face, by_image) in touched(place(part), place(seen), image) {
            let (code, end) = FACES[face];
            let name = self.name.clone();
            if by_image {
                self.push(false, code, format!("the {name} touches the {end} end of the field of view: its volume is a lower bound"));
            } else {
                self.push(true, "cut_off_by_region", format!("the {name} touches the {end} end of the region that the network was shown, though the image goes on there: part of it may be missing"));
            }
        }
    }
}

/// Volume of the other parts that can be the organ, too. The parts come by the size of their
/// cores, so the best one need not be the largest.
fn second_parts_ml(candidates: &[Candidate], best: &Candidate) -> f64 {
    candidates
        .iter()
        .filter(|c| !std::ptr::eq(*c, best))
        .filter(|c| c.objection().is_none() && c.volume_ml >= SECOND_PART_ML)
        .map(|c| c.volume_ml)
        .sum()
}

/// Low and high faces along x, y and z of the working grid, which has RAS axes.
const FACES: [(&str, &str); 6] = [
    ("cut_off_left", "left"),
    ("cut_off_right", "right"),
    ("cut_off_back", "rear"),
    ("cut_off_front", "front"),
    ("cut_off_below", "lower"),
    ("cut_off_above", "upper"),
];
/// The working grid may reach a voxel further than the image on its sides.
const SLACK: [usize; 3] = [1, 1, 0];

/// The faces of `seen` that a part touches, and whether the image ends there, too.
fn touched(part: IndexBox, seen: IndexBox, image: IndexBox) -> Vec<(usize, bool)> {
    let mut faces = Vec::new();
    for (axis, slack) in SLACK.into_iter().enumerate() {
        if part.start[axis] <= seen.start[axis] {
            let by_image = seen.start[axis] <= image.start[axis] + slack;
            faces.push((2 * axis, by_image));
        }
        if part.end[axis] >= seen.end[axis] {
            let by_image = seen.end[axis] + slack >= image.end[axis];
            faces.push((2 * axis + 1, by_image));
        }
    }
    faces
}

#[cfg(test)]
mod tests {
    use prosect_volume::{Grid, IndexBox, Point, Volume};

    use super::{FACES, second_parts_ml, touched};
    use crate::candidate::Candidate;

    #[test]
    fn a_second_part_is_told_even_beside_a_small_best_one() {
        let grid = Grid::axis_aligned([1; 3], [3.0; 3], Point::new([0.0; 3])).unwrap();
        let part = |volume_ml: f64, sure_share: f64| Candidate {
            mask: Volume::filled(grid.clone(), true),
            volume_ml,
            mean_probability: 0.92,
            sure_share,
            tissue: None,
        };
        let parts = [part(40.0, 0.7), part(80.0, 0.7), part(90.0, 0.1)];
        assert_eq!(second_parts_ml(&parts, &parts[0]), 80.0);
        assert_eq!(second_parts_ml(&parts, &parts[1]), 0.0);
    }

    #[track_caller]
    fn check(part: [[usize; 3]; 2], expected: &[(&str, bool)]) {
        let of = |[start, end]: [[usize; 3]; 2]| IndexBox { start, end };
        // The network was shown slices 20 to 90 of 0 to 90, and all but the rear third.
        let (seen, image) = ([[1, 30, 20], [99, 90, 90]], [[0, 0, 0], [100, 90, 90]]);
        let got: Vec<(&str, bool)> = touched(of(part), of(seen), of(image))
            .into_iter()
            .map(|(face, by_image)| (FACES[face].0, by_image))
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn a_structure_cut_by_image_or_region_is_told_apart() {
        check([[50, 40, 30], [80, 80, 70]], &[]);
        check([[50, 40, 30], [80, 80, 90]], &[("cut_off_above", true)]);
        check([[50, 40, 20], [80, 80, 70]], &[("cut_off_below", false)]);
        check(
            [[50, 30, 30], [99, 80, 70]],
            &[("cut_off_right", true), ("cut_off_back", false)],
        );
    }
}
