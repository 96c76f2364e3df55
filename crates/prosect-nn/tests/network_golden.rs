//! Small networks of every supported kind against `PyTorch`, by stored results (see `golden/make_network_goldens.py`); any number
//! of threads, any memory and a used workspace give the same bits.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::sync::Mutex;

use prosect_nn::control::RunControl;
use prosect_nn::error::FaultClass;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::{Network, Workspace};
use prosect_nn::plan::{Plan, PlanOptions};
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Against `PyTorch` in f64; the project promises 1e-5.
const TOLERANCE: f32 = 1e-5;

struct Case {
    graph: Graph,
    weights: Weights,
    input: Tensor,
    output: Tensor,
}

fn load(name: &str) -> Case {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |name: &str| {
        let view = file.tensor(name).unwrap();
        let values = view.data().chunks_exact(4);
        let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let &[channels, d0, d1, d2] = view.shape() else {
            unreachable!("the script stores four axes")
        };
        Tensor::new(channels, [d0, d1, d2], values.collect()).unwrap()
    };
    let weights: Vec<(String, TensorView<'_>)> = file
        .tensors()
        .into_iter()
        .filter(|(name, _)| name != "input" && name != "output")
        .map(|(name, view)| {
            let view = TensorView::new(Dtype::F32, view.shape().to_vec(), view.data()).unwrap();
            (name, view)
        })
        .collect();
    Case {
        graph: Graph::from_json(&text).unwrap(),
        weights: Weights::from_vec(safetensors::serialize(weights, None).unwrap()).unwrap(),
        input: tensor("input"),
        output: tensor("output"),
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// All planes, in order.
fn run_planes(
    network: &Network,
    plan: &Plan,
    workspace: &mut Workspace,
    input: &[f32],
    threads: usize,
) -> Vec<f32> {
    let planes = Mutex::new(vec![None; plan.output_shape()[0]]);
    let take = |plane: prosect_nn::network::OutputPlane<'_>| {
        let before = planes.lock().unwrap()[plane.d0].replace(plane.values.to_vec());
        assert!(before.is_none(), "plane {} came twice", plane.d0);
    };
    let control = RunControl::with_threads(threads);
    network
        .run_planes(plan, workspace, input, &take, &control)
        .unwrap();
    let planes = planes.into_inner().unwrap();
    planes.into_iter().flat_map(Option::unwrap).collect()
}

fn check(name: &str) {
    let case = load(name);
    for isa in Isa::available() {
        let network = Network::load(&case.graph, &case.weights, isa).unwrap();
        let shape = case.input.shape();
        let plan = network.plan(shape).unwrap();
        let control = RunControl::with_threads(1);
        let ours = network.run(&plan, &case.input, &control).unwrap();
        assert_eq!(ours.shape(), case.output.shape(), "{name}");
        assert_eq!(ours.channels(), case.output.channels(), "{name}");
        let differences = ours.values().iter().zip(case.output.values());
        let largest = differences.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < TOLERANCE, "{name}, {isa}: differs by {largest}");
        check_bits(name, &network, &case.input, ours.values());
    }
}

/// Threads, memory bounds and a workspace that was used before change no bit. Returns the schedules' needs, in bytes.
fn check_bits(name: &str, network: &Network, input: &Tensor, ours: &[f32]) -> Vec<u64> {
    let (shape, threads) = (input.shape(), 3);
    let plan_within = |max_bytes| network.plan_within(shape, &PlanOptions { threads, max_bytes });
    let mut needs = Vec::new();
    let mut planes: Option<Vec<u32>> = None;
    let mut max_bytes = None;
    let refusal = loop {
        let plan = match plan_within(max_bytes) {
            Ok(plan) => plan,
            Err(error) => break error,
        };
        assert!(max_bytes.is_none_or(|most| plan.peak_bytes() <= most));
        let mut workspace = network.workspace(&plan).unwrap();
        for threads in [1, 2, 3, 1] {
            let values = run_planes(network, &plan, &mut workspace, input.values(), threads);
            let values = bits(&values);
            let first = planes.get_or_insert_with(|| values.clone());
            assert!(
                *first == values,
                "{name}: {threads} threads within {max_bytes:?} bytes give other bits"
            );
        }
        needs.push(plan.peak_bytes());
        max_bytes = Some(plan.peak_bytes() - 1);
    };
    assert_eq!(refusal.class(), FaultClass::Limit, "{name}: {refusal}");
    let least = needs.last().unwrap().to_string();
    assert!(refusal.to_string().contains(&least), "{name}: {refusal}");
    let plan = plan_within(None).unwrap();
    for threads in [2, 3] {
        let control = RunControl::with_threads(threads);
        let again = network.run(&plan, input, &control).unwrap();
        assert!(bits(again.values()) == bits(ours), "{name}: {threads}");
    }
    needs
}

/// Inputs deep enough that convolutions write over what they read.
#[test]
fn less_memory_gives_the_same_bits() {
    for (name, shape, share) in [
        ("plain", [40, 16, 20], 0.9),
        ("mesh_relu", [48, 11, 13], 0.95),
        ("plain_odd_channels", [52, 6, 10], 1.0),
        ("residual", [38, 8, 12], 1.0),
    ] {
        let case = load(name);
        let mut seed = 7u64;
        let len = case.input.channels() * shape.iter().product::<usize>();
        let values = (0..len).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        });
        let input = Tensor::new(case.input.channels(), shape, values.collect()).unwrap();
        for isa in Isa::available() {
            let network = Network::load(&case.graph, &case.weights, isa).unwrap();
            let plan = network.plan(shape).unwrap();
            let control = RunControl::with_threads(1);
            let ours = network.run(&plan, &input, &control).unwrap();
            let needs = check_bits(name, &network, &input, ours.values());
            let saved = needs[needs.len() - 1] as f64 / needs[0] as f64;
            assert!(saved < share, "{name}, {isa}: schedules need {needs:?}");
        }
    }
}

#[test]
fn plain_u_nets() {
    check("plain");
    check("plain_odd_channels");
}

#[test]
fn residual_u_nets() {
    check("residual");
}

#[test]
fn mesh_nets() {
    check("mesh_relu");
    check("mesh_elu");
    check("mesh_gelu");
}

#[test]
fn resampling_and_odd_kernels() {
    check("resampling");
}
