"""Our DICOM segmentations beside highdicom's: 117 structures on 300 slices of 512 x 512, in one run.

    python objects.py --work FOLDER [--slices 300] [--segments 117] [--rounds 3]

Builds nothing: `cargo build --release -p prosect-dicom --example write_objects` first. Both get the
same labels on the same series; highdicom is given them in memory and writes BINARY with as many
workers as it likes to have. Prints seconds (wall; CPU of the process) and bytes, and checks that both
files hold the same frames and pixels.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import highdicom
import numpy as np
import pydicom
from highdicom.seg import SegmentDescription, Segmentation, SegmentationTypeValues
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = Path(__file__).resolve().parents[2]
RELEASE = Path(os.environ.get("PROSECT_RELEASE", ROOT / "target/release"))
UID_ROOT = "2.25.7782"


def write_series(folder: Path, n_slices: int, size: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for n in range(n_slices):
        path = folder / f"{n:04}.dcm"
        paths.append(path)
        if path.exists():
            continue
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"{UID_ROOT}.1.{n + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = "Nobody", "1", "", ""
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20260101", "120000", ""
        dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID_ROOT}.2", f"{UID_ROOT}.3"
        dataset.SeriesNumber, dataset.InstanceNumber, dataset.Modality = 1, n + 1, "CT"
        dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = f"{UID_ROOT}.4", ""
        dataset.ImageType, dataset.PatientPosition = ["ORIGINAL", "PRIMARY", "AXIAL"], "HFS"
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [-200, -200, 1.5 * n]
        dataset.PixelSpacing, dataset.SliceThickness = [0.8, 0.8], 1.5
        dataset.Rows = dataset.Columns = size
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
        dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 1, 1, 0
        dataset.PixelData = np.full((size, size), n, "<i2").tobytes()
        dataset.save_as(path, enforce_file_format=True)
    return paths


def draw_labels(n_segments: int, n_slices: int, size: int) -> np.ndarray:
    """Wavy balls of many sizes, later ones over earlier ones: slices x rows x columns."""
    random = np.random.default_rng(117)
    labels = np.zeros((n_slices, size, size), np.uint16)
    for value in range(1, n_segments + 1):
        radius = 10 + 60 * random.random() ** 2
        center = (0.15 + 0.7 * random.random(3)) * labels.shape
        low = np.maximum(center - 1.4 * radius, 0).astype(int)
        high = np.minimum(center + 1.4 * radius + 1, labels.shape).astype(int)
        z, y, x = np.ogrid[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        z, y, x = z - center[0], y - center[1], x - center[2]
        wavy = radius * (1 + 0.12 * np.sin(x / 7) * np.cos(y / 9) + 0.1 * np.sin(z / 8))
        part = labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        part[z * z + y * y + x * x < wavy * wavy] = value
    return labels


def ours(series: Path, labels: Path, out: Path) -> dict:
    program = [RELEASE / "examples/write_objects", series, labels, out]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    return {line["file"]: line for line in map(json.loads, done.stdout.splitlines())}


def theirs(images: list, labels: np.ndarray, n_segments: int, path: Path) -> tuple[float, float]:
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="bench", version="1", family=codes.DCM.ArtificialIntelligence
    )
    descriptions = [
        SegmentDescription(
            segment_number=value,
            segment_label=f"structure {value}",
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for value in range(1, n_segments + 1)
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    made = Segmentation(
        source_images=images,
        pixel_array=labels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=f"{UID_ROOT}.5",
        series_number=100,
        sop_instance_uid=f"{UID_ROOT}.6",
        instance_number=1,
        manufacturer="bench",
        manufacturer_model_name="bench",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=True,
    )
    made.save_as(path)
    return time.perf_counter() - wall, time.process_time() - cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--segments", type=int, default=117)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    work = arguments.work
    series = work / f"series-{arguments.slices}-{arguments.size}"
    paths = write_series(series, arguments.slices, arguments.size)
    labels = draw_labels(arguments.segments, arguments.slices, arguments.size)
    labels_path = work / "labels.u16"
    labels.astype("<u2").tofile(labels_path)
    images = [pydicom.dcmread(path) for path in paths]
    n_segments = int(labels.max())
    rounds = []
    for _ in range(arguments.rounds):
        mine = ours(series, labels_path, work / "ours")
        wall, cpu = theirs(images, labels, n_segments, work / "highdicom.dcm")
        rounds.append((mine, wall, cpu))
        seg = mine["seg.dcm"]
        print(f"prosect {seg['seconds']:.2f} s (CPU {seg['cpu']:.2f} s), highdicom {wall:.2f} s (CPU {cpu:.2f} s)", flush=True)
    best = min(rounds, key=lambda entry: entry[0]["seg.dcm"]["seconds"])[0]
    fastest, least = min(entry[1] for entry in rounds), min(entry[2] for entry in rounds)
    print("| object | seconds | CPU seconds | MB | frames, contours or groups |\n|---|---|---|---|---|")
    for name, entry in best.items():
        print(f"| {name} | {entry['seconds']:.2f} | {entry['cpu']:.2f} | {entry['bytes'] / 1e6:.2f} | {entry['parts']} |")
    size = (work / "highdicom.dcm").stat().st_size
    print(f"| highdicom BINARY | {fastest:.2f} | {least:.2f} | {size / 1e6:.2f} | |")
    mine_wall, mine_cpu = best["seg.dcm"]["seconds"], best["seg.dcm"]["cpu"]
    print(f"BINARY: {fastest / mine_wall:.1f} times as fast as highdicom, {least / mine_cpu:.1f} times by CPU seconds")
    print(f"LABELMAP: 1/{best['seg.dcm']['bytes'] / best['labelmap.dcm']['bytes']:.0f} of BINARY")
    mine, other = frames_of(work / "ours/seg.dcm"), frames_of(work / "highdicom.dcm")
    assert mine.keys() == other.keys()
    assert all(np.array_equal(mine[place], other[place]) for place in mine), "the two do not hold the same pixels"
    print("both hold the same pixels in the same frames")


def frames_of(path: Path) -> dict:
    """The packed bits of each frame, by segment and position; rows times columns is a multiple of 8."""
    dataset = pydicom.dcmread(path)
    frames = np.frombuffer(dataset.PixelData, np.uint8).reshape(dataset.NumberOfFrames, -1)
    places = [
        (int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber), float(group.PlanePositionSequence[0].ImagePositionPatient[2]))
        for group in dataset.PerFrameFunctionalGroupsSequence
    ]
    return dict(zip(places, frames))


if __name__ == "__main__":
    main()
