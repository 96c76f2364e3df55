"""Small made-up CT series, written by pydicom, to break one thing at a time."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

# Made-up UIDs below the root for UUIDs; fixed, so that a failure can be repeated.
UID_ROOT = "2.25.7781"


@dataclass
class Series:
    """A water cylinder in air, seen by `n_slices` axial slices."""

    number: int = 1
    n_slices: int = 40
    size: int = 64
    pixel_mm: float = 6.0
    slice_mm: float = 5.0
    modality: str = "CT"
    description: str = "Abdomen"
    study: int = 1
    without: tuple = field(default_factory=tuple)

    @property
    def uid(self) -> str:
        return f"{UID_ROOT}.{self.study}.{self.number}"

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(self.n_slices):
            if index not in self.without:
                self.slice(index).save_as(folder / f"{self.number:02}-{index:04}.dcm", enforce_file_format=True)
        return folder

    def slice(self, index: int) -> Dataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"{self.uid}.{index + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        dataset.PatientName, dataset.PatientID = "Nobody^Synthetic", "SYN-1"
        dataset.PatientBirthDate = dataset.PatientSex = ""
        dataset.StudyDate, dataset.StudyTime = "20260101", "120000"
        dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
        dataset.StudyInstanceUID = f"{UID_ROOT}.{self.study}"
        dataset.SeriesInstanceUID = self.uid
        dataset.SeriesNumber, dataset.InstanceNumber = self.number, index + 1
        dataset.SeriesDescription, dataset.Modality = self.description, self.modality
        dataset.Manufacturer = "none"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.FrameOfReferenceUID = f"{UID_ROOT}.{self.study}.9"
        dataset.PositionReferenceIndicator = ""
        dataset.PatientPosition = "HFS"
        half = self.size * self.pixel_mm / 2
        dataset.ImagePositionPatient = [-half, -half, index * self.slice_mm]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [self.pixel_mm, self.pixel_mm]
        dataset.SliceThickness = self.slice_mm
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows = dataset.Columns = self.size
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
        dataset.KVP = 120
        dataset.PixelData = self.pixels().tobytes()
        return dataset

    def pixels(self) -> np.ndarray:
        axis = (np.arange(self.size) - (self.size - 1) / 2) * self.pixel_mm
        radius = np.hypot(axis[:, None], axis[None, :])
        return np.where(radius < 150, 1024 + 40, 24).astype("<i2")


def cut_file(path: Path, n_bytes: int) -> None:
    """Ends a file early, as a broken transfer does."""
    content = path.read_bytes()
    assert len(content) > n_bytes
    path.write_bytes(content[:n_bytes])


def read_uid(path: Path) -> str:
    return pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID
