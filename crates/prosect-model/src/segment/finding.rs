//! What a person should know about a result.

use crate::candidate::{Candidate, INSIDE};
use crate::manifest::{ManifestStructure, ModalityStatus};
use crate::output::{ModelFinding, StructureOutput};
use crate::segment::{Found, Working};

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
            list.cuts(found, best);
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
        let refused = found
            .answer
            .iter()
            .flat_map(|a| &a.candidates)
            .find(|c| c.volume_ml > best.volume_ml)
            .and_then(|c| c.objection().map(|why| (c.volume_ml, why)));
        if let Some((ml, why)) = refused {
            let message = format!(
                "a larger part of {ml:.0} ml resembles a {name} too, but {why}; is the image mirrored, or the anatomy unusual"
            );
            self.push(true, "larger_part_refused", message);
        }
        let others = found
            .answer
            .iter()
            .flat_map(|a| &a.candidates)
            .filter(|c| c.objection().is_none() && c.volume_ml >= SECOND_PART_ML);
        let rest: f64 = others.skip(1).map(|c| c.volume_ml).sum();
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
        let [low, high] = wanted.plausible_volume_ml;
        if ml < low || ml > high {
            let message = format!(
                "the {} has {ml:.0} ml; whole ones of adults have {low:.0} to {high:.0} ml",
                self.name
            );
            self.push(true, "volume_unusual", message);
        }
    }

    /// A structure that the field of view cuts off.
    fn cuts(&mut self, found: &Found, best: &Candidate) {
        let Some((answer, [low, high])) = found.answer.as_ref().zip(best.slices()) else {
            return;
        };
        let name = self.name.clone();
        let faces = [
            (
                "cut_off_below",
                "lower",
                low + answer.region.start[2] <= found.body_slices[0],
            ),
            (
                "cut_off_above",
                "upper",
                high + answer.region.start[2] >= found.body_slices[1],
            ),
        ];
        for (code, end, is_cut) in faces {
            if is_cut {
                self.push(false, code, format!("the {name} touches the {end} end of the field of view: its volume is a lower bound"));
            }
        }
    }
}
