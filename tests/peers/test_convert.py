"""`prosect convert` judged by others: what highdicom, nibabel, SimpleITK and pydicom wrote is read, and
what is written is read by them, as sets of places in the patient."""

import json
import subprocess
import sys
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    RTStructureSetStorage,
)

from convert_stacks import COLUMNS, NAMES, ROWS, STACKS, Stack, labels_at, lesion_at, named_uid, values_at

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Encodings of the data set, whose pixels are as they were.
PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
LESION = 4
# Segment Numbers of the test's own segmentations, in their order.
SEGMENTS = [(5, "liver"), (2, "kidney_left"), (9, "kidney_right"), (LESION, "lesion")]


@pytest.fixture(params=STACKS, ids=lambda stack: stack.name)
def stack(request) -> Stack:
    return request.param


@pytest.fixture
def source(stack, tmp_path) -> list[Dataset]:
    return stack.write(tmp_path / "source")


@pytest.fixture
def convert(run_prosect, tmp_path):
    """Runs `convert` to a file of this name; gives back its path and what was told. `code` is the exit
    code that it must end with."""

    def run(entry, name: str, *arguments, code: int = 0):
        path = tmp_path / name
        done = run_prosect("convert", entry, "-o", path, "--json", *arguments)
        assert done.code == code, done.told()
        assert code == 2 or path.is_file(), done.told()
        assert not list(path.parent.glob(".*partial*")), "something half-made is left"
        return (path, done.json) if code != 2 else (None, done)

    return run


def truth(stack: Stack) -> dict[str, np.ndarray]:
    """The mask of each structure on the frames."""
    points = stack.points_mm()
    labels = labels_at(points)
    masks = {name: labels == value for value, name in NAMES.items()}
    masks["lesion"] = lesion_at(points)
    assert all(mask.any() and not mask.all() for mask in masks.values())
    return masks


def write_seg(source, masks: dict, path: Path, kind="BINARY", syntax=ExplicitVRLittleEndian, **options) -> None:
    """highdicom writes the masks, whatever they are called."""
    known = {"liver": codes.SCT.Liver, "kidney_left": codes.SCT.Kidney, "kidney_right": codes.SCT.Kidney}
    algorithm = highdicom.AlgorithmIdentificationSequence("a model", codes.DCM.ArtificialIntelligence, "1.0")
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.AnatomicalStructure if name in known else codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=known.get(name, codes.SCT.Lesion),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(masks, 1)
    ]
    if kind == "LABELMAP":
        pixels = np.zeros(next(iter(masks.values())).shape, np.uint8)
        for number, mask in enumerate(masks.values(), 1):
            pixels[mask] = number
    else:
        pixels = np.stack(list(masks.values()), axis=-1)
        pixels = pixels.astype(np.float32 if kind == "FRACTIONAL" else np.uint8)
    seg = highdicom.seg.Segmentation(
        source, pixels, kind, descriptions, named_uid(1), 99, named_uid(2), 1, "none", "test", "1", "1",
        transfer_syntax_uid=ExplicitVRLittleEndian if syntax in PLAIN else syntax, **options,
    )
    if syntax in PLAIN:
        seg.file_meta.TransferSyntaxUID = syntax
    seg.save_as(path)


def sample(affine_lps: np.ndarray, array: np.ndarray, points_mm: np.ndarray) -> np.ndarray:
    """The values of a volume at points: every point must be a voxel's centre, or lie outside (0)."""
    inverse = np.linalg.inv(affine_lps)
    at = points_mm @ inverse[:3, :3].T + inverse[:3, 3]
    nearest = np.rint(at).astype(int)
    inside = ((nearest >= 0) & (nearest < array.shape)).all(axis=-1)
    # 0.01 voxel: NIfTI stores its affine as f32, DICOM its positions as decimal text.
    assert np.abs(at - nearest)[inside].max() < 0.01
    values = np.zeros(points_mm.shape[:-1], array.dtype)
    values[inside] = array[tuple(nearest[inside].T)]
    return values


