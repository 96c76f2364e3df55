"""The frames as DICOM files: classic ones, a file for each frame, or enhanced multi-frame ones."""

import copy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from torture_frames import Frame

# Made-up UIDs below the root for UUIDs; fixed, so that a failure can be repeated.
UID_ROOT = "2.25.4407"
CLASSES = {
    "CT": uid.CTImageStorage,
    "MR": uid.MRImageStorage,
    "enhanced CT": uid.EnhancedCTImageStorage,
    "enhanced MR": uid.EnhancedMRImageStorage,
}
SYNTAXES = {
    "implicit": uid.ImplicitVRLittleEndian,
    "explicit": uid.ExplicitVRLittleEndian,
    "big endian": uid.ExplicitVRBigEndian,
    "deflated": uid.DeflatedExplicitVRLittleEndian,
    "RLE": uid.RLELossless,
    "JPEG 2000": uid.JPEG2000Lossless,
    "JPEG-LS": uid.JPEGLSLossless,
}


@dataclass
class Form:
    """How a series is written."""

    # Tells series apart: the last parts of their UIDs.
    number: int = 1
    kind: str = "CT"
    syntax: str = "explicit"
    # 16 signed, 16 unsigned or 12 unsigned bits.
    bits: int = 16
    signed: bool = True
    # Digits behind the point of Image Position; None writes as many as fit.
    decimals: int | None = None
    # The order in which instances are numbered and files named: up, down or shuffled.
    order: str = "shuffled"
    patient: str = "TORTURE-1"
    study: int = 1
    # Attributes of every file; None removes one.
    attributes: dict = field(default_factory=dict)

    @property
    def modality(self) -> str:
        return self.kind.split()[-1]

    @property
    def series_uid(self) -> str:
        return f"{UID_ROOT}.{self.study}.{self.number}"


def write_classic(folder: Path, frames: list[Frame], form: Form, first: int = 1) -> list[str]:
    """A file for each frame; gives their SOP Instance UIDs in the order of `frames`."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = numbering(len(frames), form.order, form.number)
    uids = []
    for frame, number in zip(frames, numbers):
        dataset = header(form, first + number)
        place(dataset, frame, form)
        put_pixels(dataset, [frame], form)
        change(dataset, {**form.attributes, **frame.attributes})
        save(dataset, folder / f"{form.number:02}-{first + number:04}.dcm", form)
        uids.append(dataset.SOPInstanceUID)
    return uids


def write_enhanced(folder: Path, frames: list[Frame], form: Form, stacks=None, first: int = 1) -> list[str]:
    """One multi-frame file whose frames stand in the order of `form`; gives for each of `frames` the
    SOP Instance UID and the frame's number, as "UID#1".
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = numbering(len(frames), form.order, form.number)
    by_number = [frames[n] for n in np.argsort(numbers)]
    stacks = stacks or ["1"] * len(frames)
    dataset = header(form, first)
    dataset.NumberOfFrames = len(frames)
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures(frames[0])]
    directions = {tuple([*frame.direction_i, *frame.direction_j]) for frame in frames}
    if len(directions) == 1:
        shared.PlaneOrientationSequence = [orientation_of(frames[0])]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        frame_groups(frame, form, stacks[int(n)], position)
        for position, (frame, n) in enumerate(zip(by_number, np.argsort(numbers)))
    ]
    if len(directions) > 1:
        for groups, frame in zip(dataset.PerFrameFunctionalGroupsSequence, by_number):
            groups.PlaneOrientationSequence = [orientation_of(frame)]
    put_pixels(dataset, by_number, form)
    change(dataset, form.attributes)
    save(dataset, folder / f"{form.number:02}-{first:04}.dcm", form)
    return [f"{dataset.SOPInstanceUID}#{number + 1}" for number in numbers]


def numbering(n: int, order: str, seed: int) -> list[int]:
    """The number of each frame, from 0."""
    if order == "down":
        return list(range(n - 1, -1, -1))
    if order == "shuffled":
        return [int(number) for number in np.random.default_rng(seed).permutation(n)]
    return list(range(n))


