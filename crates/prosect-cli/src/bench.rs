//! `prosect bench`: how fast a model's network runs on this machine, and in how much memory.
//!
//! It times the network alone, on made-up values of one patch: no image is read, nothing is
//! written. The output is handed over plane by plane, as a segmentation takes it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use prosect::model::{Model, ModelStore, Recipe};
use prosect::nn::control::RunControl;
use prosect::nn::error::NetworkError;
use prosect::nn::isa::Isa;
use prosect::nn::network::Network;
use prosect::nn::plan::PlanOptions;
use serde_json::json;

use crate::Done;
use crate::console::{Session, print, print_json};
use crate::failure::Failure;
use crate::models;

/// `prosect bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to time.
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// What can be timed.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Time a model's network on one patch of made-up values
    Network(BenchNetwork),
}

impl Bench {
    /// Threads asked for, if any.
    pub(crate) fn threads(&self) -> Option<usize> {
        let BenchCommand::Network(network) = &self.command;
        network.threads
    }

    /// Whether stdout carries JSON.
    pub(crate) fn json(&self) -> bool {
        let BenchCommand::Network(network) = &self.command;
        network.json
    }
}

/// `prosect bench network`
#[derive(Debug, Args)]
pub(crate) struct BenchNetwork {
    /// The model's name, or its folder
    #[arg(long, value_name = "NAME|FOLDER", help_heading = "Model")]
    model: String,
    /// Take this part of a model of several networks [default: the first]
    #[arg(long, value_name = "ID", help_heading = "Model")]
    part: Option<String>,
    /// Voxels of the patch along the network's three axes, as its plans write them [default: the model's own]
    #[arg(long, value_name = "X,Y,Z", value_parser = extents, help_heading = "Input")]
    patch: Option<[usize; 3]>,
    /// Run it this many times, after one run that is not counted
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1000), help_heading = "Performance")]
    runs: usize,
    /// Use this many threads [default: as many as the machine has]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024), help_heading = "Performance")]
    threads: Option<usize>,
    /// Use this instruction set: portable, avx2 or avx512 [default: the best of this machine]
    #[arg(long, value_name = "NAME", help_heading = "Performance")]
    isa: Option<Isa>,
    /// Let the run allocate at most this many mebibytes
    #[arg(long, value_name = "MIB", help_heading = "Performance")]
    max_ram_mib: Option<u64>,
    /// Look for installed models here [default: models in PROSECT_HOME, else the user's data folder]
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    models: Option<PathBuf>,
    /// Print the result as JSON on stdout
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Times what was asked for.
pub(crate) fn run(arguments: &Bench, session: &Session) -> Result<Done, Failure> {
    let BenchCommand::Network(arguments) = &arguments.command;
    let model = load(arguments)?;
    let subject = subject(&model, arguments.part.as_deref())?;
    let isa = arguments.isa.unwrap_or_else(Isa::detect);
    let network = model.load_network(&subject.network, &subject.weights, Some(isa))?;
    let patch = arguments.patch.unwrap_or(subject.patch);
    let measured = measure(&network, patch, arguments, session)?;

    let gflops = measured.flops as f64 / 1e9 / measured.seconds_median;
    if arguments.json {
        print_json(&json!({
            "model": model.manifest().name,
            "part": subject.part,
            "patch": patch,
            "threads": session.threads,
            "runs": arguments.runs,
            "isa": isa.name(),
            "seconds_median": measured.seconds_median,
            "seconds_min": measured.seconds_min,
            "cpu_seconds_median": measured.cpu_seconds_median,
            "gflops": gflops,
            "flops": measured.flops,
            "predicted_peak_bytes": measured.predicted_peak_bytes,
            "peak_rss_bytes": measured.peak_rss_bytes,
        }))?;
    } else {
        let [a, b, c] = patch;
        let peak = measured.peak_rss_bytes.map_or_else(
            || "not known here".to_owned(),
            |bytes| format!("{:.0} MiB", mebibytes(bytes)),
        );
        print(&format!(
            "{} {}: {a} x {b} x {c} voxels, {} threads, {}\n\
             time           {:.3} s (median of {}), {:.3} s (least)\n\
             speed          {gflops:.0} GFLOP/s of direct convolution\n\
             peak memory    {peak}, predicted {:.0} MiB\n",
            model.manifest().name,
            subject.part,
            session.threads,
            isa.name(),
            measured.seconds_median,
            arguments.runs,
            measured.seconds_min,
            mebibytes(measured.predicted_peak_bytes),
        ))?;
    }
    Ok(Done::Clean)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The model of that name, or the one in that folder.
fn load(arguments: &BenchNetwork) -> Result<Model, Failure> {
    let path = Path::new(&arguments.model);
    let is_folder = path.join("model.toml").is_file();
    if let (true, Ok(path)) = (is_folder, path.canonicalize())
        && let (Some(parent), Some(name)) = (path.parent(), path.file_name())
    {
        let store = ModelStore::open(Some(parent));
        return Ok(store.load(&name.to_string_lossy())?);
    }
    let store = ModelStore::open(models::folder(arguments.models.as_deref()).as_deref());
    Ok(store.load(&arguments.model)?)
}

/// One network of a model.
struct Subject {
    part: String,
    network: prosect::model::FileRef,
    weights: prosect::model::FileRef,
    patch: [usize; 3],
}

fn subject(model: &Model, part: Option<&str>) -> Result<Subject, Failure> {
    let only = |network: &_, weights: &_, patch| {
        vec![Subject {
            part: "main".to_owned(),
            network: Clone::clone(network),
            weights: Clone::clone(weights),
            patch,
        }]
    };
    let subjects = match &model.manifest().recipe {
        Recipe::Liver(recipe) => only(&recipe.network, &recipe.weights, recipe.grid.input_shape),
        Recipe::LiverLesion(recipe) => only(&recipe.network, &recipe.weights, recipe.input_shape),
        Recipe::MeshNet(recipe) => only(&recipe.network, &recipe.weights, [recipe.edge; 3]),
        Recipe::NnUnet(recipe) => (recipe.parts.iter())
            .filter_map(|part| {
                Some(Subject {
                    part: part.id.clone(),
                    network: part.network.clone(),
                    weights: part.folds.first()?.clone(),
                    patch: part.patch_size,
                })
            })
            .collect(),
    };
    let names: Vec<&str> = subjects.iter().map(|s| s.part.as_str()).collect();
    let hint = format!("its parts are {}", names.join(", "));
    let wanted = part
        .unwrap_or(names.first().copied().unwrap_or_default())
        .to_owned();
    subjects
        .into_iter()
        .find(|s| s.part == wanted)
        .ok_or_else(|| {
            let name = &model.manifest().name;
            Failure::request(format!("the model {name} has no part {wanted:?}"), &hint)
        })
}

/// What came out.
struct Measured {
    seconds_median: f64,
    seconds_min: f64,
    /// Of all threads together; `None` where the system does not tell.
    cpu_seconds_median: Option<f64>,
    flops: u64,
    predicted_peak_bytes: u64,
    peak_rss_bytes: Option<u64>,
}

fn measure(
    network: &Network,
    patch: [usize; 3],
    arguments: &BenchNetwork,
    session: &Session,
) -> Result<Measured, Failure> {
    let options = PlanOptions {
        threads: session.threads,
        max_bytes: arguments.max_ram_mib.map(|mebibytes| mebibytes << 20),
    };
    let plan = network.plan_within(patch, &options).map_err(refused)?;
    let input = values(network.graph().input_channels() * patch.iter().product::<usize>());
    // What is resident by now (the program, the weights, the input) stays while the network runs.
    let resident =
        status_bytes("VmRSS:").unwrap_or(network.weight_bytes() + 4 * input.len() as u64);
    let predicted_peak_bytes = resident + plan.peak_bytes();

    let mut workspace = network.workspace(&plan).map_err(refused)?;
    let control = RunControl::with_threads(session.threads);
    let mut seconds = Vec::with_capacity(arguments.runs);
    let mut cpu_seconds = Vec::with_capacity(arguments.runs);
    for run in 0..=arguments.runs {
        if session.cancel.is_requested() {
            return Err(Failure::request("canceled".to_owned(), "run it again"));
        }
        let (start, cpu_start) = (Instant::now(), cpu_seconds_so_far());
        network
            .run_planes(&plan, &mut workspace, &input, &|_plane| {}, &control)
            .map_err(refused)?;
        if run > 0 {
            seconds.push(start.elapsed().as_secs_f64());
            cpu_seconds.extend(
                cpu_start
                    .zip(cpu_seconds_so_far())
                    .map(|(from, to)| to - from),
            );
        }
    }
    seconds.sort_by(f64::total_cmp);
    cpu_seconds.sort_by(f64::total_cmp);
    Ok(Measured {
        seconds_median: median(&seconds),
        seconds_min: seconds.first().copied().unwrap_or_default(),
        cpu_seconds_median: (!cpu_seconds.is_empty()).then(|| median(&cpu_seconds)),
        flops: plan.flops(),
        predicted_peak_bytes,
        peak_rss_bytes: status_bytes("VmHWM:"),
    })
}

fn refused(error: NetworkError) -> Failure {
    Failure::request(
        error.to_string(),
        "choose another --patch or more memory; `prosect models info` shows the model's own patch",
    )
}

/// The middle of sorted values, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle))
    }
}

