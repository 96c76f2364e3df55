//! Where things lie: the repository's root, its files, the build folder, the shared scans.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The checked-out repository and its surroundings.
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
}

impl Repository {
    /// Finds the repository that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .parent()
            .context("xtask lies at the top of no repository")?;
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// A `cargo` command that runs in the root and sees the shared scans.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.root);
        if let Some(folder) = self.shared_folder() {
            command.env("PROSECT_SHARED", folder);
        }
        command
    }

    /// The packages of the workspace, as `cargo metadata` describes them.
    pub(crate) fn metadata(&self) -> Result<serde_json::Value> {
        let arguments = ["metadata", "--no-deps", "--format-version", "1"];
        let text = process::read(&mut self.cargo(&arguments))?;
        serde_json::from_str(&text).context("`cargo metadata` wrote no JSON")
    }

    /// Where cargo builds to.
    pub(crate) fn target_folder(&self) -> Result<PathBuf> {
        let metadata = self.metadata()?;
        let folder = metadata["target_directory"].as_str();
        Ok(PathBuf::from(
            folder.context("`cargo metadata` names no target folder")?,
        ))
    }

    /// Every file that is tracked, or new and not ignored; relative to the root, sorted.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut git = Command::new("git");
        git.args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&self.root);
        let list = process::read(&mut git)?;
        let mut files: Vec<PathBuf> = list
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect();
        files.retain(|path| self.root.join(path).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The folder with the shared scans, if there is one.
    pub(crate) fn shared_folder(&self) -> Option<PathBuf> {
        let folder = match std::env::var_os("PROSECT_SHARED") {
            Some(folder) => PathBuf::from(folder),
            None => self.root.parent()?.join("shared"),
        };
        is_shared_folder(&folder).then_some(folder)
    }

    /// Says what the absence of the shared scans means: a failure in CI, a warning elsewhere.
    pub(crate) fn require_shared_in_ci(&self) -> Result<()> {
        match self.shared_folder() {
            Some(folder) => eprintln!("shared scans: {}", folder.display()),
            None if is_ci() => bail!(
                "the shared scans are absent, and CI must not pass without them; \
                 put them at ../shared beside the repository or set PROSECT_SHARED"
            ),
            None => eprintln!(
                "warning: no shared scans at ../shared or PROSECT_SHARED: tests on real scans are skipped"
            ),
        }
        Ok(())
    }
}

/// Whether this run is CI, where nothing may be skipped.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

fn is_shared_folder(folder: &Path) -> bool {
    folder.join("data").is_dir()
}
