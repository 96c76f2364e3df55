//! Keras HDF5 files of the two liver networks of KU Leuven (pyliverlesionseg): the weights go into
//! the shipped models' networks. Such a file holds no network, so that any other is refused.

mod format;
mod values;

use std::collections::BTreeMap;
use std::path::Path;

use prosect_base::{Cancel, Progress};
use prosect_model::{FileRef, Manifest, ModelStore, Recipe};
use serde_json::Value;

use crate::description::transposed;
use crate::error::ImportError;
use crate::import::{INTENDED_USE, one_line};
use crate::options::{Draft, ImportOptions};
use crate::source::Source;
use crate::write::{Array, Stage, record_self_test_of};

/// The two files have 14 and 16 MB.
const MAX_BYTES: u64 = 1 << 30;
/// Our names of the Keras layers `conv3d_1`, `conv3d_2`, ... of each network.
const NETWORKS: [(&str, &[&str]); 2] = [
    (
        "liver-ct",
        &[
            "encoder.0.conv.0",
            "encoder.0.conv.1",
            "encoder.1.conv.0",
            "encoder.1.conv.1",
            "encoder.2.conv.0",
            "encoder.2.conv.1",
            "bottleneck.conv.0",
            "bottleneck.conv.1",
            "decoder.2.conv.0",
            "decoder.2.conv.1",
            "decoder.1.conv.0",
            "decoder.1.conv.1",
            "decoder.0.conv.0",
            "decoder.0.conv.1",
            "head.conv",
        ],
    ),
    (
        "liver-lesion-ct",
        &[
            "encoder.0.conv.0",
            "encoder.0.conv.1",
            "encoder.0.shortcut",
            "encoder.1.conv.0",
            "encoder.1.conv.1",
            "encoder.1.shortcut",
            "encoder.2.conv.0",
            "encoder.2.conv.1",
            "encoder.2.shortcut",
            "bottleneck.conv.0",
            "bottleneck.conv.1",
            "decoder.2.conv.0",
            "decoder.2.conv.1",
            "decoder.2.shortcut",
            "decoder.1.conv.0",
            "decoder.1.conv.1",
            "decoder.1.shortcut",
            "decoder.0.conv.0",
            "decoder.0.conv.1",
            "decoder.0.shortcut",
            "head.conv",
        ],
    ),
];

/// Whether there is an HDF5 file, and which.
pub(crate) fn find(source: &Source) -> Option<String> {
    let is_hdf5 = |file: &&String| {
        source
            .first_bytes(file, 8)
            .is_ok_and(|bytes| format::is_hdf5(&bytes))
    };
    let named = |file: &&String| {
        let name = Path::new(file.as_str()).extension();
        let named = name.is_some_and(|e| ["hdf5", "h5"].iter().any(|n| e.eq_ignore_ascii_case(n)));
        named || source.files().len() == 1
    };
    source.files().iter().filter(named).find(is_hdf5).cloned()
}

/// Makes a model of a file that [`find`] has found.
pub(crate) fn import(
    source: &Source,
    file: &str,
    options: &ImportOptions,
    stage: &Stage,
    (progress, cancel): (&dyn Progress, &Cancel),
) -> Result<Draft, ImportError> {
    progress.step("reading the weights");
    let mut arrays = format::read(file, &source.read(file, MAX_BYTES)?)?;
    cancel.check()?;
    let voxel_mm = arrays.remove("header/voxel_size");
    let n_convs = (1..=arrays.len())
        .take_while(|n| arrays.contains_key(&kernel(*n)))
        .count();
    let known = NETWORKS.iter().find(|(_, names)| names.len() == n_convs);
    let Some((shipped, names)) = known else {
        let reason = format!(
            "it is a Keras file with {n_convs} layers called conv3d_1, conv3d_2, ...; the liver network has {} and the liver-lesion network {}, and others cannot be told from such a file",
            NETWORKS[0].1.len(),
            NETWORKS[1].1.len()
        );
        return Err(ImportError::unsupported(file, reason));
    };
    let shipped = ModelStore::open(None)
        .list()?
        .into_iter()
        .find(|listed| listed.manifest.name == *shipped)
        .ok_or_else(|| {
            ImportError::unsupported(file, format!("{shipped} is not shipped with this program"))
        })?;
    let (network, weights, shape, spacing_mm) = parts(&shipped.manifest)?;
    if let Some(found) = &voxel_mm {
        let fits = found.values.len() == 3
            && found
                .values
                .iter()
                .zip(spacing_mm)
                .all(|(f, s)| (f64::from(*f) - s).abs() < 1e-6);
        if !fits {
            let reason = format!(
                "its voxel size is {:?}, the network's {spacing_mm:?}",
                found.values
            );
            return Err(ImportError::inconsistent(file, reason));
        }
    }
    let description = shipped.read(&network)?.into_owned();
    let named = rename(file, arrays, names, &description)?;
    let network_file = stage.write_bytes("network.json", &description)?;
    let weights_file = stage.write_weights("weights.safetensors", &named)?;
    progress.step("testing the network");
    let same = same_values(&named, &shipped.read(&weights)?);
    let mut manifest = shipped.manifest.clone();
    let mut notes = Vec::new();
    let own_test = if same {
        notes.push(format!(
            "the weights are those of the shipped model {}, value for value",
            manifest.name
        ));
        None
    } else {
        manifest.intended_use = INTENDED_USE.into();
        for structure in &mut manifest.structures {
            structure.expected_dice = "unknown".into();
            structure.expected_source = "nobody has measured this model with Prosect".into();
        }
        for modality in &mut manifest.modalities {
            modality.status = prosect_model::ModalityStatus::Experimental;
        }
        let text = String::from_utf8_lossy(&description).into_owned();
        let graph = prosect_nn::graph::Graph::from_json(&text)?;
        let bytes = safetensors::serialize(&named, None)
            .map_err(|error| ImportError::malformed(file, error.to_string()))?;
        let weights = prosect_nn::weights::Weights::from_safetensors(&bytes)?;
        Some(record_self_test_of(&graph, &weights, shape, cancel)?)
    };
    manifest.name = options
        .name
        .clone()
        .unwrap_or_else(|| manifest.name.clone());
    manifest.provenance = format!(
        "Imported from the Keras file {}; values unchanged. Provenance of the training scans unknown.",
        one_line(file)
    );
    if let Some(license) = &options.license {
        manifest.license_weights = one_line(license);
    } else if !same {
        manifest.license_weights = "unknown".into();
    }
    match &mut manifest.recipe {
        Recipe::Liver(recipe) => {
            (recipe.network, recipe.weights) = (network_file, weights_file);
            recipe.self_test = own_test.unwrap_or_else(|| recipe.self_test.clone());
        }
        Recipe::LiverLesion(recipe) => {
            (recipe.network, recipe.weights) = (network_file, weights_file);
            recipe.self_test = own_test.unwrap_or_else(|| recipe.self_test.clone());
        }
        _ => {}
    }
    Ok(Draft { manifest, notes })
}

