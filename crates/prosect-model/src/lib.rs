//! What a model means: its manifest, where models are kept, how an image becomes the network's
//! input, and how the network's answer becomes probabilities on the image's own grid.
//!
//! **Architecture invariant:** this crate reads no DICOM and picks no device. Each preprocessing
//! step returns its output and the way back; a result lies on the source's grid, exactly.

mod manifest;
mod files;
mod store;
mod model;
mod segment;
mod output;
mod trail;
mod liver;
mod nnunet;
mod totalsegmentator;
mod lesion;
mod meshnet;
mod resolution;
mod anatomy;
mod window;
mod pass;
mod candidate;
mod normalization;
mod error;

pub use error::ModelError;
pub use manifest::{
    ChannelNormalization, CropRecipe, FileRef, GridSpec, Heads, InputChannel, LesionRecipe,
    LiverRecipe, Manifest, ManifestStructure, MeshNetCrop, MeshNetNormalization, MeshNetRecipe,
    ModalityStatus, ModalitySupport, NnUnetRecipe, Normalization, Part, Postprocess, Probe, Recipe,
    RegionFinder, Resampling, SelfTest, StoredAxes, TotalSegmentatorRecipe,
};
pub use model::Model;
pub use output::{Answer, ModelFinding, ModelOutput, StructureOutput};
pub use segment::{SegmentOptions, segment};
pub use store::{Damaged, Listed, ModelStore, Origin};
