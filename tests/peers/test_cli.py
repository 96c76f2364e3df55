"""What the command line does with bad input, full disks and impatient people: a clear error,
exit code 2, and no output.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from prosect_run import Run
from relabeled_series import PATIENT, words
from synthetic_series import Series, cut_file


@pytest.fixture
def refuse(run_prosect, tmp_path):
    """Segments what must be refused; checks that nothing was written, and gives back the run."""

    def run(scan: Path, *arguments, says: str, out: Path | None = None, **options) -> Run:
        output = tmp_path / "output"
        output.mkdir(exist_ok=True)
        done = run_prosect("segment", scan, "-o", out or output / "case", *arguments, **options)
        assert done.code == 2, done.told()
        assert re.search(r"^error: ", done.stderr, re.MULTILINE), done.told()
        assert re.search(says, done.stderr), f"expected /{says}/\n{done.told()}"
        assert "panicked" not in done.stderr
        assert not done.stdout, f"data on stdout although it failed\n{done.told()}"
        assert list(output.iterdir()) == [], "something was left behind"
        return done

    return run


def test_an_empty_folder(refuse, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    refuse(empty, says="empty|no file|nothing")


def test_a_path_that_does_not_exist(refuse, tmp_path):
    refuse(tmp_path / "nowhere", says="nowhere")


def test_no_image_series(refuse, shared):
    refuse(shared / "petct-mixed-study" / "SEG_100_Segmentation", says="no .*(image )?series|SEG")


def test_two_equally_good_series(refuse, tmp_path):
    first, second = Series(number=1), Series(number=2)
    folder = tmp_path / "twins"
    first.write(folder), second.write(folder)
    done = refuse(folder, says="--series")
    assert first.uid in done.stderr and second.uid in done.stderr, done.told()


def test_an_unknown_series(refuse, tmp_path):
    folder = Series().write(tmp_path / "series")
    refuse(folder, "--series", "2.25.999", says=r"2\.25\.999")


def test_a_modality_that_the_model_was_not_made_for(refuse, shared):
    refuse(shared / "petct-mixed-study" / "PT_1_PET_AC", says="PT|PET")


def test_missing_slices(refuse, tmp_path):
    folder = Series(without=(17, 18)).write(tmp_path / "series")
    refuse(folder, says="mm apart|missing|gap")


def test_a_truncated_file_is_named_and_the_rest_goes_on(run_prosect, tmp_path):
    folder = Series().write(tmp_path / "series")
    cut_file(folder / "01-0012.dcm", 4000)
    done = run_prosect("segment", folder, "-o", tmp_path / "case", "--format", "seg", "--no-image")
    assert done.code == 1, done.told()
    assert "01-0012.dcm" in done.stdout + done.stderr, done.told()
    record = json.loads((tmp_path / "case" / "case.json").read_text())
    assert any("01-0012.dcm" in finding["message"] for finding in record["findings"]), record["findings"]


def test_truncated_files_that_leave_too_large_a_gap(refuse, tmp_path):
    folder = Series().write(tmp_path / "series")
    for path in sorted(folder.iterdir())[8:20]:
        cut_file(path, 4000)
    refuse(folder, says="cannot be used")


def test_a_truncated_nifti(refuse, shared, tmp_path):
    path = tmp_path / "scan.nii.gz"
    shutil.copy(shared / "totalsegmentator-reference" / "example_ct.nii.gz", path)
    path.chmod(0o644)
    cut_file(path, 200_000)
    refuse(path, says="scan.nii.gz|truncated|ends|gzip|NIfTI")


def test_a_text_file_named_dcm(refuse, tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    (folder / "scan.dcm").write_text("this is no scan\n" * 100)
    refuse(folder, says="DICOM")
    refuse(folder / "scan.dcm", says="DICOM")


def test_an_unknown_format_names_the_known_ones(refuse, tmp_path):
    folder = Series().write(tmp_path / "series")
    done = refuse(folder, "--format", "seg,dwg", says="dwg")
    for name in ("seg", "nifti", "stl", "obj", "glb"):
        assert name in done.stderr, done.told()


def test_an_unknown_model_names_the_known_ones(refuse, tmp_path):
    folder = Series().write(tmp_path / "series")
    done = refuse(folder, "--model", "spleen-xr", says="spleen-xr")
    assert "liver-ct" in done.stderr, done.told()


def test_a_model_whose_weights_changed(refuse, tmp_path):
    """A model that is installed, is not the shipped one, and is not what its checksum says."""
    shipped = Path(__file__).resolve().parents[2] / "models" / "liver-ct"
    home = tmp_path / "home"
    model = home / "models" / "liver-other"
    shutil.copytree(shipped, model)
    manifest = model / "model.toml"
    manifest.write_text(re.sub(r'^name = "liver-ct"', 'name = "liver-other"', manifest.read_text(), flags=re.MULTILINE))
    weights = model / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    folder = Series().write(tmp_path / "series")
    refuse(folder, "--model", "liver-other", says="checksum|SHA-256", env={"PROSECT_HOME": str(home)})


def test_an_output_below_a_file(refuse, slab_series, tmp_path):
    """Stands for every place that cannot be written, also for root, whom permissions do not stop."""
    blocker = tmp_path / "blocker"
    blocker.write_text("a file")
    start = time.monotonic()
    refuse(slab_series, out=blocker / "case", says="blocker|write|create")
    # The network would need more: a place that cannot be written must be found before it runs.
    assert time.monotonic() - start < 10
    assert blocker.read_text() == "a file"


def test_a_read_only_output(refuse, slab_series, tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    # Root may write everywhere but in the kernel's own file system.
    out = Path("/sys/prosect-case") if os.access(folder, os.W_OK) else folder / "case"
    refuse(slab_series, out=out, says="write|create|ermission|ead-only")
    assert not out.exists()


def test_a_full_disk(refuse, slab_series):
    """No file may grow beyond 300 kB: writing fails in the middle, as on a full disk."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    refuse(slab_series, "--format", "all", says="writ|disk|space|large", preexec_fn=limit)


