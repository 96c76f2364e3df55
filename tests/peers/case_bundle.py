"""A case bundle, read by other people's software. Everything here is in LPS millimetres unless a
name says otherwise; NIfTI's RAS is turned once, in `lps_from_voxel`.
"""

import json
from functools import cached_property
from pathlib import Path

import nibabel
import numpy as np
import pydicom

from prosect_run import Run

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Case:
    def __init__(self, folder: Path, run: Run):
        self.folder = folder
        self.run = run
        self.source: Path | None = None

    def path(self, name: str) -> Path:
        path = self.folder / name
        assert path.is_file(), f"{name} is missing; the case holds {self.file_names()}"
        return path

    def file_names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    @cached_property
    def record(self) -> dict:
        return json.loads(self.path("case.json").read_text())

    @cached_property
    def structures(self) -> list[dict]:
        """The structures that were found."""
        found = [structure for structure in self.record["structures"] if structure["found"]]
        assert found, "no structure was found, so that there is nothing to judge"
        return found

    @cached_property
    def labels(self) -> nibabel.Nifti1Image:
        return nibabel.load(self.path("segmentation.nii.gz"))

    @cached_property
    def image(self) -> nibabel.Nifti1Image:
        return nibabel.load(self.path("image.nii.gz"))

    @cached_property
    def label_array(self) -> np.ndarray:
        return np.asanyarray(self.labels.dataobj)

    @cached_property
    def image_array(self) -> np.ndarray:
        return np.asanyarray(self.image.dataobj)

    def mask(self, structure: dict) -> np.ndarray:
        mask = self.label_array == structure["label_value"]
        assert mask.any(), f"no voxel of {structure['name']} in segmentation.nii.gz"
        return mask

    @cached_property
    def source_slices(self) -> list[pydicom.Dataset]:
        """The source's slices with their pixels, in no particular order."""
        slices = [pydicom.dcmread(path) for path in sorted(self.source.iterdir()) if path.is_file()]
        for dataset in slices:
            # An anonymizer left these empty in one of the series; the file's header still has them.
            dataset.SOPInstanceUID = dataset.SOPInstanceUID or dataset.file_meta.MediaStorageSOPInstanceUID
            dataset.SOPClassUID = dataset.SOPClassUID or dataset.file_meta.MediaStorageSOPClassUID
        return slices


def lps_from_voxel(nifti: nibabel.Nifti1Image) -> np.ndarray:
    return LPS_FROM_RAS @ nifti.affine


def lps_of(nifti: nibabel.Nifti1Image, voxels: np.ndarray) -> np.ndarray:
    """Positions of voxel centres; `voxels` is n x 3."""
    affine = lps_from_voxel(nifti)
    return voxels @ affine[:3, :3].T + affine[:3, 3]


def lps_from_pixel(dataset: pydicom.Dataset) -> np.ndarray:
    """4 x 3: from (row, column, 1) of a slice to LPS; PS3.3 C.7.6.2.1.1."""
    return frame_matrix(dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing)


def frame_matrix(position, orientation, spacing) -> np.ndarray:
    cosines = np.array(orientation, float)
    row_mm, column_mm = (float(value) for value in spacing)
    matrix = np.zeros((4, 3))
    matrix[:3, 0] = cosines[3:] * row_mm
    matrix[:3, 1] = cosines[:3] * column_mm
    matrix[:3, 2] = np.array(position, float)
    matrix[3, 2] = 1.0
    return matrix


def voxels_of_frame(nifti: nibabel.Nifti1Image, frame: np.ndarray, shape) -> tuple:
    """Indices into the NIfTI's array for every pixel of a frame; fails where the frame's pixels
    do not lie on the voxels.
    """
    voxel_from_pixel = np.linalg.inv(lps_from_voxel(nifti)) @ frame
    rows, columns = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    pixels = np.stack([rows.ravel(), columns.ravel(), np.ones(rows.size)])
    voxels = (voxel_from_pixel @ pixels)[:3]
    nearest = np.rint(voxels)
    # 0.01 voxel: NIfTI stores its affine as f32, DICOM its positions as decimal text.
    off = np.abs(voxels - nearest).max()
    assert off < 0.01, f"the frame's pixels lie {off:.4f} voxel beside the NIfTI's"
    nearest = nearest.astype(int)
    inside = (nearest >= 0) & (nearest < np.array(nifti.shape[:3])[:, None])
    assert inside.all(), "the frame reaches beyond the NIfTI"
    return tuple(index.reshape(shape) for index in nearest)
