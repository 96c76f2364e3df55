//! The model store: shipped and installed models, checksums, and what is refused.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

use std::fs;
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Fault, Faulty, Silent};
use prosect_model::{Manifest, ModelError, ModelStore, Origin, SegmentOptions, segment};
use prosect_volume::{Grid, Point, Volume};

fn shipped_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/liver-ct")
}

fn shipped_manifest() -> String {
    fs::read_to_string(shipped_folder().join("model.toml")).unwrap()
}

/// A models folder with a copy of the shipped model, its manifest changed.
fn installed(folder_name: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join(folder_name);
    fs::create_dir(&folder).unwrap();
    for file in ["network.json", "weights.safetensors"] {
        fs::copy(shipped_folder().join(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join("model.toml"), change(shipped_manifest())).unwrap();
    models
}

#[test]
fn the_shipped_model_passes_its_self_test() {
    let store = ModelStore::open(None);
    let listed = store.list().unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|m| m.manifest.name.as_str())
            .collect::<Vec<_>>(),
        ["liver-ct", "liver-lesion-ct"]
    );
    let model = store.load("liver-ct").unwrap();
    for threads in [1, 3] {
        model.self_test(threads).unwrap();
    }
    assert_eq!(
        model.manifest().structures[0].structure.property_type.value,
        "10200004"
    );
}

#[test]
fn an_unknown_name_is_refused_with_the_known_ones() {
    let error = ModelStore::open(Some(Path::new("/no/such/folder")))
        .load("spleen")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no model named spleen; known are liver-ct, liver-lesion-ct"
    );
    assert_eq!(error.fault(), Fault::Inconsistent);
}

#[test]
fn a_changed_file_is_named_with_both_checksums() {
    let models = installed("other", |text| {
        text.replace("name = \"liver-ct\"", "name = \"other\"")
    });
    let store = ModelStore::open(Some(models.path()));
    store.load("other").unwrap();
    let weights = models.path().join("other/weights.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    match store.load("other").unwrap_err() {
        ModelError::Checksum {
            model,
            file,
            expected,
            found,
        } => {
            assert_eq!(
                (model.as_str(), file.as_str()),
                ("other", "weights.safetensors")
            );
            assert_eq!((expected.len(), found.len()), (64, 64));
            assert_ne!(expected, found);
        }
        error => panic!("{error}"),
    }
}

#[test]
fn an_installed_model_hides_a_shipped_one_unless_it_is_older() {
    let shipped = Manifest::parse("liver-ct", &shipped_manifest())
        .unwrap()
        .version;
    for (version, is_taken) in [("0.0.1", false), (shipped.as_str(), true), ("99.0.0", true)] {
        let models = installed("liver-ct", |text| {
            text.replace(
                &format!("version = \"{shipped}\""),
                &format!("version = \"{version}\""),
            )
        });
        let listed = ModelStore::open(Some(models.path())).list().unwrap();
        let same: Vec<_> = listed
            .iter()
            .filter(|model| model.manifest.name == "liver-ct")
            .collect();
        assert_eq!(same.len(), 1);
        assert_eq!(
            matches!(same[0].origin, Origin::Installed(_)),
            is_taken,
            "version {version}"
        );
    }
}

#[test]
fn a_damaged_folder_is_named_and_keeps_no_other_model_from_use() {
    let models = installed("broken", |_| "no manifest".to_owned());
    let store = ModelStore::open(Some(models.path()));
    assert!(
        store
            .list()
            .unwrap()
            .iter()
            .all(|model| model.manifest.name != "broken")
    );
    assert_eq!(store.damaged().unwrap()[0].name, "broken");
    store.load("liver-ct").unwrap();
    assert!(
        store
            .load("broken")
            .unwrap_err()
            .to_string()
            .contains("broken")
    );
    let models = installed("liver-ct", |_| "no manifest".to_owned());
    let store = ModelStore::open(Some(models.path()));
    assert_eq!(
        store.load("liver-ct").unwrap_err().fault(),
        Fault::Malformed
    );
}

