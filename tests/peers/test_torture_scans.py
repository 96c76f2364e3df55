"""Real scans through `prosect convert`, against SimpleITK voxel for voxel; and the segmentations that
came with them, to other formats and back.
"""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from scipy.spatial import cKDTree

import torture_read as read

SERIES = {
    "CT": "petct-mixed-study/CT_2_CT_IMAGES",
    "PET, a slope for each slice": "petct-mixed-study/PT_1_PET_AC",
    "MR, oblique sagittal": "mr-mprage-with-seg/MR_2_MPRAGE",
    "CT in JPEG 2000": "ct-abdomen-siemens-j2k",
}
SEGMENTATIONS = {
    "on the CT": ("petct-mixed-study/SEG_100_Segmentation", "petct-mixed-study/CT_2_CT_IMAGES"),
    "on the PET": ("petct-mixed-study/SEG_100_PT-Segmentation", "petct-mixed-study/PT_1_PET_AC"),
    "43 segments on the MR": ("mr-mprage-with-seg/SEG_300_Segmentation", "mr-mprage-with-seg/MR_2_MPRAGE"),
}


@pytest.fixture
def convert(run_prosect, tmp_path):
    def run(name: str, *arguments) -> Path:
        out = tmp_path / name
        done = run_prosect("convert", *arguments, "-o", out)
        assert done.code in (0, 1), done.told()
        return out

    return run


def lps_from_index(image: SimpleITK.Image) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return matrix


def turned_like(image: SimpleITK.Image, like: SimpleITK.Image) -> np.ndarray:
    """The image's voxels in the order of another one, which must lie on the same places."""
    index_from_index = np.linalg.inv(lps_from_index(image)) @ lps_from_index(like)
    turn = np.rint(index_from_index)
    # 0.01 voxel at the far end: NIfTI stores its affine in f32, DICOM its positions as decimal text.
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * [*like.GetSize(), 1]
    assert np.abs(corners @ (index_from_index - turn).T).max() < 0.01, index_from_index
    array = SimpleITK.GetArrayFromImage(image).T
    order = [int(np.nonzero(turn[:3, axis])[0][0]) for axis in range(3)]
    signs = [turn[order[axis], axis] for axis in range(3)]
    array = array.transpose(order)
    assert array.shape == like.GetSize()
    return array[tuple(slice(None, None, int(sign)) for sign in signs)]


@pytest.mark.parametrize("name", SERIES)
def test_an_image_is_simpleitks_voxel_for_voxel(convert, shared, name):
    folder = shared / SERIES[name]
    out = convert("image.nii.gz", folder)
    reader = SimpleITK.ImageSeriesReader()
    files = reader.GetGDCMSeriesFileNames(str(folder))
    reader.SetFileNames(files or sorted(str(path) for path in folder.iterdir()))
    theirs = reader.Execute()
    ours = turned_like(SimpleITK.ReadImage(str(out)), theirs)
    expected = SimpleITK.GetArrayFromImage(theirs).T
    # f32 of slope * stored + intercept.
    np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-3)


def test_a_tilted_uneven_head_lies_where_its_frames_are(run_prosect, shared, tmp_path):
    """Every frame is found in the image at its own place: no other shift fits as well."""
    folder = shared / "ct-gantry-tilt"
    out = tmp_path / "head.nii.gz"
    done = run_prosect("convert", folder, "-o", out)
    assert done.code in (0, 1), done.told()
    assert "tilt" in done.stderr and "18.5" in done.stderr, done.told()
    image = SimpleITK.Cast(SimpleITK.ReadImage(str(out)), SimpleITK.sitkFloat32)
    for dataset in [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))][2:-2:5]:
        frame = SimpleITK.GetImageFromArray(hounsfield(dataset)[None])
        cosines = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        normal = np.cross(*cosines)
        frame.SetDirection(np.stack([*cosines, normal], axis=1).ravel())
        frame.SetSpacing([float(dataset.PixelSpacing[1]), float(dataset.PixelSpacing[0]), 1.0])
        origin = np.array(dataset.ImagePositionPatient, float)
        errors = {}
        for shift in (-3.0, 0.0, 3.0):
            for axis, direction in enumerate((*cosines, normal)):
                frame.SetOrigin(origin + shift * direction)
                found = SimpleITK.GetArrayFromImage(SimpleITK.Resample(image, frame, SimpleITK.Transform(), SimpleITK.sitkLinear, -3000.0))[0]
                inside = (found > -2000) & (hounsfield(dataset) > -500)
                errors[axis, shift] = float(np.abs(found - hounsfield(dataset))[inside].mean())
        assert all(errors[axis, 0.0] < 0.5 * min(errors[axis, -3.0], errors[axis, 3.0]) for axis in range(3)), errors


def hounsfield(dataset: pydicom.Dataset) -> np.ndarray:
    return (dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)).astype(np.float32)


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_a_foreign_segmentation_keeps_its_places(convert, shared, name):
    """To NIfTI, and from there and directly to SEG and LABELMAP on the frames of its source."""
    folder, source = (shared / part for part in SEGMENTATIONS[name])
    (path,) = folder.iterdir()
    expected = read.seg_by_hand(path)
    names = read.segment_names(path)
    on_source = ("--source", source)
    nifti = convert("labels.nii.gz", path, *on_source)
    require_same(read.nifti_by_nibabel(nifti), expected)
    for target in ("again.seg.dcm", "again.labelmap.dcm"):
        again = convert(target, path, *on_source)
        require_same(read.seg_by_hand(again), expected)
        found = read.segment_names(again)
        assert {number: found[number] for number in expected} == {number: names[number] for number in expected}
    table = convert_table(path, nifti.parent)
    require_same(read.seg_by_hand(convert("back.seg.dcm", nifti, *on_source, "--labels", table)), expected)


def convert_table(path: Path, folder: Path) -> Path:
    table = folder / "table.json"
    table.write_text(json.dumps({str(number): name for number, name in read.segment_names(path).items()}))
    return table


def require_same(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for label in expected:
        one, other = found[label], expected[label]
        assert len(one) == len(other), f"label {label}: {len(one)} voxels instead of {len(other)}"
        off, index = cKDTree(other).query(one)
        assert off.max() < 0.02 and len(np.unique(index)) == len(index), f"label {label}: {off.max()} mm"