def nearest_values(affine_lps: np.ndarray, array: np.ndarray, points_mm: np.ndarray) -> np.ndarray:
    inverse = np.linalg.inv(affine_lps)
    nearest = np.rint(points_mm @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = ((nearest >= 0) & (nearest < array.shape)).all(axis=-1)
    values = np.zeros(points_mm.shape[:-1], array.dtype)
    values[inside] = array[tuple(nearest[inside].T)]
    return values


def read_nifti(path: Path):
    image = nibabel.load(path)
    return LPS_FROM_RAS @ image.affine, np.asarray(image.dataobj)


def read_itk(path: Path):
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    array = SimpleITK.GetArrayFromImage(image)
    if array.ndim == 4:
        return affine, np.transpose(array, (3, 2, 1, 0))
    return affine, array.T


def check_masks(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, err_msg=name)


def masks_of_seg(path: Path, source) -> dict[str, np.ndarray]:
    """By highdicom, BINARY or LABELMAP."""
    seg = highdicom.seg.segread(path)
    uids = [dataset.SOPInstanceUID for dataset in source]
    numbers = [n for n in seg.segment_numbers]
    pixels = seg.get_pixels_by_source_instance(
        uids, segment_numbers=numbers, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    labels = {d.segment_number: d.segment_label for d in (seg.get_segment_description(n) for n in numbers)}
    return {labels[n]: pixels[..., at] != 0 for at, n in enumerate(numbers)}


def masks_of_maps(path: Path, told: dict, stack: Stack, reader) -> dict[str, np.ndarray]:
    """Of NIfTI or NRRD files, one for each layer, at the pixels of the frames."""
    values_at_points = sample if stack.regular else nearest_values
    layers = []
    for file in told["files"]:
        if not file.endswith(".json"):
            affine, array = reader(Path(file))
            layers.append(values_at_points(affine, array, stack.points_mm()))
    return {label["name"]: layers[label["layer"]] == label["value"] for label in told["labels"]}


def test_overlapping_segments_reach_every_format(convert, stack, source, tmp_path):
    masks = truth(stack)
    write_seg(source, masks, tmp_path / "in.dcm")
    series = ["--source", tmp_path / "source"]
    seg, told = convert(tmp_path / "in.dcm", "a.seg.dcm", *series)
    assert not told["findings"], told
    check_masks(masks_of_seg(seg, source), masks)
    for label, (_, name) in zip(told["labels"], SEGMENTS):
        assert label["name"] == name and label["n_voxels_before"] == label["n_voxels_after"] == masks[name].sum()
    for number, original in enumerate(pydicom.dcmread(tmp_path / "in.dcm").SegmentSequence):
        written = pydicom.dcmread(seg).SegmentSequence[number]
        for keyword in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
            assert CodedConcept.from_dataset(written[keyword].value[0]) == CodedConcept.from_dataset(original[keyword].value[0])
        assert written.SegmentAlgorithmName == "a model" and written.SegmentAlgorithmType == "AUTOMATIC"
    maps, told = convert(tmp_path / "in.dcm", "b.labelmap.dcm", *series)
    files = [file for file in told["files"]]
    assert len(files) == 2, "overlap needs two instances"
    check_masks({k: v for file in files for k, v in masks_of_seg(Path(file), source).items()}, masks)
    _, told = convert(tmp_path / "in.dcm", "c.nii.gz", *series)
    check_masks(masks_of_maps(Path(), told, stack, read_nifti), masks)
    table = json.loads((tmp_path / "c.json").read_text())
    assert [layer["file"] for layer in table["layers"]] == ["c.nii.gz", "c.2.nii.gz"]
    _, told = convert(tmp_path / "in.dcm", "d.nrrd", *series)
    check_masks(masks_of_maps(Path(), told, stack, read_itk), masks)
    path, told = convert(tmp_path / "in.dcm", "e.seg.nrrd", *series)
    affine, layers = read_itk(path)
    at = sample if stack.regular else nearest_values
    found = {
        label["name"]: at(affine, layers[label["layer"]], stack.points_mm()) == label["value"] for label in told["labels"]
    }
    check_masks(found, masks)
    contours, told = convert(tmp_path / "in.dcm", "f.rtstruct.dcm", *series)
    check_masks(masks_of_contours(contours, stack), masks)
    # And back again from everything that was written, without a name or a voxel lost.
    for n, name in enumerate(["a.seg.dcm", "c.nii.gz", "e.seg.nrrd", "f.rtstruct.dcm"]):
        again, told = convert(tmp_path / name, f"again{n}.seg.dcm", *series)
        assert not told["findings"], (name, told)
        check_masks(masks_of_seg(again, source), masks)


def even_odd(points: np.ndarray, polygons: list[np.ndarray]) -> np.ndarray:
    """Whether points (n x 2) lie inside an odd number of polygons."""
    inside = np.zeros(len(points), bool)
    x, y = points.T
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0)):
            if y0 != y1:
                between = (y >= min(y0, y1)) & (y < max(y0, y1))
                inside ^= between & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


