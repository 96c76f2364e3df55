"""Reads label objects back with other people's software, as points in the patient (LPS, mm).

Nothing here knows how Prosect stores a thing: a reader gives, for each label value, the centres of
its voxels. Bookkeeping of frames is checked apart, where a format has some.
"""

import subprocess
import sys
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import SimpleITK

from torture_body import NAMES

LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])


class Unreadable(Exception):
    """A reader refused, or found something that contradicts itself."""


def nifti_by_nibabel(path: Path) -> dict[int, np.ndarray]:
    image = nibabel.load(path)
    return points_of(np.asanyarray(image.dataobj), lambda voxels: nibabel.affines.apply_affine(image.affine, voxels) * LPS_FROM_RAS)


def volume_by_simpleitk(path: Path) -> dict[int, np.ndarray]:
    """NIfTI and NRRD; SimpleITK's space is LPS."""
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise Unreadable(f"SimpleITK: {error}") from None
    matrix = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    return points_of(SimpleITK.GetArrayViewFromImage(image).T, lambda voxels: voxels @ matrix.T + image.GetOrigin())


def points_of(array: np.ndarray, lps_of) -> dict[int, np.ndarray]:
    return {int(label): lps_of(np.argwhere(array == label)) for label in np.unique(array) if label != 0}


def seg_by_hand(path: Path) -> dict[int, np.ndarray]:
    """BINARY and LABELMAP by the positions in the frames, without any bookkeeping."""
    seg = pydicom.dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    found: dict[int, list] = {}
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        group = lambda name: (groups.get(name) or shared.get(name))[0]
        position = np.array(group("PlanePositionSequence").ImagePositionPatient, float)
        cosines = np.array(group("PlaneOrientationSequence").ImageOrientationPatient, float).reshape(2, 3)
        along_j, along_i = (float(mm) for mm in group("PixelMeasuresSequence").PixelSpacing)
        for value in np.unique(frame[frame != 0]):
            rows, columns = np.nonzero(frame == value)
            points = position + columns[:, None] * along_i * cosines[0] + rows[:, None] * along_j * cosines[1]
            label = int(value)
            if seg.SegmentationType == "BINARY":
                label = int(group("SegmentIdentificationSequence").ReferencedSegmentNumber)
            found.setdefault(label, []).append(points)
    return {label: np.concatenate(points) for label, points in found.items()}


def seg_by_dcmqi(path: Path, work: Path) -> dict[int, np.ndarray]:
    work.mkdir()
    program = Path(sys.executable).parent / "segimage2itkimage"
    command = [program, "--inputDICOM", path, "--outputDirectory", work, "--outputType", "nifti", "--prefix", "seg"]
    done = subprocess.run(command, capture_output=True, text=True)
    files = {int(found.name.split("-")[1].split(".")[0]): found for found in work.glob("seg-*.nii.gz")}
    if done.returncode != 0 or not files:
        raise Unreadable(f"dcmqi: {(done.stdout + done.stderr).strip()[-300:]}")
    found = {}
    for number, file in files.items():
        points = list(nifti_by_nibabel(file).values())
        if points:
            found[number] = np.concatenate(points)
    return found


def seg_frames_by_highdicom(path: Path, uids: list[str]) -> np.ndarray:
    """Labels of the source's frames, found by what the object says of its sources."""
    seg = highdicom.seg.segread(path)
    numbers = list(seg.segment_numbers)
    numbers = [number for number in numbers if number != 0]
    options = {"ignore_spatial_locations": True, "assert_missing_frames_are_empty": True, "segment_numbers": numbers}
    if "#" not in uids[0]:
        masks = seg.get_pixels_by_source_instance(uids, **options)
    else:
        masks = np.zeros((len(uids), seg.Rows, seg.Columns, len(numbers)), np.uint8)
        for file in dict.fromkeys(uid.split("#")[0] for uid in uids):
            places = [n for n, uid in enumerate(uids) if uid.split("#")[0] == file]
            frames = [int(uids[n].split("#")[1]) for n in places]
            masks[places] = seg.get_pixels_by_source_frame(file, frames, **options)
    if (np.count_nonzero(masks, axis=-1) > 1).any():
        raise Unreadable("highdicom: segments overlap")
    return (masks != 0) @ np.array(numbers)


def segment_names(path: Path) -> dict[int, str]:
    seg = pydicom.dcmread(path, stop_before_pixels=True)
    return {item.SegmentNumber: item.SegmentLabel for item in seg.SegmentSequence if item.SegmentNumber != 0}


def rtstruct_frames(path: Path, frames: dict, tolerance_mm: float) -> np.ndarray:
    """Labels of the source's frames, from the contours that refer to them: a pixel is inside where a
    ray from its centre crosses the contours of a structure an odd number of times. `frames` are the
    source's, by "UID" or "UID#number", in their order.
    """
    plan = pydicom.dcmread(path)
    names = {item.ROINumber: item.ROIName for item in plan.StructureSetROISequence}
    values = {name: label for label, name in NAMES.items()}
    order = {uid: n for n, uid in enumerate(frames)}
    columns, rows = next(iter(frames.values())).shape
    labels = np.zeros((len(frames), rows, columns), np.uint8)
    for roi in plan.ROIContourSequence:
        mask = np.zeros(labels.shape, bool)
        for contour in roi.get("ContourSequence") or []:
            if contour.ContourGeometricType not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
                raise Unreadable(f"a contour is {contour.ContourGeometricType}")
            (image,) = contour.ContourImageSequence
            uid = image.ReferencedSOPInstanceUID
            if "ReferencedFrameNumber" in image:
                uid = f"{uid}#{int(image.ReferencedFrameNumber)}"
            frame = frames[uid]
            at = np.array(contour.ContourData, float).reshape(-1, 3) - frame.origin_mm
            if len(at) != contour.NumberOfContourPoints:
                raise Unreadable("a contour has another number of points than it says")
            if np.abs(at @ frame.normal).max() > tolerance_mm:
                raise Unreadable("a contour does not lie in the plane of its image")
            corners = np.stack([at @ frame.direction_i / frame.spacing_mm[0], at @ frame.direction_j / frame.spacing_mm[1]], axis=1)
            mask[order[uid]] ^= filled(corners, columns, rows)
        name = names[roi.ReferencedROINumber]
        if (labels[mask] != 0).any():
            raise Unreadable("structures overlap")
        labels[mask] = values[name]
    return labels


def rtstruct_by_plastimatch(path: Path, images: Path, work: Path) -> dict[int, np.ndarray]:
    """What plastimatch fills on the grid of the images, a mask for each structure."""
    command = ["plastimatch", "convert", "--input", path, "--referenced-ct", images, "--output-prefix", work, "--prefix-format", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unreadable(f"plastimatch: {(done.stdout + done.stderr).strip()[-300:]}")
    found = {}
    for label, name in NAMES.items():
        if (mask := work / f"{name}.nrrd").is_file():
            found |= {label: points for points in volume_by_simpleitk(mask).values()}
    return found


def filled(corners: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """Pixels whose centre lies inside a closed polygon, by even and odd crossings. `corners`: n x 2 in
    pixels, integers at the centres.
    """
    inside = np.zeros((rows, columns), bool)
    across = np.arange(columns)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0)):
        crossed = np.nonzero((np.arange(rows) >= min(y0, y1)) & (np.arange(rows) < max(y0, y1)))[0]
        for row in crossed:
            inside[row] ^= across < x0 + (row - y0) * (x1 - x0) / (y1 - y0)
    return inside
