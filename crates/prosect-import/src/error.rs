//! Why foreign weights could not become a model, and whose fault that is.

use std::path::PathBuf;

use prosect_base::{Canceled, Fault, Faulty};
use prosect_model::ModelError;
use prosect_nn::error::{FaultClass, NetworkError};

/// Why an import ended without a model; nothing is left behind then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Bytes break their own format.
    #[error("{what} is damaged or not what its name says: {reason}")]
    Malformed {
        /// The file, tensor or key.
        what: String,
        /// What was found.
        reason: String,
    },
    /// The source is legal, but Prosect cannot use it.
    #[error("{what} cannot be used: {reason}")]
    Unsupported {
        /// The file, tensor or key.
        what: String,
        /// What is not supported, and what would be.
        reason: String,
    },
    /// Parts that belong together do not fit.
    #[error("{what} does not fit: {reason}")]
    Inconsistent {
        /// The file, tensor or key.
        what: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A limit was reached.
    #[error("{what} is too large: {reason}")]
    Limit {
        /// The file or object.
        what: String,
        /// How large, and what is allowed.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("cannot use {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing at the path looks like weights that are known.
    #[error(
        "{path} holds nothing that can be imported; known are trained-model folders and exported zips of nnU-Net v2, weight folders of TotalSegmentator, models of TensorFlow.js, Keras HDF5 files of the liver networks, ONNX files, and models exported by Prosect",
        path = path.display()
    )]
    Unrecognized {
        /// What was given.
        path: PathBuf,
    },
    /// A model of this name is installed already.
    #[error("a model named {name} is installed already")]
    Exists {
        /// The name.
        name: String,
    },
    /// The finished model cannot be understood by this program.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The network cannot be run by this engine.
    #[error("the network cannot be run: {0}")]
    Network(NetworkError),
    /// The caller asked to stop.
    #[error(transparent)]
    Canceled(#[from] Canceled),
}

impl From<NetworkError> for ImportError {
    fn from(error: NetworkError) -> Self {
        match error.class() {
            FaultClass::Canceled => Self::Canceled(Canceled),
            _ => Self::Network(error),
        }
    }
}

impl ImportError {
    pub(crate) fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed {
            what: what.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn unsupported(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unsupported {
            what: what.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn inconsistent(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Inconsistent {
            what: what.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn limit(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Limit {
            what: what.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

impl Faulty for ImportError {
    fn fault(&self) -> Fault {
        match self {
            Self::Malformed { .. } => Fault::Malformed,
            Self::Unsupported { .. } | Self::Unrecognized { .. } => Fault::Unsupported,
            Self::Inconsistent { .. } | Self::Exists { .. } => Fault::Inconsistent,
            Self::Limit { .. } => Fault::Limit,
            Self::Io { .. } => Fault::Io,
            Self::Model(error) => error.fault(),
            Self::Network(error) => match error.class() {
                FaultClass::Malformed => Fault::Malformed,
                FaultClass::Unsupported => Fault::Unsupported,
                FaultClass::Inconsistent => Fault::Inconsistent,
                FaultClass::Limit => Fault::Limit,
                FaultClass::Canceled => Fault::Canceled,
            },
            Self::Canceled(_) => Fault::Canceled,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists { .. } => {
                Some("give --name for another name, or --force to replace it".into())
            }
            Self::Model(error) => error.hint(),
            _ => None,
        }
    }
}
