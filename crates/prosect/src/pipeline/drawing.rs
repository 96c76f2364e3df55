//! The models at work, one after the other: each gives a layer.

use std::path::PathBuf;

use prosect_base::{Cancel, Progress};
use prosect_model::{
    Manifest, ManifestStructure, Model, ModelFinding, ModelStore, SegmentOptions, StructureOutput,
};
use prosect_nn::isa::Isa;
use prosect_segmentation::Labelmap;
use prosect_volume::Volume;

use crate::pipeline::choice;
use crate::pipeline::error::PipelineError;
use crate::pipeline::input::Input;
use crate::pipeline::labels;

/// How networks are run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineOptions {
    /// Threads; 0 means one for each core.
    pub threads: usize,
    /// Most memory that a model may take, in bytes; `None` for no limit.
    pub max_ram_bytes: Option<u64>,
    /// Instruction set; `None` for the best of this machine.
    pub isa: Option<Isa>,
    /// Whether the original program's steps are repeated exactly, with their rounding.
    pub compat: bool,
    /// Whether mirrored passes are left out where the model would average them.
    pub no_mirroring: bool,
    /// Distance of neighbouring patches as a share of the patch; `None` for the model's own.
    pub step: Option<f64>,
    /// A folder for the network's input and answer as arrays.
    pub intermediate: Option<PathBuf>,
    /// Whether the memory that a model will take is told before it runs.
    pub tell_memory: bool,
}

impl EngineOptions {
    /// What the user has changed of how the result is made, for `case.json`.
    pub(crate) fn parameters(&self) -> Vec<(String, serde_json::Value)> {
        let mut changed: Vec<(String, serde_json::Value)> = Vec::new();
        if self.compat {
            changed.push(("compat".into(), true.into()));
        }
        if self.no_mirroring {
            changed.push(("mirroring".into(), false.into()));
        }
        if let Some(step) = self.step {
            changed.push(("step".into(), step.into()));
        }
        changed
    }
}

/// What one model drew, less its layer.
pub(crate) struct Drawing {
    pub(crate) manifest: Manifest,
    pub(crate) weights_sha256: String,
    /// Those of its structures that were wanted.
    pub(crate) structures: Vec<ManifestStructure>,
    pub(crate) border: Border,
    /// Lead of each voxel's label, on the image's grid.
    pub(crate) confidence: Volume<u8>,
    pub(crate) findings: Vec<ModelFinding>,
    pub(crate) parameters: Vec<(String, String)>,
}

/// What places a surface between two voxels.
pub(crate) enum Border {
    /// Each structure's own probability.
    Probability(Vec<StructureOutput>),
    /// The confidence of the label map.
    Confidence,
}

/// A model with what it is to draw; `None` is everything.
pub(crate) struct Task {
    pub(crate) model: Model,
    pub(crate) structures: Option<Vec<String>>,
}

/// Runs the models in order. The layers come in the same order.
pub(crate) fn draw_all(
    tasks: Vec<Task>,
    input: &Input,
    (engine, store): (&EngineOptions, &ModelStore),
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(Vec<Drawing>, Vec<Labelmap>), PipelineError> {
    let several = tasks.len() > 1;
    let mut drawings: Vec<Drawing> = Vec::new();
    let mut layers: Vec<Labelmap> = Vec::new();
    for task in tasks {
        let manifest = task.model.manifest();
        if several {
            progress.remark(&format!("model {}", manifest.name));
        }
        let within = choice::needs(manifest).and_then(|organ| mask_of(organ, &drawings, &layers));
        let options = SegmentOptions {
            threads: engine.threads,
            max_ram_bytes: engine.max_ram_bytes,
            isa: engine.isa,
            compat: engine.compat,
            mirroring: !engine.no_mirroring,
            structures: task.structures.clone(),
            step: engine.step,
            intermediate: intermediate_folder(engine, &manifest.name, several),
            within: within.as_ref(),
            store: Some(store),
        };
        if engine.tell_memory
            && let Some(bytes) = task.model.predict_bytes(input.image().grid(), &options)?
        {
            progress.remark(&format!(
                "model {} will take {:.2} GB at most, the image and its labels included",
                manifest.name,
                bytes as f64 / 1e9
            ));
        }
        let output = prosect_model::segment(
            &task.model,
            input.image(),
            &input.record.modality,
            &options,
            progress,
            cancel,
        )?;
        let all = manifest.structures.iter().cloned();
        let (structures, unwanted): (Vec<ManifestStructure>, Vec<ManifestStructure>) = all
            .partition(|s| {
                let wanted = task.structures.as_ref();
                wanted.is_none_or(|names| names.contains(&s.structure.name))
            });
        let mut answer = output.answer;
        if let Some(cover) = input.cover() {
            labels::clear_outside(&mut answer, cover);
        }
        let (layer, border) =
            labels::layer(answer, [&structures, &unwanted], input.image().grid())?;
        layers.push(layer);
        drawings.push(Drawing {
            manifest: manifest.clone(),
            weights_sha256: task.model.weights_sha256().to_owned(),
            structures,
            border,
            confidence: output.confidence,
            findings: output.findings,
            parameters: output.parameters,
        });
    }
    Ok((drawings, layers))
}

/// The arrays of several models lie in a folder each.
fn intermediate_folder(engine: &EngineOptions, model: &str, several: bool) -> Option<PathBuf> {
    let folder = engine.intermediate.as_ref()?;
    Some(if several {
        folder.join(model)
    } else {
        folder.clone()
    })
}

/// The voxels of a structure that an earlier model drew.
fn mask_of(name: &str, drawings: &[Drawing], layers: &[Labelmap]) -> Option<Volume<bool>> {
    drawings.iter().zip(layers).find_map(|(drawing, layer)| {
        let drawn = drawing.structures.iter();
        let value = drawn
            .clone()
            .find(|s| s.structure.name == name)?
            .label_value;
        Some(layer.map(|label| *label == value))
    })
}
