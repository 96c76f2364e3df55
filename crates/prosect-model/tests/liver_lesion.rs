//! The shipped liver-lesion model: its network against the f64 evaluation of `convert.py`, and its
//! whole way on a scan of the shared test data: `PROSECT_SHARED` says where it lies.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first thing that is wrong, and says what it skips"
)]

use std::path::PathBuf;

use prosect_base::{Cancel, Limits, Silent};
use prosect_formats::nifti;
use prosect_model::{ModelOutput, ModelStore, SegmentOptions, segment};
use prosect_nn::control::RunControl;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;
use prosect_volume::{Volume, VoxelIndex};

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

/// `synthetic_image` of models/liver-lesion-ct/convert.py.
fn synthetic_input(shape: [usize; 3]) -> Tensor {
    let mut values = Vec::new();
    for i in 0..shape[0] {
        for j in 0..shape[1] {
            for k in 0..shape[2] {
                let (x, y, z) = (i as f64, j as f64, k as f64);
                let value = 0.5 * (0.11 * x + 0.23 * y).sin() * (0.17 * z - 0.05 * x).cos();
                let inside = i >= 3 && j + 2 < shape[1];
                values.push(if inside { value as f32 } else { 0.0 });
            }
        }
    }
    Tensor::new(1, shape, values).unwrap()
}

#[test]
fn the_network_answers_as_in_double_precision() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/liver-lesion-ct");
    let text = std::fs::read_to_string(folder.join("network.json")).unwrap();
    let bytes = std::fs::read(folder.join("weights.safetensors")).unwrap();
    let graph = Graph::from_json(&text).unwrap();
    let weights = Weights::from_safetensors(&bytes).unwrap();
    assert_eq!(graph.margin(), Some([44, 44, 22]));
    assert_eq!(graph.output_shape([180, 172, 86]).unwrap(), [92, 84, 42]);
    let expected: Vec<f32> = include_bytes!("liver_lesion_synthetic.f32")
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    for isa in [Isa::Portable, Isa::detect()] {
        let network = Network::load(&graph, &weights, isa).unwrap();
        let plan = network.plan([100, 92, 54]).unwrap();
        let input = synthetic_input([100, 92, 54]);
        let output = network
            .run(&plan, &input, &RunControl::with_threads(2))
            .unwrap();
        assert_eq!(
            (output.shape(), output.values().len()),
            ([12, 4, 10], expected.len())
        );
        let most = (output.values().iter().zip(&expected))
            .fold(0.0_f32, |most, (o, e)| most.max((o - e).abs()));
        println!("{}: largest difference {most:e}", isa.name());
        // The promise of the project; ONNX Runtime in f32 has 2e-5 here, Keras 7e-4.
        assert!(most <= 1e-4, "{}: {most}", isa.name());
    }
}

fn run(model: &str, image: &Volume<f32>, within: Option<&Volume<bool>>) -> ModelOutput {
    let model = ModelStore::open(None).load(model).unwrap();
    let options = SegmentOptions {
        within,
        ..SegmentOptions::default()
    };
    segment(&model, image, "CT", &options, &Silent, &Cancel::new()).unwrap()
}

/// The voxels of the first structure on the image's grid.
fn mask(image: &Volume<f32>, output: &ModelOutput) -> Volume<bool> {
    let mut mask = Volume::filled(image.grid().clone(), false);
    for found in output.structures() {
        let (start, [ni, nj, _]) = (found.region.start, found.region.shape());
        for (n, p) in found.probability.values().iter().enumerate() {
            let offset = image.grid().offset(VoxelIndex {
                i: start[0] + n % ni,
                j: start[1] + n / ni % nj,
                k: start[2] + n / ni / nj,
            });
            mask.values_mut()[offset] = *p >= 0.5;
        }
    }
    mask
}

fn codes(output: &ModelOutput) -> Vec<&str> {
    output.findings.iter().map(|f| f.code).collect()
}

#[test]
fn lesions_lie_in_the_liver_and_without_a_liver_nothing_is_said() {
    let Some(file) = shared("totalsegmentator-reference/example_ct.nii.gz") else {
        return;
    };
    let image = nifti::read(&file, &Limits::default()).unwrap().volume;
    let none = run("liver-lesion-ct", &image, None);
    assert_eq!(codes(&none), ["no_organ"]);
    assert!(none.structures().is_empty());
    assert!(none.confidence.values().iter().all(|v| *v == 0));

    let liver = mask(&image, &run("liver-ct", &image, None));
    let output = run("liver-lesion-ct", &image, Some(&liver));
    let lesion = mask(&image, &output);
    let count = |m: &Volume<bool>| m.values().iter().filter(|v| **v).count();
    let (n_liver, n_lesion) = (count(&liver), count(&lesion));
    println!("{n_lesion} of {n_liver} voxels; {:?}", output.parameters);
    assert_eq!(codes(&output)[0], "experimental_model");
    // Two steps on the network's 1 x 1 x 3 mm are one voxel of 3 mm here, two upwards.
    let near = prosect_volume::dilate(&liver, prosect_volume::Connectivity::Edges);
    let near = prosect_volume::dilate(&near, prosect_volume::Connectivity::Edges);
    assert!(
        lesion
            .values()
            .iter()
            .zip(near.values())
            .all(|(l, n)| !l || *n)
    );
    assert!(n_lesion * 2 < n_liver);
    // Asked everywhere in the liver.
    let asked = liver.values().iter().zip(output.confidence.values());
    let unasked = asked
        .filter(|(inside, sure)| **inside && **sure == 0)
        .count();
    assert!(
        unasked * 200 < n_liver,
        "{unasked} voxels of the liver were not asked about"
    );
}
