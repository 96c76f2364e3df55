//! Why something could not be converted.

use std::io;
use std::path::PathBuf;

use prosect_base::{Canceled, Fault, Faulty};
use prosect_dicom::DicomError;
use prosect_formats::FormatsError;

/// Why something could not be converted. Files are named by their last name alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The input, the source or the table is not there or cannot be read.
    #[error("cannot read {path}: {source}")]
    Input {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("cannot write {path}: {source}")]
    Output {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file would be written over.
    #[error("{path} exists already; nothing was done")]
    OutputExists {
        /// Which.
        path: PathBuf,
    },
    /// The output is the input, or lies in it.
    #[error("{path} is part of what is to be converted; nothing was done")]
    OutputIsInput {
        /// Which.
        path: PathBuf,
    },
    /// A word that names no format.
    #[error("unknown format {word:?}; known are seg, labelmap, rtstruct, nifti and nrrd")]
    UnknownFormat {
        /// The word.
        word: String,
    },
    /// The name's end says no format.
    #[error("the name {output} does not say which format is wanted; give --format")]
    NoFormat {
        /// The name.
        output: String,
    },
    /// Name and format disagree.
    #[error("--format {asked} contradicts the end of the name {output}")]
    FormatContradicts {
        /// The format asked for.
        asked: &'static str,
        /// The name.
        output: String,
    },
    /// Labels are wanted on frames, but no frames are given.
    #[error("{what} lies on the frames of a DICOM series, and none is given")]
    NoSource {
        /// What is to be read or written.
        what: &'static str,
    },
    /// An image has no labels.
    #[error("{input} is an image, and {target} holds labels")]
    ImageToLabels {
        /// The input.
        input: String,
        /// The format.
        target: &'static str,
    },
    /// Several label objects, and none was named.
    #[error("{input} holds {n} label objects: {known}")]
    SeveralObjects {
        /// The input.
        input: String,
        /// How many.
        n: usize,
        /// Their series and descriptions.
        known: String,
    },
    /// Nothing in the input can be converted.
    #[error("{input} holds neither an image series nor labels")]
    Nothing {
        /// The input.
        input: String,
    },
    /// Labels and source are not in one space.
    #[error(
        "the labels lie in the frame of reference {labels}, the source in {frames}: nobody can say that places in one are places in the other"
    )]
    OtherFrameOfReference {
        /// That of the labels.
        labels: String,
        /// That of the source.
        frames: String,
    },
    /// None of the labels lies on the source.
    #[error("none of the {n_voxels} labeled voxels of {input} lies on the frames of the source")]
    Elsewhere {
        /// The input.
        input: String,
        /// Labeled voxels.
        n_voxels: u64,
    },
    /// Left and right of the input are not known.
    #[error(
        "{input} does not say where its voxels are in the patient, so left and right would be a guess"
    )]
    Unoriented {
        /// The input.
        input: String,
    },
    /// A voxel holds no label.
    #[error("{input} has the value {value}, which is no label (an integer from 0 to 65535)")]
    NoLabel {
        /// The input.
        input: String,
        /// The value.
        value: f64,
    },
    /// The frames of an object form no regular grid by themselves.
    #[error(
        "the frames of {input} lie at uneven distances, and where one was left out cannot be told: {reason}"
    )]
    Uneven {
        /// The input.
        input: String,
        /// What is uneven.
        reason: String,
    },
    /// The table of labels is not understood.
    #[error("{table}: {reason}")]
    Table {
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// What is to be written does not fit together.
    #[error("{0}")]
    Inconsistent(String),
    /// A file that is not DICOM.
    #[error("{path}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FormatsError,
    },
    /// DICOM.
    #[error(transparent)]
    Dicom(#[from] DicomError),
    /// The user asked to stop.
    #[error(transparent)]
    Canceled(#[from] Canceled),
}

impl Faulty for ConvertError {
    fn fault(&self) -> Fault {
        match self {
            Self::Input { .. } | Self::Output { .. } => Fault::Io,
            Self::NoLabel { .. } | Self::Uneven { .. } | Self::Unoriented { .. } => {
                Fault::Unsupported
            }
            Self::Table { .. } => Fault::Malformed,
            Self::Format { source, .. } => source.fault(),
            Self::Dicom(error) => error.fault(),
            Self::Canceled(_) => Fault::Canceled,
            _ => Fault::Inconsistent,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::OutputExists { .. } => "give another name, or --force to replace it",
            Self::NoSource { .. } | Self::Uneven { .. } => {
                "give the series with --source, a DICOM folder, file or zip"
            }
            Self::SeveralObjects { .. } => "name one of them with --series UID",
            Self::OtherFrameOfReference { .. } => {
                "if both are known to share one space, say so with --any-frame-of-reference"
            }
            Self::Elsewhere { .. } => "check that labels and source are of one examination",
            Self::ImageToLabels { .. } => "`prosect segment` draws labels in an image",
            Self::Unoriented { .. } => "write sform or qform, or the space, into the file first",
            Self::Dicom(error) => return error.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
