//! What can go wrong when a phantom is made.

use std::path::PathBuf;

use prosect_base::{Canceled, Fault, Faulty};

/// Why a phantom was not made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhantomError {
    /// The grid cannot be.
    #[error(transparent)]
    Grid(#[from] prosect_volume::GridError),
    /// Voxels and grid do not fit.
    #[error(transparent)]
    Volume(#[from] prosect_volume::VolumeError),
    /// The machine could not write.
    #[error(
        "cannot write `{path}`: {source}; choose a folder that exists or can be made, with space left"
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the machine said.
        source: std::io::Error,
    },
    /// The options exclude each other or name what is not there.
    #[error("the phantom's options do not fit: {problem}; change the options")]
    Options {
        /// What does not fit.
        problem: String,
    },
    /// The DICOM encoder refused.
    #[error("cannot encode the phantom as DICOM: {problem}; report this as a bug")]
    Encode {
        /// What the encoder said.
        problem: String,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Canceled(#[from] Canceled),
}

impl Faulty for PhantomError {
    fn fault(&self) -> Fault {
        match self {
            Self::Grid(error) => error.fault(),
            Self::Volume(error) => error.fault(),
            Self::Write { .. } => Fault::Io,
            Self::Options { .. } | Self::Encode { .. } => Fault::Inconsistent,
            Self::Canceled(_) => Fault::Canceled,
        }
    }
}
