//! Weights of other frameworks become model folders of ours.
//!
//! **Architecture invariant:** it runs when a model is imported, never when an image is segmented; what it reads is foreign and
//! executes nothing.

pub mod catalog;
mod error;
mod options;
mod import;
mod bundle;
mod totalsegmentator;
mod nnunet;
mod torch;
mod structures;
mod source;
mod json;
mod description;
mod tfjs;
mod hdf5;
mod onnx;
mod write;

pub use bundle::export;
pub use error::ImportError;
pub use import::import;
pub use options::{ImportOptions, ImportReport};
pub use tfjs::import_meshnet;
pub use totalsegmentator::import_task;
