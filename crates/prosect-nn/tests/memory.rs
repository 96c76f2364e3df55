//! The memory that a plan predicts is the memory that the process then has, seen from outside: within 5 %.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::process::Command;

use prosect_nn::control::RunControl;
use prosect_nn::graph::{ConvLayer, EpsilonPlace, Graph, GraphBuilder, Layer, Padding};
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::plan::PlanOptions;
use prosect_nn::weights::Weights;
use safetensors::tensor::{Dtype, TensorView};

const CHILD: &str = "PROSECT_NN_MEMORY_TEST_BYTES";
const SHAPE: [usize; 3] = [64, 96, 96];
/// What the process needs for threads and small things beside the plan.
const SLACK_BYTES: f64 = 2e6;

fn conv(
    name: &str,
    channels: [usize; 2],
    kernel: usize,
    tensors: &mut Vec<(String, Vec<usize>)>,
) -> Layer {
    let weight = format!("{name}.weight");
    let shape = vec![channels[1], channels[0], kernel, kernel, kernel];
    tensors.push((weight.clone(), shape));
    Layer::Conv(ConvLayer {
        channels,
        kernel: [kernel; 3],
        stride: [1; 3],
        dilation: [1; 3],
        groups: 1,
        padding: Padding::Same,
        weight,
        bias: None,
    })
}

/// Two convolutions, their results joined and reduced to three classes.
fn load() -> Network {
    let (mut graph, mut tensors) = (GraphBuilder::new("none", "image", 1), Vec::new());
    let norm = Layer::InstanceNorm {
        epsilon: 1e-5,
        epsilon_added_to: EpsilonPlace::Variance,
        weight: None,
        bias: None,
    };
    let relu = Layer::LeakyRelu { slope: 0.01 };
    let mut input = "image";
    for (name, normed, output, channels) in
        [("a", "a.n", "a.r", [1, 24]), ("b", "b.n", "b.r", [24, 24])]
    {
        graph
            .add(name, &[input], &conv(name, channels, 3, &mut tensors))
            .unwrap();
        graph.add(normed, &[name], &norm).unwrap();
        graph.add(output, &[normed], &relu).unwrap();
        input = output;
    }
    graph
        .add("join", &["b.r", "a.r"], &Layer::Concat {})
        .unwrap();
    graph
        .add("d", &["join"], &conv("d", [48, 24], 3, &mut tensors))
        .unwrap();
    graph
        .add("y", &["d"], &conv("y", [24, 3], 1, &mut tensors))
        .unwrap();
    let graph = Graph::from_json(&graph.to_json("y")).unwrap();
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| 0.01f32.to_le_bytes().repeat(shape.iter().product()))
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
        (
            name.as_str(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
        )
    });
    let file = safetensors::serialize(views, None).unwrap();
    Network::load(&graph, &Weights::from_vec(file).unwrap(), Isa::detect()).unwrap()
}

/// Linux says how much memory the process held at most.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kb: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kb * 1024)
}

/// The other side of the tests below: says what was predicted and by how much the process grew.
#[test]
fn child() {
    let Ok(max_bytes) = std::env::var(CHILD) else {
        return;
    };
    let input: Vec<f32> = (0..SHAPE.iter().product::<usize>())
        .map(|i| (i % 97) as f32)
        .collect();
    let before = peak_rss_bytes().unwrap();
    let network = load();
    let options = PlanOptions {
        threads: 2,
        max_bytes: Some(max_bytes.parse().unwrap()),
    };
    let plan = network.plan_within(SHAPE, &options).unwrap();
    let mut workspace = network.workspace(&plan).unwrap();
    for _ in 0..2 {
        let control = RunControl::with_threads(2);
        network
            .run_planes(&plan, &mut workspace, &input, &|_| {}, &control)
            .unwrap();
    }
    let grown = peak_rss_bytes().unwrap() - before;
    println!(
        "\nmeasured {} {grown}",
        plan.peak_bytes() + network.weight_bytes()
    );
}

fn check(max_bytes: u64) {
    if peak_rss_bytes().is_none() {
        println!("skipped: this system does not say how much memory a process held");
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
        .env(CHILD, max_bytes.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("measured "));
    let numbers: Vec<f64> = line
        .unwrap()
        .split(' ')
        .map(|word| word.parse().unwrap())
        .collect();
    let [predicted, measured] = numbers[..] else {
        unreachable!("the child writes two numbers")
    };
    assert!(
        (measured - predicted).abs() < 0.05 * predicted + SLACK_BYTES,
        "predicted {predicted} bytes, the process grew by {measured}"
    );
}

#[test]
fn the_process_needs_what_the_plan_says() {
    check(u64::MAX);
}

#[test]
fn the_process_needs_what_the_smallest_plan_says() {
    let network = load();
    let mut plan = network
        .plan_within(
            SHAPE,
            &PlanOptions {
                threads: 2,
                max_bytes: None,
            },
        )
        .unwrap();
    let fast = plan.peak_bytes();
    loop {
        let options = PlanOptions {
            threads: 2,
            max_bytes: Some(plan.peak_bytes() - 1),
        };
        match network.plan_within(SHAPE, &options) {
            Ok(smaller) => plan = smaller,
            Err(_) => break,
        }
    }
    assert!(
        plan.peak_bytes() < fast * 9 / 10,
        "{} is not less than {fast}",
        plan.peak_bytes()
    );
    check(plan.peak_bytes());
}
