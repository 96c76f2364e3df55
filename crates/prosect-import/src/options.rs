//! What an import is told, and what it tells.

use std::path::PathBuf;

use prosect_base::Limits;
use prosect_model::Manifest;

/// What an import is told.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The folder of installed models.
    pub models: PathBuf,
    /// The model's name: lower case, digits and hyphens. `None` takes one from the source.
    pub name: Option<String>,
    /// Whether an installed model of the same name is replaced.
    pub force: bool,
    /// `CT` or `MR`, where the source does not say it.
    pub modality: Option<String>,
    /// nnU-Net's configuration, such as `3d_lowres`, or the name of the trained model's folder.
    pub configuration: Option<String>,
    /// Licence of the weights, where the source does not say it.
    pub license: Option<String>,
    /// What an ONNX file cannot say: a `model.toml` without files and self-test.
    pub manifest: Option<PathBuf>,
    /// What may be read and unpacked.
    pub limits: Limits,
}

impl ImportOptions {
    /// Into this folder of models, everything else as the source says.
    pub fn into_models(models: impl Into<PathBuf>) -> Self {
        Self {
            models: models.into(),
            name: None,
            force: false,
            modality: None,
            configuration: None,
            license: None,
            manifest: None,
            limits: Limits::default(),
        }
    }
}

/// What an import has made.
#[derive(Clone, Debug)]
pub struct ImportReport {
    /// The new model's manifest.
    pub manifest: Manifest,
    /// Where it lies.
    pub folder: PathBuf,
    /// What the source was, in words.
    pub kind: String,
    /// What a person should know before using it.
    pub notes: Vec<String>,
}

/// A model that lies in the stage, and what a person should know.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) manifest: Manifest,
    pub(crate) notes: Vec<String>,
}