def masks_of_contours(path: Path, stack: Stack) -> dict[str, np.ndarray]:
    """Of an RT structure set, by points in polygons in the patient."""
    dataset = pydicom.dcmread(path)
    i, j, k = stack.axes
    names = {item.ROINumber: item.ROIName for item in dataset.StructureSetROISequence}
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(float)
    masks = {}
    for item in dataset.ROIContourSequence:
        polygons = [[] for _ in stack.origins]
        for contour in item.get("ContourSequence", []):
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            away = [np.abs((points - origin) @ k).max() for origin in stack.origins]
            frame = int(np.argmin(away))
            assert away[frame] < 1e-3, "a contour lies beside its frame"
            way = points - stack.origins[frame]
            polygons[frame].append(np.stack([way @ i / stack.spacing_mm[0], way @ j / stack.spacing_mm[1]], axis=-1))
        mask = np.stack([even_odd(pixels, of_frame).reshape(ROWS, COLUMNS) for of_frame in polygons])
        masks[names[item.ReferencedROINumber]] = mask
    return masks


def write_rtstruct(path: Path, source, rois: dict[str, list[tuple[str, np.ndarray]]]) -> None:
    """Each region is a list of geometric types and points in mm."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, named_uid(3)
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, named_uid(3)
    dataset.Modality, dataset.StudyInstanceUID = "RTSTRUCT", source[0].StudyInstanceUID
    dataset.SeriesInstanceUID = named_uid(4)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = Sequence(), Sequence()
    for number, (name, contours) in enumerate(rois.items(), 1):
        roi, item = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        roi.ReferencedFrameOfReferenceUID = source[0].FrameOfReferenceUID
        item.ReferencedROINumber, item.ROIDisplayColor = number, [255, 10 * number, 0]
        item.ContourSequence = Sequence()
        for kind, points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{c:.5f}" for c in np.asarray(points).ravel()]
            item.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(item)
    dataset.save_as(path, enforce_file_format=True)


OUTER = np.array([[3.3, 2.2], [20.7, 4.1], [17.2, 18.4], [5.1, 14.6]])
INNER = np.array([[8.2, 6.3], [14.6, 7.4], [9.7, 11.8]])
APART = np.array([[21.3, 15.2], [24.8, 15.9], [22.4, 20.3]])


def test_contours_holes_and_keyholes_are_filled(convert, stack, source, tmp_path):
    i, j, _ = stack.axes
    keyhole = np.concatenate([OUTER, OUTER[:1], INNER[::-1], INNER[-1:], OUTER[:1]])
    frames = range(2, 7)

    def in_mm(frame, polygon):
        return stack.origins[frame] + polygon[:, :1] * stack.spacing_mm[0] * i + polygon[:, 1:] * stack.spacing_mm[1] * j

    rois = {
        "xor": [("CLOSEDPLANAR_XOR", in_mm(f, p)) for f in frames for p in (OUTER, INNER, APART)],
        "holes": [("CLOSED_PLANAR", in_mm(f, p)) for f in frames for p in (INNER, OUTER, APART)],
        "keyhole": [("CLOSED_PLANAR", in_mm(f, p)) for f in frames for p in (keyhole, APART)],
        "plain": [("CLOSED_PLANAR", in_mm(f, OUTER)) for f in frames],
        "twice": [("CLOSED_PLANAR", in_mm(4, OUTER)), ("CLOSED_PLANAR", in_mm(4, OUTER))],
        "points": [("POINT", in_mm(3, OUTER[:1]))],
    }
    write_rtstruct(tmp_path / "rt.dcm", source, rois)
    seg, told = convert(tmp_path / "rt.dcm", "x.seg.dcm", "--source", tmp_path / "source", code=1)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(float)

    def mask(polygons, of_frames):
        filled = even_odd(pixels, polygons).reshape(ROWS, COLUMNS)
        return np.stack([filled & (f in of_frames) for f in range(len(stack.origins))])

    holed = mask([OUTER, INNER, APART], frames)
    expected = {"xor": holed, "holes": holed, "keyhole": holed, "plain": mask([OUTER], frames), "twice": mask([OUTER], [4])}
    expected["points"] = np.zeros_like(holed)
    check_masks(masks_of_seg(seg, source), expected)
    assert {finding["code"] for finding in told["findings"]} == {"open_contours", "contours_twice"}


@pytest.mark.parametrize("stack", STACKS[:1], ids=["axial"], indirect=True)
def test_contours_beside_the_frames_and_across_each_other_are_told(convert, stack, source, tmp_path):
    square = np.array([[2.5, 2.5], [10.5, 2.5], [10.5, 10.5], [2.5, 10.5]])

    def in_mm(frame, polygon, height_mm=0.0):
        x, y = (polygon * stack.spacing_mm).T
        return stack.origins[frame] + np.stack([x, y, np.full(len(x), height_mm)], axis=-1)

    between = [("CLOSED_PLANAR", in_mm(f, square, 1.2)) for f in range(3, 6)]
    crossing = [("CLOSED_PLANAR", in_mm(7, square)), ("CLOSED_PLANAR", in_mm(7, square + 4))]
    for name, contours, code in [("between", between, "contours_between_frames"), ("crossing", crossing, "contours_cross")]:
        write_rtstruct(tmp_path / f"{name}.dcm", source, {name: contours})
        seg, told = convert(tmp_path / f"{name}.dcm", f"{name}.seg.dcm", "--source", tmp_path / "source", code=1)
        assert code in {finding["code"] for finding in told["findings"]}, told
    mask = masks_of_seg(tmp_path / "between.seg.dcm", source)["between"]
    assert [int(frame.sum()) for frame in mask[3:6]] == [64, 64, 64] and mask.sum() == 192
    _, done = convert(tmp_path / "between.dcm", "none.nii.gz", code=2)
    assert "--source" in done.stderr


@pytest.mark.parametrize("stack", STACKS[:1], ids=["axial"], indirect=True)
def test_plastimatch_contours_come_back(convert, stack, source, tmp_path, require_tool):
    """plastimatch draws contours around a label map; the same pixels must come out."""
    masks = {name: mask for name, mask in truth(stack).items() if name != "lesion"}
    labels = np.zeros(stack.points_mm().shape[:3], np.uint32)
    for bit, mask in enumerate(masks.values()):
        labels[mask] |= 1 << bit
    image = SimpleITK.GetImageFromArray(labels)
    image.SetSpacing((*stack.spacing_mm, stack.gaps_mm[0]))
    image.SetOrigin(stack.origins[0])
    SimpleITK.WriteImage(image, str(tmp_path / "ss.mha"))
    (tmp_path / "ss.txt").write_text("".join(f"{bit}|255\\0\\{bit}|{name}\n" for bit, name in enumerate(masks)))
    subprocess.run(
        [require_tool("plastimatch"), "convert", "--input-ss-img", tmp_path / "ss.mha", "--input-ss-list", tmp_path / "ss.txt",
         "--output-dicom", tmp_path / "rt", "--referenced-ct", tmp_path / "source"],
        check=True, capture_output=True,
    )
    (file,) = [f for f in (tmp_path / "rt").iterdir() if pydicom.dcmread(f).Modality == "RTSTRUCT"]
    seg, _ = convert(file, "x.seg.dcm", "--source", tmp_path / "source")
    found = masks_of_seg(seg, source)
    for name, mask in masks.items():
        # plastimatch draws through the centres of the outermost pixels, whose side is then open.
        shared = (found[name] & mask).sum()
        assert shared == found[name].sum() and shared > 0.5 * mask.sum(), name


@pytest.mark.parametrize("stack", [STACKS[4]], ids=["oblique"], indirect=True)
@pytest.mark.parametrize("syntax", [*PLAIN, RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
def test_every_kind_and_encoding_is_read(convert, stack, source, tmp_path, kind, syntax):
    masks = {name: mask for name, mask in truth(stack).items() if name != "lesion"}
    try:
        write_seg(source, masks, tmp_path / "in.dcm", kind, syntax)
    except ValueError:
        # highdicom itself writes this kind in no such encoding.
        assert kind == "BINARY" and syntax in (RLELossless, JPEGLSLossless)
        return
    code = 1 if kind == "FRACTIONAL" else 0
    seg, told = convert(tmp_path / "in.dcm", "x.seg.dcm", "--source", tmp_path / "source", code=code)
    check_masks(masks_of_seg(seg, source), masks)
    if kind == "FRACTIONAL":
        assert told["findings"][0]["code"] == "fractions_thresholded"


@pytest.mark.parametrize("stack", [STACKS[1]], ids=["prone"], indirect=True)
def test_fractions_are_inside_from_one_half_on(convert, stack, source, tmp_path):
    mask = truth(stack)["liver"]
    fractions = np.where(mask, 0.5, 0.49).astype(np.float32)[..., None]
    description = highdicom.seg.SegmentDescription(
        1, "liver", codes.SCT.AnatomicalStructure, codes.SCT.Liver, "MANUAL"
    )
    seg = highdicom.seg.Segmentation(
        source, fractions, "FRACTIONAL", [description], named_uid(1), 99, named_uid(2), 1, "none", "test", "1", "1", max_fractional_value=200
    )
    seg.save_as(tmp_path / "in.dcm")
    path, _ = convert(tmp_path / "in.dcm", "x.seg.dcm", "--source", tmp_path / "source", code=1)
    check_masks(masks_of_seg(path, source), {"liver": mask})
    assert pydicom.dcmread(path).SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


@pytest.mark.parametrize("stack", [stack for stack in STACKS if stack.regular], ids=lambda stack: stack.name, indirect=True)
@pytest.mark.parametrize("form", ["nifti ras", "nifti flipped", "nifti big endian", "nifti qform", "nrrd", "nrrd ras"])
def test_label_maps_of_others_lie_on_the_frames(convert, stack, source, tmp_path, form):
    """A label map in any orientation, with names from a table."""
    points = stack.points_mm()
    labels = labels_at(points)
    i, j, k = stack.axes
    affine = np.eye(4)
    affine[:3, :3] = np.stack([i * stack.spacing_mm[0], j * stack.spacing_mm[1], k * stack.gaps_mm[0]], axis=-1)
    affine[:3, 3] = stack.origins[0]
    array = np.transpose(labels, (2, 1, 0))
    path = tmp_path / ("in.nrrd" if "nrrd" in form else "in.nii.gz")
    if form.startswith("nifti"):
        kind = nibabel.Nifti1Image
        image = kind(array.astype(np.int16), LPS_FROM_RAS @ affine)
        if form == "nifti ras":
            image = nibabel.as_closest_canonical(image)
        if form == "nifti flipped":
            flip = nibabel.orientations.axcodes2ornt(nibabel.aff2axcodes(image.affine))
            flip[:, 1] *= [-1, 1, -1]
            image = image.as_reoriented(flip)
        if form == "nifti big endian":
            image = kind(array.astype(">f8"), image.affine, kind.header_class(endianness=">"))
            image.header.set_data_dtype(">f8")
        if form == "nifti qform":
            image.set_qform(image.affine, 1)
            image.set_sform(None, 0)
        nibabel.save(image, path)
    else:
        image = SimpleITK.GetImageFromArray(labels.astype(np.uint16))
        image.SetSpacing((*stack.spacing_mm, stack.gaps_mm[0]))
        image.SetDirection(np.stack([i, j, k], axis=-1).ravel())
        image.SetOrigin(stack.origins[0])
        SimpleITK.WriteImage(image, str(path), form == "nrrd")
        if form == "nrrd ras":
            text, data = path.read_bytes().split(b"\n\n", 1)
            text = text.replace(b"left-posterior-superior", b"right-anterior-superior").decode()
            lines = [mirrored(line) if line.startswith(("space directions", "space origin")) else line for line in text.splitlines()]
            path.write_bytes("\n".join(lines).encode() + b"\n\n" + data)
    (tmp_path / "names.csv").write_text("value,name\n" + "".join(f"{v},{n}\n" for v, n in NAMES.items()))
    seg, told = convert(path, "x.seg.dcm", "--source", tmp_path / "source", "--labels", tmp_path / "names.csv")
    assert not told["findings"]
    assert not any("nearest" in note for note in told["notes"]), "the grids agree"
    check_masks(masks_of_seg(seg, source), {name: labels == value for value, name in NAMES.items()})
    written = {item.SegmentLabel: item for item in pydicom.dcmread(seg).SegmentSequence}
    assert written["liver"].SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    side = written["kidney_left"].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Left"


def mirrored(line: str) -> str:
    name, vectors = line.split(": ")
    turned = []
    for vector in vectors.split():
        x, y, z = map(float, vector.strip("()").split(","))
        turned.append(f"({-x},{-y},{z})")
    return f"{name}: {' '.join(turned)}"


@pytest.mark.parametrize("stack", STACKS[:1], ids=["axial"], indirect=True)
def test_a_finer_map_is_sampled_and_what_is_lost_is_told(convert, stack, source, tmp_path):
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    # No pixel's centre lies half way between two voxels.
    affine[:3, 3] = stack.origins[0] - [20.2, 20.3, 20.4]
    shape = (90, 90, 75)
    at = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) + affine[:3, 3]
    array = labels_at(at).astype(np.uint8)
    array[2, 2, 2] = 77
    nibabel.save(nibabel.Nifti1Image(array, LPS_FROM_RAS @ affine), tmp_path / "fine.nii.gz")
    series = ["--source", tmp_path / "source"]
    seg, told = convert(tmp_path / "fine.nii.gz", "x.seg.dcm", *series, code=1)
    codes_told = {finding["code"] for finding in told["findings"]}
    assert codes_told == {"label_without_name", "label_vanished", "labels_outside"}, told
    assert any("nearest" in note for note in told["notes"])
    expected = nearest_values(affine, array, stack.points_mm())
    found = masks_of_seg(seg, source)
    for value in NAMES:
        np.testing.assert_array_equal(found[f"label_{value}"], expected == value)
    array[:] = 0
    array[0, 0, 0] = 1
    nibabel.save(nibabel.Nifti1Image(array, LPS_FROM_RAS @ affine), tmp_path / "away.nii.gz")
    _, done = convert(tmp_path / "away.nii.gz", "y.seg.dcm", *series, code=2)
    assert "none of the 1 labeled voxels" in done.stderr


@pytest.mark.parametrize("stack", STACKS[:1], ids=["axial"], indirect=True)
def test_what_cannot_be_right_is_refused(convert, stack, source, tmp_path):
    masks = truth(stack)
    for dataset in source:
        dataset.FrameOfReferenceUID = named_uid(5)
    write_seg(source, masks, tmp_path / "in.dcm")
    series = ["--source", tmp_path / "source"]
    _, done = convert(tmp_path / "in.dcm", "x.seg.dcm", *series, code=2)
    assert "frame of reference" in done.stderr and "--any-frame-of-reference" in done.stderr
    _, told = convert(tmp_path / "in.dcm", "x.seg.dcm", *series, "--any-frame-of-reference", code=1)
    assert told["findings"][0]["code"] == "other_frame_of_reference"
    _, done = convert(tmp_path / "in.dcm", "x.seg.dcm", *series, "--any-frame-of-reference", code=2)
    assert "exists already" in done.stderr
    _, done = convert(tmp_path / "in.dcm", "y.rtstruct.dcm", code=2)
    assert "--source" in done.stderr
    _, done = convert(tmp_path / "source", "y.seg.dcm", code=2)
    assert "is an image" in done.stderr
    _, done = convert(tmp_path / "in.dcm", "y.xyz", *series, code=2)
    assert "--format" in done.stderr
    content = (tmp_path / "in.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[:-40])
    _, done = convert(tmp_path / "cut.dcm", "y.seg.dcm", *series, code=2)
    assert "truncated" in done.stderr


def test_an_image_series_lies_where_it_lay(convert, stack, source, tmp_path):
    points = stack.points_mm()
    for name, reader in [("x.nii.gz", read_nifti), ("x.nii", read_nifti), ("x.nrrd", read_itk)]:
        # Between slices that are unevenly spaced the image is a guess: a person must look.
        path, told = convert(tmp_path / "source", name, code=int(stack.name == "uneven"))
        affine, array = reader(path)
        if stack.regular:
            np.testing.assert_array_equal(sample(affine, array, points), values_at(points) - 1024)
            assert not any("resampled" in note for note in told["notes"])
        else:
            assert any("resampled" in note for note in told["notes"]), told
            index = np.stack(np.meshgrid(*map(np.arange, array.shape), indexing="ij"), axis=-1)
            at = index @ affine[:3, :3].T + affine[:3, 3]
            inside = array > array.min()
            # Interpolation keeps a linear function, but for the rounding of values; half a pixel beyond the
            # outermost centres there is nothing to interpolate between.
            assert (np.abs(array - (values_at(at) - 1024))[inside] < 1.5).mean() > 0.75 and inside.mean() > 0.4


def test_our_segs_go_to_nifti_without_their_series(convert, stack, source, tmp_path):
    """A SEG says by itself where its frames are; those left out are put back where that is sure."""
    masks = truth(stack)
    write_seg(source, masks, tmp_path / "in.dcm")
    if stack.name == "uneven":
        _, done = convert(tmp_path / "in.dcm", "x.nii.gz", code=2)
        assert "uneven" in done.stderr and "--source" in done.stderr
        return
    _, told = convert(tmp_path / "in.dcm", "x.nii.gz")
    check_masks(masks_of_maps(Path(), told, stack, read_nifti), masks)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.float32, np.float64, np.int64, np.uint64])
def test_volumes_are_copied_in_their_type(convert, tmp_path, dtype):
    values = np.arange(60).reshape(3, 4, 5) * 7
    if np.dtype(dtype).itemsize == 8 and dtype is not np.float64:
        values = values + (1 << 55)
    affine = np.array([[-1.2, 0.1, 0.3, 5], [0.1, 1.3, 0.2, -8], [0.3, -0.2, 2.1, 30], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(values.astype(dtype), affine, dtype=dtype), tmp_path / "in.nii.gz")
    path, _ = convert(tmp_path / "in.nii.gz", "out.nrrd")
    back, _ = convert(path, "back.nii")
    found_affine, found = read_nifti(back)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values.astype(dtype))
    np.testing.assert_allclose(found_affine, LPS_FROM_RAS @ affine, atol=1e-5)
    text = path.read_bytes().split(b"\n\n", 1)[0].decode()
    assert "space: left-posterior-superior" in text


@pytest.mark.parametrize("entry", ["mr-mprage-with-seg/SEG_300_Segmentation", "petct-mixed-study/SEG_100_Segmentation", "petct-mixed-study/SEG_100_PT-Segmentation"])
def test_segs_of_dcmqi_as_dcmqi_reads_them(convert, shared, tmp_path, entry):
    (file,) = (shared / entry).iterdir()
    _, told = convert(file, "x.nii.gz")
    arrays = [read_nifti(Path(f)) for f in told["files"] if f.endswith(".nii.gz")]
    program = Path(sys.executable).parent / "segimage2itkimage"
    done = subprocess.run(
        [program, "--inputDICOM", file, "--outputDirectory", tmp_path, "--outputType", "nrrd", "--prefix", "q"],
        capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for label in told["labels"]:
        affine, array = arrays[label["layer"]]
        found = np.argwhere(array == label["value"]) @ affine[:3, :3].T + affine[:3, 3]
        q_affine, q_array = read_itk(tmp_path / f"q-{label['value']}.nrrd")
        at = found @ np.linalg.inv(q_affine[:3, :3]).T - np.linalg.inv(q_affine[:3, :3]) @ q_affine[:3, 3]
        nearest = np.rint(at).astype(int)
        # 0.02 voxel: dcmqi takes the distance of slices from its first two positions.
        assert np.abs(at - nearest).max() < 0.02
        expected = np.argwhere(q_array != 0)
        assert len(found) == label["n_voxels_after"]
        assert np.array_equal(np.unique(nearest, axis=0), np.unique(expected, axis=0)), label


def test_overlapping_segments_of_dcmqi_are_kept(convert, shared, tmp_path, require_tool):
    packed = shared / "dcmqi" / "segmentations" / "partial_overlaps.dcm.zst"
    file = tmp_path / "in.dcm"
    with open(file, "wb") as out:
        subprocess.run([require_tool("zstd"), "-dc", packed], stdout=out, check=True)
    _, told = convert(file, "x.nii.gz")
    seg = pydicom.dcmread(file)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    numbers = [g.SegmentIdentificationSequence[0].ReferencedSegmentNumber for g in seg.PerFrameFunctionalGroupsSequence]
    for label in told["labels"]:
        expected = sum(int(frame.sum()) for frame, number in zip(frames, numbers) if number == label["value"])
        assert label["n_voxels_before"] == label["n_voxels_after"] == expected
    assert len({label["layer"] for label in told["labels"]}) > 1


def test_a_case_goes_back_onto_its_frames(convert, demo_case, tmp_path):
    source = sorted((pydicom.dcmread(f) for f in demo_case.source.rglob("*.dcm")), key=lambda d: d.ImagePositionPatient[2])
    seg, _ = convert(demo_case.folder, "x.seg.dcm", "--source", demo_case.source)
    found = masks_of_seg(seg, source)
    written = masks_of_seg(demo_case.folder / "segmentation.seg.dcm", source)
    check_masks(found, written)
