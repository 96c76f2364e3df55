//! What `case.json` says of a case.

use std::collections::BTreeMap;

use prosect_formats::case::{
    Anatomy, CaseRecord, CodeRecord, Expected, FORMAT_VERSION, Finding, GridRecord, ModelRecord,
    Severity, sha256_hex,
};
use prosect_model::ModelFinding;
use prosect_segmentation::measure::Survey;
use prosect_segmentation::{Code, Segment, Segmentation};
use prosect_volume::{Grid, IndexBox, Point};

use crate::pipeline::drawing::{Border, Drawing, EngineOptions};
use crate::pipeline::finding::{self, Edge};
use crate::pipeline::input::{Input, Loaded};
use crate::pipeline::surfaces::Made;

const INTENDED_USE: &str = "Research use only. Not a medical device: a qualified person must review, and correct or reject, every structure before it is used.";

/// What no part of Prosect looks at yet.
const NOT_CHECKED: [&str; 4] = [
    "Whether the border of each structure is right: nobody has looked, and no automatic check measures it.",
    "Whether the image itself is right: contrast phase, motion, metal and noise are not judged.",
    "Whether disease, surgery or an anatomical variant makes the network fail: its training scans are not described.",
    "Whether the image belongs to the patient it is thought to belong to.",
];

/// What a case is made of.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) input: &'a Input,
    pub(crate) engine: &'a EngineOptions,
    pub(crate) drawings: &'a [Drawing],
    pub(crate) segmentation: &'a Segmentation,
    /// Measures of each layer.
    pub(crate) surveys: &'a [Survey],
    pub(crate) made: &'a Made,
}

/// Gathers everything; the list of files is filled in when they are written.
pub(crate) fn case(parts: Parts<'_>) -> CaseRecord {
    let Parts {
        input,
        segmentation,
        made,
        ..
    } = parts;
    let mut findings: Vec<Finding> = input.findings.clone();
    let layers = segmentation.layers().iter();
    let edges: Vec<Edge> = layers.map(|layer| Edge::of(layer, input.cover())).collect();
    for ((drawing, survey), edge) in parts.drawings.iter().zip(parts.surveys).zip(&edges) {
        let is_map = matches!(drawing.border, Border::Confidence);
        // Of a hundred structures many are not in the field of view: one line for all of them.
        let told = drawing.findings.iter();
        let told = told.filter(|f| !is_map || f.check || f.code != finding::NOT_FOUND);
        findings.extend(told.map(of_model));
        if is_map {
            let modality = &input.record.modality;
            findings.extend(finding::of_labels(drawing, survey, edge, modality));
        }
    }
    findings.extend(made.findings.iter().cloned());
    let structures = segmentation
        .segments()
        .iter()
        .enumerate()
        .map(|(n, segment)| anatomy(parts, (n, segment), (&findings, &edges)))
        .collect();
    let uid = input.record.series_uid.as_ref();
    let mut identity = uid.unwrap_or(&input.record.image_sha256).clone();
    if let Some(number) = input.record.stack_number {
        identity = format!("{identity}/{number}");
    }
    let modality = &input.record.modality;
    CaseRecord {
        format_version: FORMAT_VERSION,
        created_by: format!("Prosect {}", crate::VERSION),
        case_code: sha256_hex(identity.as_bytes())[..8].to_uppercase(),
        review: segmentation.review().label().into(),
        intended_use: INTENDED_USE.into(),
        input: input.record.clone(),
        grid: grid_record(segmentation.grid(), input),
        models: parts
            .drawings
            .iter()
            .map(|d| model_record(d, modality))
            .collect(),
        structures,
        findings,
        not_checked: NOT_CHECKED.map(str::to_owned).to_vec(),
        parameters: parameters(parts),
        files: Vec::new(),
    }
}

/// What shaped the result: of the run, and of each model, under its name where there are several.
fn parameters(parts: Parts<'_>) -> BTreeMap<String, serde_json::Value> {
    let several = parts.drawings.len() > 1;
    let mut all: BTreeMap<String, serde_json::Value> =
        parts.engine.parameters().into_iter().collect();
    for drawing in parts.drawings {
        let model = &drawing.manifest.name;
        let key = |name: &str| {
            if several {
                format!("{model}.{name}")
            } else {
                name.to_owned()
            }
        };
        for (name, value) in &drawing.parameters {
            all.insert(key(name), value.clone().into());
        }
        // Parts of a model that give nothing wanted do not run, and crops follow what is wanted.
        if drawing.structures.len() < drawing.manifest.structures.len() {
            let drawn = drawing.structures.iter();
            let names: Vec<&str> = drawn.map(|s| s.structure.name.as_str()).collect();
            all.insert(key("structures"), names.into());
        }
    }
    all
}

