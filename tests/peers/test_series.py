"""What is in an input: stacks of one series, enhanced multi-frame images as other software writes
them, `--series` and `--all`."""

import json

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from synthetic_series import UID_ROOT, Series

MODEL = ["--model", "liver-ct", "--format", "nifti", "--no-image"]


def every_series(answer: dict) -> list[dict]:
    return [series for study in answer["studies"] for series in study["series"]]


@pytest.fixture
def inspect(run_prosect):
    def run(scan, *arguments):
        done = run_prosect("inspect", scan, "--json", *arguments)
        assert done.code in (0, 1), done.told()
        return done.json

    return run


def two_phases(folder, second=None):
    """Two phases of one series at the same places; `second` changes the later one."""
    series = Series(n_slices=12, size=32, pixel_mm=2.0, slice_mm=2.5)
    folder.mkdir(parents=True, exist_ok=True)
    for phase in (1, 2):
        for index in range(series.n_slices):
            dataset = series.slice(index)
            dataset.SOPInstanceUID = f"{series.uid}.{phase}.{index + 1}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.AcquisitionNumber = phase
            dataset.RescaleIntercept = -1024 + phase
            # Numbers and names run against the positions, and across the phases.
            dataset.InstanceNumber = 100 - 2 * index - phase
            dataset.save_as(folder / f"{(7 * index + 5 * phase) % 31:02}-{phase}", enforce_file_format=True)
    return series


def test_phases_are_candidates_and_a_tie_is_refused(inspect, run_prosect, tmp_path):
    series = two_phases(tmp_path / "in")
    answer = inspect(tmp_path / "in")
    names = [entry["name"] for entry in every_series(answer)]
    assert names == [f"{series.uid}/1", f"{series.uid}/2"]
    assert [entry["distinction"] for entry in every_series(answer)] == ["acquisition 1", "acquisition 2"]
    assert answer["would_take"] is None and "fit equally well" in answer["none_because"]
    for entry in every_series(answer):
        assert entry["fits"] and entry["score"] == pytest.approx(sum(p["points"] for p in entry["points"]), abs=0.3)
    done = run_prosect("segment", tmp_path / "in", "-o", tmp_path / "out", *MODEL)
    assert done.code == 2 and f"{series.uid}/2" in done.stderr, done.told()
    assert not (tmp_path / "out").exists()


def test_all_makes_one_case_of_each(run_prosect, tmp_path):
    series = two_phases(tmp_path / "in")
    done = run_prosect("segment", tmp_path / "in", "-o", tmp_path / "out", "--all", "--json", *MODEL)
    assert done.code in (0, 1), done.told()
    cases = done.json["cases"]
    assert [case["series"] for case in cases] == [f"{series.uid}/1", f"{series.uid}/2"]
    codes = set()
    for number, case in enumerate(cases, start=1):
        record = json.loads((tmp_path / "out" / str(number) / "case.json").read_text())
        assert record["input"]["series_uid"] == series.uid and record["input"]["stack_number"] == number
        assert record["input"]["chosen_because"] and record["input"]["left_out"], record["input"]
        codes.add(record["case_code"])
    assert len(codes) == 2, "two cases under one code"
    again = run_prosect("segment", tmp_path / "in", "-o", tmp_path / "out", "--all", "--json", *MODEL)
    assert again.code == 2 and again.json["n_failed"] == 2, again.told()


def legacy_converted(folder, transfer_syntax):
    """A CT series in one file, by highdicom."""
    series = Series(n_slices=12)
    slices = [series.slice(index) for index in range(series.n_slices)]
    for index, dataset in enumerate(slices):
        dataset.AcquisitionNumber, dataset.AcquisitionTime = 1, f"1200{index:02}"
        dataset.PixelData = (series.pixels() + 3 * index).astype("<i2").tobytes()
    slices.reverse()
    image = hd.legacy.LegacyConvertedEnhancedCTImage(
        slices, f"{UID_ROOT}.8.1", 8, f"{UID_ROOT}.8.1.1", 1, transfer_syntax_uid=transfer_syntax
    )
    folder.mkdir()
    image.save_as(folder / "enhanced.dcm")
    return series


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, RLELossless], ids=["native", "rle"])
def test_a_legacy_converted_enhanced_ct_is_its_slices(inspect, run_prosect, tmp_path, transfer_syntax):
    nibabel = pytest.importorskip("nibabel")
    series = legacy_converted(tmp_path / "in", transfer_syntax)
    (entry,) = every_series(inspect(tmp_path / "in"))
    assert entry["n_slices"] == 12 and entry["n_instances"] == 1 and entry["fits"], entry
    assert entry["spacing_mm"] == pytest.approx([6, 6, 5])
    done = run_prosect("convert", tmp_path / "in", "-o", tmp_path / "image.nii.gz")
    assert done.code in (0, 1), done.told()
    image = nibabel.load(tmp_path / "image.nii.gz")
    voxels = nibabel.as_closest_canonical(image).get_fdata()
    for index in range(12):
        # To RAS: x and y are turned round.
        expected = (series.pixels() + 3 * index - 1024).T[::-1, ::-1]
        np.testing.assert_array_equal(voxels[:, :, index], expected)


