"""Label objects that other software writes on the frames of a stack, for the way in."""

from pathlib import Path

import highdicom
import numpy as np
import pydicom
from pydicom.sr.codedict import codes

from torture_body import NAMES
from torture_case import Stack

class Impossible(Exception):
    """highdicom has no way to write this."""


TYPES = {1: codes.SCT.Liver, 2: codes.SCT.Kidney, 3: codes.SCT.Spleen}


def write_foreign_seg(files: list[Path], stack: Stack, path: Path, kind: str = "BINARY") -> None:
    """A SEG of highdicom with the truth on the stack's own frames."""
    sources, labels = sources_of(files, stack)
    for source in sources:
        # highdicom copies it, though a series need not have one.
        if "SharedFunctionalGroupsSequence" not in source and "SliceThickness" not in source:
            source.SliceThickness = 1.0
    seg = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=labels,
        segmentation_type=kind,
        segment_descriptions=[description(number, name) for number, name in NAMES.items()],
        series_instance_uid="2.25.4407.600",
        series_number=600,
        sop_instance_uid="2.25.4407.600.1",
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="1",
        device_serial_number="1",
    )
    seg.save_as(path)


def sources_of(files: list[Path], stack: Stack) -> tuple[list[pydicom.Dataset], np.ndarray]:
    """The data sets of the stack's files, and the labels of their frames in the same order."""
    by_uid = {}
    for file in files:
        dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        by_uid.setdefault(dataset.get("SOPInstanceUID"), dataset)
    labels = stack.labels()
    names = list(dict.fromkeys(uid.split("#")[0] for uid in stack.uids))
    if not all("FrameOfReferenceUID" in by_uid[name] for name in names):
        raise Impossible("it takes sources with a frame of reference only")
    if "#" not in stack.uids[0]:
        return [by_uid[name] for name in names], labels
    source = by_uid[names[0]]
    if len(names) > 1 or int(source.NumberOfFrames) != stack.n_frames:
        raise Impossible("it takes one multi-frame source, of one stack")
    on_frames = np.zeros((int(source.NumberOfFrames), *labels.shape[1:]), np.uint8)
    for uid, frame in zip(stack.uids, labels):
        on_frames[int(uid.split("#")[1]) - 1] = frame
    return [source], on_frames


def description(number: int, name: str) -> highdicom.seg.SegmentDescription:
    algorithm = highdicom.AlgorithmIdentificationSequence(name="truth", version="1", family=codes.DCM.ArtificialIntelligence)
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=TYPES[number],
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
    )
