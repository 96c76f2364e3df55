//! Other people's software as judge: readers and checkers of DICOM, NIfTI, meshes, glTF and
//! pages, installed beside the build and driven by pytest against the release binary.

mod engine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::machine::{self, Tool};
use crate::process;
use crate::repository::{Repository, is_ci};

const TOOLS: [Tool; 9] = [
    Tool {
        command: "dciodvfy",
        package: "dicom3tools",
    },
    Tool {
        command: "dcmdump",
        package: "dcmtk",
    },
    Tool {
        command: "Orthanc",
        package: "orthanc",
    },
    Tool {
        command: "plastimatch",
        package: "plastimatch",
    },
    Tool {
        command: "zstd",
        package: "zstd",
    },
    Tool {
        command: "admesh",
        package: "admesh",
    },
    Tool {
        command: "prusa-slicer",
        package: "prusa-slicer",
    },
    Tool {
        command: "chromium",
        package: "chromium",
    },
    Tool {
        command: "npm",
        package: "npm",
    },
];

/// The tests ran and some failed. The test runner has said so in its last line, which shall stay
/// the last line of the log.
#[derive(Debug)]
pub(crate) struct TestsFailed;

impl std::fmt::Display for TestsFailed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the peers found faults")
    }
}

impl std::error::Error for TestsFailed {}

/// What pytest ends with when it ran to its end and some tests failed.
const SOME_FAILED: i32 = 1;

/// Oldest Python that the pinned peers run on.
const PYTHON: &str = "import sys; sys.exit(sys.version_info < (3, 11))";

/// Installs the peers: Debian's, Python's and Node's. What is there already is left alone.
pub(crate) fn prepare(repository: &Repository) -> Result<()> {
    machine::install_missing(&TOOLS)?;
    if !process::answers("python3", &["-c", PYTHON]) {
        bail!("python3 is absent or older than 3.11, which the peers need");
    }
    if !process::answers("python3", &["-c", "import ensurepip, venv"]) {
        machine::install_missing(&[Tool {
            command: "a venv for python3",
            package: "python3-venv",
        }])?;
    }
    let target = repository.target_folder()?;
    let harness = repository.root.join("tests/peers");
    prepare_venv(
        &harness.join("requirements.txt"),
        &target.join("peers-venv"),
    )?;
    prepare_npm(&harness.join("package.json"), &target.join("peers-npm"))
}

/// Builds what is judged and lets the peers judge it: all tests, or those of one name.
pub(crate) fn run(repository: &Repository, name: Option<&str>) -> Result<()> {
    if name == Some("engine") {
        return engine::run(repository);
    }
    let tests = test_path(&repository.root, name)?;
    repository.require_shared_in_ci()?;
    prepare(repository)?;
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
    let python = target.join("peers-venv/bin/python");
    let mut pytest = Command::new(python);
    pytest
        .current_dir(&repository.root)
        .args([
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--strict-markers",
            "-ra",
            "--durations=10",
        ])
        .arg(tests)
        .env("PROSECT_BIN", target.join("release/prosect"))
        .env("PROSECT_EXAMPLES", target.join("release/examples"))
        .env("PROSECT_PEERS_NPM", target.join("peers-npm"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(folder) = repository.shared_folder() {
        pytest.env("PROSECT_SHARED", folder);
    }
    if is_ci() {
        pytest.arg("--color=no");
    }
    match process::exit_code(&mut pytest)? {
        Some(0) => Ok(()),
        Some(SOME_FAILED) => Err(TestsFailed.into()),
        // Among them 5: it found no test at all.
        code => bail!("pytest itself failed: exit code {code:?}"),
    }
}

fn test_path(root: &Path, name: Option<&str>) -> Result<PathBuf> {
    let folder = root.join("tests/peers");
    let Some(name) = name else { return Ok(folder) };
    let file = folder.join(format!("test_{name}.py"));
    if !file.is_file() {
        bail!(
            "no tests at {}; name one of the test_NAME.py files there",
            file.display()
        );
    }
    Ok(file)
}

fn prepare_venv(requirements: &Path, venv: &Path) -> Result<()> {
    if is_current(requirements, venv)? {
        return Ok(());
    }
    if venv.exists() {
        fs::remove_dir_all(venv)?;
    }
    process::run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "-r",
    ])
    .arg(requirements);
    process::run(&mut pip)?;
    stamp(requirements, venv)
}

fn prepare_npm(package: &Path, folder: &Path) -> Result<()> {
    if is_current(package, folder)? {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    fs::copy(package, folder.join("package.json"))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-package-lock", "--no-audit", "--no-fund"])
        .current_dir(folder);
    process::run(&mut npm)?;
    stamp(package, folder)
}

/// A copy of the list beside what was installed from it says whether the two still agree.
fn is_current(list: &Path, installed: &Path) -> Result<bool> {
    let wanted = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(fs::read(installed.join("installed-from")).is_ok_and(|found| found == wanted))
}

fn stamp(list: &Path, installed: &Path) -> Result<()> {
    let target = installed.join("installed-from");
    fs::copy(list, &target).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(())
}
