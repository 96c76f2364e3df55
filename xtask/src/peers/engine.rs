//! `cargo xtask peers engine`: the engine against the originals, nnunetv2 and TotalSegmentator.
//! PyTorch weighs gigabytes, so that only this command installs it and no CI step runs it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::{PYTHON, SOME_FAILED, TestsFailed, prepare_venv};
use crate::process;
use crate::repository::Repository;

/// Builds the binary, runs the comparison, and writes its table into docs/conformance/engine.md.
///
/// `PROSECT_ENGINE_PYTHON` names a Python that has the originals already; otherwise they are
/// installed into the build folder. `PROSECT_ENGINE_WORK` keeps the stand-in weights between runs.
pub(super) fn run(repository: &Repository) -> Result<()> {
    let build = [
        "build",
        "--release",
        "--workspace",
        "--bins",
        "--examples",
        "--locked",
    ];
    process::run(&mut repository.cargo(&build))?;
    let target = repository.target_folder()?;
    let python = python(repository, &target)?;
    let work = std::env::var_os("PROSECT_ENGINE_WORK")
        .map_or_else(|| target.join("engine-peers"), PathBuf::from);
    std::fs::create_dir_all(&work)?;

    let mut pytest = Command::new(python);
    pytest
        .current_dir(&repository.root)
        .args(["-m", "pytest", "-p", "no:cacheprovider", "-ra"])
        .args(["--durations=10", "tests/peers/test_engine.py"])
        .env("PROSECT_ENGINE", "1")
        .env("PROSECT_ENGINE_WORK", work)
        .env(
            "PROSECT_ENGINE_PAGE",
            repository.root.join("docs/conformance/engine.md"),
        )
        .env("PROSECT_BIN", target.join("release/prosect"))
        .env("PROSECT_EXAMPLES", target.join("release/examples"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(folder) = repository.shared_folder() {
        pytest.env("PROSECT_SHARED", folder);
    }
    match process::exit_code(&mut pytest)? {
        Some(0) => Ok(()),
        Some(SOME_FAILED) => Err(TestsFailed.into()),
        code => bail!("pytest itself failed: exit code {code:?}"),
    }
}

fn python(repository: &Repository, target: &std::path::Path) -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("PROSECT_ENGINE_PYTHON") {
        return Ok(PathBuf::from(python));
    }
    if !process::answers("python3", &["-c", PYTHON]) {
        bail!("python3 is absent or older than 3.11, which the originals need");
    }
    let list = repository.root.join("tests/peers/requirements-engine.txt");
    let venv = target.join("engine-venv");
    prepare_venv(&list, &venv)?;
    Ok(venv.join("bin/python"))
}
