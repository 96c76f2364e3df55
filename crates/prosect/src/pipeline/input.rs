//! What is to be segmented: a DICOM series or a NIfTI, read and ready.

use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Limits, Progress};
use prosect_dicom::{Choice, ImageSeries, choose_series, inspect, judge_series, load_series};
use prosect_formats::case::{Finding, InputRecord, LeftOut, Severity, hex};
use prosect_formats::nifti::{self, AffineSource};
use prosect_volume::Volume;
use sha2::{Digest, Sha256};

use crate::pipeline::error::PipelineError;

/// The input, read.
pub(crate) enum Loaded {
    /// A DICOM series with its frames.
    Dicom(Box<ImageSeries>),
    /// A NIfTI.
    Nifti(Box<Volume<f32>>),
}

/// The input, and what is to be told of it.
pub(crate) struct Input {
    /// Voxels and their source.
    pub(crate) loaded: Loaded,
    /// Its entry in `case.json`.
    pub(crate) record: InputRecord,
    /// What a person should know of it.
    pub(crate) findings: Vec<Finding>,
}

impl Input {
    /// The image; HU for CT.
    pub(crate) fn image(&self) -> &Volume<f32> {
        match &self.loaded {
            Loaded::Dicom(series) => &series.image,
            Loaded::Nifti(volume) => volume,
        }
    }
}

/// What the user said of the input.
#[derive(Clone, Debug, Default)]
pub struct InputChoice {
    /// Path of a DICOM file, folder or zip, or of a NIfTI.
    pub path: PathBuf,
    /// Take this series.
    pub series_uid: Option<String>,
    /// Modality of a NIfTI.
    pub modality: Option<String>,
}

/// Reads the input; `modalities` are those that the model was made for.
pub(crate) fn read(
    choice: &InputChoice,
    modalities: &[&str],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Input, PipelineError> {
    let path = &choice.path;
    if let Err(source) = std::fs::metadata(path) {
        return Err(PipelineError::Input {
            path: path.clone(),
            source,
        });
    }
    if is_nifti_name(path) {
        read_nifti(choice, progress)
    } else {
        read_dicom(choice, modalities, progress, cancel)
    }
}

fn is_nifti_name(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    path.is_file() && name.strip_suffix(".gz").unwrap_or(&name).rsplit('.').next() == Some("nii")
}

fn read_nifti(choice: &InputChoice, progress: &dyn Progress) -> Result<Input, PipelineError> {
    if choice.series_uid.is_some() {
        return Err(PipelineError::SeriesOfNifti);
    }
    progress.step("reading the NIfTI");
    let image =
        nifti::read(&choice.path, &Limits::default()).map_err(|source| PipelineError::Format {
            path: choice.path.clone(),
            source,
        })?;
    let mut findings: Vec<Finding> = image
        .facts
        .notes
        .iter()
        .map(|note| finding(Severity::Note, "nifti", note))
        .collect();
    if image.facts.n_not_finite > 0 {
        let message = format!(
            "{} voxels of the NIfTI are no finite numbers and were read as the lowest value",
            image.facts.n_not_finite
        );
        findings.push(finding(Severity::Check, "not_finite", &message));
    }
    if image.facts.affine_source == AffineSource::Pixdim {
        let message = "the NIfTI has neither sform nor qform: which side is left is a guess";
        findings.push(finding(Severity::Check, "orientation_unknown", message));
    }
    let modality = nifti_modality(choice, &image.volume)?;
    if choice.modality.is_none() {
        findings.push(finding(
            Severity::Note,
            "modality_assumed",
            "the NIfTI does not say its modality; its values look like HU, so it was taken as CT",
        ));
    }
    let no_frames = "no DICOM SEG can be made: a NIfTI has no source frames";
    findings.push(finding(Severity::Note, "no_source_frames", no_frames));
    let record = InputRecord {
        kind: "nifti".into(),
        modality,
        study_uid: None,
        series_uid: None,
        n_slices: image.volume.grid().shape()[2],
        chosen_because: Vec::new(),
        left_out: Vec::new(),
        image_sha256: image_sha256(&image.volume),
    };
    Ok(Input {
        loaded: Loaded::Nifti(Box::new(image.volume)),
        record,
        findings,
    })
}

/// Air below this many HU must be there for values to look like a CT's: nothing else in the body
/// or around it is so far below water.
const AIR_BELOW_HU: f32 = -300.0;
/// Above this no CT goes, even with metal on an extended scale.
const HU_AT_MOST: f32 = 32_768.0;

fn nifti_modality(choice: &InputChoice, image: &Volume<f32>) -> Result<String, PipelineError> {
    if let Some(modality) = &choice.modality {
        return Ok(modality.to_ascii_uppercase());
    }
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for &value in image.values() {
        low = low.min(value);
        high = high.max(value);
    }
    if low < AIR_BELOW_HU && high <= HU_AT_MOST {
        Ok("CT".into())
    } else {
        Err(PipelineError::ModalityUnknown { low, high })
    }
}

fn read_dicom(
    choice: &InputChoice,
    modalities: &[&str],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Input, PipelineError> {
    let limits = Limits::default();
    let inventory = inspect(&choice.path, &limits, progress, cancel)?;
    let wanted = Choice {
        series_uid: choice.series_uid.as_deref(),
        modalities,
    };
    let chosen = choose_series(&inventory, &wanted)?;
    let verdicts = judge_series(&inventory, &wanted);
    let chosen_because = verdicts
        .iter()
        .filter(|v| v.series.uid == chosen.uid)
        .map(|v| v.reason.clone())
        .collect();
    let others = verdicts.iter().filter(|v| v.series.uid != chosen.uid);
    let mut left_out: Vec<LeftOut> = others
        .map(|v| LeftOut {
            what: v.series.uid.clone(),
            why: v.reason.clone(),
        })
        .collect();
    left_out.extend(inventory.left_out.iter().map(|f| LeftOut {
        what: f.label.clone(),
        why: f.reason.clone(),
    }));
    let mut findings: Vec<Finding> = inventory
        .findings()
        .iter()
        .map(|f| finding(Severity::Check, f.code, &f.message))
        .collect();
    let series = load_series(chosen, &limits, progress, cancel)?;
    findings.extend(
        series
            .findings
            .iter()
            .map(|f| finding(Severity::Check, f.code, &f.message)),
    );
    findings.extend(
        series
            .notes
            .iter()
            .map(|note| finding(Severity::Note, "series", note)),
    );
    let record = InputRecord {
        kind: "dicom".into(),
        modality: series.modality.clone(),
        study_uid: Some(series.study_uid.clone()),
        series_uid: Some(series.series_uid.clone()),
        n_slices: series.frames.len(),
        chosen_because,
        left_out,
        image_sha256: image_sha256(&series.image),
    };
    Ok(Input {
        loaded: Loaded::Dicom(Box::new(series)),
        record,
        findings,
    })
}

/// A finding about the whole case.
pub(crate) fn finding(severity: Severity, code: &str, message: &str) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        message: message.to_owned(),
        structure: None,
    }
}

/// The hash over shape, affine and values, all little-endian.
fn image_sha256(image: &Volume<f32>) -> String {
    let mut hasher = Sha256::new();
    for n in image.grid().shape() {
        hasher.update((n as u64).to_le_bytes());
    }
    for coefficient in image.grid().lps_from_voxel().rows.iter().flatten() {
        hasher.update(coefficient.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(4 * image.slice_len());
    for slice in image.values().chunks(image.slice_len()) {
        bytes.clear();
        bytes.extend(slice.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&bytes);
    }
    hex(&hasher.finalize())
}
