//! What a person should know of a label map: nobody looks at each of a hundred structures unasked.

use std::collections::HashSet;

use prosect_formats::case::{Finding, Severity};
use prosect_model::{ManifestStructure, ModalityStatus};
use prosect_segmentation::measure::{Measures, Survey};
use prosect_segmentation::{LabelValue, Labelmap};
use prosect_volume::{Cover, IndexBox};

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
    edge: &Edge,
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
        .filter(|s| edge.cuts(s.label_value, survey.get(s.label_value)))
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
pub(crate) fn flag(
    drawing: &Drawing,
    (label, measures): (LabelValue, Option<&Measures>),
    edge: &Edge,
) -> Option<String> {
    let is_map = matches!(drawing.border, Border::Confidence);
    (is_map && edge.cuts(label, measures)).then(|| CUT_OFF.into())
}

/// Where the field of view of a layer ends.
pub(crate) struct Edge {
    shape: [usize; 3],
    /// The labels at the edge of a field of view that is not the whole grid.
    touched: Option<HashSet<LabelValue>>,
}

impl Edge {
    /// The edge of a label map on the image's grid, and on a cover the edge of the frames in it.
    pub(crate) fn of(labels: &Labelmap, cover: Option<&Cover>) -> Self {
        Self {
            shape: labels.grid().shape(),
            touched: cover.map(|cover| touched(labels, cover)),
        }
    }

    /// Whether a structure reaches an outermost voxel of the image.
    fn cuts(&self, label: LabelValue, measures: Option<&Measures>) -> bool {
        let outermost = |around: IndexBox| {
            (0..3).any(|axis| around.start[axis] == 0 || around.end[axis] == self.shape[axis])
        };
        measures.is_some_and(|measures| {
            let touched = self.touched.as_ref();
            touched.map_or_else(|| outermost(measures.around), |all| all.contains(&label))
        })
    }
}

/// The labels in the outermost slices, rows and columns where there is image.
fn touched(labels: &Labelmap, cover: &Cover) -> HashSet<LabelValue> {
    let [ni, _, nk] = labels.grid().shape();
    let mut found = HashSet::new();
    for (k, slice) in labels.values().chunks_exact(labels.slice_len()).enumerate() {
        let [in_i, in_j] = cover.image_range(k);
        if in_i.is_empty() || in_j.is_empty() {
            continue;
        }
        for j in in_j.clone() {
            let row = &slice[j * ni..][in_i.clone()];
            if k == 0 || k + 1 == nk || j == in_j.start || j + 1 == in_j.end {
                found.extend(row.iter().copied());
            } else {
                found.extend([row[0], row[row.len() - 1]]);
            }
        }
    }
    found
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

#[cfg(test)]
mod tests {
    use prosect_base::Limits;
    use prosect_segmentation::Labelmap;
    use prosect_segmentation::measure::Survey;
    use prosect_volume::{Point, SliceStack, Vector};

    use super::Edge;

    /// Frames of 5 x 5 pixels, each shifted by one row; one pixel of each frame has a label.
    fn check(pixel: [usize; 2], frames: std::ops::Range<usize>, expected: bool) {
        let stack = SliceStack {
            shape: [5, 5],
            step_i: Vector::new([1.0, 0.0, 0.0]),
            step_j: Vector::new([0.0, 1.0, 0.0]),
            origins: (0..6)
                .map(|f| Point::new([0.0, f64::from(f), 2.0 * f64::from(f)]))
                .collect(),
            frame_of_reference: None,
            thickness_mm: None,
        };
        let cover = stack.cover(&Limits::default()).unwrap();
        let mut drawn = vec![0_u16; 5 * 5 * 6];
        for f in frames {
            drawn[25 * f + 5 * pixel[1] + pixel[0]] = 7;
        }
        let labels: Labelmap = cover.spread(&drawn, 0).unwrap();
        let survey = Survey::of(&labels, None);
        let edge = Edge::of(&labels, Some(&cover));
        assert_eq!(edge.cuts(7, survey.get(7)), expected, "{pixel:?}");
    }

    #[test]
    fn tilted_frames_cut_at_their_own_edges() {
        check([2, 2], 1..5, false);
        check([2, 0], 2..4, true);
        check([2, 4], 2..4, true);
        check([0, 2], 2..4, true);
        check([4, 2], 2..4, true);
        check([2, 2], 0..3, true);
        check([2, 2], 4..6, true);
    }
}