#[test]
fn a_wrong_recorded_answer_fails_the_self_test() {
    let models = installed("other", |text| {
        text.replace("name = \"liver-ct\"", "name = \"other\"")
            .replace("0.906595", "0.907595")
    });
    let model = ModelStore::open(Some(models.path())).load("other").unwrap();
    assert!(matches!(
        model.self_test(1),
        Err(ModelError::SelfTest { .. })
    ));
}

#[track_caller]
fn check_refused(from: &str, to: &str, expected: &str) {
    let text = shipped_manifest();
    assert!(text.contains(from), "{from} does not stand in the manifest");
    let error = Manifest::parse("liver-ct", &text.replacen(from, to, 1)).unwrap_err();
    assert_eq!(error.fault(), Fault::Malformed);
    assert!(
        error.to_string().contains(expected),
        "{error} does not say {expected}"
    );
}

#[test]
fn a_manifest_is_read_strictly() {
    check_refused("title =", "titel =", "titel");
    check_refused(
        "format_version = 1",
        "format_version = 3",
        "this program reads 1",
    );
    check_refused(
        "region_finder = \"liver\"",
        "region_finder = \"spleen\"",
        "spleen",
    );
    check_refused("modality = \"MR\"", "modality = \"US\"", "US");
    check_refused(
        "name = \"liver\"",
        "name = \"lever\"",
        "no structure \"lever\"",
    );
    check_refused("name = \"liver-ct\"", "name = \"../etc\"", "hyphens");
    check_refused(
        "name = \"liver-ct\"",
        "name = \"other\"",
        "lies in the folder liver-ct",
    );
    check_refused("\"network.json\"", "\"../network.json\"", "plain file name");
    check_refused("version = \"0.3.0\"", "version = \"new\"", "three numbers");
    check_refused(
        "expected_dice = \"0.96\"",
        "expected_dice = \"good\"",
        "unknown",
    );
    check_refused("label_value = 1", "label_value = 0", "background");
    check_refused(
        "license_weights = \"Apache-2.0\"",
        "license_weights = \"\"",
        "license_weights is empty",
    );
    check_refused(
        "input_shape = [189, 162, 162]",
        "input_shape = [189, 162, 99999]",
        "1024",
    );
}

fn tiny_image() -> Volume<f32> {
    let grid = Grid::axis_aligned([9, 8, 3], [2.0, 2.0, 5.0], Point::new([0.0; 3])).unwrap();
    Volume::filled(grid, -1000.0)
}

#[test]
fn another_modality_is_refused() {
    let model = ModelStore::open(None).load("liver-ct").unwrap();
    let error = segment(
        &model,
        &tiny_image(),
        "PT",
        &SegmentOptions::default(),
        &Silent,
        &Cancel::new(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model liver-ct was made for CT and MR, not for PT"
    );
}

#[test]
fn an_image_of_air_has_no_liver() {
    let model = ModelStore::open(None).load("liver-ct").unwrap();
    let output = segment(
        &model,
        &tiny_image(),
        "CT",
        &SegmentOptions::default(),
        &Silent,
        &Cancel::new(),
    )
    .unwrap();
    assert!(output.structures().is_empty());
    assert_eq!(
        output.findings.iter().map(|f| f.code).collect::<Vec<_>>(),
        ["not_found"]
    );
    assert_eq!(output.confidence.grid(), tiny_image().grid());
}

#[test]
fn a_request_to_stop_ends_the_run() {
    let model = ModelStore::open(None).load("liver-ct").unwrap();
    let cancel = Cancel::new();
    cancel.request();
    let error = segment(
        &model,
        &tiny_image(),
        "CT",
        &SegmentOptions::default(),
        &Silent,
        &cancel,
    )
    .unwrap_err();
    assert_eq!(error.fault(), Fault::Canceled);
}
