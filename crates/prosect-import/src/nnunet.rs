//! Trained models of nnU-Net v2, as a folder or in a zip: found, chosen, and read.

pub(crate) mod architecture;
pub(crate) mod dataset;
pub(crate) mod network;
pub(crate) mod plans;
mod weights;

use prosect_base::{Cancel, Progress};
use prosect_model::{ChannelNormalization, Heads, InputChannel, Part, Resampling, StoredAxes};
use prosect_nn::graph::Graph;

use crate::error::ImportError;
use crate::json;
use crate::source::Source;
use crate::torch::Checkpoint;
use crate::write::Stage;
use architecture::Architecture;
use dataset::Dataset;
use plans::{Configuration, ResamplingPlan};
use weights::About;

/// `plans.json` and `dataset.json` are some kB.
const MAX_JSON_BYTES: u64 = 16 << 20;
/// More folds than anybody trains.
const MAX_FOLDS: usize = 32;
/// nnU-Net's own default.
pub(crate) const DEFAULT_STEP: f64 = 0.5;

/// One trained model within a source: a folder with plans, dataset and folds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trained {
    /// Path of its folder within the source, empty or with a `/` at the end.
    pub(crate) prefix: String,
    /// `DatasetXXX_Name`, if the folder above or the path says so.
    pub(crate) dataset: Option<String>,
    /// The folder's own name, `trainer__plans__configuration`.
    pub(crate) folder: String,
    /// From the folder's name; the checkpoint's own word counts in the end.
    pub(crate) configuration: Option<String>,
    /// Names of folds and the paths of their checkpoints.
    folds: Vec<(String, String)>,
    /// Whether `checkpoint_final.pth` was missing.
    only_best: bool,
}

/// How a trained model is to be used; what stands in none of its files.
pub(crate) struct PartSettings<'a> {
    /// Name of the part and of its folder.
    pub(crate) id: &'a str,
    /// Orientation that is asked for, over that of the reader in the plans.
    pub(crate) axes: Option<StoredAxes>,
    pub(crate) step: f64,
    /// Whether mirroring may be used at all.
    pub(crate) mirroring: bool,
    /// The folds wanted, by number; `None` for those that are there.
    pub(crate) folds: Option<&'a [usize]>,
    /// Label value of each output channel, over those of `dataset.json`.
    pub(crate) values: Option<&'a [u16]>,
}

