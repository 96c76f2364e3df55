//! Weights of TotalSegmentator: nnU-Nets whose folders have known names, and what the publisher
//! does around them.

use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Progress};
use prosect_model::{
    CropRecipe, Manifest, ManifestStructure, ModalityStatus, ModalitySupport, NnUnetRecipe, Recipe,
    StoredAxes, TotalSegmentatorRecipe,
};

use crate::catalog::{self, Task, TaskLicense};
use crate::error::ImportError;
use crate::import::{INTENDED_USE, NNUNET_LICENSE, finish, support};
use crate::nnunet::{self, PartSettings, Trained};
use crate::options::{Draft, ImportOptions, ImportReport};
use crate::source::Source;
use crate::structures::exact_structures;
use crate::write::Stage;

/// A task of which a source holds at least one network.
pub(crate) struct Known {
    task: &'static Task,
    /// Place of the network in the task, and its trained model.
    networks: Vec<(usize, Trained)>,
}

/// The task that the folders found belong to, if their names are TotalSegmentator's. A source with
/// weights of several tasks is decided by the model name asked for.
pub(crate) fn recognize(found: &[Trained], options: &ImportOptions) -> Option<Known> {
    let asked = options.name.as_deref();
    let of = |task: &'static Task| -> Vec<(usize, Trained)> {
        let networks = task.networks.iter().enumerate();
        networks
            .filter_map(|(place, network)| {
                let fits = |t: &&Trained| t.dataset.as_deref() == Some(network.folder.as_str());
                Some((place, found.iter().find(fits)?.clone()))
            })
            .collect()
    };
    let mut best: Option<Known> = None;
    for task in catalog::tasks() {
        let networks = of(task);
        if networks.is_empty() {
            continue;
        }
        let is_asked = asked == Some(task.name.as_str());
        let is_more = best
            .as_ref()
            .is_none_or(|b| networks.len() > b.networks.len());
        if is_asked || is_more {
            best = Some(Known { task, networks });
        }
        if is_asked {
            break;
        }
    }
    best
}

/// Reads the task's networks from one source.
pub(crate) fn draft(
    source: &Source,
    known: &Known,
    options: &ImportOptions,
    stage: &Stage,
    work: (&dyn Progress, &Cancel),
) -> Result<Draft, ImportError> {
    let mut making = Making::of(known.task);
    for (place, trained) in &known.networks {
        making.add(source, *place, trained, stage, work)?;
    }
    Ok(making.into_draft(options))
}