def header(form: Form, number: int) -> FileDataset:
    """Everything but place and pixels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CLASSES[form.kind]
    meta.MediaStorageSOPInstanceUID = f"{form.series_uid}.{number}"
    meta.TransferSyntaxUID = SYNTAXES[form.syntax]
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = f"Torture^{form.patient}", form.patient
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.StudyDate, dataset.StudyTime = "20260102", "030405"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID_ROOT}.{form.study}", form.series_uid
    dataset.SeriesNumber, dataset.InstanceNumber = form.number, number
    dataset.SeriesDescription, dataset.Modality, dataset.Manufacturer = "Abdomen", form.modality, "none"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if form.modality == "CT" else ["ORIGINAL", "PRIMARY", "M"]
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = f"{UID_ROOT}.{form.study}.900", ""
    dataset.ContentDate, dataset.ContentTime = "20260102", "030405"
    if form.modality == "CT":
        dataset.KVP, dataset.AcquisitionNumber = 120, 1
        dataset.PatientPosition = "HFS"
    else:
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "NONE", ""
        dataset.MRAcquisitionType, dataset.EchoTime, dataset.EchoTrainLength = "2D", 10, 1
        dataset.PatientPosition = "HFS"
    return dataset


def decimal(values, decimals: int | None) -> list[str]:
    """Decimal strings of at most 16 characters (PS3.5 6.2)."""
    if decimals is not None:
        return [f"{value:.{decimals}f}" for value in values]
    return [str(pydicom.valuerep.DSfloat(float(value), auto_format=True)) for value in values]


def place(dataset: Dataset, frame: Frame, form: Form) -> None:
    dataset.ImagePositionPatient = decimal(frame.origin_mm, form.decimals)
    dataset.ImageOrientationPatient = decimal([*frame.direction_i, *frame.direction_j], None)
    dataset.PixelSpacing = decimal(reversed(frame.spacing_mm), None)
    if frame.thickness_mm is not None:
        dataset.SliceThickness = frame.thickness_mm
    if frame.rescale:
        dataset.RescaleIntercept, dataset.RescaleSlope = frame.intercept, frame.slope
        if form.modality == "CT":
            dataset.RescaleType = "HU"


def measures(frame: Frame) -> Dataset:
    item = Dataset()
    item.PixelSpacing = decimal(reversed(frame.spacing_mm), None)
    if frame.thickness_mm is not None:
        item.SliceThickness = frame.thickness_mm
    return item


def orientation_of(frame: Frame) -> Dataset:
    item = Dataset()
    item.ImageOrientationPatient = decimal([*frame.direction_i, *frame.direction_j], None)
    return item


def frame_groups(frame: Frame, form: Form, stack: str, number: int) -> Dataset:
    """The per-frame functional groups (PS3.3 C.7.6.16.2)."""
    groups, position = Dataset(), Dataset()
    position.ImagePositionPatient = decimal(frame.origin_mm, form.decimals)
    groups.PlanePositionSequence = [position]
    content = Dataset()
    content.StackID, content.InStackPositionNumber = stack, number + 1
    content.FrameAcquisitionNumber, content.FrameReferenceDateTime = 1, "20260102030405"
    change(content, frame.attributes)
    groups.FrameContentSequence = [content]
    if frame.rescale:
        rescale = Dataset()
        rescale.RescaleIntercept, rescale.RescaleSlope = frame.intercept, frame.slope
        rescale.RescaleType = "HU" if form.modality == "CT" else "US"
        groups.PixelValueTransformationSequence = [rescale]
    return groups


def put_pixels(dataset: Dataset, frames: list[Frame], form: Form) -> None:
    stored = np.stack([frame.stored() for frame in frames])
    low, high = (-(2**15), 2**15 - 1) if form.signed else (0, 2**form.bits - 1)
    assert low <= stored.min() and stored.max() <= high, "the body does not fit into the pixels"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Columns, dataset.Rows = frames[0].shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, form.bits, form.bits - 1
    dataset.PixelRepresentation = int(form.signed)
    order = ">" if form.syntax == "big endian" else "<"
    dataset.PixelData = stored.astype(f"{order}{'i' if form.signed else 'u'}2").tobytes()
    dataset["PixelData"].VR = "OW"


def change(dataset: Dataset, attributes: dict) -> None:
    for key, value in attributes.items():
        if value is not None:
            setattr(dataset, key, value)
        elif key in dataset:
            delattr(dataset, key)


def save(dataset: FileDataset, path: Path, form: Form) -> None:
    syntax = SYNTAXES[form.syntax]
    if syntax.is_compressed and syntax != uid.DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        dataset.compress(syntax, generate_instance_uid=False)
    # pydicom writes each syntax as the file meta information says; put_pixels has turned the pixels.
    little = syntax != uid.ExplicitVRBigEndian
    dataset.set_original_encoding(syntax.is_implicit_VR, little)
    dataset.save_as(path, enforce_file_format=True)


def replace_text(folder: Path, old: str, new: str) -> None:
    """Puts what pydicom refuses to write into files, without changing a length."""
    assert len(old) == len(new)
    n_found = 0
    for path in sorted(folder.rglob("*.dcm")):
        content = path.read_bytes()
        n_found += content.count(old.encode())
        path.write_bytes(content.replace(old.encode(), new.encode()))
    assert n_found, f"{old} stands in no file"


def copied(frame: Frame) -> Frame:
    return copy.deepcopy(frame)
