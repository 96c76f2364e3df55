//! Prosect's front door: the library's rooms as modules, [`pipeline`], the whole way from a series on
//! disk to a case, and [`convert`], from one format to another.

pub use prosect_base as base;
pub use prosect_dicom as dicom;
pub use prosect_download as download;
pub use prosect_formats as formats;
pub use prosect_import as import;
pub use prosect_model as model;
pub use prosect_nn as nn;
pub use prosect_phantom as phantom;
pub use prosect_segmentation as segmentation;
pub use prosect_surface as surface;
pub use prosect_volume as volume;

pub mod pipeline;
pub mod convert;
mod threads;

pub use threads::{ThreadsError, set_threads};

/// The version of the program, which stands in everything it writes.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
