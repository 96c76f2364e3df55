//! The command line of `prosect models`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `prosect models`
#[derive(Debug, Args)]
pub(crate) struct Models {
    /// What to do with models.
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

/// The commands on models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the shipped and installed models, or those that can be installed
    List(List),
    /// Show a model's card: use, licence, source, expected accuracy
    Info(Info),
    /// Import weights: an nnU-Net v2 folder or zip, TotalSegmentator, TensorFlow.js, Keras, ONNX, or a model that Prosect exported
    Import(Import),
    /// Download and install open models of TotalSegmentator, with the models that they need, and networks of brainchop
    Install(Install),
    /// Write a model as one file, for another machine
    Export(Export),
    /// Remove an installed model
    Remove(Remove),
    /// Check the files of models against their checksums, and run their self-tests
    Verify(Verify),
}

/// Options of every command on models.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print the result as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// Where installed models lie [default: models in PROSECT_HOME, else the user's data folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,
}

/// `prosect models list`
#[derive(Debug, Args)]
pub(crate) struct List {
    /// List what can be installed, with licences
    #[arg(long)]
    pub(crate) available: bool,
    /// Shared options.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `prosect models info`
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// The model's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Shared options.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `prosect models import`
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Folder, zip or file with the weights
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Call the model so: lower-case letters, digits, hyphens [default: from the source]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Take this configuration of nnU-Net, such as `3d_lowres`, or the trained model of this folder [default: `3d_fullres`, else `3d_lowres`]
    #[arg(long, value_name = "NAME")]
    pub(crate) configuration: Option<String>,
    /// What images the model takes: CT or MR [default: from the source, else MR]
    #[arg(long, value_name = "CODE", value_parser = ["CT", "MR"])]
    pub(crate) modality: Option<String>,
    /// Record this licence of the weights [default: from the source, else unknown]
    #[arg(long, value_name = "TEXT")]
    pub(crate) license: Option<String>,
    /// What an ONNX file cannot say: a model.toml without files and self-test [default: the file of the same name beside it]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Replace a model of the same name
    #[arg(long)]
    pub(crate) force: bool,
    /// Shared options.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `prosect models install`
#[derive(Debug, Args)]
pub(crate) struct Install {
    /// Names of models, as `prosect models list --available` shows them
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Take the publisher's archives or files from this file or folder instead of the network; may be repeated
    #[arg(long, value_name = "PATH", conflicts_with = "mirror")]
    pub(crate) from: Vec<PathBuf>,
    /// Download from this address instead of the publisher's, in the same layout
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Accept a licence that does not allow every use
    #[arg(long)]
    pub(crate) accept_license: bool,
    /// Accept an archive that is not the one recorded at an earlier install
    #[arg(long)]
    pub(crate) accept_changed: bool,
    /// Install again what is installed
    #[arg(long)]
    pub(crate) force: bool,
    /// Shared options.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `prosect models export`
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The model's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Write this file [default: NAME.zip]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file
    #[arg(long)]
    pub(crate) force: bool,
    /// Shared options.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `prosect models remove`
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The model's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Shared options.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// `prosect models verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Names of models [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Shared options.
    #[command(flatten)]
    pub(crate) common: Common,
}

impl Models {
    /// Whether stdout carries JSON.
    pub(crate) fn json(&self) -> bool {
        self.common().json
    }

    fn common(&self) -> &Common {
        match &self.command {
            ModelsCommand::List(list) => &list.common,
            ModelsCommand::Info(info) => &info.common,
            ModelsCommand::Import(import) => &import.common,
            ModelsCommand::Install(install) => &install.common,
            ModelsCommand::Export(export) => &export.common,
            ModelsCommand::Remove(remove) => &remove.common,
            ModelsCommand::Verify(verify) => &verify.common,
        }
    }
}
