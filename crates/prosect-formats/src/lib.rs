//! Files that are not DICOM: NIfTI, NRRD, STL, OBJ, GLB and the case bundle.
//!
//! Everything inside is LPS in millimetres; each module converts at its own edge and says so.
//! This crate knows no review and no server.

mod error;
mod stored;
mod gzip;
mod part;
pub mod nifti;
pub mod nrrd;
pub mod stl;
pub mod obj;
pub mod glb;
pub mod case;
pub mod picture;
pub mod report;

pub use error::FormatsError;
pub use part::SurfacePart;
pub use stored::{StoredType, StoredVolume};
