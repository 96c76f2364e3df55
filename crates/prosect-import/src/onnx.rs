//! ONNX files of the operations that the engine has. What such a file cannot say (voxel size,
//! normalization, names of labels) comes from a manifest that the user gives: our own `model.toml`
//! without the parts that are known from the file.

mod network;
mod norm;
mod attribute;
mod protobuf;

use std::fs;
use std::path::PathBuf;

use prosect_base::{Cancel, Progress};
use prosect_model::{FileRef, Manifest, SelfTest};
use prosect_nn::graph::Graph;
use prosect_nn::weights::Weights;
use toml::{Table, Value};

use crate::error::ImportError;
use crate::options::{Draft, ImportOptions};
use crate::source::Source;
use crate::write::{Stage, record_self_test_of};
use network::Network;
use protobuf::Model;

/// protobuf itself allows 2 GB.
const MAX_BYTES: u64 = 2 << 30;
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// The smallest input along each axis on which a network is tested, and the multiple for one whose
/// convolutions have no padding.
const TEST_EDGE: usize = 32;
const MANIFEST: &str = include_str!("onnx/manifest.toml");

/// The ONNX file in a source, if there is one.
pub(crate) fn find(source: &Source) -> Option<String> {
    let named = |file: &&String| file.to_ascii_lowercase().ends_with(".onnx");
    let is_onnx = |file: &&String| {
        source
            .first_bytes(file, 2)
            .is_ok_and(|bytes| protobuf::is_onnx(&bytes))
    };
    source.files().iter().filter(named).find(is_onnx).cloned()
}

/// Makes a model of a file that [`find`] has found.
pub(crate) fn import(
    source: &Source,
    file: &str,
    options: &ImportOptions,
    stage: &Stage,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<Draft, ImportError> {
    progress.step("reading the network");
    let bytes = source.read(file, MAX_BYTES)?;
    let mut network = network::describe(Model::parse(&bytes)?)?;
    drop(bytes);
    cancel.check()?;
    let mut table = manifest(source, file, options)?;
    let kind = kind(&table)?;
    let mut notes = Vec::new();
    if kind == "nnunet"
        && let Some(op) = network.drop_last_activation()
    {
        notes.push(format!(
            "the last {op} was left out: Prosect does it itself"
        ));
    }
    let Network {
        description,
        output,
    } = &network;
    let text = description.to_json(output);
    let graph = Graph::from_json(&text)?;
    let [network_file, weights_file] = description.write(output, stage)?;
    progress.step("testing the network");
    let bytes = safetensors::serialize(&description.arrays, None)
        .map_err(|error| ImportError::malformed(file, error.to_string()))?;
    let weights = Weights::from_safetensors(&bytes)?;
    drop(bytes);
    let self_test = record_self_test_of(&graph, &weights, test_shape(&graph)?, cancel)?;
    complete(&mut table, kind, (&network_file, &weights_file, &self_test));
    if let Some(name) = &options.name {
        table.insert("name".into(), Value::String(name.clone()));
    }
    let name = table
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or("imported")
        .to_owned();
    let text = toml::to_string(&table)
        .map_err(|error| ImportError::malformed("the manifest", error.to_string()))?;
    let manifest = Manifest::parse(&name, &text)?;
    Ok(Draft { manifest, notes })
}

/// The smallest input that the network takes from 32 voxels on, so that every level has several.
fn test_shape(graph: &Graph) -> Result<[usize; 3], ImportError> {
    let multiple = graph.size_multiple();
    let mut shape = multiple.map(|n| n * TEST_EDGE.div_ceil(n).max(2));
    // Where convolutions have no padding, legal sizes are not multiples: the axes are tried together.
    for _ in 0..512 {
        match graph.output_shape(shape) {
            Ok(output) if output.iter().all(|n| *n >= 4) => return Ok(shape),
            _ => shape = shape.map(|n| n + 2),
        }
    }
    let reason = "no input of up to a thousand voxels along each axis fits it";
    Err(ImportError::unsupported("the network", reason))
}

/// The user's manifest: from the option, or the file of the same name beside the network.
fn manifest(source: &Source, file: &str, options: &ImportOptions) -> Result<Table, ImportError> {
    let beside = source
        .path()
        .is_file()
        .then(|| source.path().with_extension("toml"));
    let path: PathBuf = match (&options.manifest, beside) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) if path.is_file() => path,
        _ => {
            let reason = format!(
                "an ONNX file does not say the voxel size, the normalization and the names of the labels; give them with --manifest FILE.toml, for example:\n\n{MANIFEST}"
            );
            return Err(ImportError::unsupported(file, reason));
        }
    };
    let length = fs::metadata(&path).map_err(ImportError::io(&path))?.len();
    if length > MAX_MANIFEST_BYTES {
        return Err(ImportError::limit(
            "the manifest",
            format!("it has {length} bytes"),
        ));
    }
    let text = fs::read_to_string(&path).map_err(ImportError::io(&path))?;
    toml::from_str(&text).map_err(|error| {
        let reason = error.to_string().trim_end().replace('\n', " ");
        ImportError::malformed(path.display().to_string(), reason)
    })
}