/// A part that lies in the stage, and what its files said.
#[derive(Debug)]
pub(crate) struct PartMade {
    pub(crate) part: Part,
    pub(crate) dataset: Dataset,
    pub(crate) configuration: String,
    pub(crate) trainer: Option<String>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

/// Every trained model in the source.
pub(crate) fn find(source: &Source) -> Vec<Trained> {
    let plans = source
        .files()
        .iter()
        .filter_map(|file| file.strip_suffix("plans.json"));
    plans
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
        .filter(|prefix| source.has(&format!("{prefix}dataset.json")))
        .filter_map(|prefix| trained(source, prefix))
        .collect()
}

/// The trained model in the folder `prefix`, if it has a checkpoint.
fn trained(source: &Source, prefix: &str) -> Option<Trained> {
    let checkpoints = |name: &str| -> Vec<(String, String)> {
        let inside = source.files().iter().filter_map(|file| {
            let (fold, rest) = file.strip_prefix(prefix)?.split_once('/')?;
            let number = fold.strip_prefix("fold_")?;
            let is_plain = !number.is_empty() && number.chars().all(|c| c.is_ascii_alphanumeric());
            (is_plain && rest == name).then(|| (fold.to_owned(), file.clone()))
        });
        let all: Vec<_> = inside.collect();
        // As nnU-Net does: folds by number, or else the one trained on all cases.
        let numbered = |(fold, _): &(String, String)| fold != "fold_all";
        if all.iter().any(numbered) {
            all.into_iter().filter(numbered).collect()
        } else {
            all
        }
    };
    let mut folds = checkpoints("checkpoint_final.pth");
    let only_best = folds.is_empty();
    if only_best {
        folds = checkpoints("checkpoint_best.pth");
    }
    if folds.is_empty() {
        return None;
    }
    folds.sort_by_key(|(fold, _)| (fold.len(), fold.clone()));
    // The folder's own name is the last part of the prefix, or of the path that the user gave.
    let inside: Vec<&str> = prefix.trim_end_matches('/').split('/').collect();
    let outside = std::fs::canonicalize(source.path()).unwrap_or_else(|_| source.path().into());
    let outside = outside.display().to_string().replace('\\', "/");
    let mut names: Vec<&str> = inside.into_iter().rev().filter(|n| !n.is_empty()).collect();
    if source.is_folder() {
        names.extend(outside.rsplit('/').take(2));
    }
    let folder = names.first().copied().unwrap_or_default();
    let dataset = names.iter().find(|name| is_dataset(name));
    Some(Trained {
        prefix: prefix.to_owned(),
        dataset: dataset.map(|name| (*name).to_owned()),
        folder: folder.to_owned(),
        configuration: folder.rsplit_once("__").map(|(_, c)| c.to_owned()),
        folds,
        only_best,
    })
}

/// `Dataset297_...`: nnU-Net's names of data sets.
fn is_dataset(name: &str) -> bool {
    let digits = name.strip_prefix("Dataset").unwrap_or_default();
    digits.len() > 3 && digits.as_bytes()[..3].iter().all(u8::is_ascii_digit)
}

/// The one to import: by the configuration asked for, else `3d_fullres`, else `3d_lowres`, else the
/// only one that can be run.
pub(crate) fn choose(
    found: Vec<Trained>,
    configuration: Option<&str>,
) -> Result<Trained, ImportError> {
    let shown = |all: &[Trained]| -> String {
        let places: Vec<String> = all
            .iter()
            .map(|t| t.prefix.trim_end_matches('/').to_owned())
            .map(|p| if p.is_empty() { ".".into() } else { p })
            .collect();
        places.join(", ")
    };
    let all = shown(&found);
    let of = |name: &str| -> Vec<Trained> {
        let fits = |t: &&Trained| t.configuration.as_deref() == Some(name) || t.folder == name;
        found.iter().filter(fits).cloned().collect()
    };
    let mut candidates = match configuration {
        Some(name) => {
            let candidates = of(name);
            if candidates.is_empty() {
                let reason =
                    format!("no trained model has the configuration {name}; there are {all}");
                return Err(ImportError::inconsistent("--configuration", reason));
            }
            candidates
        }
        None if found.len() == 1 => found,
        None => ["3d_fullres", "3d_lowres"]
            .into_iter()
            .map(of)
            .find(|candidates| !candidates.is_empty())
            .unwrap_or_else(|| {
                let runs = |t: &&Trained| {
                    let name = t.configuration.as_deref().unwrap_or_default();
                    plans::require_3d_network("", name).is_ok()
                };
                let able: Vec<Trained> = found.iter().filter(runs).cloned().collect();
                if able.is_empty() { found } else { able }
            }),
    };
    if candidates.len() > 1 {
        let reason = format!(
            "it holds several trained models that could be meant: {}; give the folder of one, or --configuration",
            shown(&candidates)
        );
        return Err(ImportError::inconsistent("the source", reason));
    }
    candidates
        .pop()
        .ok_or_else(|| ImportError::inconsistent("the source", "it holds no trained model"))
}

/// Reads a trained model into the stage: description, weights of each fold, self-test.
pub(crate) fn import_part(
    source: &Source,
    trained: &Trained,
    settings: &PartSettings<'_>,
    stage: &Stage,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<PartMade, ImportError> {
    let plans_file = format!("{}plans.json", trained.prefix);
    let dataset_file = format!("{}dataset.json", trained.prefix);
    let plans = json::parse(&plans_file, &source.read(&plans_file, MAX_JSON_BYTES)?)?;
    let dataset = json::parse(&dataset_file, &source.read(&dataset_file, MAX_JSON_BYTES)?)?;
    let dataset = Dataset::read(&dataset_file, &dataset)?;
    let folds = wanted_folds(trained, settings.folds)?;

    let mut notes = Vec::new();
    if trained.only_best {
        notes.push("there is no checkpoint_final.pth; checkpoint_best.pth was taken".to_owned());
    }
    let mut reader = FoldReader {
        source,
        stage,
        id: settings.id,
        cancel,
    };
    let mut made: Option<(Configuration, network::Described, About)> = None;
    let mut files = Vec::new();
    let n_folds = folds.len();
    progress.step(&format!(
        "reading {n_folds} fold{} of {}",
        if n_folds == 1 { "" } else { "s" },
        settings.id
    ));
    for (i, (fold, file)) in folds.iter().enumerate() {
        progress.fraction(i as f64 / n_folds as f64);
        let checkpoint = reader.open(file)?;
        if made.is_none() {
            made = Some(first_fold(
                &plans_file,
                &plans,
                &dataset,
                trained,
                (file, &checkpoint),
            )?);
        }
        if let Some((_, described, _)) = &made {
            files.push(reader.write(fold, file, &checkpoint, &described.tensors)?);
        }
    }
    progress.fraction(1.0);
    let Some((configuration, described, about)) = made else {
        return Err(ImportError::inconsistent(plans_file, "it has no fold"));
    };
    Graph::from_json(&described.json)?;
    let network = stage.write_bytes(
        &format!("{}/network.json", settings.id),
        described.json.as_bytes(),
    )?;
    progress.step(&format!("testing the network of {}", settings.id));
    let self_test = stage.record_self_test(&network, &files[0], cancel)?;
    let part = Part {
        id: settings.id.to_owned(),
        network,
        folds: files,
        channels: channels(&plans_file, &configuration, &dataset)?,
        axes: match settings.axes {
            Some(axes) => axes,
            None => axes(&plans_file, &configuration, &dataset)?,
        },
        transpose_forward: configuration.transpose_forward,
        spacing_mm: configuration.spacing_mm,
        patch_size: configuration.patch_size,
        data_resampling: resampling(configuration.data_resampling),
        logits_resampling: resampling(configuration.logits_resampling),
        step: settings.step,
        mirror_axes: if settings.mirroring {
            about.mirror_axes
        } else {
            Vec::new()
        },
        heads: heads(&dataset, settings.values)?,
        self_test,
    };
    Ok(PartMade {
        part,
        dataset,
        configuration: configuration.name,
        trainer: about.trainer,
        notes,
    })
}

/// What the first checkpoint and the plans say together: every later fold must fit it.
fn first_fold(
    plans_file: &str,
    plans: &serde_json::Value,
    dataset: &Dataset,
    trained: &Trained,
    (file, checkpoint): (&str, &Checkpoint),
) -> Result<(Configuration, network::Described, About), ImportError> {
    let about = weights::about(file, checkpoint)?;
    let name = about
        .configuration
        .clone()
        .or_else(|| trained.configuration.clone());
    let Some(name) = name else {
        let reason = "neither the checkpoint nor the folder's name says the configuration";
        return Err(ImportError::inconsistent(file, reason));
    };
    let configuration = Configuration::read(plans_file, plans, &name)?;
    let at = format!("{plans_file}: configuration {name}");
    let architecture = Architecture::read(&at, &configuration.entries)?;
    let multiple = architecture.size_multiple();
    if (0..3).any(|a| configuration.patch_size[a] % multiple[a] != 0) {
        let patch = configuration.patch_size;
        let reason = format!("the patch {patch:?} is no multiple of the strides {multiple:?}");
        return Err(ImportError::inconsistent(at, reason));
    }
    let outputs = dataset.heads.channels().len();
    let described = network::describe(&architecture, dataset.channels.len(), outputs)?;
    Ok((configuration, described, about))
}

struct FoldReader<'a> {
    source: &'a Source,
    stage: &'a Stage,
    id: &'a str,
    cancel: &'a Cancel,
}

impl FoldReader<'_> {
    fn open(&mut self, file: &str) -> Result<Checkpoint, ImportError> {
        let path = self
            .source
            .to_file(file, &self.stage.scratch()?, self.cancel)?;
        Checkpoint::open(file, &path, self.source.limits())
    }