fn kernel(n: usize) -> String {
    format!("conv3d_{n}/conv3d_{n}/kernel:0")
}

/// Network, weights, the self-test's input and the voxels of a shipped liver model.
fn parts(manifest: &Manifest) -> Result<(FileRef, FileRef, [usize; 3], [f64; 3]), ImportError> {
    match &manifest.recipe {
        Recipe::Liver(r) => Ok((
            r.network.clone(),
            r.weights.clone(),
            r.self_test.input_shape,
            [r.grid.spacing_mm; 3],
        )),
        Recipe::LiverLesion(r) => Ok((
            r.network.clone(),
            r.weights.clone(),
            r.self_test.input_shape,
            r.spacing_mm,
        )),
        _ => Err(ImportError::unsupported(
            &*manifest.name,
            "it is no liver model",
        )),
    }
}

/// The arrays under our names and in our order of axes; every layer has the shape that the network
/// asks for, and there is nothing else.
fn rename(
    file: &str,
    mut arrays: BTreeMap<String, Array>,
    names: &[&str],
    description: &[u8],
) -> Result<BTreeMap<String, Array>, ImportError> {
    let network: Value = serde_json::from_slice(description)
        .map_err(|error| ImportError::malformed("network.json", error.to_string()))?;
    let sizes = |node: &Value, key: &str| -> Vec<usize> {
        let list = node.get(key).and_then(Value::as_array);
        let list = list.map_or(&[][..], Vec::as_slice);
        list.iter()
            .filter_map(Value::as_u64)
            .map(|n| n as usize)
            .collect()
    };
    let nodes = network.get("nodes").and_then(Value::as_array);
    let mut named = BTreeMap::new();
    for (n, name) in names.iter().enumerate() {
        let node = nodes
            .into_iter()
            .flatten()
            .find(|node| node.get("name").and_then(Value::as_str) == Some(name));
        let (channels, mut shape) = match node {
            Some(node) => (sizes(node, "channels"), sizes(node, "kernel")),
            None => {
                return Err(ImportError::inconsistent(
                    "network.json",
                    format!("it has no {name}"),
                ));
            }
        };
        shape.extend(&channels);
        let n = n + 1;
        let weight = take(file, &mut arrays, &kernel(n), &shape)?;
        let bias = take(
            file,
            &mut arrays,
            &format!("conv3d_{n}/conv3d_{n}/bias:0"),
            &shape[4..],
        )?;
        // Keras has [k0, k1, k2, in, out].
        let order = [4, 3, 0, 1, 2];
        named.insert(
            format!("{name}.weight"),
            Array {
                values: transposed(&weight.values, &shape, &order),
                shape: order.iter().map(|&a| shape[a]).collect(),
            },
        );
        named.insert(format!("{name}.bias"), bias);
    }
    match arrays.keys().next() {
        None => Ok(named),
        Some(other) => Err(ImportError::unsupported(
            file,
            format!("it also holds {other}, which the network does not have"),
        )),
    }
}

fn take(
    file: &str,
    arrays: &mut BTreeMap<String, Array>,
    name: &str,
    shape: &[usize],
) -> Result<Array, ImportError> {
    let found = arrays
        .remove(name)
        .ok_or_else(|| ImportError::inconsistent(file, format!("it lacks {name}")))?;
    if found.shape == shape {
        Ok(found)
    } else {
        let reason = format!(
            "{name} has shape {:?}, the network needs {shape:?}; it is another network",
            found.shape
        );
        Err(ImportError::inconsistent(file, reason))
    }
}

/// Whether the arrays are those of a safetensors file, bit for bit.
fn same_values(named: &BTreeMap<String, Array>, shipped: &[u8]) -> bool {
    let Ok(file) = safetensors::SafeTensors::deserialize(shipped) else {
        return false;
    };
    file.len() == named.len()
        && named.iter().all(|(name, array)| {
            file.tensor(name).is_ok_and(|view| {
                let bytes = view.data().chunks_exact(4);
                view.shape() == array.shape
                    && bytes.zip(&array.values).all(|(b, v)| *b == v.to_le_bytes())
            })
        })
}
