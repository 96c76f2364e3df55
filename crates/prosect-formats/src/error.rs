//! What can go wrong with a file that is not DICOM.

use std::io;

use prosect_base::{Fault, Faulty};
use prosect_surface::Defect;

/// Why a file could not be read or written. Messages name no path: the caller knows the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatsError {
    /// The disk or the stream failed.
    #[error("{doing} failed: {source}")]
    Io {
        /// What was being done, for example `writing the STL`.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The bytes break the format.
    #[error("this is no valid {format} file: {what}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// What is wrong.
        what: String,
    },
    /// Legal, but not read here.
    #[error("this {format} file cannot be used: {what}")]
    Unsupported {
        /// The format's name.
        format: &'static str,
        /// What is not supported, and what to do.
        what: String,
    },
    /// A limit was reached.
    #[error("this {format} file is too large: {what}")]
    Limit {
        /// The format's name.
        format: &'static str,
        /// Which limit.
        what: String,
    },
    /// What was to be written does not fit together.
    #[error("the {format} file cannot be made: {what}")]
    Inconsistent {
        /// The format's name.
        format: &'static str,
        /// What does not fit.
        what: String,
    },
    /// A surface failed its proof as it would be written.
    #[error("the {format} file would hold a surface that could not be proved: {defect}")]
    Unproven {
        /// The format's name.
        format: &'static str,
        /// What is wrong, and where.
        defect: Defect,
    },
}

impl Faulty for FormatsError {
    fn fault(&self) -> Fault {
        match self {
            Self::Io { .. } => Fault::Io,
            Self::Malformed { .. } => Fault::Malformed,
            Self::Unsupported { .. } => Fault::Unsupported,
            Self::Limit { .. } => Fault::Limit,
            Self::Inconsistent { .. } | Self::Unproven { .. } => Fault::Inconsistent,
        }
    }
}

impl FormatsError {
    /// Wraps an error of the stream with what was being done.
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