def test_an_existing_output_is_kept(run_prosect, slab_series, tmp_path):
    out = tmp_path / "case"
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    done = run_prosect("segment", slab_series, "-o", out)
    assert done.code == 2 and "--force" in done.stderr, done.told()
    assert [path.name for path in tmp_path.iterdir()] == ["case"]
    assert (out / "precious.txt").read_text() == "mine"


def test_force_replaces_a_case_and_failure_keeps_it(run_prosect, slab_case, slab_series, tmp_path):
    out = tmp_path / "case"
    shutil.copytree(slab_case.folder, out)
    (out / "old.txt").write_text("of the old case")
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run_prosect("segment", empty, "-o", out, "--force")
    assert done.code == 2 and (out / "old.txt").exists(), "a failed run destroyed the old case"

    done = run_prosect("segment", slab_series, "-o", out, "--force", "--format", "nifti")
    assert done.code in (0, 1), done.told()
    assert not (out / "old.txt").exists()
    assert (out / "segmentation.nii.gz").is_file() and not (out / "model.glb").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case", "empty"]


def test_interrupting_leaves_nothing(prosect, shared, tmp_path):
    out = tmp_path / "output" / "case"
    out.parent.mkdir()
    scan = shared / "petct-mixed-study"
    child = subprocess.Popen(
        [str(prosect), "segment", str(scan), "-o", str(out), "--format", "all"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PROSECT_HOME": str(tmp_path / "home")},
    )
    time.sleep(3)
    assert child.poll() is None, f"it ended before it could be interrupted\n{child.communicate()}"
    child.send_signal(signal.SIGINT)
    start = time.monotonic()
    stdout, stderr = child.communicate(timeout=60)
    assert time.monotonic() - start < 15, "Ctrl-C took too long"
    assert child.returncode not in (0, 1), stderr
    assert "panicked" not in stderr
    assert re.search("cancel|interrupt|stopped", stderr, re.IGNORECASE), stderr
    assert not stdout
    assert list(out.parent.iterdir()) == [], "something half-made was left"


def test_errors_do_not_name_the_patient(run_prosect, slab_series, tmp_path):
    folder = tmp_path / "series"
    shutil.copytree(slab_series, folder)
    # All but the outermost: what is left is no stack.
    for path in sorted(folder.iterdir())[2:-2]:
        cut_file(path, 3000)
    done = run_prosect("segment", folder, "-o", tmp_path / "case")
    assert done.code == 2, done.told()
    assert not [word for word in words(PATIENT) if word in done.stdout + done.stderr], done.told()


def test_a_failure_in_json_is_json(run_prosect, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run_prosect("segment", empty, "-o", tmp_path / "case", "--json")
    assert done.code == 2
    assert done.stderr.strip(), done.told()
    assert done.json["error"]["message"] and done.json["error"]["code"]


def test_models_are_listed_with_what_they_may_be_used_for(run_prosect):
    done = run_prosect("models", "list", "--json")
    assert done.code == 0, done.told()
    assert "liver-ct" in [model["name"] for model in done.json]
    done = run_prosect("models", "info", "liver-ct")
    assert done.code == 0, done.told()
    for word in ("Apache-2.0", "10200004", "unknown", "CT"):
        assert word in done.stdout, f"{word} missing\n{done.told()}"
    assert run_prosect("models", "info", "nothing-ct").code == 2


def test_version_and_help(run_prosect):
    assert run_prosect("--version").stdout.startswith("prosect ")
    text = run_prosect("--help").stdout
    for command in ("demo", "inspect", "segment", "models"):
        assert command in text
    assert run_prosect("segment").code == 2
