//! brainchop's `MeshNet`s, imported and run. The expected labels are those of the ONNX twin of
//! `model5_gw_ae` (`niivue-meshnet-tissue.onnx`) in ONNX Runtime 1.32 on the whole conformed head
//! `t1_crop.nii.gz`, brightness from 0 to 1; every eighth voxel of them is kept beside this file.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is wrong, and says what it skips"
)]

use std::fs;
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Faulty, Limits, Silent};
use prosect_formats::nifti;
use prosect_import::{ImportOptions, ImportReport, import};
use prosect_model::{Answer, ModelStore, Recipe, SegmentOptions, segment};
use prosect_volume::{Affine, Grid, Point, Vector, Volume, VoxelIndex};

/// A file or folder of the shared data; without the data the test is skipped, but not in CI.
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

fn import_into(models: &Path, source: &Path) -> ImportReport {
    let options = ImportOptions::into_models(models);
    import(source, &options, &Silent, &Cancel::new()).unwrap()
}

/// Every class of ours where the twin has `expected`, voxel by voxel.
fn labels(models: &Path, name: &str, image: &Volume<f32>, compat: bool) -> Volume<u16> {
    let model = ModelStore::open(Some(models)).load(name).unwrap();
    let options = SegmentOptions {
        compat,
        ..SegmentOptions::default()
    };
    let output = segment(&model, image, "MR", &options, &Silent, &Cancel::new()).unwrap();
    match output.answer {
        Answer::Labels(labels) => labels,
        Answer::Structures(_) => panic!("labels were expected"),
    }
}

#[test]
fn a_whole_head_gets_the_labels_of_the_onnx_twin() {
    let (Some(source), Some(head)) = (
        shared("meshnet-t1-mr/models/model5_gw_ae"),
        shared("meshnet-t1-mr/t1_crop.nii.gz"),
    ) else {
        return;
    };
    let models = tempfile::tempdir().unwrap();
    let report = import_into(models.path(), &source);
    assert_eq!(report.manifest.name, "meshnet-tissue-light");
    let names: Vec<&str> = (report.manifest.structures.iter())
        .map(|s| s.structure.name.as_str())
        .collect();
    assert_eq!(names, ["white_matter", "grey_matter"]);
    let image = nifti::read(&head, &Limits::default()).unwrap().volume;
    let sampled = include_bytes!("meshnet_tissue_every_8th.u8");
    for compat in [false, true] {
        let found = labels(models.path(), &report.manifest.name, &image, compat);
        let mut counts = [0_usize; 3];
        for label in found.values() {
            counts[usize::from(*label)] += 1;
        }
        // The twin has 518,540 and 735,212; some specks away from the brain are removed.
        for (count, twin) in counts[1..].iter().zip([518_540_usize, 735_212]) {
            assert!(count.abs_diff(twin) < 400, "{counts:?}, compat {compat}");
        }
        let at = |n: usize| 8 * n + 4;
        let differ = sampled.iter().enumerate().filter(|(n, label)| {
            let index = VoxelIndex {
                i: at(n % 32),
                j: at(n / 32 % 32),
                k: at(n / 1024),
            };
            found.get(index) != Some(u16::from(**label))
        });
        // 99.99 % of 32,768 voxels.
        let differ = differ.count();
        assert!(differ <= 3, "{differ} of 32768 differ, compat {compat}");
    }
}

#[test]
fn every_published_model_is_understood() {
    let Some(folder) = shared("meshnet-t1-mr/models") else {
        return;
    };
    let models = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let report = import_into(models.path(), &entry.unwrap().path());
        let Recipe::MeshNet(recipe) = &report.manifest.recipe else {
            panic!("{} is no MeshNet", report.manifest.name);
        };
        assert_eq!(
            (recipe.edge, recipe.labels.len()),
            (256, report.manifest.structures.len() + 1)
        );
        assert_eq!(report.manifest.license_weights, "MIT");
        // What was written can be loaded, and answers as recorded.
        let model = ModelStore::open(Some(models.path()))
            .load(&report.manifest.name)
            .unwrap();
        model.self_test(2).unwrap();
        found.push(format!("{} {}", report.manifest.name, recipe.labels.len()));
    }
    found.sort();
    assert_eq!(
        found,
        [
            "meshnet-aparc-aseg-104 104",
            "meshnet-aparc-aseg-50 50",
            "meshnet-brain 2",
            "meshnet-subcortical 18",
            "meshnet-subcortical-light 18",
            "meshnet-tissue 3",
            "meshnet-tissue-11 3",
            "meshnet-tissue-light 3",
        ]
    );
}

