//! NRRD (`.nrrd`, `.nhdr`, `.seg.nrrd`): images and label maps, as teem's format definition says
//! (<http://teem.sourceforge.net/nrrd/format.html>), with the segment fields of 3D Slicer.
//!
//! Read are raw, gzip and ascii data in every byte order, with data in the same or in one further
//! file; written is gzip in LPS. A header that names no patient space leaves left and right open.

mod header;
mod space;
mod segment;
mod read;
mod write;

pub use read::{NrrdFile, read, read_from};
pub use segment::NrrdSegment;
pub use write::{write_image, write_labelmaps, write_stored};

use crate::error::FormatsError;

const FORMAT: &str = "NRRD";

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