    fn write(
        &mut self,
        fold: &str,
        file: &str,
        checkpoint: &Checkpoint,
        tensors: &[(String, Vec<usize>)],
    ) -> Result<prosect_model::FileRef, ImportError> {
        let arrays = weights::pick(file, checkpoint, tensors, self.cancel)?;
        self.stage
            .write_weights(&format!("{}/{fold}.safetensors", self.id), &arrays)
    }
}

fn wanted_folds(
    trained: &Trained,
    wanted: Option<&[usize]>,
) -> Result<Vec<(String, String)>, ImportError> {
    let there: Vec<&str> = trained
        .folds
        .iter()
        .map(|(fold, _)| fold.as_str())
        .collect();
    let Some(wanted) = wanted else {
        if trained.folds.len() > MAX_FOLDS {
            let reason = format!("it has {} folds", trained.folds.len());
            return Err(ImportError::limit(trained.folder.clone(), reason));
        }
        return Ok(trained.folds.clone());
    };
    let find = |number: &usize| {
        let name = format!("fold_{number}");
        let found = trained.folds.iter().find(|(fold, _)| *fold == name);
        found.cloned().ok_or_else(|| {
            let reason = format!("it has no {name}; there are {}", there.join(", "));
            ImportError::inconsistent(trained.folder.clone(), reason)
        })
    };
    wanted.iter().map(find).collect()
}

