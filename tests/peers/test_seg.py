"""DICOM SEG, judged by dciodvfy, dcmtk, highdicom and dcmqi."""

import re
import subprocess
import sys
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from case_bundle import LPS_FROM_RAS, Case, frame_matrix, lps_from_pixel, lps_of, voxels_of_frame


@pytest.fixture
def seg_path(dicom_case: Case):
    return dicom_case.path("segmentation.seg.dcm")


@pytest.fixture
def seg(seg_path):
    return highdicom.seg.segread(seg_path)


def test_dciodvfy_finds_no_error(seg_path, require_tool):
    done = subprocess.run([require_tool("dciodvfy"), "-new", seg_path], capture_output=True, text=True)
    told = done.stdout + done.stderr
    assert "Segmentation" in told, f"dciodvfy did not recognize the object:\n{told}"
    errors = [line for line in told.splitlines() if line.startswith("Error")]
    assert not errors, "\n".join(errors)


def test_dcmtk_reads_it_whole(seg_path, require_tool):
    subprocess.run([require_tool("dcmftest"), seg_path], check=True, capture_output=True)
    done = subprocess.run([require_tool("dcmdump"), "+L", "-q", seg_path], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_every_segment_says_what_it_is(dicom_case, seg):
    assert seg.segmentation_type == highdicom.seg.SegmentationTypeValues.BINARY
    structures = {structure["segment_number"]: structure for structure in dicom_case.structures}
    assert list(seg.segment_numbers) == list(range(1, len(structures) + 1))
    for number, structure in structures.items():
        segment = seg.get_segment_description(number)
        for code, concept in (("property_type", segment.segmented_property_type), ("category", segment.segmented_property_category)):
            expected = structure[code]
            assert (concept.value, concept.scheme_designator) == (expected["value"], expected["scheme"])
        assert segment.segment_label
    liver = [segment for segment in seg.SegmentSequence if segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"]
    assert len(liver) == 1, "one segment is the liver, SCT 10200004"


def test_it_is_unreviewed_and_made_by_an_algorithm(dicom_case, seg):
    assert "UNREVIEWED" in seg.SeriesDescription
    assert "UNREVIEWED" in seg.ContentDescription
    hashes = [model["weights_sha256"] for model in dicom_case.record["models"]]
    for segment in seg.SegmentSequence:
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentAlgorithmName
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        family = algorithm.AlgorithmFamilyCodeSequence[0]
        assert (family.CodeValue, family.CodingSchemeDesignator) == (codes.DCM.ArtificialIntelligence.value, "DCM")
        assert algorithm.AlgorithmName and algorithm.AlgorithmVersion
        named = re.findall(r"[0-9a-f]{16,64}", algorithm.to_json())
        assert any(known.startswith(word) for word in named for known in hashes), f"no hash of the weights in\n{algorithm}"


def test_it_belongs_to_the_patient_and_study_of_the_source(dicom_case, seg):
    source = dicom_case.source_slices[0]
    for key in ("PatientID", "PatientName", "FrameOfReferenceUID"):
        assert seg.get(key) == source.get(key), key
    if source.StudyInstanceUID:
        assert seg.StudyInstanceUID == source.StudyInstanceUID
    else:
        assert seg.StudyInstanceUID, "an object without a study cannot be stored"
        assert "UID" in str(dicom_case.record["findings"]), "nobody is told that the study's UID was made up"
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert seg.Modality == "SEG"


def test_the_frames_are_the_sources_frames(dicom_case, seg):
    source = {dataset.SOPInstanceUID: dataset for dataset in dicom_case.source_slices}
    assert (seg.Rows, seg.Columns) == (dicom_case.source_slices[0].Rows, dicom_case.source_slices[0].Columns)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        reference = frame.DerivationImageSequence[0].SourceImageSequence[0]
        original = source[reference.ReferencedSOPInstanceUID]
        assert reference.ReferencedSOPClassUID == original.SOPClassUID
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        # 1e-4 mm: decimal strings of 16 characters.
        assert np.abs(position - np.array(original.ImagePositionPatient, float)).max() < 1e-4


def test_highdicom_reads_the_labelmap_voxel_for_voxel(dicom_case, seg):
    uids = [dataset.SOPInstanceUID for dataset in dicom_case.source_slices]
    pixels = seg.get_pixels_by_source_instance(uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True)
    n_in_seg = 0
    for dataset, frame in zip(dicom_case.source_slices, pixels):
        voxels = voxels_of_frame(dicom_case.labels, lps_from_pixel(dataset), frame.shape[:2])
        expected = dicom_case.label_array[voxels]
        for structure in dicom_case.structures:
            mask = frame[..., structure["segment_number"] - 1] != 0
            np.testing.assert_array_equal(mask, expected == structure["label_value"])
            n_in_seg += mask.sum()
    assert n_in_seg == np.count_nonzero(dicom_case.label_array), "voxels of the labelmap lie on no source frame"
    assert n_in_seg > 0


def test_positions_written_in_the_frames_hold_the_same_voxels(dicom_case, seg_path):
    """As above, by the positions in the SEG itself and without highdicom's bookkeeping."""
    seg = pydicom.dcmread(seg_path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    array = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    values = {structure["segment_number"]: structure["label_value"] for structure in dicom_case.structures}
    for frame, groups in zip(array, seg.PerFrameFunctionalGroupsSequence):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        # What is the same for all frames may stand once, in the shared groups.
        identification = groups.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
        number = identification[0].ReferencedSegmentNumber
        voxels = voxels_of_frame(dicom_case.labels, frame_matrix(position, orientation, spacing), frame.shape)
        np.testing.assert_array_equal(frame != 0, dicom_case.label_array[voxels] == values[number])
    assert np.count_nonzero(array) == np.count_nonzero(dicom_case.label_array)


def test_dcmqi_reads_the_same_voxels(dicom_case, seg_path, tmp_path):
    program = Path(sys.executable).parent / "segimage2itkimage"
    done = subprocess.run(
        [program, "--inputDICOM", seg_path, "--outputDirectory", tmp_path, "--outputType", "nifti", "--prefix", "seg"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for structure in dicom_case.structures:
        image = nibabel.load(tmp_path / f"seg-{structure['segment_number']}.nii.gz")
        found = np.argwhere(np.asanyarray(image.dataobj) != 0)
        lps_mm = lps_of(image, found)
        ours = np.linalg.inv(LPS_FROM_RAS @ dicom_case.labels.affine)
        voxels = lps_mm @ ours[:3, :3].T + ours[:3, 3]
        nearest = np.rint(voxels).astype(int)
        assert np.abs(voxels - nearest).max() < 0.01
        expected = np.argwhere(dicom_case.mask(structure))
        assert np.array_equal(np.unique(nearest, axis=0), np.unique(expected, axis=0))


def test_a_nifti_has_no_frames_and_the_case_says_so(nifti_case):
    assert not (nifti_case.folder / "segmentation.seg.dcm").exists()
    told = str(nifti_case.record["findings"]) + str(nifti_case.record["not_checked"])
    assert "SEG" in told, f"the case does not say that it holds no DICOM SEG: {told}"
