"""What every test of the peers shares: the built binary, the shared scans, and the case bundles,
each of which is made once a session. In CI nothing is skipped: a skipped test is a failed one.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from case_bundle import Case
from prosect_run import Run
from relabeled_series import PATIENT, copy_with_patient

ROOT = Path(__file__).resolve().parents[2]
IN_CI = os.environ.get("CI") == "true"

# `cargo xtask peers engine` alone has PyTorch, and runs nothing else.
ENGINE = os.environ.get("PROSECT_ENGINE") == "1"
collect_ignore = [] if ENGINE else ["test_engine.py"]

# The slowest case took well under a minute when this was written; this only ends a hang.
LONGEST_RUN_SECS = 900


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def prosect() -> Path:
    """The release binary; `cargo xtask peers` builds it before the tests start."""
    path = Path(os.environ.get("PROSECT_BIN", ROOT / "target/release/prosect"))
    assert path.is_file(), f"{path} is not built; run `cargo xtask peers`"
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the shared scans."""
    folder = Path(os.environ.get("PROSECT_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        message = f"no shared scans at {folder}; set PROSECT_SHARED"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def run_prosect(prosect, tmp_path_factory):
    """Runs the binary with these arguments and an empty PROSECT_HOME; gives back a `Run`."""
    home = tmp_path_factory.mktemp("home")

    def run(*arguments, **options) -> Run:
        environment = {**os.environ, "PROSECT_HOME": str(home), **options.pop("env", {})}
        done = subprocess.run(
            [str(prosect), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN_SECS,
            env=environment,
            # Python ignores SIGXFSZ; the child must too, so that a full disk is an error of write().
            restore_signals=False,
            **options,
        )
        return Run([str(word) for word in arguments], done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def segment(run_prosect, tmp_path_factory):
    """Segments an input to all formats and gives back the case, which must exist."""

    def make(name: str, scan: Path, *arguments) -> Case:
        folder = tmp_path_factory.mktemp(name) / "case"
        run = run_prosect("segment", scan, "-o", folder, "--format", "all", "--json", *arguments)
        assert run.code in (0, 1), run.told()
        assert (folder / "case.json").is_file(), f"no case.json\n{run.told()}"
        return Case(folder, run)

    return make


@pytest.fixture(scope="session")
def petct_case(segment, shared) -> Case:
    """A mixed study as a scanner sends it: the CT must be found among scout, PET and SEG."""
    case = segment("petct", shared / "petct-mixed-study")
    case.source = shared / "petct-mixed-study" / "CT_2_CT_IMAGES"
    return case


@pytest.fixture(scope="session")
def slab_series(shared, tmp_path_factory) -> Path:
    """The 40 mm slab in JPEG 2000 with a made-up patient written into it."""
    folder = tmp_path_factory.mktemp("slab-series")
    copy_with_patient(shared / "ct-abdomen-siemens-j2k", folder, PATIENT)
    return folder


@pytest.fixture(scope="session")
def slab_case(segment, slab_series) -> Case:
    case = segment("slab", slab_series)
    case.source = slab_series
    return case


@pytest.fixture(scope="session")
def nifti_case(segment, shared) -> Case:
    """A NIfTI has no source frames, so that this case holds no DICOM object."""
    scan = shared / "totalsegmentator-reference" / "example_ct.nii.gz"
    case = segment("nifti", scan)
    case.source = scan
    return case


@pytest.fixture(scope="session")
def demo_case(run_prosect, tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    run = run_prosect("demo", "-o", folder)
    assert run.code in (0, 1), run.told()
    case = Case(folder, run)
    case.source = folder / "dicom"
    return case


@pytest.fixture(params=["demo", "petct", "slab"])
def dicom_case(request) -> Case:
    """Each case whose source is DICOM."""
    return request.getfixturevalue(f"{request.param}_case")


@pytest.fixture(params=["demo", "petct", "slab", "nifti"])
def any_case(request) -> Case:
    return request.getfixturevalue(f"{request.param}_case")


@pytest.fixture
def require_tool():
    """Finds a program of the peers, or says what is missing."""

    def find(name: str) -> str:
        path = shutil.which(name)
        assert path, f"{name} is not installed; run `cargo xtask peers`, which installs it"
        return path

    return find
