"""Label maps, structure sets, reports, encapsulated surfaces and captures, judged by dciodvfy, the
tables of PS3.3, highdicom, dcmqi, plastimatch and OHIF's reader. BINARY segmentations: test_seg.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from case_bundle import LPS_FROM_RAS, frame_matrix, lps_from_pixel, lps_of, voxels_of_frame
from iod_tables import missing

USUAL = ["segmentation.seg.dcm", "segmentation.labelmap.dcm", "segmentation.rtstruct.dcm", "report.sr.dcm"]
# dciodvfy of 2022 does not know them.
UNKNOWN_TO_DCIODVFY = ("labelmap.dcm", ".obj.dcm", ".mtl.dcm")


@pytest.fixture(scope="session")
def objects(slab_case) -> dict[str, Path]:
    """Every DICOM object of a case with all formats."""
    paths = {str(path.relative_to(slab_case.folder)): path for path in slab_case.folder.rglob("*.dcm")}
    assert {*USUAL, "preview.sc.dcm", "surfaces/liver.stl.dcm", "surfaces/liver.obj.dcm", "surfaces/liver.mtl.dcm"} <= set(paths)
    return paths


def test_a_case_holds_the_usual_objects(demo_case):
    names = demo_case.file_names()
    assert set(USUAL) <= set(names)
    assert "preview.sc.dcm" not in names and not any(name.endswith(".stl.dcm") for name in names)


def test_every_object_is_listed_and_a_series_of_its_own(slab_case, objects):
    listed = {file["path"] for file in slab_case.record["files"]}
    assert set(objects) <= listed
    series = {}
    for name, path in objects.items():
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        group = "surfaces" if name.startswith("surfaces/") else name
        series.setdefault(group, set()).add((dataset.SeriesInstanceUID, int(dataset.SeriesNumber)))
    for column in zip(*(uids for (uids,) in map(tuple, series.values()))):
        assert len(set(column)) == len(series), series


def test_dciodvfy_finds_no_error(objects, require_tool):
    for name, path in objects.items():
        if name.endswith(UNKNOWN_TO_DCIODVFY):
            continue
        done = subprocess.run([require_tool("dciodvfy"), "-new", path], capture_output=True, text=True)
        told = (done.stdout + done.stderr).splitlines()
        errors = [line for line in told if line.startswith("Error")]
        assert not errors, f"{name}: " + "\n".join(errors)


def test_dcmtk_reads_every_object_whole(objects, require_tool):
    for name, path in objects.items():
        done = subprocess.run([require_tool("dcmdump"), "+L", "-q", path], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, f"{name}: {done.stderr}"


def test_nothing_is_missing_that_the_standard_requires(objects):
    for name, path in objects.items():
        assert not missing(pydicom.dcmread(path)), name


def test_every_object_belongs_to_the_study_and_is_unreviewed(slab_case, objects):
    source = slab_case.source_slices[0]
    for name, path in objects.items():
        dataset = pydicom.dcmread(path)
        assert (dataset.PatientID, dataset.PatientName) == (source.PatientID, source.PatientName), name
        assert "UNREVIEWED" in dataset.SeriesDescription, name
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID


# --- label map


def test_highdicom_reads_the_label_map_as_the_binary_segmentation(dicom_case):
    binary = highdicom.seg.segread(dicom_case.path("segmentation.seg.dcm"))
    labelmap = highdicom.seg.segread(dicom_case.path("segmentation.labelmap.dcm"))
    assert labelmap.segmentation_type == highdicom.seg.SegmentationTypeValues.LABELMAP
    numbers = [structure["segment_number"] for structure in dicom_case.record["structures"]]
    assert list(labelmap.segment_numbers) == numbers
    uids = [dataset.SOPInstanceUID for dataset in dicom_case.source_slices]
    options = dict(ignore_spatial_locations=True, assert_missing_frames_are_empty=True, combine_segments=True)
    for a, b in zip(binary.get_pixels_by_source_instance(uids, **options), labelmap.get_pixels_by_source_instance(uids, **options)):
        np.testing.assert_array_equal(a, b)
    assert labelmap.pixel_array.any()


def test_a_label_map_describes_every_value(dicom_case):
    dataset = pydicom.dcmread(dicom_case.path("segmentation.labelmap.dcm"))
    described = [item.SegmentNumber for item in dataset.SegmentSequence]
    assert described[0] == 0 and set(np.unique(dataset.pixel_array)) <= set(described)
    background = dataset.SegmentSequence[0]
    assert background.SegmentedPropertyTypeCodeSequence[0].CodeValue == "125040"
    assert background.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "309825002"
    assert dataset.PixelPaddingValue == 0
    # Frames without a labeled pixel are left out.
    assert dataset.pixel_array.reshape(-1, dataset.Rows * dataset.Columns).any(axis=1).all()


@pytest.mark.parametrize("kind", ["labelmap", "seg"])
def test_ohif_reads_the_same_labels(slab_case, kind, tmp_path):
    folder = os.environ.get("PROSECT_PEERS_NPM")
    assert folder, "run `cargo xtask peers`, which installs OHIF's reader"
    words = ["node", Path(__file__).with_name("read_with_ohif.mjs"), slab_case.path(f"segmentation.{kind}.dcm"), slab_case.source, tmp_path / "read"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PROSECT_PEERS_NPM": folder})
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "read.json").read_text())
    assert told["labels"][-1:] == ["liver"], told["labels"]
    slices = {dataset.SOPInstanceUID: dataset for dataset in slab_case.source_slices}
    pixels = np.fromfile(tmp_path / "read.u8", np.uint8).reshape(len(told["images"]), -1)
    for uid, frame in zip(told["images"], pixels):
        dataset = slices[uid]
        frame = frame.reshape(dataset.Rows, dataset.Columns)
        voxels = voxels_of_frame(slab_case.labels, lps_from_pixel(dataset), frame.shape)
        np.testing.assert_array_equal(frame != 0, slab_case.label_array[voxels] != 0)
    assert pixels.any()


# --- contours


def test_the_structure_set_says_what_its_regions_are(dicom_case):
    plan = pydicom.dcmread(dicom_case.path("segmentation.rtstruct.dcm"))
    assert plan.ApprovalStatus == "UNAPPROVED" and plan.StructureSetLabel == "UNREVIEWED"
    structures = {structure["segment_number"]: structure for structure in dicom_case.record["structures"]}
    assert {item.ROINumber: item.ROIName for item in plan.StructureSetROISequence} == {n: s["name"] for n, s in structures.items()}
    for item in plan.StructureSetROISequence:
        assert item.ROIGenerationAlgorithm == "AUTOMATIC" and item.ReferencedFrameOfReferenceUID == plan.FrameOfReferenceUID
    for item in plan.RTROIObservationsSequence:
        structure = structures[item.ReferencedROINumber]
        assert item.RTROIInterpretedType == "ORGAN"
        assert item.RTROIIdentificationCodeSequence[0].CodeValue == structure["property_type"]["value"]
    for item in plan.ROIContourSequence:
        assert list(item.ROIDisplayColor) == structures[item.ReferencedROINumber]["color_rgb"]
        assert {contour.ContourGeometricType for contour in item.ContourSequence} == {"CLOSED_PLANAR"}


def test_plastimatch_fills_the_contours_to_the_same_voxels(dicom_case, require_tool, tmp_path):
    words = [require_tool("plastimatch"), "convert", "--input", dicom_case.path("segmentation.rtstruct.dcm")]
    words += ["--fixed", dicom_case.path("image.nii.gz"), "--output-prefix", tmp_path / "filled", "--prefix-format", "nii.gz"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for structure in dicom_case.structures:
        filled = nibabel.load(tmp_path / "filled" / f"{structure['name']}.nii.gz")
        ours = np.linalg.inv(LPS_FROM_RAS @ dicom_case.labels.affine)
        voxels = lps_of(filled, np.argwhere(np.asanyarray(filled.dataobj) != 0)) @ ours[:3, :3].T + ours[:3, 3]
        nearest = np.rint(voxels).astype(int)
        assert np.abs(voxels - nearest).max() < 0.01
        expected = np.argwhere(dicom_case.mask(structure))
        assert np.array_equal(np.unique(nearest, axis=0), np.unique(expected, axis=0)), structure["name"]


def test_contours_rounded_to_pixels_stay_inside(dicom_case):
    """rt-utils and others round corners to whole pixels and draw the line itself, too."""
    plan = pydicom.dcmread(dicom_case.path("segmentation.rtstruct.dcm"))
    slices = {dataset.SOPInstanceUID: dataset for dataset in dicom_case.source_slices}
    values = {structure["segment_number"]: structure["label_value"] for structure in dicom_case.structures}
    n_corners = 0
    for roi in plan.ROIContourSequence:
        for contour in roi.ContourSequence:
            dataset = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            matrix = frame_matrix(dataset.ImagePositionPatient, dataset.ImageOrientationPatient, dataset.PixelSpacing)
            at = np.array(contour.ContourData, float).reshape(-1, 3) - matrix[:3, 2]
            rows_columns, off, *_ = np.linalg.lstsq(matrix[:3, :2], at.T, rcond=None)
            assert off.size == 0 or off.max() < 1e-6, "a contour does not lie in its image's plane"
            row, column = np.around(rows_columns).astype(int)
            voxels = voxels_of_frame(dicom_case.labels, matrix, (dataset.Rows, dataset.Columns))
            assert (dicom_case.label_array[voxels][row, column] == values[roi.ReferencedROINumber]).all()
            n_corners += len(row)
    assert n_corners > 100


# --- report


def test_highdicom_reads_the_measurements(dicom_case):
    report = highdicom.sr.srread(dicom_case.path("report.sr.dcm"))
    assert (report.CompletionFlag, report.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    seg = pydicom.dcmread(dicom_case.path("segmentation.seg.dcm"), stop_before_pixels=True)
    segments = {item.SegmentNumber: item for item in seg.SegmentSequence}
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == len(dicom_case.structures)
    (source,) = {dataset.SeriesInstanceUID for dataset in dicom_case.source_slices} or {""}
    for group, structure in zip(groups, dicom_case.structures):
        segment = segments[structure["segment_number"]]
        assert (group.tracking_identifier, group.tracking_uid) == (segment.TrackingID, segment.TrackingUID)
        assert group.referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert list(group.referenced_segment.referenced_segment_numbers) == [structure["segment_number"]]
        assert group.finding_type.value == structure["property_type"]["value"]
        assert group.finding_category.value == structure["category"]["value"]
        assert [site.topographical_modifier or site.value.value for site in group.finding_sites]
        numbers = {m.name.meaning: (m.value, m.unit.value) for m in group.get_measurements()}
        volume, unit = numbers["Volume"]
        assert unit == "mm3" and abs(float(volume) / 1000 - structure["volume_ml"]) < 1e-3
        mean, unit = numbers["Attenuation Coefficient"]
        assert unit == "[hnsf'U]" and abs(float(mean) - structure["mean_intensity"]) < 0.01
        if source:
            assert source in str(group[0])


def test_dcmqi_reads_the_report(dicom_case, tmp_path):
    program = Path(sys.executable).parent / "tid1500reader"
    words = [program, "--inputDICOM", dicom_case.path("report.sr.dcm"), "--outputMetadata", tmp_path / "report.json"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "report.json").read_text())
    assert [group["TrackingIdentifier"] for group in told["Measurements"]] == [s["name"] for s in dicom_case.structures]
    for group, structure in zip(told["Measurements"], dicom_case.structures):
        assert group["ReferencedSegment"] == structure["segment_number"]
        assert group["measurementAlgorithmIdentification"]["AlgorithmName"] == structure["model"]
        assert abs(float(group["measurementItems"][0]["value"]) / 1000 - structure["volume_ml"]) < 1e-3


# --- surfaces and picture


@pytest.mark.parametrize("kind", ["stl", "obj", "mtl"])
def test_an_encapsulated_surface_is_the_file(slab_case, objects, kind):
    dataset = pydicom.dcmread(objects[f"surfaces/liver.{kind}.dcm"])
    assert dataset.Modality == "M3D" and dataset.MIMETypeOfEncapsulatedDocument == f"model/{kind}"
    inside = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
    assert inside == slab_case.path(f"surfaces/liver.{kind}").read_bytes()
    assert dataset.MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    if kind != "mtl":
        assert dataset.FrameOfReferenceUID == slab_case.source_slices[0].FrameOfReferenceUID
    if kind == "obj":
        link = dataset.ReferencedInstanceSequence[0]
        material = pydicom.dcmread(objects["surfaces/liver.mtl.dcm"])
        assert link.ReferencedSOPInstanceUID == material.SOPInstanceUID
        assert f"mtllib {link.RelativeURIReferenceWithinEncapsulatedDocument}\n".encode() in inside


def test_the_capture_is_the_preview(slab_case, objects):
    from PIL import Image

    dataset = pydicom.dcmread(objects["preview.sc.dcm"])
    np.testing.assert_array_equal(dataset.pixel_array, np.array(Image.open(slab_case.path("preview.png")).convert("RGB")))
    assert dataset.BurnedInAnnotation == "NO" and dataset.Modality == "OT"
    assert str(slab_case.source_slices[0].PatientName).encode() not in objects["preview.sc.dcm"].read_bytes().split(b"\xe0\x7f\x10\x00")[1]


# --- what belongs together


def test_a_report_needs_a_segmentation(run_prosect, slab_series, tmp_path):
    run = run_prosect("segment", slab_series, "-o", tmp_path / "case", "--format", "sr,stl")
    assert run.code == 2 and "seg or labelmap" in run.stderr, run.told()
    assert not (tmp_path / "case").exists()


def test_a_nifti_has_no_objects(run_prosect, shared, tmp_path):
    scan = shared / "totalsegmentator-reference" / "example_ct.nii.gz"
    run = run_prosect("segment", scan, "-o", tmp_path / "case", "--format", "rtstruct")
    assert run.code == 2 and "rtstruct" in run.stderr, run.told()