/// Values that look like a normalized image, the same on every machine.
fn values(n: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        // Knuth's MMIX generator; the upper bits are the random ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..n).map(|_| 1.7 * next()).collect()
}

/// A line of what Linux tells about this process, in bytes; `None` elsewhere.
fn status_bytes(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// CPU seconds of all threads of this process, to a hundredth; `None` elsewhere than on Linux.
fn cpu_seconds_so_far() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // proc(5): after the name in parentheses, fields 12 and 13 count user and system time in
    // ticks, of which Linux tells 100 a second whatever the kernel's own clock does.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / 100.0)
}

/// Reads `128,128,128`.
fn extents(text: &str) -> Result<[usize; 3], String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|word| word.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[a, b, c]) if a.min(b).min(c) > 0 => Ok([a, b, c]),
        _ => Err("expected three numbers above 0, as in 128,128,128".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_three_numbers() {
        assert_eq!(extents("112, 112,128"), Ok([112, 112, 128]));
        for wrong in ["128", "1,2,3,4", "1,0,2", "a,b,c", ""] {
            assert!(extents(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }

    #[test]
    fn made_up_values_look_like_a_normalized_image() {
        let values = values(10_000);
        let mean = values.iter().sum::<f32>() / 1e4;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1e4;
        assert!(
            mean.abs() < 0.05 && (variance - 1.0).abs() < 0.1,
            "{mean} {variance}"
        );
    }
}
