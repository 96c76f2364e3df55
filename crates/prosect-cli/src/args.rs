//! The command line: every option with its unit and default.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use prosect::nn::isa::Isa;

/// Segment anatomy in CT and MR, and write it for the PACS, the printer, the headset and research
#[derive(Debug, Parser)]
#[command(
    name = "prosect",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 done but a person must look, 2 failed.\nResearch use only: not a medical device. Every result is UNREVIEWED until a clinician has checked it."
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What workers may take.
    #[command(flatten)]
    pub(crate) worker: crate::worker::WorkerLimits,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a phantom, segment its liver, and leave a case to look at
    Demo(Demo),
    /// List the studies and series of a file, folder or zip, and say which would be taken; or what a NIfTI or NRRD says
    Inspect(Inspect),
    /// Segment a CT or MR (DICOM file, folder or zip, NIfTI or NRRD) and write a case
    Segment(Segment),
    /// Take the patient out of DICOM files, by the profile of the standard
    Deidentify(crate::deidentify::Deidentify),
    /// Convert an image to NIfTI or NRRD, or labels to DICOM SEG, RTSTRUCT, NIfTI or NRRD
    Convert(crate::convert::Convert),
    /// List, show, import, install, export, remove and verify models
    Models(crate::models::args::Models),
    /// Time a model's network on this machine
    Bench(crate::bench::Bench),
    /// Decode every frame of one DICOM file, to compare its stored values with those of other software
    #[command(hide = true)]
    Frames(crate::frames::Frames),
    /// Parse and decode what stdin asks for (started by prosect itself)
    #[command(hide = true)]
    Worker,
}

impl Command {
    /// Threads asked for, if any.
    pub(crate) fn threads(&self) -> Option<usize> {
        match self {
            Self::Demo(demo) => demo.run.threads,
            Self::Segment(segment) => segment.run.threads,
            Self::Inspect(_)
            | Self::Models(_)
            | Self::Frames(_)
            | Self::Worker
            | Self::Convert(_) => None,
            Self::Deidentify(deidentify) => deidentify.threads,
            Self::Bench(bench) => bench.threads(),
        }
    }

    /// Whether stdout carries JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Demo(demo) => demo.run.json,
            Self::Segment(segment) => segment.run.json,
            Self::Inspect(inspect) => inspect.json,
            Self::Deidentify(deidentify) => deidentify.json,
            Self::Bench(bench) => bench.json(),
            Self::Models(models) => models.json(),
            Self::Frames(_) => true,
            Self::Worker => false,
            Self::Convert(convert) => convert.json(),
        }
    }
}

/// Options of every command that segments.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Replace an existing case at the output folder
    #[arg(long, help_heading = "Output")]
    pub(crate) force: bool,
    /// Print the result as JSON on stdout
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// Also write the report as one HTML file here
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) report: Option<PathBuf>,
    /// Use this many threads [default: as many as the machine has]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024), help_heading = "Performance")]
    pub(crate) threads: Option<usize>,
    /// Most memory for the networks, for example 4G or 1500M [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = crate::memory::parse_size, help_heading = "Performance")]
    pub(crate) max_ram: Option<u64>,
    /// Use this instruction set: avx512, avx2 or portable [default: the fastest of this machine]
    #[arg(long, value_name = "NAME", help_heading = "Performance")]
    pub(crate) isa: Option<Isa>,
    /// Look for installed models here [default: models in PROSECT_HOME, else the user's data folder]
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    pub(crate) models: Option<PathBuf>,
    /// Tell more on stderr: threads, instruction set, memory allowed and expected
    #[arg(short, long, help_heading = "Output")]
    pub(crate) verbose: bool,
}

/// `prosect demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Write the case here
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = "prosect-demo",
        help_heading = "Output"
    )]
    pub(crate) output: PathBuf,
    /// Shared options.
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

/// `prosect inspect`
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// DICOM file, folder of any depth or zip; NIfTI or NRRD
    #[arg(value_name = "INPUT")]
    pub(crate) input: PathBuf,
    /// Print the inventory as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// `prosect segment`
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[derive(Debug, Args)]
pub(crate) struct Segment {
    /// DICOM file, folder of any depth or zip; NIfTI (.nii, .nii.gz) or NRRD (.nrrd, .nhdr)
    #[arg(value_name = "INPUT", help_heading = "Input")]
    pub(crate) input: PathBuf,
    /// Write the case into this new folder
    #[arg(short, long, value_name = "OUT", help_heading = "Output")]
    pub(crate) output: PathBuf,
    /// Segment with this model, or with several in this order, separated by commas [default: the
    /// installed or shipped one that draws the most structures in such an image]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Model"
    )]
    pub(crate) model: Vec<String>,
    /// Draw only these structures, separated by commas [default: all that the models draw]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Model"
    )]
    pub(crate) structures: Vec<String>,
    /// Repeat the original program's steps exactly, with their rounding [default: interpolate the
    /// network's answer to the image's own voxels]
    #[arg(long, help_heading = "Model")]
    pub(crate) compat: bool,
    /// Do not average mirrored passes, where the model would: several times faster, less smooth
    #[arg(long, help_heading = "Model")]
    pub(crate) no_mirroring: bool,
    /// Distance of neighbouring patches as a share of the patch, 0.1 to 1 [default: the model's own]
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Model")]
    pub(crate) step: Option<f64>,
    /// Also write the network's input and answer here, as arrays of numpy
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) save_intermediate: Option<PathBuf>,
    /// Take this series, or one of its stacks as UID/2 [default: the best one, if one is best]
    #[arg(long, value_name = "UID[/N]", help_heading = "Input")]
    pub(crate) series: Option<String>,
    /// Segment every series that fits, each into a case of its own: OUT/1, OUT/2 and so on
    #[arg(long, conflicts_with_all = ["series", "report", "save_intermediate"], help_heading = "Input")]
    pub(crate) all: bool,
    /// Modality of a NIfTI or NRRD, which does not say it itself: CT or MR [default: CT if the values are HU]
    #[arg(long, value_name = "CODE", help_heading = "Input")]
    pub(crate) modality: Option<String>,
    /// Write these formats, separated by commas: seg, labelmap, rtstruct, sr, nifti, stl, obj, glb,
    /// encapsulated, sc; or all; usual is all but the last two, which hold nothing new
    #[arg(
        long,
        value_name = "LIST",
        default_value = "usual",
        help_heading = "Output"
    )]
    pub(crate) format: String,
    /// Do not write the image into the case
    #[arg(long, help_heading = "Output")]
    pub(crate) no_image: bool,
    /// Shared options.
    #[command(flatten)]
    pub(crate) run: RunOptions,
}

/// A share of a patch.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text
        .parse()
        .map_err(|_| "it is no number; give a share such as 0.5".to_owned())?;
    if (0.1..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("a step lies between 0.1 and 1".into())
    }
}

/// Prints clap's message: help and version on stdout with exit code 0, the rest on stderr with 2.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    // A closed pipe is the only way printing fails; then nobody reads.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}
