//! Running a model on an image: its recipe says how.

use std::path::PathBuf;

use prosect_base::{Cancel, Progress};
use prosect_nn::isa::Isa;
use prosect_volume::Volume;

use crate::error::ModelError;
use crate::lesion;
use crate::liver;
use crate::manifest::{ModalitySupport, Recipe};
use crate::meshnet;
use crate::model::Model;
use crate::nnunet;
use crate::output::ModelOutput;
use crate::store::ModelStore;
use crate::totalsegmentator;

/// How a model is run. What a recipe has no use for is left aside.
#[derive(Clone, Debug)]
pub struct SegmentOptions<'a> {
    /// Threads; 0 means one for each core.
    pub threads: usize,
    /// Most memory that the run may take, in bytes; `None` for no limit.
    pub max_ram_bytes: Option<u64>,
    /// The instruction set; `None` for the best that this machine has.
    pub isa: Option<Isa>,
    /// Whether the original's steps are repeated exactly, with their rounding.
    pub compat: bool,
    /// Whether mirrored passes are averaged where the model allows it.
    pub mirroring: bool,
    /// Names of the structures that are wanted; `None` for all. Parts of a model that give none of
    /// them need not run.
    pub structures: Option<Vec<String>>,
    /// Distance of neighboring patches as a share of the patch, instead of the model's own.
    pub step: Option<f64>,
    /// A folder that receives the network's input and logits as arrays, for comparisons.
    pub intermediate: Option<PathBuf>,
    /// The organ inside which a lesion model looks, on the image's grid.
    pub within: Option<&'a Volume<bool>>,
    /// Where models lie that others need, such as those that find a crop.
    pub store: Option<&'a ModelStore>,
}

impl Default for SegmentOptions<'_> {
    fn default() -> Self {
        Self {
            threads: 0,
            max_ram_bytes: None,
            isa: None,
            compat: false,
            mirroring: true,
            structures: None,
            step: None,
            intermediate: None,
            within: None,
            store: None,
        }
    }
}

/// One image and how it is to be segmented: what every recipe is given.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) image: &'a Volume<f32>,
    pub(crate) support: &'a ModalitySupport,
    pub(crate) options: &'a SegmentOptions<'a>,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a Cancel,
}

/// Finds the model's structures on an image.
///
/// `image` holds HU for CT; `modality` is DICOM's word. Nothing is found is a result, with a
/// finding, not an error.
///
/// # Errors
/// [`ModelError::WrongModality`], [`ModelError::NotFinite`] for an image with voxels that are no
/// numbers, [`ModelError::SelfTest`] when this machine does not reproduce the model's recorded
/// answer, [`ModelError::Memory`] when the limit is too small, a cancellation, or what the engine says.
pub fn segment(
    model: &Model,
    image: &Volume<f32>,
    modality: &str,
    options: &SegmentOptions<'_>,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ModelOutput, ModelError> {
    let case = Case {
        image,
        support: require_modality(model, modality)?,
        options,
        progress,
        cancel,
    };
    match &model.manifest().recipe {
        Recipe::Liver(recipe) => liver::segment(&case, model, recipe),
        Recipe::LiverLesion(recipe) => lesion::segment(&case, model, recipe),
        Recipe::MeshNet(recipe) => meshnet::segment(&case, model, recipe),
        Recipe::NnUnet(recipe) => match &recipe.totalsegmentator {
            None => nnunet::segment(&case, model, recipe),
            Some(steps) => totalsegmentator::segment(&case, model, recipe, steps),
        },
    }
}

fn require_modality<'a>(
    model: &'a Model,
    modality: &str,
) -> Result<&'a ModalitySupport, ModelError> {
    let manifest = model.manifest();
    manifest
        .support(modality)
        .ok_or_else(|| ModelError::WrongModality {
            model: manifest.name.clone(),
            made_for: manifest.modalities().join(" and "),
            modality: modality.to_owned(),
        })
}
