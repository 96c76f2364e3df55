//! The label table beside a label map (`segmentation.json`): what each value means.

use std::io::Write;

use prosect_segmentation::{Algorithm, Code, Segment, Segmentation};
use serde::Serialize;

use crate::error::FormatsError;
use crate::nifti::FORMAT;

#[derive(Serialize)]
struct TableRecord<'a> {
    format_version: u32,
    made_by: String,
    review: &'a str,
    frame_of_reference: Option<String>,
    background: u16,
    layers: Vec<LayerRecord<'a>>,
}

#[derive(Serialize)]
struct LayerRecord<'a> {
    file: &'a str,
    labels: Vec<LabelRecord<'a>>,
}

#[derive(Serialize)]
struct LabelRecord<'a> {
    value: u16,
    name: &'a str,
    segment_number: usize,
    category: CodeRecord<'a>,
    r#type: CodeRecord<'a>,
    type_modifier: Option<CodeRecord<'a>>,
    region: Option<CodeRecord<'a>>,
    region_modifier: Option<CodeRecord<'a>>,
    color_srgb: [u8; 3],
    algorithm_type: &'a str,
    algorithm: Option<AlgorithmRecord<'a>>,
}

#[derive(Serialize)]
struct CodeRecord<'a> {
    scheme: &'a str,
    value: &'a str,
    meaning: &'a str,
}

#[derive(Serialize)]
struct AlgorithmRecord<'a> {
    name: &'a str,
    version: &'a str,
    weights_sha256: &'a str,
    source: &'a str,
}

impl<'a> From<&'a Code> for CodeRecord<'a> {
    fn from(code: &'a Code) -> Self {
        Self {
            scheme: &code.scheme,
            value: &code.value,
            meaning: &code.meaning,
        }
    }
}

impl<'a> From<&'a Algorithm> for AlgorithmRecord<'a> {
    fn from(a: &'a Algorithm) -> Self {
        Self {
            name: &a.name,
            version: &a.version,
            weights_sha256: &a.weights_sha256,
            source: &a.source,
        }
    }
}

impl<'a> LabelRecord<'a> {
    fn new(index: usize, segment: &'a Segment) -> Self {
        let structure = &segment.structure;
        Self {
            value: segment.label_value,
            name: &structure.name,
            segment_number: index + 1,
            category: (&structure.category).into(),
            r#type: (&structure.property_type).into(),
            type_modifier: structure.type_modifier.as_ref().map(Into::into),
            region: structure.region.as_ref().map(Into::into),
            region_modifier: structure.region_modifier.as_ref().map(Into::into),
            color_srgb: structure.color.0,
            algorithm_type: segment.algorithm_type.dicom_name(),
            algorithm: segment.algorithm.as_ref().map(Into::into),
        }
    }
}

/// Writes the label table of a segmentation; `files` names the label map of each layer.
///
/// # Errors
/// [`FormatsError`] when there are not as many files as layers, or the stream fails.
pub fn write_label_table(
    segmentation: &Segmentation,
    files: &[String],
    mut out: impl Write,
) -> Result<(), FormatsError> {
    let n_layers = segmentation.layers().len();
    if files.len() != n_layers {
        let what = format!(
            "{} file names were given for {n_layers} layers",
            files.len()
        );
        return Err(FormatsError::Inconsistent {
            format: FORMAT,
            what,
        });
    }
    let labels_of = |layer: usize| {
        let segments = segmentation
            .segments()
            .iter()
            .enumerate()
            .filter(|(_, s)| s.layer == layer);
        segments
            .map(|(index, segment)| LabelRecord::new(index, segment))
            .collect()
    };
    let table = TableRecord {
        format_version: 1,
        made_by: format!("prosect {}", env!("CARGO_PKG_VERSION")),
        review: segmentation.review().label(),
        frame_of_reference: segmentation
            .grid()
            .frame_of_reference
            .as_ref()
            .map(ToString::to_string),
        background: 0,
        layers: files
            .iter()
            .enumerate()
            .map(|(layer, file)| LayerRecord {
                file,
                labels: labels_of(layer),
            })
            .collect(),
    };
    let doing = "writing the label table";
    serde_json::to_writer_pretty(&mut out, &table).map_err(|error| FormatsError::Io {
        doing,
        source: error.into(),
    })?;
    out.write_all(b"\n")
        .and_then(|()| out.flush())
        .map_err(FormatsError::io(doing))
}
