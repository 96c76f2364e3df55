"""A case of a label map: an imported nnU-Net, from a DICOM series to the DICOM SEG, and several
models in one case. The networks are the tiny ones of `tests/reference/golden`.
"""

import json
import re
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK

from case_bundle import Case, lps_from_pixel, voxels_of_frame
from synthetic_series import Series

GOLDEN = Path(__file__).resolve().parents[1] / "reference" / "golden"
NAMES = ["structure_1", "structure_2", "structure_3", "structure_4"]


class Uneven(Series):
    """Slices with blobs and noise, so that a network without training draws more than one label."""

    def pixels(self) -> np.ndarray:
        rng = np.random.default_rng(11)
        axis = np.arange(self.size)
        waves = sum(
            300 * np.sin(axis[:, None] * a + axis[None, :] * b + phase)
            for a, b, phase in rng.uniform(0.05, 0.4, (4, 3))
        )
        return (1024 + waves + rng.normal(0, 40, waves.shape)).clip(0, 3000).astype("<i2")


@pytest.fixture(scope="session")
def models_home(run_prosect, tmp_path_factory) -> dict:
    """An environment in which two tiny nnU-Nets are installed."""
    home = {"PROSECT_HOME": str(tmp_path_factory.mktemp("models-home"))}
    for name, golden in (("tiny", "isotropic"), ("other", "regions")):
        done = run_prosect("models", "import", GOLDEN / golden / "model", "--name", name, "--modality", "CT", env=home)
        assert done.code in (0, 1), done.told()
    return home


@pytest.fixture(scope="session")
def series(tmp_path_factory) -> Path:
    return Uneven(n_slices=24, size=48, pixel_mm=2.0, slice_mm=2.5).write(tmp_path_factory.mktemp("uneven"))


@pytest.fixture(scope="session")
def label_case(run_prosect, models_home, series, tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("labels") / "case"
    run = run_prosect("segment", series, "-o", folder, "--model", "tiny", "--format", "all", env=models_home)
    assert run.code in (0, 1), run.told()
    case = Case(folder, run)
    case.source = series
    return case


@pytest.fixture(scope="session")
def two_model_case(run_prosect, models_home, series, tmp_path_factory) -> Case:
    folder = tmp_path_factory.mktemp("two") / "case"
    run = run_prosect("segment", series, "-o", folder, "--model", "tiny,other", "--format", "seg,nifti", env=models_home)
    assert run.code in (0, 1), run.told()
    case = Case(folder, run)
    case.source = series
    return case


def labels_of(case: Case, layer: int) -> nibabel.Nifti1Image:
    name = "segmentation.nii.gz" if layer == 0 else f"segmentation.{layer + 1}.nii.gz"
    return nibabel.load(case.path(name))


def test_the_nifti_carries_the_originals_numbers(run_prosect, models_home, tmp_path):
    """Voxel for voxel what nnU-Net answered, under its own numbers."""
    image = GOLDEN / "isotropic" / "image_0000.nii.gz"
    out = tmp_path / "case"
    run = run_prosect("segment", image, "-o", out, "--model", "tiny", "--modality", "CT", "--compat", "--format", "nifti", env=models_home)
    assert run.code in (0, 1), run.told()
    case = Case(out, run)
    with open(GOLDEN / "isotropic" / "golden.safetensors", "rb") as file:
        from safetensors.numpy import load

        golden = load(file.read())["compat_labels"]
    # The golden arrays are z, y, x.
    assert np.mean(case.label_array.T == golden) > 0.9999
    values = {s["name"]: s["label_value"] for s in case.record["structures"]}
    assert values == {name: n + 1 for n, name in enumerate(NAMES)}
    assert case.record["parameters"]["compat"] is True


def test_several_labels_were_drawn(label_case):
    assert len(label_case.structures) >= 2, "a case of one label proves little"
    assert [s["name"] for s in label_case.record["structures"]] == NAMES


def test_measures_are_those_of_the_voxels(label_case):
    voxel_ml = abs(np.linalg.det(label_case.labels.affine[:3, :3])) / 1000
    for structure in label_case.structures:
        mask = label_case.mask(structure)
        assert structure["volume_ml"] == pytest.approx(mask.sum() * voxel_ml, abs=2e-3)
        assert structure["mean_intensity"] == pytest.approx(label_case.image_array[mask].mean(), abs=0.01)


def test_the_table_names_every_value(label_case):
    table = json.loads(label_case.path("segmentation.json").read_text())
    (layer,) = table["layers"]
    assert layer["file"] == "segmentation.nii.gz"
    named = {label["value"]: label["name"] for label in layer["labels"]}
    assert set(np.unique(label_case.label_array)) - {0} <= set(named)
    assert list(named.values()) == NAMES


def test_simpleitk_reads_the_one_stream_that_was_packed_in_parallel(label_case):
    for name in ("segmentation.nii.gz", "confidence.nii.gz", "image.nii.gz"):
        theirs = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(label_case.path(name))))
        ours = np.asanyarray(nibabel.load(label_case.path(name)).dataobj)
        np.testing.assert_allclose(theirs, ours.T, atol=1e-6)


