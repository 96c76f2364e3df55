//! `prosect models`.

pub(crate) mod args;
mod show;
mod change;
mod install;
mod sums;

use std::path::{Path, PathBuf};

use crate::Done;
use crate::console::Session;
use crate::failure::Failure;
use args::{Models, ModelsCommand};

/// Where installed models live: `--models`, else `PROSECT_HOME`, else the user's data folder
/// (XDG Base Directory: `XDG_DATA_HOME`, else `~/.local/share`). `None` if no home is known.
pub(crate) fn folder(asked: Option<&Path>) -> Option<PathBuf> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    asked
        .map(Path::to_path_buf)
        .or_else(|| variable("PROSECT_HOME").map(|home| home.join("models")))
        .or_else(|| variable("XDG_DATA_HOME").map(|data| data.join("prosect/models")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share/prosect/models")))
}

/// As [`folder`], where something is to be written.
fn require_folder(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    folder(asked).ok_or_else(|| {
        Failure::request(
            "no folder for models is known".into(),
            "give one with --models, or set PROSECT_HOME",
        )
    })
}

/// Shows and changes models.
pub(crate) fn run(arguments: &Models, session: &Session) -> Result<Done, Failure> {
    match &arguments.command {
        ModelsCommand::List(list) => show::list(list),
        ModelsCommand::Info(info) => show::info(info),
        ModelsCommand::Import(import) => change::import(import, session),
        ModelsCommand::Install(install) => install::run(install, session),
        ModelsCommand::Export(export) => change::export(export, session),
        ModelsCommand::Remove(remove) => change::remove(remove),
        ModelsCommand::Verify(verify) => change::verify(verify, session),
    }
}
