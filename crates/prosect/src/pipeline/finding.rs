//! What a person should know of a label map: nobody looks at each of a hundred structures unasked.

use prosect_formats::case::{Finding, Severity};
use prosect_model::{ManifestStructure, ModalityStatus};
use prosect_segmentation::measure::{Measures, Survey};
use prosect_volume::Grid;

use crate::pipeline::drawing::{Border, Drawing};

/// A structure has no voxel.
pub(crate) const NOT_FOUND: &str = "not_found";
/// The field of view ends inside a structure.
const CUT_OFF: &str = "cut_off";
/// More names than this are counted.
const MOST_NAMES: usize = 12;

/// Findings of one model's label map.
pub(crate) fn of_labels(
    drawing: &Drawing,
    survey: &Survey,
    grid: &Grid,
    modality: &str,
) -> Vec<Finding> {
    let model = &drawing.manifest.name;
    let mut findings = Vec::new();
    let support = drawing.manifest.support(modality);
    let told = drawing.findings.iter();
    if support.is_some_and(|s| s.status == ModalityStatus::Experimental)
        && !told.clone().any(|f| f.code == "experimental_modality")
    {
        findings.push(Finding {
            severity: Severity::Check,
            code: "experimental_modality".into(),
            message: format!(
                "the model {model} is experimental on {modality}: nobody has measured how good it is there"
            ),
            structure: None,
        });
    }
    let (found, missing): (Vec<&ManifestStructure>, Vec<&ManifestStructure>) = drawing
        .structures
        .iter()
        .partition(|s| survey.get(s.label_value).is_some());
    if found.is_empty() {
        findings.push(Finding {
            severity: Severity::Check,
            code: "nothing_found".into(),
            message: format!("{model} found none of its structures in the field of view"),
            structure: None,
        });
    } else if !missing.is_empty() {
        let message = format!(
            "{model} found {} of {} structures; not in the field of view, or missed: {}",
            found.len(),
            drawing.structures.len(),
            listed(&missing)
        );
        findings.push(note(NOT_FOUND, message));
    }
    let cut: Vec<&ManifestStructure> = found
        .iter()
        .copied()
        .filter(|s| survey.get(s.label_value).is_some_and(|m| is_cut(m, grid)))
        .collect();
    if !cut.is_empty() {
        let message = format!(
            "the field of view cuts {}: their volumes are lower bounds",
            listed(&cut)
        );
        findings.push(note(CUT_OFF, message));
    }
    findings.extend(found.iter().filter_map(|s| unusual_volume(s, survey)));
    findings
}

fn note(code: &str, message: String) -> Finding {
    Finding {
        severity: Severity::Note,
        code: code.into(),
        message,
        structure: None,
    }
}

/// The first names, and how many more.
fn listed(structures: &[&ManifestStructure]) -> String {
    let names = structures.iter().map(|s| s.structure.name.as_str());
    let first: Vec<&str> = names.take(MOST_NAMES).collect();
    let more = structures.len().saturating_sub(MOST_NAMES);
    if more == 0 {
        first.join(", ")
    } else {
        format!("{} and {more} more", first.join(", "))
    }
}

/// The code that stands with a structure of a label map which the field of view cuts.
pub(crate) fn flag(drawing: &Drawing, measures: Option<&Measures>, grid: &Grid) -> Option<String> {
    let is_map = matches!(drawing.border, Border::Confidence);
    (is_map && measures.is_some_and(|m| is_cut(m, grid))).then(|| CUT_OFF.into())
}

/// Whether a structure reaches an outermost voxel of the image.
fn is_cut(measures: &Measures, grid: &Grid) -> bool {
    let (around, shape) = (measures.around, grid.shape());
    (0..3).any(|axis| around.start[axis] == 0 || around.end[axis] == shape[axis])
}

fn unusual_volume(structure: &ManifestStructure, survey: &Survey) -> Option<Finding> {
    let [low, high] = structure.plausible_volume_ml?;
    let ml = survey.get(structure.label_value)?.volume_ml;
    let name = &structure.structure.name;
    (ml < low || ml > high).then(|| Finding {
        severity: Severity::Check,
        code: "volume_unusual".into(),
        message: format!(
            "the {name} has {ml:.0} ml; whole ones of adults have {low:.0} to {high:.0} ml"
        ),
        structure: Some(name.clone()),
    })
}