fn of_model(found: &ModelFinding) -> Finding {
    Finding {
        severity: if found.check {
            Severity::Check
        } else {
            Severity::Note
        },
        code: found.code.to_owned(),
        message: found.message.clone(),
        structure: found.structure.clone(),
    }
}

fn anatomy(
    parts: Parts<'_>,
    (n, segment): (usize, &Segment),
    (findings, edges): (&[Finding], &[Edge]),
) -> Anatomy {
    let drawing = &parts.drawings[segment.layer];
    let name = &segment.structure.name;
    let drawn = drawing.structures.iter();
    let manifest = drawn.clone().find(|s| s.structure.name == *name);
    let measures = parts.surveys[segment.layer].get(segment.label_value);
    let concerning = findings
        .iter()
        .filter(|f| f.structure.as_ref() == Some(name));
    Anatomy {
        name: name.clone(),
        found: measures.is_some(),
        segment_number: n + 1,
        layer: segment.layer,
        label_value: segment.label_value,
        category: code(&segment.structure.category),
        property_type: code(&segment.structure.property_type),
        type_modifier: segment.structure.type_modifier.as_ref().map(code),
        color_rgb: segment.structure.color.0,
        algorithm: segment.algorithm_type.dicom_name().into(),
        model: drawing.manifest.name.clone(),
        volume_ml: measures.map_or(0.0, |m| rounded(m.volume_ml, 1e3)),
        mean_intensity: measures
            .and_then(|m| m.mean_intensity)
            .map(|mean| rounded(mean, 1e2)),
        bounding_box_lps_mm: measures.map(|m| extent(parts.segmentation.grid(), m.around)),
        centroid_lps_mm: measures.map(|m| m.centroid.xyz.map(|x| rounded(x, 1e3))),
        flags: concerning
            .map(|f| f.code.clone())
            .chain(finding::flag(
                drawing,
                (segment.label_value, measures),
                &edges[segment.layer],
            ))
            .collect(),
        expected: Expected {
            dice: manifest.map_or_else(|| "unknown".into(), |s| s.expected_dice.clone()),
            source: manifest.map_or_else(
                || "nobody measured it".into(),
                |s| s.expected_source.clone(),
            ),
        },
        surface: parts.made.records.get(n).cloned().flatten(),
    }
}

/// The smallest and largest LPS coordinates of the voxel centres at the box's corners.
fn extent(grid: &Grid, around: IndexBox) -> [[f64; 3]; 2] {
    let mut low = [f64::INFINITY; 3];
    let mut high = [f64::NEG_INFINITY; 3];
    for corner in 0..8 {
        let index = std::array::from_fn(|axis| {
            if corner >> axis & 1 == 1 {
                around.end[axis] as f64 - 1.0
            } else {
                around.start[axis] as f64
            }
        });
        let place = grid.lps_from_voxel() * Point::new(index);
        for axis in 0..3 {
            low[axis] = low[axis].min(rounded(place.xyz[axis], 1e3));
            high[axis] = high[axis].max(rounded(place.xyz[axis], 1e3));
        }
    }
    [low, high]
}

fn rounded(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}

fn grid_record(grid: &Grid, input: &Input) -> GridRecord {
    let because = input.resampled_because();
    let relation = match (&input.loaded, because.is_some()) {
        (Loaded::Dicom(_), false) => "the source's frames, voxel for voxel",
        (Loaded::Dicom(_), true) => {
            "a regular grid that covers the source's frames, along their axes and their normal; DICOM objects lie on the frames themselves"
        }
        (Loaded::Volume(file), false) => &format!("the {}'s grid, voxel for voxel", file.format),
        (Loaded::Volume(file), true) => &format!(
            "a straight grid that covers the {}'s slanted one",
            file.format
        ),
    };
    GridRecord {
        shape: grid.shape(),
        spacing_mm: grid.spacing_mm(),
        orientation: grid.orientation(),
        lps_from_voxel: grid.lps_from_voxel().rows,
        frame_of_reference: grid.frame_of_reference.as_ref().map(ToString::to_string),
        relation_to_source: relation.into(),
        resampled_because: because.map(str::to_owned),
    }
}

fn model_record(drawing: &Drawing, modality: &str) -> ModelRecord {
    let manifest = &drawing.manifest;
    let support = manifest.modalities.iter().find(|m| m.modality == modality);
    ModelRecord {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        weights_sha256: drawing.weights_sha256.clone(),
        license: manifest.license_weights.clone(),
        source: manifest.source.clone(),
        intended_use: manifest.intended_use.clone(),
        provenance: manifest.provenance.clone(),
        status: support.map_or_else(
            || "unknown".into(),
            |s| format!("{}: {}", s.modality, s.status),
        ),
    }
}

fn code(code: &Code) -> CodeRecord {
    CodeRecord {
        scheme: code.scheme.clone(),
        value: code.value.clone(),
        meaning: code.meaning.clone(),
    }
}
