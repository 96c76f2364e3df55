//! NIfTI-1 (`.nii`, `.nii.gz`): the one place where RAS lives.
//!
//! The reader trusts no declared length and no header field that it can check; the writer states
//! its grid by sform and, where the axes are orthogonal, by qform too.

mod header;
mod orientation;
mod read;
mod write;
mod label_table;

pub use header::AffineSource;
pub use label_table::write_label_table;
pub use read::{NiftiFacts, NiftiImage, read, read_from, read_labelmap, read_stored};
pub use write::{
    Packing, WriteOptions, write_confidence, write_image, write_labelmap, write_stored,
};

use crate::error::FormatsError;

const FORMAT: &str = "NIfTI";

fn malformed(what: impl Into<String>) -> FormatsError {
    FormatsError::Malformed {
        format: FORMAT,
        what: what.into(),
    }
}

fn unsupported(what: impl Into<String>) -> FormatsError {
    FormatsError::Unsupported {
        format: FORMAT,
        what: what.into(),
    }
}
