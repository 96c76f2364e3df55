//! What `case.json` says of a case.

use std::collections::BTreeMap;

use prosect_formats::case::{
    Anatomy, CaseRecord, CodeRecord, Expected, FORMAT_VERSION, Finding, GridRecord, ModelRecord,
    Severity, sha256_hex,
};
use prosect_model::{Model, ModelOutput};
use prosect_segmentation::{Code, Segment, Segmentation, measure};
use prosect_volume::{Grid, IndexBox, Point};

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

/// Gathers everything; the list of files is filled in when they are written.
pub(crate) fn case(
    model: &Model,
    input: &Input,
    output: &ModelOutput,
    segmentation: &Segmentation,
    made: &Made,
) -> CaseRecord {
    let mut findings: Vec<Finding> = input.findings.clone();
    findings.extend(output.findings.iter().map(|f| Finding {
        severity: if f.check {
            Severity::Check
        } else {
            Severity::Note
        },
        code: f.code.to_owned(),
        message: f.message.clone(),
        structure: f.structure.clone(),
    }));
    findings.extend(made.findings.iter().cloned());
    let parameters: BTreeMap<String, serde_json::Value> = output
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let structures = segmentation
        .segments()
        .iter()
        .enumerate()
        .map(|(n, segment)| anatomy(model, segmentation, (n, segment), made, &findings))
        .collect();
    let identity = input
        .record
        .series_uid
        .as_ref()
        .unwrap_or(&input.record.image_sha256);
    CaseRecord {
        format_version: FORMAT_VERSION,
        created_by: format!("Prosect {}", crate::VERSION),
        case_code: sha256_hex(identity.as_bytes())[..8].to_uppercase(),
        review: segmentation.review().label().into(),
        intended_use: INTENDED_USE.into(),
        input: input.record.clone(),
        grid: grid_record(segmentation.grid(), &input.loaded),
        models: vec![model_record(model, &input.record.modality)],
        structures,
        findings,
        not_checked: NOT_CHECKED.map(str::to_owned).to_vec(),
        parameters,
        files: Vec::new(),
    }
}

fn anatomy(
    model: &Model,
    segmentation: &Segmentation,
    (n, segment): (usize, &Segment),
    made: &Made,
    findings: &[Finding],
) -> Anatomy {
    let layer = &segmentation.layers()[segment.layer];
    let manifest = model
        .manifest()
        .structures
        .iter()
        .find(|s| s.structure.name == segment.structure.name);
    let around = measure::bounding_box(layer, segment.label_value);
    let concerning = findings
        .iter()
        .filter(|f| f.structure.as_deref() == Some(segment.structure.name.as_str()));
    Anatomy {
        name: segment.structure.name.clone(),
        found: around.is_some(),
        segment_number: n + 1,
        layer: segment.layer,
        label_value: segment.label_value,
        category: code(&segment.structure.category),
        property_type: code(&segment.structure.property_type),
        type_modifier: segment.structure.type_modifier.as_ref().map(code),
        color_rgb: segment.structure.color.0,
        algorithm: segment.algorithm_type.dicom_name().into(),
        model: model.manifest().name.clone(),
        volume_ml: rounded(measure::volume_ml(layer, segment.label_value), 1e3),
        bounding_box_lps_mm: around.map(|b| extent(layer.grid(), b)),
        centroid_lps_mm: measure::centroid(layer, segment.label_value)
            .map(|c| c.xyz.map(|x| rounded(x, 1e3))),
        flags: concerning.map(|f| f.code.clone()).collect(),
        expected: Expected {
            dice: manifest.map_or_else(|| "unknown".into(), |s| s.expected_dice.clone()),
            source: manifest.map_or_else(
                || "nobody measured it".into(),
                |s| s.expected_source.clone(),
            ),
        },
        surface: made.records.get(n).cloned().flatten(),
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

fn grid_record(grid: &Grid, loaded: &Loaded) -> GridRecord {
    let relation = match loaded {
        Loaded::Dicom(_) => "the source's frames, voxel for voxel",
        Loaded::Nifti(_) => "the NIfTI's grid, voxel for voxel",
    };
    GridRecord {
        shape: grid.shape(),
        spacing_mm: grid.spacing_mm(),
        orientation: grid.orientation(),
        lps_from_voxel: grid.lps_from_voxel().rows,
        frame_of_reference: grid.frame_of_reference.as_ref().map(ToString::to_string),
        relation_to_source: relation.into(),
    }
}

fn model_record(model: &Model, modality: &str) -> ModelRecord {
    let manifest = model.manifest();
    let support = manifest.modalities.iter().find(|m| m.modality == modality);
    ModelRecord {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        weights_sha256: model.weights_sha256().to_owned(),
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
