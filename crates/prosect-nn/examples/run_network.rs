//! Runs a network on an array in a file of `NumPy`: `run_network GRAPH WEIGHTS INPUT.npy OUTPUT.npy [--isa NAME] [--threads N] [--repeat N]`.
//!
//! Input and output are little-endian f32, `[channels][d0][d1][d2]`. The comparison with other people's software calls it.
#![expect(clippy::print_stdout, reason = "a command-line program")]

use std::error::Error;
use std::time::Instant;

use prosect_nn::control::RunControl;
use prosect_nn::graph::Graph;
use prosect_nn::isa::Isa;
use prosect_nn::network::Network;
use prosect_nn::tensor::Tensor;
use prosect_nn::weights::Weights;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut paths, mut isa, mut threads, mut repeat) = (Vec::new(), Isa::detect(), 0, 1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--isa" => isa = value()?.parse()?,
            "--threads" => threads = value()?.parse()?,
            "--repeat" => repeat = value()?.parse()?,
            _ => paths.push(argument),
        }
    }
    let [graph, weights, input, output] = paths.as_slice() else {
        return Err("usage: run_network GRAPH WEIGHTS INPUT.npy OUTPUT.npy [--isa NAME] [--threads N] [--repeat N]".into());
    };
    let graph = Graph::from_json(&std::fs::read_to_string(graph)?)?;
    let network = Network::load(
        &graph,
        &Weights::from_safetensors(&std::fs::read(weights)?)?,
        isa,
    )?;
    let input = read_npy(&std::fs::read(input)?)?;
    let plan = network.plan(input.shape())?;
    println!(
        "{isa}: {:?} -> {:?}, {:.1} GFLOP, {:.0} MB",
        plan.input_shape(),
        plan.output_shape(),
        plan.flops() as f64 / 1e9,
        plan.peak_bytes() as f64 / 1e6
    );
    let mut result = None;
    for _ in 0..repeat {
        let start = Instant::now();
        result = Some(network.run(&plan, &input, &RunControl::with_threads(threads))?);
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{seconds:.3} s, {:.0} GFLOP/s",
            plan.flops() as f64 / 1e9 / seconds
        );
    }
    let result = result.ok_or("--repeat must be at least 1")?;
    std::fs::write(output, write_npy(&result))?;
    Ok(())
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
