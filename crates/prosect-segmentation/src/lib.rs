//! Layers of labelmaps, the segments in them, coded terminology, and measures.
//!
//! The crate knows no network, no reviewer, no file format and no DICOM tag.

pub mod terminology;
mod structure;
mod segment;
mod segmentation;
pub mod measure;

pub use segment::{Algorithm, AlgorithmType, LabelValue, Labelmap, Segment};
pub use segmentation::{ReviewStatus, Segmentation, SegmentationError};
pub use structure::{Code, Rgb, Structure};
