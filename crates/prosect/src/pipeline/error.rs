//! Why a case could not be made.

use std::io;
use std::path::PathBuf;

use prosect_base::{Canceled, Fault, Faulty};
use prosect_dicom::DicomError;
use prosect_formats::FormatsError;
use prosect_model::ModelError;
use prosect_segmentation::SegmentationError;
use prosect_surface::SurfaceError;

/// Why a case could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The output folder is there already.
    #[error("{path} exists already; nothing was done")]
    OutputExists {
        /// The output folder.
        path: PathBuf,
    },
    /// `--force` would remove something else than a case.
    #[error("{path} is no case of Prosect (it has no case.json) and will not be replaced")]
    OutputIsNoCase {
        /// The output folder.
        path: PathBuf,
    },
    /// `--force` would remove the very images that are to be segmented.
    #[error("the input {input} lies in {path}, which --force would replace; nothing was done")]
    OutputHoldsInput {
        /// The output folder.
        path: PathBuf,
        /// The input.
        input: PathBuf,
    },
    /// The output cannot be written.
    #[error("cannot write {path}: {source}")]
    Output {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The input is not there or cannot be read.
    #[error("cannot read {path}: {source}")]
    Input {
        /// The input.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A format that Prosect does not know.
    #[error(
        "unknown format {format:?}; known are seg, labelmap, rtstruct, sr, nifti, stl, obj, glb, encapsulated, sc, and all or usual for several"
    )]
    UnknownFormat {
        /// The word.
        format: String,
    },
    /// A DICOM object needs DICOM frames.
    #[error(
        "{format} is a DICOM object on the frames of a DICOM series, and a NIfTI or NRRD has none"
    )]
    ObjectWithoutDicom {
        /// The format asked for.
        format: &'static str,
    },
    /// A measurement report refers to the segmentation that it measures.
    #[error("sr refers to a segmentation; write seg or labelmap with it")]
    ReportWithoutSegmentation,
    /// `--series` with a NIfTI.
    #[error("a NIfTI or NRRD has no series to choose from")]
    SeriesOfNifti,
    /// A NIfTI is one image.
    #[error("a NIfTI holds one image, no series to segment one by one")]
    AllOfNifti,
    /// `--modality` with DICOM.
    #[error("a DICOM series says its modality itself, so --modality is for a NIfTI or NRRD only")]
    ModalityOfDicom,
    /// The NIfTI's modality is not known.
    #[error(
        "a NIfTI or NRRD does not say its modality, and these values (from {low:.0} to {high:.0}) do not look like HU of a CT"
    )]
    ModalityUnknown {
        /// Smallest finite value.
        low: f32,
        /// Largest finite value.
        high: f32,
    },
    /// Every voxel is NaN or infinite.
    #[error("{path}: none of its voxels is a finite number")]
    NoFiniteVoxel {
        /// The NIfTI.
        path: PathBuf,
    },
    /// The model was not made for this modality.
    #[error("the model {model} was made for {made_for}, not for {modality}")]
    WrongModality {
        /// The model.
        model: String,
        /// Its modalities.
        made_for: String,
        /// The input's.
        modality: String,
    },
    /// Without `--model`: no model was made for this modality.
    #[error("no model here was made for {modality}")]
    NoModel {
        /// The input's modality.
        modality: String,
        /// Models that take it, but were never measured on it, or need more to be known.
        untested: Vec<String>,
    },
    /// There is no model at all, so that no series can be chosen for one.
    #[error("there is no model")]
    NoModality,
    /// A model named twice.
    #[error("the model {model} is named twice")]
    NamedTwice {
        /// The model.
        model: String,
    },
    /// Two models draw a structure of one name.
    #[error(
        "the models {first} and {second} both draw {structure}, and a case holds each structure once"
    )]
    DrawnTwice {
        /// The structure.
        structure: String,
        /// The earlier model.
        first: String,
        /// The later model.
        second: String,
    },
    /// A model looks inside what another has to draw before it.
    #[error("the model {model} looks inside the {structure}, which no model named before it draws")]
    NeedsBefore {
        /// The model.
        model: String,
        /// The structure that it needs.
        structure: String,
    },
    /// A model has none of the structures that are wanted of it.
    #[error("the model {model} has nothing to draw of {wanted}")]
    NothingWanted {
        /// The model.
        model: String,
        /// What `--structures` says.
        wanted: String,
    },
    /// No model draws a structure of this name.
    #[error("no model taken here draws {name:?}")]
    UnknownStructure {
        /// The name.
        name: String,
        /// Names like it.
        suggestions: Vec<String>,
        /// Whether TotalSegmentator's `total` draws it.
        is_in_total: bool,
    },
    /// Reading or writing DICOM failed.
    #[error(transparent)]
    Dicom(#[from] DicomError),
    /// Reading or writing another file failed.
    #[error("{path}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FormatsError,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A surface failed for another reason than its shape.
    #[error(transparent)]
    Surface(#[from] SurfaceError),
    /// Layers and segments do not fit: a fault of Prosect's.
    #[error(transparent)]
    Segmentation(#[from] SegmentationError),
    /// The user asked to stop.
    #[error(transparent)]
    Canceled(#[from] Canceled),
}

impl Faulty for PipelineError {
    fn fault(&self) -> Fault {
        match self {
            Self::OutputExists { .. }
            | Self::OutputIsNoCase { .. }
            | Self::OutputHoldsInput { .. }
            | Self::ObjectWithoutDicom { .. }
            | Self::ReportWithoutSegmentation
            | Self::ModalityOfDicom
            | Self::SeriesOfNifti
            | Self::AllOfNifti
            | Self::NamedTwice { .. }
            | Self::DrawnTwice { .. }
            | Self::NeedsBefore { .. }
            | Self::NothingWanted { .. }
            | Self::WrongModality { .. } => Fault::Inconsistent,
            Self::ModalityUnknown { .. }
            | Self::NoModel { .. }
            | Self::NoModality
            | Self::UnknownStructure { .. }
            | Self::UnknownFormat { .. } => Fault::Unsupported,
            Self::NoFiniteVoxel { .. } => Fault::Malformed,
            Self::Output { .. } | Self::Input { .. } => Fault::Io,
            Self::Dicom(error) => error.fault(),
            Self::Format { source, .. } => source.fault(),
            Self::Model(error) => error.fault(),
            Self::Surface(error) => error.fault(),
            Self::Segmentation(error) => error.fault(),
            Self::Canceled(_) => Fault::Canceled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::OutputExists { .. } => {
                Some("choose another folder with -o, or replace this case with --force".into())
            }
            Self::OutputIsNoCase { .. } | Self::OutputHoldsInput { .. } => {
                Some("choose another folder with -o".into())
            }
            Self::Output { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space; nothing half-made was left behind".into())
            }
            Self::UnknownFormat { .. } => {
                Some("further formats (3mf, ply, rtstruct, ...) come with later versions".into())
            }
            Self::ObjectWithoutDicom { format } => Some(format!(
                "segment the DICOM series itself, or leave out {format}: --format nifti,stl,obj,glb"
            )),
            Self::ReportWithoutSegmentation => Some("add seg: --format seg,sr".into()),
            Self::SeriesOfNifti => Some("leave out --series".into()),
            Self::AllOfNifti => Some("leave out --all".into()),
            Self::ModalityOfDicom => Some("leave out --modality".into()),
            Self::ModalityUnknown { .. } => {
                Some("say it with --modality CT or --modality MR".into())
            }
            Self::NoModel { modality, untested } => Some(install_hint(modality, untested)),
            Self::NamedTwice { .. } => Some("name each model once".into()),
            Self::DrawnTwice {
                structure, second, ..
            } => Some(format!(
                "name the structures wanted with --structures, each is then drawn by the first model that has it; or leave out {second}, or make two cases to compare the {structure}"
            )),
            Self::NeedsBefore { structure, .. } => Some(format!(
                "name a model that draws the {structure} first, for example --model liver-ct,liver-lesion-ct"
            )),
            Self::NothingWanted { model, .. } => Some(format!(
                "leave {model} out of --model, or name one of its structures"
            )),
            Self::UnknownStructure {
                suggestions,
                is_in_total,
                ..
            } => Some(structure_hint(suggestions, *is_in_total)),
            Self::Dicom(error) => error.hint(),
            Self::Format { source, .. } => source.hint(),
            Self::Model(error) => error.hint(),
            Self::Surface(error) => error.hint(),
            _ => None,
        }
    }
}

fn install_hint(modality: &str, untested: &[String]) -> String {
    let install = match modality {
        "CT" => "install one with `prosect models install total`",
        "MR" => "install one with `prosect models install total-mr`",
        _ => "import one with `prosect models import FOLDER`",
    };
    if untested.is_empty() {
        return install.into();
    }
    format!(
        "{install}, or name one that nobody has measured on {modality} with --model: {}",
        untested.join(", ")
    )
}

fn structure_hint(suggestions: &[String], is_in_total: bool) -> String {
    if !suggestions.is_empty() {
        return format!("did you mean {}?", suggestions.join(", "));
    }
    if is_in_total {
        return "TotalSegmentator draws it: `prosect models install total`".into();
    }
    "`prosect models info NAME` lists what a model draws".into()
}