/// The recipe of a manifest: the one table in `[recipe]`.
fn kind(table: &Table) -> Result<&'static str, ImportError> {
    let recipe = table.get("recipe").and_then(Value::as_table);
    let known = ["nnunet", "meshnet", "liver", "liver_lesion"];
    let found = recipe.and_then(|recipe| known.into_iter().find(|kind| recipe.contains_key(*kind)));
    found.ok_or_else(|| {
        let reason = format!(
            "it has no table [recipe.KIND] with KIND one of {}",
            known.join(", ")
        );
        ImportError::malformed("the manifest", reason)
    })
}

/// Adds what is known from the file: network, weights and test.
fn complete(
    table: &mut Table,
    kind: &str,
    (network, weights, test): (&FileRef, &FileRef, &SelfTest),
) {
    table.entry("format_version").or_insert(Value::Integer(2));
    let recipe = table
        .get_mut("recipe")
        .and_then(|recipe| recipe.get_mut(kind));
    let place = match (kind, recipe) {
        ("nnunet", Some(recipe)) => recipe
            .get_mut("parts")
            .and_then(Value::as_array_mut)
            .and_then(|parts| parts.first_mut())
            .and_then(Value::as_table_mut),
        (_, Some(recipe)) => recipe.as_table_mut(),
        _ => None,
    };
    let Some(place) = place else {
        return;
    };
    let file = |file: &FileRef| {
        let mut table = Table::new();
        table.insert("file".into(), Value::String(file.name.clone()));
        table.insert("sha256".into(), Value::String(file.sha256.clone()));
        Value::Table(table)
    };
    place.insert("network".into(), file(network));
    if kind == "nnunet" {
        place.insert("folds".into(), Value::Array(vec![file(weights)]));
    } else {
        place.insert("weights".into(), file(weights));
    }
    let integer = |n: usize| Value::Integer(n as i64);
    let mut own = Table::new();
    if let Some(seed) = test.seed {
        own.insert("seed".into(), Value::Integer(seed as i64));
    }
    own.insert(
        "input_shape".into(),
        Value::Array(test.input_shape.iter().map(|n| integer(*n)).collect()),
    );
    own.insert("tolerance".into(), Value::Float(f64::from(test.tolerance)));
    let probes = test.probes.iter().map(|probe| {
        let [x, y, z] = probe.voxel;
        let mut list: Vec<Value> = [probe.channel, x, y, z].into_iter().map(integer).collect();
        list.push(Value::Float(f64::from(probe.value)));
        Value::Array(list)
    });
    own.insert("probes".into(), Value::Array(probes.collect()));
    place.insert("self_test".into(), Value::Table(own));
}
