//! The parameters that a network needs, picked from a checkpoint by name and checked by shape.

use std::collections::{BTreeMap, HashMap};

use prosect_base::Cancel;

use crate::error::ImportError;
use crate::torch::Checkpoint;
use crate::torch::pickle::Tensor;
use crate::write::Array;

/// Training may have wrapped the network once or twice.
const PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

/// What a checkpoint says of itself.
#[derive(Debug, PartialEq)]
pub(crate) struct About {
    pub(crate) configuration: Option<String>,
    pub(crate) trainer: Option<String>,
    /// Axes along which mirrored passes are allowed.
    pub(crate) mirror_axes: Vec<usize>,
}

/// What the checkpoint says of itself; nothing of it is needed to read weights.
pub(crate) fn about(what: &str, checkpoint: &Checkpoint) -> Result<About, ImportError> {
    let pickle = checkpoint.pickle();
    let root = pickle.root();
    let text = |dict, key| {
        let value = pickle.get(dict, key)?;
        pickle.text(value).map(str::to_owned)
    };
    let arguments = pickle.get(root, "init_args");
    let mirror_axes = match pickle.get(root, "inference_allowed_mirroring_axes") {
        None | Some(crate::torch::pickle::Value::None) => Vec::new(),
        Some(value) => {
            let axis = |item: &crate::torch::pickle::Value| match item {
                crate::torch::pickle::Value::Int(axis @ 0..=2) => Some(*axis as usize),
                _ => None,
            };
            let axes: Option<Vec<usize>> = pickle
                .items(value)
                .and_then(|items| items.iter().map(axis).collect());
            axes.ok_or_else(|| {
                let reason = "inference_allowed_mirroring_axes are not axes from 0 to 2";
                ImportError::malformed(what, reason)
            })?
        }
    };
    Ok(About {
        configuration: arguments.and_then(|dict| text(dict, "configuration")),
        trainer: text(root, "trainer_name"),
        mirror_axes,
    })
}

/// Reads every tensor that `needed` names, in the needed shape.
pub(crate) fn pick(
    what: &str,
    checkpoint: &Checkpoint,
    needed: &[(String, Vec<usize>)],
    cancel: &Cancel,
) -> Result<BTreeMap<String, Array>, ImportError> {
    let pickle = checkpoint.pickle();
    let weights = pickle.get(pickle.root(), "network_weights");
    let tensors = weights.and_then(|dict| checkpoint.tensors(dict));
    let Some(tensors) = tensors else {
        let reason = "it has no network_weights, as nnU-Net writes them";
        return Err(ImportError::unsupported(what, reason));
    };
    let by_name: HashMap<&str, &Tensor> = tensors
        .iter()
        .map(|(name, tensor)| (plain(name), *tensor))
        .collect();
    let mut left: HashMap<&str, &Tensor> = by_name.clone();
    let mut picked = BTreeMap::new();
    for (name, shape) in needed {
        cancel.check()?;
        let Some(tensor) = by_name.get(name.as_str()) else {
            let reason = "the plans ask for it, but the checkpoint does not have it";
            return Err(ImportError::inconsistent(
                format!("{what}: tensor {name}"),
                reason,
            ));
        };
        if !tensor
            .shape
            .iter()
            .eq(shape.iter().map(|n| *n as u64).collect::<Vec<_>>().iter())
        {
            let reason = format!(
                "its shape is {:?}, but the plans ask for {shape:?}",
                tensor.shape
            );
            return Err(ImportError::inconsistent(
                format!("{what}: tensor {name}"),
                reason,
            ));
        }
        picked.insert(name.clone(), checkpoint.read(name, tensor)?);
        left.remove(name.as_str());
    }
    require_nothing_left(what, &left)?;
    Ok(picked)
}

/// The name without what training wrapped around it.
fn plain(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = PREFIXES.iter().find_map(|p| name.strip_prefix(p)) {
        name = rest;
    }
    name
}

/// A tensor that nobody needs means that the plans do not tell the whole network.
fn require_nothing_left(what: &str, left: &HashMap<&str, &Tensor>) -> Result<(), ImportError> {
    let is_expected = |name: &str| {
        // The decoder holds the encoder again, each block its layers again in a list; deep
        // supervision has heads of its own; a batch norm counts its batches.
        name.starts_with("decoder.encoder.")
            || name.contains(".all_modules.")
            || name.starts_with("decoder.seg_layers.")
            || name.ends_with(".num_batches_tracked")
    };
    let mut unexpected: Vec<&str> = left.keys().copied().filter(|n| !is_expected(n)).collect();
    unexpected.sort_unstable();
    match unexpected.first() {
        None => Ok(()),
        Some(name) => Err(ImportError::inconsistent(
            format!("{what}: tensor {name}"),
            format!(
                "the network of the plans has no place for it ({} such)",
                unexpected.len()
            ),
        )),
    }
}
