//! The way behind the network, on a label map made by a rule: many structures, one case.

mod choosing;
mod many_labels;

use prosect_model::{Listed, Manifest, ManifestStructure, ModelStore};
use prosect_segmentation::terminology;

/// The shipped liver model's manifest under another name, with other structures. Their label
/// values are odd numbers, so that nobody takes a place in a list for a label.
pub(super) fn manifest(name: &str, structures: &[&str]) -> Manifest {
    let liver = listed("liver-ct").manifest;
    let structures = structures.iter().enumerate().map(|(n, structure)| {
        let structure = terminology::structure(structure).unwrap();
        ManifestStructure {
            structure,
            label_value: 2 * n as u16 + 1,
            expected_dice: "unknown".into(),
            expected_source: "nobody measured it".into(),
            plausible_volume_ml: None,
        }
    });
    Manifest {
        name: name.into(),
        structures: structures.collect(),
        ..liver
    }
}

/// A shipped model.
pub(super) fn listed(name: &str) -> Listed {
    let shipped = ModelStore::open(None).list().unwrap();
    let model = shipped.into_iter().find(|l| l.manifest.name == name);
    model.unwrap()
}