def enhanced_mr(path, echoes=(2.3, 4.6), n_slices=9):
    """Echoes in one file, frames in no order, with its own slope for each echo."""
    meta = Series(modality="MR").slice(0)
    keep = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyInstanceUID",
            "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "SamplesPerPixel", "PhotometricInterpretation",
            "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SeriesNumber")
    dataset = Dataset()
    for word in keep:
        setattr(dataset, word, getattr(meta, word))
    dataset.file_meta = meta.file_meta
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{UID_ROOT}.9.9"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "T1", "MIXED"]
    dataset.Rows, dataset.Columns = 5, 7
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing, shared.PixelMeasuresSequence[0].SliceThickness = [1.5, 1.25], 3
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    order = [(k, echo) for k in range(n_slices) for echo in range(len(echoes))]
    np.random.default_rng(4).shuffle(order)
    frames, pixels = [], []
    for k, echo in order:
        frame = Dataset()
        frame.PlanePositionSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = [-10 + 3 * k, 20, 30]
        frame.MREchoSequence = [Dataset()]
        frame.MREchoSequence[0].EffectiveEchoTime = echoes[echo]
        frame.PixelValueTransformationSequence = [Dataset()]
        item = frame.PixelValueTransformationSequence[0]
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = echo + 1, 0, "US"
        frames.append(frame)
        pixels.append(np.arange(35, dtype="<i2").reshape(5, 7) + 100 * k + 10 * echo)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = np.stack(pixels).tobytes()
    dataset.save_as(path, enforce_file_format=True)


def test_echoes_of_an_enhanced_mr_are_two_stacks(inspect, tmp_path):
    enhanced_mr(tmp_path / "mr.dcm")
    entries = every_series(inspect(tmp_path / "mr.dcm"))
    assert [entry["distinction"] for entry in entries] == ["echo time 2.3 ms", "echo time 4.6 ms"]
    for entry in entries:
        assert entry["n_slices"] == 9 and entry["columns_rows"] == [7, 5] and entry["n_frames"] == 9
        assert entry["orientation"] == "PIR"
        assert entry["spacing_mm"] == pytest.approx([1.25, 1.5, 3])


def test_a_dicomdir_is_no_hindrance(inspect, tmp_path):
    from pydicom.fileset import FileSet

    files = FileSet()
    series = Series(n_slices=12)
    series.write(tmp_path / "in")
    for path in sorted((tmp_path / "in").iterdir()):
        dataset = pydicom.dcmread(path)
        # An index wants one.
        dataset.StudyID = "1"
        files.add(dataset)
    files.write(tmp_path / "disc")
    for given in (tmp_path / "disc", tmp_path / "disc" / "DICOMDIR"):
        answer = inspect(given)
        assert answer["would_take"] == series.uid and not answer["left_out"], answer
    images = [path for path in (tmp_path / "disc").rglob("*") if path.is_file() and path.name != "DICOMDIR"]
    max(images).unlink()
    (entry,) = every_series(inspect(tmp_path / "disc"))
    assert [finding["code"] for finding in entry["findings"]] == ["images_missing"], entry


def test_files_without_meta_information_are_read(inspect, tmp_path):
    series = Series(n_slices=12)
    folder = tmp_path / "bare"
    folder.mkdir()
    for index in range(series.n_slices):
        dataset = pydicom.Dataset(series.slice(index))
        # Implicit little endian, neither preamble nor meta information.
        pydicom.dcmwrite(folder / f"{index}", dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
    answer = inspect(folder)
    assert answer["would_take"] == series.uid and every_series(answer)[0]["n_slices"] == 12
