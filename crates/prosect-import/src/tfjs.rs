//! Models of TensorFlow.js, as brainchop publishes its `MeshNet`s: `model.json` (a Keras
//! "layers-model"), its binary weights beside it, and names and colors in `colormap.json`.
//!
//! The files do not say how the head is prepared. What brainchop does is kept for each of its models
//! in a table by the checksum of the weights; for others brainchop's plainest way is taken, and said.

pub(crate) mod known;
mod layers;
mod weights;

use std::path::Path;

use prosect_base::{Cancel, Progress};
use prosect_model::{Manifest, ManifestStructure, MeshNetRecipe, Recipe};
use prosect_segmentation::Rgb;
use serde_json::Value;

use crate::catalog::MeshNet;
use crate::error::ImportError;
use crate::import::{INTENDED_USE, finish, one_line, support};
use crate::json::{Json, parse};
use crate::options::{Draft, ImportOptions, ImportReport};
use crate::source::Source;
use crate::structures::{listed_structures, plain_name};
use crate::write::Stage;
use known::Settings;

/// Largest description that is read; brainchop's have 68 kB.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// Whether there is a description of a TensorFlow.js model.
pub(crate) fn recognizes(source: &Source) -> bool {
    description(source).is_some()
}

/// The description's path: `model.json` before other names.
fn description(source: &Source) -> Option<String> {
    let is_model = |file: &&String| {
        is_json(file)
            && source
                .read(file, MAX_JSON_BYTES)
                .ok()
                .and_then(|bytes| parse(file, &bytes).ok())
                .is_some_and(|v| {
                    v.get("modelTopology").is_some() && v.get("weightsManifest").is_some()
                })
    };
    let files = source.files();
    let named = |file: &&String| file.rsplit('/').next() == Some("model.json");
    let first = files.iter().filter(named).find(is_model);
    first.or_else(|| files.iter().find(is_model)).cloned()
}

fn is_json(file: &str) -> bool {
    Path::new(file)
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("json"))
}