/// Makes a model of a task from the publisher's archives, or folders, one for each of its networks.
///
/// # Errors
/// [`ImportError`]; nothing is left behind then, and an installed model of the same name stays.
pub fn import_task(
    task: &Task,
    archives: &[PathBuf],
    options: &ImportOptions,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<ImportReport, ImportError> {
    let Some(task) = catalog::find(&task.name) else {
        return Err(ImportError::inconsistent(
            &task.name,
            "it is no task that is known",
        ));
    };
    let stage = Stage::begin(&options.models)?;
    let mut making = Making::of(task);
    for (place, network) in task.networks.iter().enumerate() {
        let source = archives
            .iter()
            .map(|archive| open_with(archive, &network.folder, options))
            .find_map(Result::transpose)
            .transpose()?;
        let Some((source, trained)) = source else {
            let reason = format!("no archive holds its weights, {}", network.folder);
            return Err(ImportError::inconsistent(&task.name, reason));
        };
        making.add(&source, place, &trained, &stage, (progress, cancel))?;
    }
    finish(
        stage,
        making.into_draft(options),
        "weights of TotalSegmentator",
        options,
    )
}

/// The archive if it holds this folder of weights.
fn open_with(
    archive: &Path,
    folder: &str,
    options: &ImportOptions,
) -> Result<Option<(Source, Trained)>, ImportError> {
    let source = Source::open(archive, &options.limits)?;
    let fits = |t: &Trained| t.dataset.as_deref() == Some(folder);
    let trained = nnunet::find(&source).into_iter().find(fits);
    Ok(trained.map(|trained| (source, trained)))
}

/// A model on its way: the parts that lie in the stage.
struct Making {
    task: &'static Task,
    parts: Vec<prosect_model::Part>,
    trainers: Vec<String>,
    notes: Vec<String>,
}

impl Making {
    fn of(task: &'static Task) -> Self {
        Self {
            task,
            parts: Vec::new(),
            trainers: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn add(
        &mut self,
        source: &Source,
        place: usize,
        trained: &Trained,
        stage: &Stage,
        work: (&dyn Progress, &Cancel),
    ) -> Result<(), ImportError> {
        let network = &self.task.networks[place];
        let settings = PartSettings {
            id: &network.id,
            // TotalSegmentator turns every image to RAS before nnU-Net reads it.
            axes: Some(StoredAxes::Ras),
            step: self.task.step(),
            mirroring: false,
            folds: self.task.folds.as_deref(),
            values: Some(&network.values),
        };
        let made = nnunet::import_part(source, trained, &settings, stage, work)?;
        self.notes.extend(made.notes);
        self.trainers.extend(made.trainer);
        self.parts.push(made.part);
        Ok(())
    }

    fn into_draft(mut self, options: &ImportOptions) -> Draft {
        let task = self.task;
        let is_whole = self.parts.len() == task.networks.len();
        let ids: Vec<&str> = self.parts.iter().map(|part| part.id.as_str()).collect();
        let name = match &options.name {
            Some(name) => name.clone(),
            None if is_whole => task.name.clone(),
            None => format!("{}-{}", task.name, ids.join("-")),
        };
        let mut classes = task.classes.clone();
        if !is_whole {
            let made = |value: u16| self.parts.iter().any(|p| p.heads.values().contains(&value));
            classes.retain(|(value, _)| made(*value));
            self.notes.push(format!(
                "only {} of the {} networks of {} are there: the model finds {} of {} structures",
                self.parts.len(),
                task.networks.len(),
                task.task,
                classes.len(),
                task.classes.len()
            ));
        }
        for required in task.requires() {
            self.notes.push(format!(
                "it runs the model {required} first, which must be installed too"
            ));
        }
        let license_weights = match (&task.license, &options.license) {
            (_, Some(license)) => crate::import::one_line(license),
            (TaskLicense::Open(spdx) | TaskLicense::Restricted(spdx), None) => spdx.clone(),
            (TaskLicense::Key, None) => {
                "TotalSegmentator licence: by key, not for everybody".into()
            }
            (TaskLicense::Unpublished, None) => "unknown".into(),
        };
        let folders: Vec<&str> = task.networks.iter().map(|n| n.folder.as_str()).collect();
        let manifest = Manifest {
            name,
            version: "1.0.0".into(),
            title: format!(
                "TotalSegmentator, task {}{}: {} structures on {}",
                task.task,
                if task.mode == "default" { String::new() } else { format!(" ({})", task.mode) },
                classes.len(),
                task.modality
            ),
            intended_use: INTENDED_USE.into(),
            source: "TotalSegmentator 2.18.0, Jakob Wasserthal, University Hospital Basel, https://github.com/wasserth/TotalSegmentator; Wasserthal et al., Radiology: AI 2023, doi 10.1148/ryai.230024".into(),
            provenance: format!(
                "Weights {} by nnU-Net v2, trainer {}; values unchanged.",
                folders.join(", "),
                self.trainers.first().map_or("unknown", String::as_str)
            ),
            license_code: NNUNET_LICENSE.into(),
            license_weights,
            modalities: vec![published_support(&task.modality, is_whole)],
            structures: expected(exact_structures(&classes), task, is_whole),
            recipe: Recipe::NnUnet(NnUnetRecipe {
                parts: self.parts,
                totalsegmentator: Some(TotalSegmentatorRecipe {
                    task: task.task.clone(),
                    mode: task.mode.clone(),
                    resample_mm: task.resample_mm,
                    crop: task.crop.as_ref().map(|crop| CropRecipe {
                        model: crop.model.clone(),
                        structures: crop.structures.clone(),
                        addon_mm: crop.addon_mm,
                    }),
                    remove_outside_mm: task.remove_outside_mm,
                }),
            }),
        };
        Draft {
            manifest,
            notes: self.notes,
        }
    }
}

/// With the Dice that the publisher reports, where all of its networks are there.
fn expected(
    mut structures: Vec<ManifestStructure>,
    task: &Task,
    is_whole: bool,
) -> Vec<ManifestStructure> {
    for structure in structures.iter_mut().filter(|_| is_whole) {
        if let Some((dice, source)) = task.reported_dice(&structure.structure.name) {
            dice.clone_into(&mut structure.expected_dice);
            source.clone_into(&mut structure.expected_source);
        }
    }
    structures
}

/// What the publisher made for a modality, and measured on it, is supported; a part of it is not
/// what was measured.
fn published_support(modality: &str, is_whole: bool) -> ModalitySupport {
    let status = if is_whole {
        ModalityStatus::Supported
    } else {
        ModalityStatus::Experimental
    };
    ModalitySupport {
        status,
        ..support(modality)
    }
}
