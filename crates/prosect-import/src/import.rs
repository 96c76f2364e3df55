//! Which kind of source it is, and the way from there to a folder in place.

use std::path::Path;

use prosect_base::{Cancel, Progress};
use prosect_model::{Manifest, ModalityStatus, ModalitySupport, ModelStore, NnUnetRecipe, Recipe};

use crate::bundle;
use crate::error::ImportError;
use crate::hdf5;
use crate::nnunet::{self, PartMade, PartSettings, Trained};
use crate::onnx;
use crate::options::{Draft, ImportOptions, ImportReport};
use crate::source::Source;
use crate::structures::{plain_name, structures};
use crate::tfjs;
use crate::totalsegmentator;
use crate::write::Stage;

/// Where the code of the networks comes from.
pub(crate) const NNUNET_LICENSE: &str = "Apache-2.0";
/// What every imported model may be used for: nobody has measured it.
pub(crate) const INTENDED_USE: &str = "Imported by the user, for research: nobody has measured it with Prosect. It is not a medical device: a qualified person must review, and correct or reject, every outline before it is used.";

/// Makes a model of whatever lies at `path`: a trained nnU-Net v2 as a folder or exported zip, a
/// weight folder of TotalSegmentator, a model of TensorFlow.js, Keras weights of a liver network, an
/// ONNX file, or a model that Prosect has exported.
///
/// # Errors
/// [`ImportError`]; nothing is left behind then, and an installed model of the same name stays.
pub fn import(
    path: &Path,
    options: &ImportOptions,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ImportReport, ImportError> {
    progress.step("looking at the source");
    require_name(options)?;
    let source = Source::open(path, &options.limits)?;
    if let Some(prefix) = bundle::find(&source) {
        return bundle::import(&source, &prefix, options, (progress, cancel));
    }
    let stage = Stage::begin(&options.models)?;
    if let Some(file) = hdf5::find(&source) {
        let draft = hdf5::import(&source, &file, options, &stage, (progress, cancel))?;
        return finish(stage, draft, "Keras weights of a liver network", options);
    }
    if let Some(file) = onnx::find(&source) {
        let draft = onnx::import(&source, &file, options, &stage, (progress, cancel))?;
        return finish(stage, draft, "an ONNX network", options);
    }
    if tfjs::recognizes(&source) {
        let draft = tfjs::import(&source, options, &stage, (progress, cancel))?;
        return finish(stage, draft, "a model of TensorFlow.js", options);
    }
    let found = nnunet::find(&source);
    if found.is_empty() {
        return Err(unrecognized(&source));
    }
    let work = (progress, cancel);
    if let Some(known) = totalsegmentator::recognize(&found, options) {
        let draft = totalsegmentator::draft(&source, &known, options, &stage, work)?;
        return finish(stage, draft, "weights of TotalSegmentator", options);
    }
    let trained = nnunet::choose(found, options.configuration.as_deref())?;
    let draft = draft(&source, &trained, options, &stage, work)?;
    finish(stage, draft, "a trained model of nnU-Net v2", options)
}

/// Puts the stage in place.
pub(crate) fn finish(
    stage: Stage,
    draft: Draft,
    kind: &str,
    options: &ImportOptions,
) -> Result<ImportReport, ImportError> {
    let Draft { manifest, notes } = draft;
    require_no_shipped(&manifest.name, options.force)?;
    let folder = stage.commit(&manifest, options.force)?;
    Ok(ImportReport {
        manifest,
        folder,
        kind: kind.to_owned(),
        notes,
    })
}

/// An installed model of a shipped one's name would take its place in silence.
pub(crate) fn require_no_shipped(name: &str, force: bool) -> Result<(), ImportError> {
    let shipped = ModelStore::open(None).list()?;
    if !force && shipped.iter().any(|m| m.manifest.name == name) {
        return Err(ImportError::Exists {
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn require_name(options: &ImportOptions) -> Result<(), ImportError> {
    let Some(name) = &options.name else {
        return Ok(());
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 60 || name.starts_with('-') || !name.chars().all(plain) {
        return Err(ImportError::inconsistent(
            format!("the name {name:?}"),
            "names of models are lower-case letters, digits and hyphens",
        ));
    }
    // Found out now and not after a minute of reading.
    require_no_shipped(name, options.force)?;
    if !options.force && options.models.join(name).exists() {
        return Err(ImportError::Exists { name: name.clone() });
    }
    Ok(())
}

/// Files that look like weights, but lack what is needed beside them.
fn unrecognized(source: &Source) -> ImportError {
    let is_checkpoint = |file: &&String| {
        Path::new(file)
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("pth") || e.eq_ignore_ascii_case("pt"))
    };
    match source.files().iter().find(is_checkpoint) {
        Some(file) => ImportError::unsupported(
            file.clone(),
            "a checkpoint alone does not tell its network; give the trained-model folder that holds plans.json, dataset.json and fold_*/checkpoint_final.pth",
        ),
        None => ImportError::Unrecognized {
            path: source.path().to_path_buf(),
        },
    }
}

/// A trained nnU-Net that belongs to no task that is known.
fn draft(
    source: &Source,
    trained: &Trained,
    options: &ImportOptions,
    stage: &Stage,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<Draft, ImportError> {
    let settings = PartSettings {
        id: "main",
        axes: None,
        step: nnunet::DEFAULT_STEP,
        mirroring: true,
        folds: None,
        values: None,
    };
    let made = nnunet::import_part(source, trained, &settings, stage, (progress, cancel))?;
    let mut notes = made.notes.clone();
    let name = options
        .name
        .clone()
        .unwrap_or_else(|| default_name(source, trained, &made));
    let modality = modality(&made, options, &mut notes);
    let license = license(&made, options, &mut notes);
    if made.dataset.channels.len() > 1 {
        notes.push(format!(
            "the network wants {} images of one patient, in register: {}",
            made.dataset.channels.len(),
            made.dataset.channels.join(", ")
        ));
    }
    let PartMade {
        part,
        dataset,
        configuration,
        trainer,
        ..
    } = made;
    let title = dataset
        .name
        .clone()
        .or_else(|| trained.dataset.clone())
        .unwrap_or_else(|| name.clone());
    let provenance = format!(
        "Imported from a trained nnU-Net v2: {}, configuration {configuration}, trainer {}, {} fold{}; values unchanged but for the element type.",
        trained.dataset.as_deref().unwrap_or("data set unknown"),
        trainer.as_deref().unwrap_or("unknown"),
        part.folds.len(),
        if part.folds.len() == 1 { "" } else { "s" },
    );
    let source_line = [dataset.description.as_deref(), dataset.reference.as_deref()];
    let source_line: Vec<&str> = source_line.into_iter().flatten().collect();
    let manifest = Manifest {
        name,
        version: "1.0.0".into(),
        title: one_line(&title),
        intended_use: INTENDED_USE.into(),
        source: one_line(&if source_line.is_empty() {
            "unknown".to_owned()
        } else {
            source_line.join("; ")
        }),
        provenance: one_line(&provenance),
        license_code: NNUNET_LICENSE.into(),
        license_weights: license,
        modalities: vec![support(&modality)],
        structures: structures(dataset.heads.channels()),
        recipe: Recipe::NnUnet(NnUnetRecipe {
            parts: vec![part],
            totalsegmentator: None,
        }),
    };
    Ok(Draft { manifest, notes })
}

/// `Dataset004_Hippocampus` is `hippocampus`; a configuration other than `3d_fullres` is appended.
fn default_name(source: &Source, trained: &Trained, made: &PartMade) -> String {
    let path = source.path().file_stem().map(|s| s.to_string_lossy());
    // A trained model's own folder is called by its trainer, which says nothing of the anatomy.
    let path = path.filter(|name| !name.contains("__"));
    let base = match &trained.dataset {
        Some(dataset) => dataset.split_once('_').map_or(dataset.as_str(), |(_, n)| n),
        None => (made.dataset.name.as_deref())
            .or(path.as_deref())
            .unwrap_or("imported"),
    };
    let name = match made.configuration.as_str() {
        "3d_fullres" => base.to_owned(),
        other => format!("{base} {other}"),
    };
    plain_name(&name).replace('_', "-")
}

/// CT when a channel is called so, else MR unless the user says otherwise.
fn modality(made: &PartMade, options: &ImportOptions, notes: &mut Vec<String>) -> String {
    if let Some(modality) = &options.modality {
        return modality.clone();
    }
    let first = made.dataset.channels.first().map_or("", String::as_str);
    if first.eq_ignore_ascii_case("CT") {
        return "CT".into();
    }
    if first.to_ascii_uppercase().starts_with("MR") {
        return "MR".into();
    }
    notes.push(format!(
        "the channel {first:?} does not say whether it is CT or MR; MR is assumed, --modality says otherwise"
    ));
    "MR".into()
}

fn license(made: &PartMade, options: &ImportOptions, notes: &mut Vec<String>) -> String {
    if let Some(license) = &options.license {
        return one_line(license);
    }
    if let Some(license) = &made.dataset.license {
        notes.push("the licence is that which dataset.json names for the training data".into());
        return one_line(license);
    }
    notes.push("the licence of the weights is unknown: ask who trained them before you pass results on; --license records it".into());
    "unknown".into()
}

pub(crate) fn support(modality: &str) -> ModalitySupport {
    ModalitySupport {
        modality: modality.to_owned(),
        status: ModalityStatus::Experimental,
        normalization: None,
    }
}

/// A foreign text on one line, without control characters and not without end.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().take(500).map(plain).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        "unknown".into()
    } else {
        words.join(" ")
    }
}