/// Makes a model of what [`recognizes`] has found.
pub(crate) fn import(
    source: &Source,
    options: &ImportOptions,
    stage: &Stage,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<Draft, ImportError> {
    // A description given by its own path has its weights beside it.
    let beside = match (source.path().is_file(), source.path().parent()) {
        (true, Some(folder))
            if !source.files().iter().any(|f| f.contains('/')) && source.files().len() == 1 =>
        {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            Some(Source::open(folder, source.limits())?)
        }
        _ => None,
    };
    let file = description(source).ok_or_else(|| ImportError::Unrecognized {
        path: source.path().to_path_buf(),
    })?;
    let source = beside.as_ref().unwrap_or(source);
    progress.step("reading the network");
    let value = parse(&file, &source.read(&file, MAX_JSON_BYTES)?)?;
    let root = Json::new(&file, &value);
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (arrays, sha256) = weights::read(source, folder, &root)?;
    cancel.check()?;
    let network = layers::describe(&root, arrays)?;
    let files = network.description.write(&network.output, stage)?;
    progress.step("testing the network");
    let [network_file, weights_file] = files;
    let self_test = stage.record_self_test(&network_file, &weights_file, cancel)?;

    let mut notes = network.notes;
    let known = known::find(&sha256);
    let settings = known.clone().unwrap_or_else(|| {
        notes.push("the files do not say how a head is prepared: brightness from darkest to brightest voxel and a cube of 256 mm are assumed, as brainchop does by default".into());
        Settings::plain()
    });
    let names = names(source, folder, network.n_classes, &settings, &mut notes)?;
    let license = options
        .license
        .clone()
        .or(known.as_ref().map(|_| "MIT".to_owned()));
    if license.is_none() {
        notes.push("the licence of the weights is unknown: ask who trained them before you pass results on; --license records it".into());
    }
    let folder_name = folder
        .rsplit('/')
        .next()
        .filter(|n| !n.is_empty())
        .map(str::to_owned);
    let own_name = folder_name.or_else(|| {
        let path = source.path();
        let name = path
            .canonicalize()
            .ok()?
            .file_stem()?
            .to_string_lossy()
            .into_owned();
        Some(name)
    });
    let own_name = own_name.unwrap_or_else(|| "imported".into());
    let manifest = Manifest {
        name: options.name.clone().unwrap_or_else(|| {
            let plain = plain_name(&own_name).replace('_', "-");
            settings
                .name
                .map_or_else(|| format!("meshnet-{plain}"), str::to_owned)
        }),
        version: "1.0.0".into(),
        title: settings
            .title
            .map_or_else(|| format!("MeshNet {}", one_line(&own_name)), str::to_owned),
        intended_use: INTENDED_USE.into(),
        source: if known.is_some() {
            "M. Masoud, F. Hu, S. Plis: Brainchop, Journal of Open Source Software 2023, doi 10.21105/joss.05098; github.com/neuroneural/brainchop".into()
        } else {
            "unknown".into()
        },
        provenance: format!(
            "Imported from the TensorFlow.js model {}, weights {}; values unchanged, axes transposed. Provenance of the training scans unknown.",
            one_line(&own_name),
            &sha256[..16]
        ),
        license_code: "MIT".into(),
        license_weights: license.map_or_else(|| "unknown".into(), |l| one_line(&l)),
        modalities: vec![support(options.modality.as_deref().unwrap_or("MR"))],
        structures: names,
        recipe: Recipe::MeshNet(MeshNetRecipe {
            edge: network.edge,
            normalization: settings.normalization,
            crop: settings.crop,
            keep_largest: true,
            labels: (0..network.n_classes as u16).collect(),
            network: network_file,
            weights: weights_file,
            self_test,
        }),
    };
    Ok(Draft { manifest, notes })
}

/// Makes a model of one of brainchop's `MeshNet`s from the folder of its files.
///
/// # Errors
/// [`ImportError`], also where the weights are those of another model; nothing is left behind then, and an installed model of
/// the same name stays.
pub fn import_meshnet(
    model: &MeshNet,
    folder: &Path,
    options: &ImportOptions,
    work: (&dyn Progress, &Cancel),
) -> Result<ImportReport, ImportError> {
    let source = Source::open(folder, &options.limits)?;
    let stage = Stage::begin(&options.models)?;
    let draft = import(&source, options, &stage, work)?;
    // The name comes from the checksum of the weights.
    if draft.manifest.name != model.name {
        return Err(ImportError::inconsistent(
            folder.display().to_string(),
            format!("its weights are not those of {}", model.name),
        ));
    }
    finish(stage, draft, "a model of TensorFlow.js", options)
}

/// Names and colors of the classes: from a `colormap*.json` that has as many labels as the network
/// has classes, else from the table, else numbers.
fn names(
    source: &Source,
    folder: &str,
    n_classes: usize,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<Vec<ManifestStructure>, ImportError> {
    let is_map = |file: &&String| {
        let (beside, name) = file.rsplit_once('/').unwrap_or(("", file));
        beside == folder && name.starts_with("colormap") && is_json(name)
    };
    let numbered = |labels: &[String]| -> Vec<(u16, String)> {
        labels
            .iter()
            .enumerate()
            .map(|(n, l)| (n as u16, l.clone()))
            .collect()
    };
    for file in source.files().iter().filter(is_map) {
        let value: Value = parse(file, &source.read(file, MAX_JSON_BYTES)?)?;
        let map = Json::new(file, &value);
        let labels = map.get("labels")?.texts()?;
        if labels.len() != n_classes {
            continue;
        }
        let mut found = listed_structures(&numbered(&labels));
        for structure in &mut found {
            let at = usize::from(structure.label_value);
            let channel = |key: &str| {
                value
                    .get(key)?
                    .get(at)?
                    .as_u64()
                    .and_then(|n| u8::try_from(n).ok())
            };
            if let (Some(r), Some(g), Some(b)) = (channel("R"), channel("G"), channel("B")) {
                structure.structure.color = Rgb([r, g, b]);
            }
        }
        return Ok(found);
    }
    if settings.labels.len() == n_classes {
        let labels: Vec<String> = settings.labels.iter().map(|l| (*l).to_owned()).collect();
        return Ok(listed_structures(&numbered(&labels)));
    }
    notes.push("no file tells the names of the classes: they are called class 1, class 2, ...; put a colormap.json with \"labels\" beside model.json for better ones".into());
    let labels: Vec<String> = (0..n_classes).map(|n| format!("class {n}")).collect();
    Ok(listed_structures(&numbered(&labels)))
}