fn channels(
    what: &str,
    configuration: &Configuration,
    dataset: &Dataset,
) -> Result<Vec<InputChannel>, ImportError> {
    let n = dataset.channels.len();
    let (schemes, masks) = (
        &configuration.normalization_schemes,
        &configuration.use_mask_for_norm,
    );
    if schemes.len() != n || masks.len() != n {
        let reason = format!(
            "it has {} normalizations and {} masks for {n} channels",
            schemes.len(),
            masks.len()
        );
        return Err(ImportError::inconsistent(what, reason));
    }
    let channel = |i: usize| {
        Ok(InputChannel {
            name: dataset.channels[i].clone(),
            normalization: normalization(what, configuration, i)?,
            use_mask: masks[i],
        })
    };
    (0..n).map(channel).collect()
}

fn normalization(
    what: &str,
    configuration: &Configuration,
    channel: usize,
) -> Result<ChannelNormalization, ImportError> {
    let scheme = configuration.normalization_schemes[channel].as_str();
    Ok(match scheme {
        "CTNormalization" => {
            let found = configuration.intensities(what, channel)?;
            ChannelNormalization::Ct {
                mean: found.mean,
                std: found.std,
                low: found.low,
                high: found.high,
            }
        }
        "ZScoreNormalization" => ChannelNormalization::ZScore,
        "NoNormalization" => ChannelNormalization::None,
        "RescaleTo01Normalization" => ChannelNormalization::Rescale01,
        "RGBTo01Normalization" => ChannelNormalization::Rgb01,
        _ => {
            let reason =
                format!("the normalization {scheme} is not known; those of nnU-Net v2 are");
            return Err(ImportError::unsupported(what, reason));
        }
    })
}

/// The orientation in which the plans' reader gives an image.
fn axes(
    what: &str,
    configuration: &Configuration,
    dataset: &Dataset,
) -> Result<StoredAxes, ImportError> {
    let reader = dataset
        .reader
        .as_deref()
        .unwrap_or(&configuration.image_reader_writer);
    match reader {
        "SimpleITKIO" | "NibabelIO" => Ok(StoredAxes::Stored),
        "SimpleITKIOWithReorient" | "NibabelIOWithReorient" => Ok(StoredAxes::Ras),
        _ => Err(ImportError::unsupported(
            what,
            format!("its images are read by {reader}; SimpleITKIO and NibabelIO are known"),
        )),
    }
}

fn resampling(plan: ResamplingPlan) -> Resampling {
    Resampling {
        order: plan.order,
        order_z: plan.order_z,
        separate_z: plan.separate_z,
    }
}

fn heads(dataset: &Dataset, values: Option<&[u16]>) -> Result<Heads, ImportError> {
    let own: Vec<u16> = dataset.heads.channels().iter().map(|(v, _)| *v).collect();
    let values = match values {
        None => own,
        Some(values) if values.len() == own.len() => values.to_vec(),
        Some(values) => {
            let reason = format!(
                "it has {} labels, but the task has {}",
                own.len(),
                values.len()
            );
            return Err(ImportError::inconsistent("dataset.json", reason));
        }
    };
    Ok(match dataset.heads {
        dataset::Heads::Labels(_) => Heads::Labels(values),
        dataset::Heads::Regions(_) => Heads::Regions(values),
    })
}

#[cfg(test)]
mod tests;
