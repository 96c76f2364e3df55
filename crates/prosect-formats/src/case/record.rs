//! The fields of `case.json` and `run.json`, version 3. What earlier versions did not have is optional.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All of `case.json`. It holds no time, no machine and no patient data: the same input, model and
/// program give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseRecord {
    /// Version of this record.
    pub format_version: u32,
    /// Program and its version.
    pub created_by: String,
    /// A short code that stands for the patient in files and pictures.
    pub case_code: String,
    /// `UNREVIEWED` until a clinician has signed.
    pub review: String,
    /// What the result may be used for.
    pub intended_use: String,
    /// What was segmented.
    pub input: InputRecord,
    /// The grid of `image.nii.gz`, `segmentation.nii.gz` and `confidence.nii.gz`.
    pub grid: GridRecord,
    /// The models that took part.
    pub models: Vec<ModelRecord>,
    /// The structures looked for, found or not.
    pub structures: Vec<Anatomy>,
    /// What a person should know or look at.
    pub findings: Vec<Finding>,
    /// What nobody and nothing has checked.
    pub not_checked: Vec<String>,
    /// Parameters that shaped the result.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// Every file of the case but `case.json` and `run.json`, which name no hash of each other.
    pub files: Vec<FileRecord>,
}

/// What was segmented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRecord {
    /// `dicom` or `nifti`.
    pub kind: String,
    /// DICOM's modality, for example `CT`.
    pub modality: String,
    /// Study Instance UID, where the input is DICOM.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub study_uid: Option<String>,
    /// Series Instance UID, where the input is DICOM.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub series_uid: Option<String>,
    /// Which of the stacks of the series, from 1, where it holds several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stack_number: Option<u32>,
    /// Slices of the series.
    pub n_slices: usize,
    /// Why this series was taken.
    pub chosen_because: Vec<String>,
    /// What was left out, and why.
    pub left_out: Vec<LeftOut>,
    /// SHA-256 over shape, affine and voxel values as they were read.
    pub image_sha256: String,
}

/// A series or file left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Series UID or the file's name inside the input.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A regular grid in LPS millimetres.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridRecord {
    /// Voxels along i, j, k.
    pub shape: [usize; 3],
    /// Millimetres between voxel centres along i, j, k.
    pub spacing_mm: [f64; 3],
    /// Where the axes point, for example `LPS`.
    pub orientation: String,
    /// Rows of the 3 x 4 matrix that leads from voxel indices to LPS millimetres.
    pub lps_from_voxel: [[f64; 4]; 3],
    /// Frame of Reference UID, if the source has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub frame_of_reference: Option<String>,
    /// `source frames` where the grid is the scanner's own, slice by slice.
    pub relation_to_source: String,
    /// Why the grid is not the source's own: what is tilted or uneven there. DICOM objects lie on
    /// the source's frames all the same. Since version 3.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resampled_because: Option<String>,
}

/// A model that took part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecord {
    /// Name, for example `liver-ct`.
    pub name: String,
    /// Version.
    pub version: String,
    /// SHA-256 of the weights.
    pub weights_sha256: String,
    /// Licence of the weights.
    pub license: String,
    /// Where the weights come from.
    pub source: String,
    /// What it was made for.
    pub intended_use: String,
    /// What is known of its training.
    pub provenance: String,
    /// How far the model may be trusted on this modality, in its card's words.
    pub status: String,
}

/// One structure of the case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anatomy {
    /// The structure's name.
    pub name: String,
    /// Whether any voxel was found.
    pub found: bool,
    /// DICOM Segment Number.
    pub segment_number: usize,
    /// Layer of the labelmap, from 0.
    pub layer: usize,
    /// Value in the labelmap.
    pub label_value: u16,
    /// Segmented Property Category.
    pub category: CodeRecord,
    /// Segmented Property Type.
    pub property_type: CodeRecord,
    /// Laterality or another modifier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub type_modifier: Option<CodeRecord>,
    /// sRGB, 8 bits each.
    pub color_rgb: [u8; 3],
    /// Which model drew it, and how: `AUTOMATIC`, `SEMIAUTOMATIC`, `MANUAL`.
    pub algorithm: String,
    /// Which of the models drew it.
    pub model: String,
    /// Volume of its voxels, in millilitres.
    pub volume_ml: f64,
    /// Mean of the image's values in its voxels, HU for CT. Since version 2.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mean_intensity: Option<f64>,
    /// Smallest and largest voxel centre in LPS millimetres.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bounding_box_lps_mm: Option<[[f64; 3]; 2]>,
    /// Mean voxel position in LPS millimetres.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub centroid_lps_mm: Option<[f64; 3]>,
    /// Codes of the findings that concern it.
    pub flags: Vec<String>,
    /// What accuracy to expect.
    pub expected: Expected,
    /// Its surface, if one was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub surface: Option<SurfaceRecord>,
}

/// A coded concept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeRecord {
    /// Coding scheme designator.
    pub scheme: String,
    /// Code value.
    pub value: String,
    /// Code meaning.
    pub meaning: String,
}

/// Expected accuracy, with where the figure comes from; `unknown` where nobody measured it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Dice as text, or `unknown`.
    pub dice: String,
    /// On which data, measured by whom.
    pub source: String,
}

/// The proof of a surface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurfaceRecord {
    /// Number of triangles.
    pub triangles: usize,
    /// Number of closed shells.
    pub shells: usize,
    /// Enclosed volume in millilitres.
    pub volume_ml: f64,
    /// Enclosed volume less the voxels' volume, in percent of the latter.
    pub volume_error_percent: f64,
    /// How far smoothing moved the surface from where the probability passes one half.
    pub moved_by_smoothing: Boundary,
    /// How it was smoothed.
    pub smoothing: String,
    /// What was proved of it.
    pub proof: Vec<String>,
}

/// Distances between two boundaries in millimetres.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    /// Mean.
    pub mean_mm: f64,
    /// 95th percentile.
    pub p95_mm: f64,
    /// Largest.
    pub max_mm: f64,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; nobody needs to act.
    Note,
    /// A person must look before the result is used; the exit code is 1.
    Check,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// A stable word for programs, for example `liver_cut_off`.
    pub code: String,
    /// What was found, for people.
    pub message: String,
    /// The structure concerned, if one is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub structure: Option<String>,
}

/// One file of the case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Path inside the case, with `/`.
    pub path: String,
    /// What it is, for people.
    pub what: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// All of `run.json`: what differs from run to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Version of this record.
    pub format_version: u32,
    /// Start of the run, ISO 8601, UTC.
    pub started_at: String,
    /// Whole run in seconds.
    pub seconds: f64,
    /// Steps in order.
    pub steps: Vec<StepRecord>,
    /// Threads used.
    pub threads: usize,
    /// Instruction set of the kernels.
    pub isa: String,
    /// Most memory that the networks were allowed, in bytes. Since version 2.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_ram_bytes: Option<u64>,
    /// Operating system and architecture.
    pub machine: String,
    /// Largest memory of the process in bytes, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_rss_bytes: Option<u64>,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// What was done.
    pub step: String,
    /// How long, in seconds.
    pub seconds: f64,
    /// Seconds of all processors together, where the system tells. Since version 2.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu_seconds: Option<f64>,
}
