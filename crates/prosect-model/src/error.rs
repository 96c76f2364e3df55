//! What can go wrong with models, and whose fault it is.

use std::path::PathBuf;

use prosect_base::{Canceled, Fault, Faulty};
use prosect_nn::error::{FaultClass, NetworkError};
use prosect_volume::GridError;

/// Why a model could not be found, loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No model has this name.
    #[error("there is no model named {name}; known are {known}")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The names that exist, joined by commas.
        known: String,
    },
    /// The manifest cannot be understood.
    #[error("the manifest of model {model} cannot be used: {reason}")]
    Manifest {
        /// The model's folder name.
        model: String,
        /// What and where.
        reason: String,
    },
    /// A file is not the one that the manifest describes.
    #[error(
        "{file} of model {model} has SHA-256 {found}, but its manifest says {expected}: the file was changed or damaged"
    )]
    Checksum {
        /// The model.
        model: String,
        /// The file's name.
        file: String,
        /// From the manifest, in hexadecimal.
        expected: String,
        /// Of the file, in hexadecimal.
        found: String,
    },
    /// A file of a model cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of a model is larger than a model can be.
    #[error("{path} has {bytes} bytes; the limit for a file of a model is {limit}", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The network cannot be loaded or run.
    #[error("network of model {model}: {source}")]
    Network {
        /// The model.
        model: String,
        /// What the engine said.
        source: NetworkError,
    },
    /// The engine does not reproduce the model's recorded answer on this machine.
    #[error(
        "model {model} fails its self-test on this machine: it answers {found} where {expected} is recorded; results would be wrong"
    )]
    SelfTest {
        /// The model.
        model: String,
        /// The recorded probability.
        expected: f32,
        /// The computed probability.
        found: f32,
    },
    /// The model was not made for this kind of image.
    #[error("the model {model} was made for {made_for}, not for {modality}")]
    WrongModality {
        /// The model.
        model: String,
        /// The modalities of the manifest, joined by `and`.
        made_for: String,
        /// The modality of the image.
        modality: String,
    },
    /// Nothing here runs this kind of model.
    #[error("model {model} is of the kind {recipe}, which this program cannot run yet")]
    Recipe {
        /// The model.
        model: String,
        /// The manifest's word for its kind.
        recipe: &'static str,
    },
    /// Voxels of the image are no numbers.
    #[error(
        "{n_voxels} voxels of the image are not finite numbers; the conversion that made it failed, make it again"
    )]
    NotFinite {
        /// How many.
        n_voxels: usize,
    },
    /// The image does not have the channels that the model takes.
    #[error(
        "model {model} takes {expected} images at once ({names}), but {found} came; segment it with a model for one image"
    )]
    Channels {
        /// The model.
        model: String,
        /// The number that it takes.
        expected: usize,
        /// Their names, joined by commas.
        names: String,
        /// The number that came.
        found: usize,
    },
    /// An input breaks what the model asks of it.
    #[error("model {model} cannot take this image: {reason}")]
    Image {
        /// The model.
        model: String,
        /// What and what next.
        reason: String,
    },
    /// The model looks where another model has found something, and that one is not installed.
    #[error("model {model} looks only around what model {needed} finds, which is not installed")]
    Needs {
        /// The model.
        model: String,
        /// The one that is missing.
        needed: String,
    },
    /// A structure was asked for that the model does not know.
    #[error("model {model} has no structure named {structure}; it has {known}")]
    UnknownStructure {
        /// The model.
        model: String,
        /// The name asked for.
        structure: String,
        /// The names that it has, joined by commas.
        known: String,
    },
    /// A task of `TotalSegmentator` whose own steps are not known here.
    #[error(
        "model {model} is TotalSegmentator's task {task}, whose steps after the network this version does not know"
    )]
    UnknownTask {
        /// The model.
        model: String,
        /// The task's name.
        task: String,
    },
    /// The memory that is allowed is not enough.
    #[error(
        "model {model} needs {needed_bytes} bytes of memory for this image, but {allowed_bytes} are allowed; allow more"
    )]
    Memory {
        /// The model.
        model: String,
        /// What the run would take at least.
        needed_bytes: u64,
        /// The limit.
        allowed_bytes: u64,
    },
    /// The network's answer holds values that are no numbers.
    #[error(
        "the network of model {model} answered with a value that is not a finite number; its weights do not fit this image"
    )]
    Overflow {
        /// The model.
        model: String,
    },
    /// A model of the program itself cannot be removed.
    #[error(
        "{name} is part of the program and cannot be removed; it runs only where it is asked for or fits best"
    )]
    Shipped {
        /// The model.
        name: String,
    },
    /// A file that was asked for cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A grid derived from the image's is impossible.
    #[error("the image's grid cannot be resampled: {0}")]
    Grid(#[from] GridError),
    /// The image claims to be larger than anything that is scanned: its unit or spacing is wrong.
    #[error(
        "the image spans {0:.0} x {1:.0} x {2:.0} mm, which no scanner does; are its spacing and its unit of length right?",
        extent_mm[0], extent_mm[1], extent_mm[2]
    )]
    Extent {
        /// Along x, y and z of the patient.
        extent_mm: [f64; 3],
    },
    /// The caller asked to stop.
    #[error(transparent)]
    Canceled(#[from] Canceled),
}

impl ModelError {
    /// Names the model in an error of the engine; a cancellation stays one.
    pub(crate) fn network(model: &str) -> impl Fn(NetworkError) -> Self + use<> {
        let model = model.to_owned();
        move |source| match source.class() {
            FaultClass::Canceled => Self::Canceled(Canceled),
            _ => Self::Network {
                model: model.clone(),
                source,
            },
        }
    }
}

impl Faulty for ModelError {
    fn fault(&self) -> Fault {
        match self {
            Self::UnknownModel { .. }
            | Self::WrongModality { .. }
            | Self::SelfTest { .. }
            | Self::Needs { .. }
            | Self::UnknownStructure { .. }
            | Self::Shipped { .. }
            | Self::Channels { .. }
            | Self::Image { .. }
            | Self::Overflow { .. } => Fault::Inconsistent,
            Self::Manifest { .. }
            | Self::Checksum { .. }
            | Self::Extent { .. }
            | Self::NotFinite { .. } => Fault::Malformed,
            Self::Recipe { .. } | Self::UnknownTask { .. } => Fault::Unsupported,
            Self::Io { .. } | Self::Write { .. } => Fault::Io,
            Self::TooLarge { .. } | Self::Memory { .. } => Fault::Limit,
            Self::Network { source, .. } => match source.class() {
                FaultClass::Malformed => Fault::Malformed,
                FaultClass::Unsupported => Fault::Unsupported,
                FaultClass::Inconsistent => Fault::Inconsistent,
                FaultClass::Limit => Fault::Limit,
                FaultClass::Canceled => Fault::Canceled,
            },
            Self::Grid(error) => error.fault(),
            Self::Canceled(_) => Fault::Canceled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownModel { .. } => Some("`prosect models list` shows what is there".into()),
            Self::Needs { needed, .. } => Some(format!("`prosect models install {needed}`")),
            Self::Checksum { .. } => {
                Some("put the model's folder there again from its source, or remove it".into())
            }
            Self::SelfTest { .. } => Some(
                "report this with the output of `prosect models info` and the processor's name"
                    .into(),
            ),
            _ => None,
        }
    }
}