@pytest.mark.parametrize("made", ["label_case", "two_model_case"])
def test_highdicom_reads_every_segment_voxel_for_voxel(made, request):
    case = request.getfixturevalue(made)
    seg = highdicom.seg.segread(case.path("segmentation.seg.dcm"))
    structures = case.record["structures"]
    assert list(seg.segment_numbers) == [s["segment_number"] for s in structures]
    uids = [dataset.SOPInstanceUID for dataset in case.source_slices]
    pixels = seg.get_pixels_by_source_instance(uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True)
    for dataset, frame in zip(case.source_slices, pixels):
        for structure in structures:
            labels = labels_of(case, structure["layer"])
            voxels = voxels_of_frame(labels, lps_from_pixel(dataset), frame.shape[:2])
            expected = np.asanyarray(labels.dataobj)[voxels] == structure["label_value"]
            np.testing.assert_array_equal(frame[..., structure["segment_number"] - 1] != 0, expected)


def test_a_segment_that_was_not_found_has_one_empty_frame(label_case):
    seg = pydicom.dcmread(label_case.path("segmentation.seg.dcm"))
    numbers = [f.SegmentIdentificationSequence[0].ReferencedSegmentNumber for f in seg.PerFrameFunctionalGroupsSequence]
    for structure in label_case.record["structures"]:
        n_frames = numbers.count(structure["segment_number"])
        assert n_frames == 1 if not structure["found"] else n_frames >= 1
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    assert np.count_nonzero(frames) == np.count_nonzero(label_case.label_array)


def test_segments_of_two_models_overlap_and_name_their_model(two_model_case):
    seg = pydicom.dcmread(two_model_case.path("segmentation.seg.dcm"))
    layers = [np.asanyarray(labels_of(two_model_case, n).dataobj) != 0 for n in (0, 1)]
    assert seg.SegmentsOverlap == ("YES" if (layers[0] & layers[1]).any() else "NO")
    models = {m["name"]: m for m in two_model_case.record["models"]}
    assert list(models) == ["tiny", "other"]
    for structure, segment in zip(two_model_case.record["structures"], seg.SegmentSequence):
        assert structure["layer"] == list(models).index(structure["model"])
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmName == segment.SegmentAlgorithmName == structure["model"]
        assert models[structure["model"]]["weights_sha256"] in str(algorithm.AlgorithmParameters)


def test_only_what_is_wanted_is_drawn(run_prosect, models_home, series, tmp_path):
    out = tmp_path / "case"
    run = run_prosect(
        "segment", series, "-o", out, "--model", "tiny", "--structures", "structure_2", "--format", "nifti", env=models_home
    )
    assert run.code in (0, 1), run.told()
    case = Case(out, run)
    assert [s["name"] for s in case.record["structures"]] == ["structure_2"]
    assert set(np.unique(case.label_array)) <= {0, 2}
    assert case.record["parameters"]["structures"] == ["structure_2"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "tiny", "--structures", "structure_9"], r"structure_9.*\nhint: did you mean structure_1"),
        (["--model", "tiny,tiny"], "named twice"),
        (["--model", "liver-lesion-ct"], "liver"),
        (["--model", "tiny", "--max-ram", "4 apples"], "4G"),
        (["--model", "tiny", "--step", "7"], "between 0.1 and 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_the_work(run_prosect, models_home, series, tmp_path, arguments, says):
    out = tmp_path / "case"
    run = run_prosect("segment", series, "-o", out, *arguments, env=models_home)
    assert run.code == 2 and re.search(says, run.stderr), run.told()
    assert not out.exists()


def test_what_nobody_measured_is_not_taken_by_itself(run_prosect, models_home, series, tmp_path):
    """Imported models are experimental: the shipped one is taken although it draws less."""
    run = run_prosect("segment", series, "-o", tmp_path / "case", "--format", "nifti", env=models_home)
    assert run.code in (0, 1), run.told()
    assert re.search(r"^model liver-ct: 1 structure on CT", run.stderr, re.MULTILINE), run.told()
    assert [m["name"] for m in Case(tmp_path / "case", run).record["models"]] == ["liver-ct"]
