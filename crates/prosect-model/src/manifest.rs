//! `model.toml`: what a model is, what it may be used for, how it is driven and how good it is.
//!
//! It is read strictly: an unknown key or word is refused, because a setting that is overlooked
//! would change results in silence.

mod document;

use std::fmt;

use prosect_segmentation::Structure;

use crate::error::ModelError;
use document::Document;

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
    /// The grid on which the network works.
    pub grid: GridSpec,
    /// How the part of the image is found that the network sees.
    pub region_finder: RegionFinder,
    /// What is done with the network's probabilities.
    pub postprocess: Postprocess,
    pub(crate) network: FileRef,
    pub(crate) weights: FileRef,
    pub(crate) self_test: SelfTest,
}

/// A kind of image that a model takes.
#[derive(Clone, Debug, PartialEq)]
pub struct ModalitySupport {
    /// DICOM's word: `CT`, `MR`.
    pub modality: String,
    /// How far it is tested.
    pub status: ModalityStatus,
    /// How intensities are brought to the network's range.
    pub normalization: Normalization,
}

/// How far a model is tested on a modality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModalityStatus {
    /// Made for it, and measured.
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

/// How the part of the image is found that the network sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionFinder {
    /// From lungs and pelvis on CT, then again from the liver that was found.
    Liver,
}

/// What is done with the probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Postprocess {
    /// Keep the most plausible component after an erosion; its border stays at probability one half.
    OneOrgan,
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
    /// Volumes in ml outside this range are shown to a person.
    pub plausible_volume_ml: [f64; 2],
}

/// The grid on which the network works: RAS axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridSpec {
    /// Distance of its voxels along each axis.
    pub spacing_mm: f64,
    /// Voxels that the network takes at once, x, y, z.
    pub input_shape: [usize; 3],
}

/// A file beside the manifest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileRef {
    pub(crate) name: String,
    pub(crate) sha256: String,
}

/// A small input made by a rule, and what the network must answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SelfTest {
    pub(crate) input_shape: [usize; 3],
    pub(crate) tolerance: f32,
    /// Output voxel x, y, z and its probability.
    pub(crate) probes: Vec<([usize; 3], f32)>,
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
        let document: Document = toml::from_str(text)
            .map_err(|e| refused(e.to_string().trim_end().replace('\n', " ")))?;
        let manifest = document.into_manifest().map_err(refused)?;
        if manifest.name == folder {
            Ok(manifest)
        } else {
            Err(refused(format!(
                "it is named {}, but lies in the folder {folder}; rename one of them",
                manifest.name
            )))
        }
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
