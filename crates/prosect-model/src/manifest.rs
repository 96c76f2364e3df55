//! `model.toml`: what a model is, what it may be used for, how it is driven and how good it is.
//!
//! It is read strictly: an unknown key or word is refused, because a setting that is overlooked
//! would change results in silence.

mod recipe;
mod self_test;
mod document;

use std::fmt;

use prosect_segmentation::Structure;

use crate::error::ModelError;

pub use recipe::{
    ChannelNormalization, CropRecipe, GridSpec, Heads, InputChannel, LesionRecipe, LiverRecipe,
    MeshNetCrop, MeshNetNormalization, MeshNetRecipe, NnUnetRecipe, Part, Postprocess, Recipe,
    RegionFinder, Resampling, StoredAxes, TotalSegmentatorRecipe,
};
pub use self_test::{Probe, SelfTest};

/// A manifest that was understood and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The name by which users call the model: lower case, digits and hyphens.
    pub name: String,
    /// Version of the model, as three numbers `major.minor.patch`.
    pub version: String,
    /// One line for lists.
    pub title: String,
    /// What it may be used for, in sentences.
    pub intended_use: String,
    /// Who made it and where it was published, in one line.
    pub source: String,
    /// How the weights came here, and what is known of the training scans.
    pub provenance: String,
    /// Licence of the code it came from, as an SPDX expression.
    pub license_code: String,
    /// Licence of the weights, as an SPDX expression.
    pub license_weights: String,
    /// What kinds of image it takes.
    pub modalities: Vec<ModalitySupport>,
    /// What it finds, in the order of its output channels.
    pub structures: Vec<ManifestStructure>,
    /// How it is driven, with the files that belong to it.
    pub recipe: Recipe,
}

/// A kind of image that a model takes.
#[derive(Clone, Debug, PartialEq)]
pub struct ModalitySupport {
    /// DICOM's word: `CT`, `MR`.
    pub modality: String,
    /// How far it is tested.
    pub status: ModalityStatus,
    /// How intensities are brought to the network's range, where that depends on the modality.
    pub normalization: Option<Normalization>,
}

/// How far a model is tested on a modality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModalityStatus {
    /// Made for it, and measured, by us or by its publisher.
    Supported,
    /// Offered, but nobody measured it.
    Experimental,
}

impl fmt::Display for ModalityStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supported => "supported",
            Self::Experimental => "experimental, untested",
        })
    }
}

/// How intensities are brought to the network's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// `clip(HU / 1000, -0.2, 0.2) * 2.5`: -200 to 200 HU becomes -0.5 to 0.5.
    CtLiverWindow,
    /// `[min, min + 0.8 * (max - min)]` becomes -0.5 to 0.5.
    MrRange,
}

/// A structure that a model finds.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestStructure {
    /// Its name, codes and color, from the terminology.
    pub structure: Structure,
    /// Its value in the labelmap.
    pub label_value: u16,
    /// Expected Dice, or `unknown`.
    pub expected_dice: String,
    /// On which scans that was measured, and by whom.
    pub expected_source: String,
    /// Volumes in ml outside this range are shown to a person; `None` where nobody knows one.
    pub plausible_volume_ml: Option<[f64; 2]>,
}

/// A file beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// Its name, relative to the model's folder: `network.json`, `291/fold_0.safetensors`.
    pub name: String,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Reads a manifest. `folder` is the name of the folder it lies in, which must be the model's.
    ///
    /// # Errors
    /// [`ModelError::Manifest`] says which key or value cannot be used.
    pub fn parse(folder: &str, text: &str) -> Result<Self, ModelError> {
        let refused = |reason: String| ModelError::Manifest {
            model: folder.to_owned(),
            reason,
        };
        let manifest = document::parse(text).map_err(refused)?;
        if manifest.name == folder {
            Ok(manifest)
        } else {
            Err(refused(format!(
                "it is named {}, but lies in the folder {folder}; rename one of them",
                manifest.name
            )))
        }
    }

    /// The manifest as text, in the present version of the format.
    ///
    /// # Errors
    /// [`ModelError::Manifest`] when `parse` would refuse it.
    pub fn to_toml(&self) -> Result<String, ModelError> {
        document::write(self).map_err(|reason| ModelError::Manifest {
            model: self.name.clone(),
            reason,
        })
    }

    /// DICOM's words for the modalities that it takes.
    pub fn modalities(&self) -> Vec<&str> {
        self.modalities
            .iter()
            .map(|m| m.modality.as_str())
            .collect()
    }

    /// How a modality is supported, or `None` if the model was not made for it.
    pub fn support(&self, modality: &str) -> Option<&ModalitySupport> {
        self.modalities.iter().find(|m| m.modality == modality)
    }

    /// Major, minor and patch; the parser has checked them.
    pub(crate) fn version_numbers(&self) -> [u64; 3] {
        document::version_numbers(&self.version).unwrap_or([0; 3])
    }
}

#[cfg(test)]
mod tests;
