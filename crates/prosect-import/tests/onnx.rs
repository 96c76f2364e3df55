//! ONNX files become models: the small one holds every supported kind of operation and is compared
//! with ONNX Runtime's answer (`make_small_onnx.py`), the large ones of the shared test data with
//! the models that have the same weights.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is wrong, and says what it skips"
)]

use std::fs;
use std::path::{Path, PathBuf};

use prosect_base::{Cancel, Silent};
use prosect_import::{ImportError, ImportOptions, ImportReport, import};
use prosect_nn::control::RunControl;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;

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

const SMALL: &str = include_str!("../src/onnx/manifest.toml");

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

fn try_import(
    models: &Path,
    file: &Path,
    manifest: Option<&str>,
) -> Result<ImportReport, ImportError> {
    let folder = tempfile::tempdir().unwrap();
    let options = ImportOptions {
        manifest: manifest.map(|text| {
            let path = folder.path().join("manifest.toml");
            fs::write(&path, text).unwrap();
            path
        }),
        ..ImportOptions::into_models(models)
    };
    import(file, &options, &Silent, &Cancel::new())
}

/// The network of a model folder on an input.
fn run(folder: &Path, shape: [usize; 3], values: Vec<f32>) -> Tensor {
    let text = fs::read_to_string(folder.join("network.json")).unwrap();
    let bytes = fs::read(folder.join("weights.safetensors")).unwrap();
    let (graph, weights) = (
        Graph::from_json(&text).unwrap(),
        Weights::from_safetensors(&bytes).unwrap(),
    );
    let network = Network::load(&graph, &weights, Isa::detect()).unwrap();
    let plan = network.plan(shape).unwrap();
    let input = Tensor::new(1, shape, values).unwrap();
    network
        .run(&plan, &input, &RunControl::with_threads(2))
        .unwrap()
}

fn pattern(shape: [usize; 3]) -> Vec<f32> {
    let mut values = Vec::new();
    for i in 0..shape[0] {
        for j in 0..shape[1] {
            for k in 0..shape[2] {
                let (i, j, k) = (i as f64, j as f64, k as f64);
                values.push(((0.3 * i + 0.2 * j).sin() * (0.25 * k).cos()) as f32);
            }
        }
    }
    values
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .fold(0.0, |most: f32, (a, b)| most.max((a - b).abs()))
}

#[test]
fn every_supported_operation_answers_as_in_onnx_runtime() {
    let models = tempfile::tempdir().unwrap();
    let report = try_import(models.path(), &here("small.onnx"), Some(SMALL)).unwrap();
    assert_eq!(report.manifest.name, "my-model");
    assert!(
        report.notes.iter().any(|n| n.contains("softmax")),
        "{:?}",
        report.notes
    );
    let output = run(&report.folder, [16, 12, 20], pattern([16, 12, 20]));
    assert_eq!(output.shape(), [14, 12, 16]);
    let expected: Vec<f32> = fs::read(here("small_onnx_logits.f32"))
        .unwrap()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let most = largest_difference(output.values(), &expected);
    // 1e-5 of logits up to 5: two orders of adding in f32.
    assert!(most < 5e-5, "{most}");
}

#[test]
fn the_liver_as_onnx_is_the_shipped_liver() {
    let Some(file) = shared("liver-ct-weights/liver-oracle.onnx") else {
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/liver-ct");
    let manifest = r#"
        name = "liver-onnx"
        version = "1.0.0"
        title = "t"
        intended_use = "i"
        source = "s"
        provenance = "p"
        license_code = "Apache-2.0"
        license_weights = "Apache-2.0"
        modalities = [{ modality = "CT", status = "experimental", normalization = "ct_liver_window" }]
        structures = [{ name = "liver", label_value = 1, expected_dice = "unknown", expected_source = "unknown" }]
        [recipe.liver]
        grid = { spacing_mm = 3.0, axes = "RAS", input_shape = [189, 162, 162] }
    "#;
    let models = tempfile::tempdir().unwrap();
    let report = try_import(models.path(), &file, Some(manifest)).unwrap();
    let [ours, shipped] =
        [report.folder, folder].map(|folder| run(&folder, [54; 3], pattern([54; 3])));
    // The same numbers in the same order of operations.
    assert_eq!(ours.values(), shipped.values());
}

#[test]
fn what_is_missing_or_not_supported_is_named() {
    let models = tempfile::tempdir().unwrap();
    let refused = |file: &Path, manifest: Option<&str>| {
        try_import(models.path(), file, manifest)
            .unwrap_err()
            .to_string()
    };
    let error = refused(&here("small.onnx"), None);
    assert!(
        error.contains("--manifest FILE.toml") && error.contains("spacing_mm"),
        "{error}"
    );
    let error = refused(&here("refused.onnx"), Some(SMALL));
    assert!(error.starts_with("node /odd/Tanh (Tanh)"), "{error}");
    let error = refused(
        &here("small.onnx"),
        Some(&SMALL.replace("[0, 1] }", "[0, 1, 2] }")),
    );
    assert!(error.contains("label"), "{error}");
    let bytes = fs::read(here("small.onnx")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.onnx");
    for n in (2..bytes.len()).step_by(197) {
        fs::write(&file, &bytes[..n]).unwrap();
        refused(&file, Some(SMALL));
        let mut changed = bytes.clone();
        changed[n] ^= 0xFF;
        fs::write(&file, &changed).unwrap();
        // Read or refused, never a crash.
        if let Ok(report) = try_import(models.path(), &file, Some(SMALL)) {
            fs::remove_dir_all(report.folder).unwrap();
        }
    }
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
}
