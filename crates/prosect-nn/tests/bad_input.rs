//! Broken, hostile and mismatched input: an error of the right class, never a panic, never an allocation by a declared length.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use prosect_nn::control::RunControl;
use prosect_nn::error::{FaultClass, NetworkError};
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;
use safetensors::tensor::{Dtype, TensorView};

const GRAPH: &str = r#"{"format": "prosect-network", "format_version": 1, "axes": "none",
    "input": {"name": "image", "channels": 1}, "output": "y", "nodes": [
    {"name": "c", "op": "conv", "input": "image", "channels": [1, 2], "kernel": [3, 1, 1], "padding": "same", "weight": "c.weight", "bias": "c.bias"},
    {"name": "y", "op": "max_pool", "input": "c", "window": [2, 2, 2], "stride": [2, 2, 2]}]}"#;

fn file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (
            *name,
            TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

fn good_file() -> Vec<u8> {
    file(&[
        ("c.weight", &[2, 1, 3, 1, 1], &[1.0; 6]),
        ("c.bias", &[2], &[0.0; 2]),
    ])
}

fn load(bytes: &[u8]) -> Result<Network, NetworkError> {
    Network::load(
        &Graph::from_json(GRAPH)?,
        &Weights::from_safetensors(bytes)?,
        Isa::detect(),
    )
}

fn check<T>(result: Result<T, NetworkError>, class: FaultClass, words: &str) {
    let Err(error) = result else {
        panic!("{words}: was accepted")
    };
    let message = error.to_string();
    assert_eq!(error.class(), class, "{message}");
    assert!(
        message.contains(words),
        "{message:?} does not say {words:?}"
    );
}

#[test]
fn every_truncation_of_the_weights_is_malformed() {
    let bytes = good_file();
    load(&bytes).unwrap();
    for len in 0..bytes.len() {
        check(
            Weights::from_safetensors(&bytes[..len]),
            FaultClass::Malformed,
            "not valid safetensors",
        );
    }
}

#[test]
fn every_changed_byte_is_read_or_refused_but_never_panics() {
    let bytes = good_file();
    for position in 0..bytes.len() {
        for change in [0x01, 0x20, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[position] ^= change;
            if let Ok(network) = load(&changed) {
                let plan = network.plan([2, 2, 2]).unwrap();
                let input = Tensor::new(1, [2, 2, 2], vec![1.0; 8]).unwrap();
                let _ = network.run(&plan, &input, &RunControl::with_threads(1));
            }
        }
    }
}

#[test]
fn a_declared_length_allocates_nothing() {
    // A header of 2^60 bytes, and a tensor of 2^60 bytes in a file of 200.
    let mut huge_header = (1u64 << 60).to_le_bytes().to_vec();
    huge_header.extend([b'{'; 64]);
    check(
        Weights::from_safetensors(&huge_header),
        FaultClass::Malformed,
        "not valid safetensors",
    );
    let header = br#"{"c.weight":{"dtype":"F32","shape":[288230376151711744],"data_offsets":[0,1152921504606846976]}}"#;
    let mut huge_tensor = (header.len() as u64).to_le_bytes().to_vec();
    huge_tensor.extend(header);
    huge_tensor.extend([0; 64]);
    check(
        Weights::from_safetensors(&huge_tensor),
        FaultClass::Malformed,
        "not valid safetensors",
    );
}

#[test]
fn weights_that_do_not_fit_the_graph_are_refused() {
    let (weight, bias): ((&str, &[usize], &[f32]), _) = (
        ("c.weight", &[2, 1, 3, 1, 1], &[1.0; 6]),
        ("c.bias", &[2usize] as &[usize], &[0.0f32; 2] as &[f32]),
    );
    let cases: [(Vec<u8>, FaultClass, &str); 6] = [
        (
            file(&[weight]),
            FaultClass::Inconsistent,
            "tensor c.bias: the graph needs it",
        ),
        (
            file(&[weight, bias, ("other", &[1], &[0.0])]),
            FaultClass::Inconsistent,
            "tensor other: the graph does not use it",
        ),
        (
            file(&[("c.weight", &[2, 1, 1, 1, 3], &[1.0; 6]), bias]),
            FaultClass::Inconsistent,
            "has shape [2, 1, 1, 1, 3]",
        ),
        (
            file(&[weight, ("c.bias", &[1, 2], &[0.0; 2])]),
            FaultClass::Inconsistent,
            "the graph needs [2]",
        ),
        (
            file(&[weight, ("c.bias", &[2], &[0.0, f32::NAN])]),
            FaultClass::Malformed,
            "c.bias holds a value that is not finite",
        ),
        (
            file(&[weight, ("c.bias", &[2], &[0.0, f32::INFINITY])]),
            FaultClass::Malformed,
            "not finite",
        ),
    ];
    for (bytes, class, words) in cases {
        check(load(&bytes), class, words);
    }
}

#[test]
fn other_element_types_are_unsupported() {
    let data = [0u8; 2];
    let view = TensorView::new(Dtype::F16, vec![1], &data).unwrap();
    let bytes = safetensors::serialize([("c.weight", view)], None).unwrap();
    check(
        Weights::from_safetensors(&bytes),
        FaultClass::Unsupported,
        "only f32 is supported",
    );
}

#[test]
fn inputs_that_do_not_fit_the_plan_are_refused() {
    let network = load(&good_file()).unwrap();
    let control = RunControl::with_threads(1);
    let plan = network.plan([4, 4, 2]).unwrap();
    let run = |input: &Tensor| network.run(&plan, input, &control);
    let fine = Tensor::new(1, [4, 4, 2], vec![0.5; 32]).unwrap();
    assert_eq!(run(&fine).unwrap().shape(), [2, 2, 1]);
    check(
        network.plan([4, 4, 3]),
        FaultClass::Inconsistent,
        "multiples of [2, 2, 2]",
    );
    check(
        network.plan([0, 4, 2]),
        FaultClass::Inconsistent,
        "each extent must be",
    );
    check(
        network.plan([65_536, 4, 2]),
        FaultClass::Inconsistent,
        "each extent must be",
    );
    check(
        Tensor::new(1, [4, 4, 2], vec![0.0; 31]),
        FaultClass::Inconsistent,
        "do not make 31 values",
    );
    check(
        Tensor::new(usize::MAX, [2, 4, 2], vec![]),
        FaultClass::Inconsistent,
        "do not make 0 values",
    );
    check(
        run(&Tensor::new(1, [4, 2, 4], vec![0.5; 32]).unwrap()),
        FaultClass::Inconsistent,
        "the plan is for 1 of [4, 4, 2]",
    );
    check(
        run(&Tensor::new(2, [4, 4, 2], vec![0.5; 64]).unwrap()),
        FaultClass::Inconsistent,
        "has 2 channels",
    );
    let mut values = vec![0.5; 32];
    values[17] = f32::NAN;
    check(
        run(&Tensor::new(1, [4, 4, 2], values).unwrap()),
        FaultClass::Inconsistent,
        "not finite",
    );
    // Finite weights and input whose products are not.
    let largest = Tensor::new(1, [4, 4, 2], vec![f32::MAX; 32]).unwrap();
    check(
        run(&largest),
        FaultClass::Inconsistent,
        "output holds a value that is not finite",
    );
}

#[test]
fn a_plan_of_another_network_is_refused() {
    let (one, other) = (load(&good_file()).unwrap(), load(&good_file()).unwrap());
    let plan = other.plan([2, 2, 2]).unwrap();
    let input = Tensor::new(1, [2, 2, 2], vec![0.0; 8]).unwrap();
    check(
        one.run(&plan, &input, &RunControl::with_threads(1)),
        FaultClass::Inconsistent,
        "made by another network",
    );
}

#[test]
fn memory_that_cannot_be_had_is_a_limit() {
    let network = load(&good_file()).unwrap();
    // 65,534 cubed voxels pass 2^50 bytes: no machine of the field has that, and nothing was allocated to find out.
    match network.plan([65_534; 3]) {
        Err(error) => assert_eq!(error.class(), FaultClass::Limit, "{error}"),
        Ok(plan) => assert!(
            plan.peak_bytes() > 1 << 50,
            "the plan says {} bytes",
            plan.peak_bytes()
        ),
    }
}
