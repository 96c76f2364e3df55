"""The case bundle as a whole: complete, true to its own record, and silent about the patient."""

import gzip
import hashlib
import re

import pytest

from case_bundle import Case
from relabeled_series import PATIENT, words

ALWAYS = [
    "case.json",
    "run.json",
    "image.nii.gz",
    "segmentation.nii.gz",
    "segmentation.json",
    "confidence.nii.gz",
    "surfaces/liver.stl",
    "surfaces/liver.obj",
    "model.glb",
    "report.html",
    "preview.png",
]


def test_every_file_is_there_and_listed(any_case: Case):
    names = {name for name in any_case.file_names() if not name.startswith("dicom/")}
    assert set(ALWAYS) <= names
    listed = {entry["path"]: entry for entry in any_case.record["files"]}
    assert set(listed) == names - {"case.json", "run.json"}
    for path, entry in listed.items():
        content = any_case.path(path).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest(), path


def test_it_says_who_made_it_and_that_nobody_reviewed_it(any_case):
    record = any_case.record
    assert record["format_version"] == 3
    assert record["review"] == "UNREVIEWED"
    assert record["not_checked"], "a case that claims that everything was checked"
    (model,) = record["models"]
    assert model["name"] == "liver-ct" and model["version"] and re.fullmatch(r"[0-9a-f]{64}", model["weights_sha256"])
    for structure in record["structures"]:
        assert structure["expected"]["dice"] and structure["expected"]["source"]
        assert structure["algorithm"] == "AUTOMATIC"


def test_no_time_and_no_machine_in_the_case(any_case):
    text = any_case.path("case.json").read_text()
    assert str(any_case.folder.parent) not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\dT", text)


def test_the_patient_is_named_in_dicom_alone(slab_case):
    for path in slab_case.folder.rglob("*"):
        if not path.is_file() or path.suffix == ".dcm":
            continue
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        for word in words(PATIENT):
            assert word.encode() not in content, f"{path.name} names the patient"
    told = slab_case.run.stdout + slab_case.run.stderr
    assert not [word for word in words(PATIENT) if word in told], told


def test_the_patient_is_named_in_the_dicom_object(slab_case):
    """The other half: the words of the test above are found where they must stand."""
    content = slab_case.path("segmentation.seg.dcm").read_bytes()
    assert PATIENT["PatientID"].encode() in content


def test_the_case_code_is_no_patient_id(slab_case):
    code = slab_case.record["case_code"]
    assert code and not [word for word in words(PATIENT) if word.lower() in code.lower()]


def test_json_on_stdout_is_the_answer(petct_case):
    answer = petct_case.run.json
    assert isinstance(answer, dict)
    assert "liver" in petct_case.run.stdout


def test_the_ct_is_found_in_a_mixed_study(petct_case):
    record = petct_case.record["input"]
    assert record["modality"] == "CT" and record["n_slices"] == 135
    assert record["series_uid"] == petct_case.source_slices[0].SeriesInstanceUID
    assert record["chosen_because"]
    left_out = {entry["what"]: entry["why"] for entry in record["left_out"]}
    assert len(left_out) >= 5 and all(left_out.values()), "scout, PET and three SEG, each with its reason"


def test_the_mixed_study_gives_a_plausible_liver(petct_case):
    (liver,) = petct_case.structures
    assert 700 < liver["volume_ml"] < 3500


def test_the_demo_meets_its_truth(demo_case):
    """What the demo prints of itself, and where it says to look."""
    told = demo_case.run.stdout
    dice = re.search(r"^dice against truth +(0\.\d+)$", told, re.MULTILINE)
    assert dice and float(dice[1]) >= 0.95, demo_case.run.told()
    assert str(demo_case.folder / "report.html") in told
    (liver,) = demo_case.structures
    assert re.search(rf"^liver +{liver['volume_ml']:.1f} ml", told, re.MULTILINE), told


def test_the_demo_series_is_a_plausible_ct(demo_case):
    slices = demo_case.source_slices
    assert len(slices) >= 160
    first = slices[0]
    assert (first.Rows, first.Columns, first.BitsAllocated, first.Modality) == (512, 512, 16, "CT")
    assert 0.6 < float(first.PixelSpacing[0]) < 0.9
    positions = sorted(float(dataset.ImagePositionPatient[2]) for dataset in slices)
    steps = {round(b - a, 3) for a, b in zip(positions, positions[1:])}
    assert len(steps) == 1 and 1.5 <= steps.pop() <= 2.0
    middle = sorted(slices, key=lambda dataset: float(dataset.ImagePositionPatient[2]))[len(slices) // 2]
    hounsfield = middle.pixel_array * float(middle.RescaleSlope) + float(middle.RescaleIntercept)
    assert hounsfield.min() <= -900 and hounsfield.max() >= 200, "air and bone"
    assert 0.02 < ((hounsfield > 0) & (hounsfield < 150)).mean(), "soft tissue"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_case_for_any_number_of_threads(run_prosect, slab_case, slab_series, tmp_path, threads):
    out = tmp_path / "case"
    run = run_prosect("segment", slab_series, "-o", out, "--format", "all", "--threads", threads)
    assert run.code in (0, 1), run.told()
    again = Case(out, run)
    assert again.file_names() == slab_case.file_names()
    for name in again.file_names():
        if name != "run.json":
            assert again.path(name).read_bytes() == slab_case.path(name).read_bytes(), f"{name} differs"
