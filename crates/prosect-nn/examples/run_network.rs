//! Runs a network on an array in a file of `NumPy`, or on a synthetic one, and says what it took:
//!
//! `run_network GRAPH WEIGHTS INPUT.npy|D0,D1,D2 [OUTPUT.npy] [--isa NAME] [--threads N] [--repeat N] [--max-bytes N]`
//!
//! Input and output are little-endian f32, `[channels][d0][d1][d2]`. Without an output file the planes of the output are looked
//! at and forgotten, as a caller does that needs no whole output. The comparison with other people's software calls it.
#![expect(clippy::print_stdout, reason = "a command-line program")]

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use prosect_nn::control::RunControl;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::{Network, OutputPlane};
use prosect_nn::plan::PlanOptions;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;

struct Arguments {
    paths: Vec<String>,
    isa: Isa,
    repeat: usize,
    options: PlanOptions,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = read_arguments()?;
    let (graph, weights, input, output) = match arguments.paths.as_slice() {
        [graph, weights, input] => (graph, weights, input, None),
        [graph, weights, input, output] => (graph, weights, input, Some(output)),
        _ => return Err("usage: run_network GRAPH WEIGHTS INPUT.npy|D0,D1,D2 [OUTPUT.npy] [--isa NAME] [--threads N] [--repeat N] [--max-bytes N]".into()),
    };
    let graph = Graph::from_json(&std::fs::read_to_string(graph)?)?;
    let input = match input
        .split(',')
        .map(str::parse)
        .collect::<Result<Vec<usize>, _>>()
    {
        Ok(shape) => synthetic(graph.input_channels(), &shape)?,
        Err(_) => read_npy(&std::fs::read(input)?)?,
    };
    let start = Instant::now();
    let network = Network::load(
        &graph,
        &Weights::from_vec(std::fs::read(weights)?)?,
        arguments.isa,
    )?;
    let load_seconds = start.elapsed().as_secs_f64();
    let plan = network.plan_within(input.shape(), &arguments.options)?;
    println!(
        "{}: {:?} -> {:?}, {:.1} GFLOP, plan {:.1} MB, weights {:.1} MB, loaded in {load_seconds:.2} s",
        arguments.isa,
        plan.input_shape(),
        plan.output_shape(),
        plan.flops() as f64 / 1e9,
        plan.peak_bytes() as f64 / 1e6,
        network.weight_bytes() as f64 / 1e6,
    );
    let mut workspace = network.workspace(&plan)?;
    let control = RunControl::with_threads(arguments.options.threads);
    let sum = AtomicU64::new(0);
    let take = |plane: OutputPlane<'_>| {
        let bits = plane.values.iter().fold(0u64, |sum, value| {
            sum.wrapping_add(u64::from(value.to_bits()))
        });
        sum.fetch_add(bits, Ordering::Relaxed);
    };
    for _ in 0..arguments.repeat {
        sum.store(0, Ordering::Relaxed);
        let start = Instant::now();
        network.run_planes(&plan, &mut workspace, input.values(), &take, &control)?;
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{seconds:.3} s, {:.0} GFLOP/s, sum of bits {:x}",
            plan.flops() as f64 / 1e9 / seconds,
            sum.load(Ordering::Relaxed)
        );
    }
    if let Some(kb) = peak_rss_kb() {
        println!(
            "peak resident memory of the process {:.1} MB",
            kb as f64 * 1.024e-3
        );
    }
    if let Some(output) = output {
        drop(workspace);
        std::fs::write(output, write_npy(&network.run(&plan, &input, &control)?))?;
    }
    Ok(())
}

fn read_arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut arguments = Arguments {
        paths: Vec::new(),
        isa: Isa::detect(),
        repeat: 1,
        options: PlanOptions::default(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--isa" => arguments.isa = value()?.parse()?,
            "--threads" => arguments.options.threads = value()?.parse()?,
            "--repeat" => arguments.repeat = value()?.parse()?,
            "--max-bytes" => arguments.options.max_bytes = Some(value()?.parse()?),
            _ => arguments.paths.push(word),
        }
    }
    Ok(arguments)
}

/// Values from -1 to 1 without a pattern.
fn synthetic(channels: usize, shape: &[usize]) -> Result<Tensor, Box<dyn Error>> {
    let &[d0, d1, d2] = shape else {
        return Err("a shape has three extents".into());
    };
    let mut seed = 1u64;
    let values = (0..channels * d0 * d1 * d2).map(|_| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    });
    Ok(Tensor::new(channels, [d0, d1, d2], values.collect())?)
}

/// Linux says how much memory the process held at most.
fn peak_rss_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Reads version 1 of the format, little-endian f32 in C order with four axes.
fn read_npy(bytes: &[u8]) -> Result<Tensor, Box<dyn Error>> {
    let header_len = match bytes {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, low, high, ..] => {
            usize::from(u16::from_le_bytes([*low, *high]))
        }
        _ => return Err("the input is not a NumPy file of version 1".into()),
    };
    let header = std::str::from_utf8(
        bytes
            .get(10..10 + header_len)
            .ok_or("the input ends early")?,
    )?;
    if !header.contains("'<f4'") || !header.contains("'fortran_order': False") {
        return Err(
            format!("the input must be little-endian f32 in C order, found {header}").into(),
        );
    }
    let shape = header
        .split(['(', ')'])
        .nth(1)
        .ok_or("the input's header has no shape")?;
    let shape = shape
        .split(',')
        .map(|extent| extent.trim().parse())
        .collect::<Result<Vec<usize>, _>>()?;
    let &[channels, d0, d1, d2] = shape.as_slice() else {
        return Err("the input must have four axes".into());
    };
    let values = bytes[10 + header_len..]
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    Ok(Tensor::new(channels, [d0, d1, d2], values)?)
}

fn write_npy(tensor: &Tensor) -> Vec<u8> {
    let [d0, d1, d2] = tensor.shape();
    let shape = format!("({}, {d0}, {d1}, {d2})", tensor.channels());
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    // The values begin at a multiple of 64 bytes, after a line feed.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', 1, 0];
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(format!("{header:<0$}\n", padded - 1).bytes());
    bytes.extend(tensor.values().iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
