//! The Keras files of the two liver networks give the weights that are shipped, bit for bit; other
//! files are refused by what differs.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is wrong, and says what it skips"
)]

use std::fs;
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Silent};
use prosect_import::{ImportOptions, import};
use prosect_model::ModelStore;

/// A file of the shared data; without the data the test is skipped, but not in CI.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PROSECT_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let file = root.join("data").join(path);
    if file.exists() {
        return Some(file);
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{} is missing; set PROSECT_SHARED",
        file.display()
    );
    println!("skipped: {} is missing; set PROSECT_SHARED", file.display());
    None
}

fn options(models: &Path) -> ImportOptions {
    ImportOptions {
        name: Some("liver-x".into()),
        ..ImportOptions::into_models(models)
    }
}

#[test]
fn both_networks_are_the_shipped_ones_bit_for_bit() {
    for (file, shipped) in [
        (
            "model_unet_ct_mr_liv_seg_resize_1.5mm_med_3_resize_3mm_20201011_dice_loss_val_binary_dice_mean.hdf5",
            "liver-ct",
        ),
        (
            "model_unet_ct_mr_lesion_seg_resize_1mm_1mm_3mm_20220207_dice_loss_val_binary_dice_mean.hdf5",
            "liver-lesion-ct",
        ),
    ] {
        let Some(path) = shared(&format!("liver-ct-weights/{file}")) else {
            return;
        };
        let models = tempfile::tempdir().unwrap();
        let report = import(&path, &options(models.path()), &Silent, &Cancel::new()).unwrap();
        assert!(
            report.notes.iter().any(|n| n.contains("value for value")),
            "{:?}",
            report.notes
        );
        let ours = fs::read(models.path().join("liver-x/weights.safetensors")).unwrap();
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../models")
            .join(shipped);
        let theirs = fs::read(folder.join("weights.safetensors")).unwrap();
        let (ours, theirs) = (tensors(&ours), tensors(&theirs));
        assert_eq!(ours.len(), theirs.len());
        for (our, their) in ours.iter().zip(&theirs) {
            assert!(our == their, "{} differs", our.0);
        }
        let model = ModelStore::open(Some(models.path()))
            .load("liver-x")
            .unwrap();
        model.self_test(2).unwrap();
    }
}

/// Name, shape and bytes of every tensor, by name.
fn tensors(bytes: &[u8]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let mut list: Vec<_> = (file.tensors().into_iter())
        .map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec()))
        .collect();
    list.sort();
    list
}

#[test]
fn another_file_is_refused_by_what_differs() {
    let models = tempfile::tempdir().unwrap();
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/small.hdf5");
    let error = import(&small, &options(models.path()), &Silent, &Cancel::new()).unwrap_err();
    assert!(
        error.to_string().contains("with 0 layers called conv3d_1"),
        "{error}"
    );
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
}