/// A network of two layers, with the description changed by `change`.
fn small(folder: &Path, change: impl Fn(String) -> String) {
    let description = r#"{"modelTopology": {"model_config": {"class_name": "Functional", "config": {"layers": [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [null, 32, 32, 32, 1], "name": "input"}, "inbound_nodes": []},
        {"class_name": "Conv3D", "config": {"name": "a", "filters": 2, "kernel_size": [3, 3, 3], "strides": [1, 1, 1], "padding": "same", "data_format": "channels_last", "dilation_rate": [2, 2, 2], "groups": 1, "activation": "elu", "use_bias": true}, "inbound_nodes": [[["input", 0, 0, {}]]]},
        {"class_name": "Conv3D", "config": {"name": "output", "filters": 2, "kernel_size": [1, 1, 1], "strides": [1, 1, 1], "padding": "same", "data_format": "channels_last", "dilation_rate": [1, 1, 1], "groups": 1, "activation": "softmax", "use_bias": true}, "inbound_nodes": [[["a", 0, 0, {}]]]}
        ]}}}, "weightsManifest": [{"paths": ["w.bin"], "weights": [
        {"name": "a/kernel", "shape": [3, 3, 3, 1, 2], "dtype": "float32"}, {"name": "a/bias", "shape": [2], "dtype": "float32"},
        {"name": "output/kernel", "shape": [1, 1, 1, 2, 2], "dtype": "float32"}, {"name": "output/bias", "shape": [2], "dtype": "float32"}]}]}"#;
    fs::write(folder.join("model.json"), change(description.to_owned())).unwrap();
    let weights: Vec<u8> = (0..62_u32)
        .flat_map(|n| ((n % 7) as f32 / 10.0 - 0.3).to_le_bytes())
        .collect();
    fs::write(folder.join("w.bin"), weights).unwrap();
}

#[track_caller]
fn check_refused(from: &str, to: &str, reason: &str) {
    let source = tempfile::tempdir().unwrap();
    small(source.path(), |text| {
        assert!(text.contains(from));
        text.replacen(from, to, 1)
    });
    let models = tempfile::tempdir().unwrap();
    let options = ImportOptions::into_models(models.path());
    let error = import(source.path(), &options, &Silent, &Cancel::new()).unwrap_err();
    let _ = error.fault();
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(
        fs::read_dir(models.path()).unwrap().count(),
        0,
        "something was left behind"
    );
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    check_refused(
        "\"dilation_rate\": [2, 2, 2], \"groups\": 1",
        "\"groups\": 2",
        "layer a cannot be used: its groups",
    );
    check_refused(
        "\"class_name\": \"Conv3D\"",
        "\"class_name\": \"LSTM\"",
        "it is a LSTM",
    );
    check_refused(
        "\"activation\": \"elu\"",
        "\"activation\": \"tanh\"",
        "its activation is tanh",
    );
    check_refused(
        "[null, 32, 32, 32, 1]",
        "[null, 32, 32, 32, 3]",
        "one channel",
    );
    check_refused(
        "\"dtype\": \"float32\"",
        "\"dtype\": \"uint8\", \"quantization\": {}",
        "element type is uint8",
    );
    check_refused(
        "\"shape\": [2]",
        "\"shape\": [3]",
        "4 bytes of weights are left",
    );
    check_refused("\"a/bias\"", "\"a/other\"", "tensor a/bias does not fit");
    check_refused(
        "\"shape\": [3, 3, 3, 1, 2]",
        "\"shape\": [3000, 3000, 3000, 1, 2]",
        "cut",
    );
    check_refused("\"w.bin\"", "\"../w.bin\"", "not beside");
    check_refused("\"w.bin\"", "\"gone.bin\"", "not there");
    check_refused("\"padding\": \"same\"", "\"padding\": \"valid\"", "padding");
    check_refused(
        "[[[\"a\", 0, 0, {}]]]",
        "[[[\"b\", 0, 0, {}]]]",
        "input is not one layer",
    );
}

#[test]
fn a_model_that_nobody_knows_gets_numbers_and_a_note() {
    let source = tempfile::tempdir().unwrap();
    small(source.path(), |text| text);
    let models = tempfile::tempdir().unwrap();
    let options = ImportOptions {
        name: Some("mine".into()),
        ..ImportOptions::into_models(models.path())
    };
    // By the description's own path, too.
    let report = import(
        &source.path().join("model.json"),
        &options,
        &Silent,
        &Cancel::new(),
    )
    .unwrap();
    assert_eq!(report.manifest.structures[0].structure.name, "class_1");
    assert!(
        report
            .notes
            .iter()
            .any(|n| n.contains("do not say how a head is prepared")),
        "{:?}",
        report.notes
    );
    // A head of another grid and orientation keeps its own grid.
    let columns = [[0.0, 0.0, 2.0], [1.5, 0.0, 0.0], [0.0, 1.0, 0.0]].map(Vector::new);
    let grid = Grid::new(
        [12, 14, 16],
        Affine::from_columns(columns, Point::new([0.0; 3])),
        None,
    )
    .unwrap();
    let image = Volume::from_fn(grid.clone(), |v| ((v.i * v.j + v.k) % 9) as f32 * 100.0);
    let found = labels(models.path(), "mine", &image, false);
    assert_eq!(found.grid(), &grid);
}
