//! The shipped liver network against ONNX Runtime, by a stored result on a synthetic input (see `golden/make_liver_golden.py`).
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;

use prosect_nn::control::RunControl;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;

const SHAPE: [usize; 3] = [81, 54, 54];
/// The promise of the project. Measured: 2.7e-5, most of it from the f32 sums of the other side.
const TOLERANCE: f32 = 1e-4;

fn load(isa: Isa) -> Network {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/liver-ct");
    let graph =
        Graph::from_json(&std::fs::read_to_string(folder.join("network.json")).unwrap()).unwrap();
    let weights =
        Weights::from_safetensors(&std::fs::read(folder.join("weights.safetensors")).unwrap())
            .unwrap();
    Network::load(&graph, &weights, isa).unwrap()
}

/// `synthetic_image` of models/liver-ct/convert.py, along axis 0 from the other end if `mirrored`.
fn synthetic_input(mirrored: bool) -> Tensor {
    let mut values = Vec::new();
    for row in 0..SHAPE[0] {
        let i = if mirrored { SHAPE[0] - 1 - row } else { row };
        for j in 0..SHAPE[1] {
            for k in 0..SHAPE[2] {
                let (x, y, z) = (i as f64, j as f64, k as f64);
                let value = 0.5 * (0.11 * x + 0.23 * y).sin() * (0.17 * z - 0.05 * x).cos();
                values.push(if i < 3 || j >= SHAPE[1] - 2 {
                    0.0
                } else {
                    value as f32
                });
            }
        }
    }
    Tensor::new(1, SHAPE, values).unwrap()
}

fn largest_difference(ours: &[f32]) -> f32 {
    let bytes = include_bytes!("golden/liver_81x54x54.safetensors");
    let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
    let golden = file.tensor("probability").unwrap();
    assert_eq!(
        golden.data().len(),
        ours.len() * 4,
        "the stored result has another size"
    );
    let theirs = golden
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| (ours - theirs).abs())
        .fold(0.0, f32::max)
}

#[test]
fn liver_network_agrees_with_onnx_runtime_on_every_instruction_set() {
    for isa in Isa::available() {
        let network = load(isa);
        let plan = network.plan(SHAPE).unwrap();
        let output = network
            .run(&plan, &synthetic_input(false), &RunControl::with_threads(2))
            .unwrap();
        assert_eq!(output.shape(), [55, 28, 28]);
        let difference = largest_difference(output.values());
        assert!(
            difference < TOLERANCE,
            "{isa}: probabilities differ by up to {difference}"
        );
    }
}

#[test]
fn a_mirrored_input_is_told_apart() {
    let network = load(Isa::detect());
    let plan = network.plan(SHAPE).unwrap();
    let output = network
        .run(&plan, &synthetic_input(true), &RunControl::with_threads(2))
        .unwrap();
    assert!(
        largest_difference(output.values()) > 0.1,
        "the comparison would not see a mirrored axis"
    );
}

#[test]
fn liver_network_fits_its_memory_and_size_promises() {
    let network = load(Isa::Portable);
    let graph = network.graph();
    assert_eq!(graph.size_multiple(), [27, 27, 27]);
    assert_eq!(graph.margin(), Some([13, 13, 13]));
    assert_eq!(
        graph.output_shape([189, 162, 162]).unwrap(),
        [163, 136, 136]
    );
    let plan = network.plan([189, 162, 162]).unwrap();
    // 1,541 MB when written: the two halves of the last concat and the convolution that reads it, and the rows' statistics.
    assert!(
        plan.peak_bytes() < 1_560_000_000,
        "the plan needs {} bytes",
        plan.peak_bytes()
    );
    assert_eq!(plan.flops() / 1_000_000_000, 925);
}
