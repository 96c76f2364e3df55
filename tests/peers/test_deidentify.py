"""De-identification, judged by pydicom, by dciodvfy, and by looking for every original value in the bytes."""

import hashlib
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

SECRET = "a secret of the tests, long enough"
# What identifies: every value of these, at any depth, and every name of a person.
IDENTIFYING = {
    "PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber", "InstitutionName",
    "InstitutionAddress", "StudyID", "PatientAddress", "PatientTelephoneNumbers", "DeviceSerialNumber",
}
CT = "1.2.840.10008.5.1.4.1.1.2"


def dicom_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.read_bytes()[128:132] == b"DICM")


def secrets_of(dataset) -> set[str]:
    """Every value of a data set by which its patient or its study can be found again."""
    found = set()

    def collect(_, element):
        values = element.value if element.VM > 1 else [element.value]
        if element.VR == "PN" or element.keyword in IDENTIFYING:
            for value in values:
                words = str(value).replace("^", "\n").split("\n") if element.VR == "PN" else [str(value)]
                found.update(word for word in words if len(word) >= 4)
        if element.VR == "UI":
            found.update(str(v) for v in values if v and not str(v).startswith("1.2.840.10008."))

    dataset.walk(collect)
    # These name kinds of things: a private class of a maker stays.
    return found - {str(dataset.get("SOPClassUID")), str(dataset.file_meta.get("ImplementationClassUID"))}


def hashes(folder: Path) -> dict:
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def deidentify(run_prosect, tmp_path_factory):
    def run(source: Path, *arguments, codes=(0, 1)):
        out = tmp_path_factory.mktemp("deidentified") / "out"
        secret = {"PROSECT_DEIDENTIFY_SECRET": SECRET}
        done = run_prosect("deidentify", source, "-o", out, "--json", *arguments, env=secret)
        assert done.code in codes, done.told()
        return out, done

    return run


@pytest.fixture(scope="module")
def mixed_study(deidentify, shared):
    source = shared / "petct-mixed-study"
    before = hashes(source)
    out, done = deidentify(source)
    assert hashes(source) == before, "the input was changed"
    return source, out, done


def test_a_whole_study_loses_its_patient_and_keeps_its_pixels(mixed_study):
    source, out, done = mixed_study
    originals = [pydicom.dcmread(p) for p in dicom_files(source)]
    copies = dicom_files(out)
    assert len(copies) == len(originals) == done.json["n_files"]
    secrets = set().union(*(secrets_of(dataset) for dataset in originals))
    assert len(secrets) > len(originals)
    for path in copies:
        content = path.read_bytes()
        assert content[:128] == bytes(128)
        leaked = [s for s in secrets if s.encode() in content.split(b"\xe0\x7f\x10\x00", 1)[0]]
        assert not leaked, (path.name, leaked)
        dataset = pydicom.dcmread(path)
        assert dataset.PatientIdentityRemoved == "YES"
        assert dataset.LongitudinalTemporalInformationModified == "REMOVED"
        codes = [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]
        assert codes == ["113100"]
        assert not [e for e in dataset.iterall() if e.tag.is_private]
    pixels = Counter(hashlib.sha256(d.PixelData).hexdigest() for d in originals)
    kept = Counter(hashlib.sha256(pydicom.dcmread(p).PixelData).hexdigest() for p in copies)
    assert kept == pixels
    syntaxes = Counter(str(d.file_meta.TransferSyntaxUID) for d in originals)
    assert Counter(str(pydicom.dcmread(p).file_meta.TransferSyntaxUID) for p in copies) == syntaxes


def test_references_inside_a_study_lead_to_its_copies(mixed_study):
    _, out, _ = mixed_study
    copies = [pydicom.dcmread(p, stop_before_pixels=True) for p in dicom_files(out)]
    instances = {str(d.SOPInstanceUID) for d in copies}
    assert len({str(d.StudyInstanceUID) for d in copies}) == 1
    segmentations = [d for d in copies if d.Modality == "SEG"]
    assert segmentations
    for dataset in segmentations:
        named = {
            str(item.ReferencedSOPInstanceUID)
            for series in dataset.ReferencedSeriesSequence
            for item in series.ReferencedInstanceSequence
        }
        assert named and named <= instances


def test_the_report_tells_what_was_done_and_nothing_of_the_patient(mixed_study):
    source, out, done = mixed_study
    report = json.loads((out / "deidentification.json").read_text())
    assert report == done.json
    told = done.stdout + done.stderr + (out / "deidentification.txt").read_text()
    told += "\n".join(str(p.relative_to(out)) for p in out.rglob("*"))
    for path in dicom_files(source):
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert not [secret for secret in secrets_of(dataset) if secret in told]
    actions = {(a["tag"], a["action"]) for a in report["actions"]}
    assert ("(0010,0010)", "replaced") in actions and ("(0020,000D)", "UIDs mapped") in actions
    assert all(sum(a["n"] for a in report["actions"] if a["tag"] == tag) for tag, _ in actions)


def test_a_secret_gives_the_same_again_and_no_secret_another(deidentify, run_prosect, shared, tmp_path):
    source = tmp_path / "series"
    shutil.copytree(shared / "ct-gantry-tilt", source)
    (first, _), (second, _) = deidentify(source), deidentify(source)
    names = [p.relative_to(first) for p in dicom_files(first)]
    assert names == [p.relative_to(second) for p in dicom_files(second)]
    assert all((first / n).read_bytes() == (second / n).read_bytes() for n in names)
    done = run_prosect("deidentify", source, "-o", tmp_path / "random", "--json")
    assert done.json["secret"] == "random"
    uid = pydicom.dcmread(dicom_files(tmp_path / "random")[0]).StudyInstanceUID
    assert uid != pydicom.dcmread(dicom_files(first)[0]).StudyInstanceUID


PLANTED = ["Planted", "Patience", "QX-7781-ZB", "19031217", "ACC55019XQ", "Nowhereville", "Wimbledorf",
           "1.3.6.1.4.1.5962.99.7.1", "20240229"]


def planted(folder: Path, syntax: str) -> None:
    """A CT slice with the patient in places where nobody expects one."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = CT
    meta.SourceApplicationEntityTitle = "PLANTEDAE"
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = CT
    for n, keyword in enumerate(["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"]):
        setattr(dataset, keyword, f"1.3.6.1.4.1.5962.99.7.1.{n}")
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Planted^Patience"
    dataset.PatientID = "QX-7781-ZB"
    dataset.PatientBirthDate = "19031217"
    dataset.PatientSex = "F"
    dataset.AccessionNumber = "ACC55019XQ"
    dataset.InstitutionName = "Hospital of Nowhereville"
    dataset.ReferringPhysicianName = "Wimbledorf^Ottokar"
    dataset.Modality = "CT"
    dataset.StudyDate = dataset.AcquisitionDate = "20240229"
    dataset.AcquisitionDateTime = "20240229101112"
    dataset.SeriesDescription = "Thorax Wimbledorf 20240229"
    dataset.Manufacturer = "Planted and sons"
    dataset.ImageComments = "Patience asked twice"
    dataset.ReceiveCoilName = "coil of Patience"
    dataset.BurnedInAnnotation = "NO"
    inner = Dataset()
    inner.PatientID = "QX-7781-ZB"
    inner.add_new(0x00091001, "LO", "Planted^Patience")
    inner.add_new(0x00090010, "LO", "PLANTED MAKER")
    dataset.OtherPatientIDsSequence = Sequence([inner])
    step = Dataset()
    step.ScheduledProcedureStepDescription = "for Patience"
    step.PerformingPhysicianName = "Wimbledorf^Ottokar"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "CT1", "99PLANT"
    code.CodeMeaning = "Scan at Nowhereville"
    step.ScheduledProtocolCodeSequence = Sequence([code])
    dataset.RequestAttributesSequence = Sequence([step])
    source = Dataset()
    source.ReferencedSOPClassUID = CT
    source.ReferencedSOPInstanceUID = "1.3.6.1.4.1.5962.99.7.1.77"
    dataset.SourceImageSequence = Sequence([source])
    dataset.add_new(0x00090010, "LO", "PLANTED MAKER")
    dataset.add_new(0x00091002, "UN", b"Planted^Patience ")
    private = Dataset()
    private.PatientName = "Planted^Patience"
    dataset.add_new(0x00091003, "SQ", Sequence([private]))
    dataset.add_new(0x60003000, "OW", b"QX-7781-ZB")
    dataset.add_new(0x60000022, "LO", "Planted overlay")
    dataset.add_new(0x50000030, "SH", "Planted")
    # An even group that no dictionary knows.
    dataset.add_new(0x000A1001, "UN", b"Patience")
    dataset.Rows = dataset.Columns = 8
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    pixels = np.arange(64, dtype=">u2" if syntax == ExplicitVRBigEndian else "<u2")
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.preamble = b"Planted^Patience".ljust(128, b"\0")
    folder.mkdir()
    path = folder / "Planted^Patience.dcm"
    dataset.save_as(path, enforce_file_format=False, implicit_vr=syntax == ImplicitVRLittleEndian,
                    little_endian=syntax != ExplicitVRBigEndian)


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--clean", "descriptors,graphics,structured-content", "--retain", "modified-dates"],
        ["--retain", "patient,device,safe-private"],
    ],
    ids=["basic", "cleaned", "retained"],
)
def test_planted_values_come_out_nowhere(deidentify, tmp_path, syntax, arguments):
    planted(tmp_path / "in", syntax)
    out, done = deidentify(tmp_path / "in", *arguments)
    (copy,) = dicom_files(out)
    dataset = pydicom.dcmread(copy)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    # As text for the search: deflated bytes show nothing.
    text = f"{dataset.file_meta}\n{dataset}" + done.stdout + str(copy.relative_to(out))
    for secret in PLANTED:
        if secret == "Planted" and "Planted and sons" in text:
            text = text.replace("Planted and sons", "")
        assert secret not in text, secret
        kept = copy.read_bytes().replace(b"Planted and sons", b"")
        assert secret.encode() not in kept, secret
    assert dataset.PixelData == pydicom.dcmread(tmp_path / "in/Planted^Patience.dcm").PixelData


def test_options_keep_what_they_name(deidentify, tmp_path):
    planted(tmp_path / "in", ExplicitVRLittleEndian)
    read = lambda out: pydicom.dcmread(dicom_files(out)[0])
    full = read(deidentify(tmp_path / "in", "--retain", "dates,uids,institution,patient")[0])
    assert full.StudyDate == "20240229" and full.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert full.StudyInstanceUID == "1.3.6.1.4.1.5962.99.7.1.1"
    assert full.InstitutionName == "Hospital of Nowhereville"
    assert full.PatientSex == "F" and full.PatientBirthDate == ""
    codes = [item.CodeValue for item in full.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113110", "113112", "113108", "113106"]
    moved = read(deidentify(tmp_path / "in", "--retain", "modified-dates")[0])
    assert moved.StudyDate == moved.AcquisitionDate == moved.AcquisitionDateTime[:8] < "20230301"
    assert moved.AcquisitionDateTime[8:] == "101112"
    named = read(deidentify(tmp_path / "in", "--patient-id", "TRIAL-7", "--patient-name", "Trial^Seven")[0])
    assert (named.PatientID, str(named.PatientName)) == ("TRIAL-7", "Trial^Seven")


def test_what_cannot_be_done_is_said(run_prosect, tmp_path):
    planted(tmp_path / "in", ExplicitVRLittleEndian)
    out = tmp_path / "out"
    for arguments, words in [
        (["--clean", "pixel-data"], "not offered"),
        (["--retain", "dates,modified-dates"], "not both"),
        (["--patient-id", "a\\b"], "backslash"),
    ]:
        done = run_prosect("deidentify", tmp_path / "in", "-o", out, *arguments)
        assert done.code == 2 and words in done.stderr, done.told()
        assert not out.exists() and not list(tmp_path.glob(".*partial*"))
    out.mkdir()
    done = run_prosect("deidentify", tmp_path / "in", "-o", out)
    assert done.code == 2 and "exists" in done.stderr


def errors_of(path: Path) -> int:
    run = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60, check=False)
    return sum(line.startswith("Error") for line in (run.stdout + run.stderr).splitlines())


def test_no_object_has_more_errors_than_its_source(mixed_study, shared, deidentify, require_tool):
    require_tool("dciodvfy")
    source, out, _ = mixed_study
    pairs = [(source, out)]
    pairs.append((shared / "ct-gantry-tilt", deidentify(shared / "ct-gantry-tilt")[0]))
    for before, after in pairs:
        by_pixels = {}
        for path in dicom_files(before):
            by_pixels[hashlib.sha256(pydicom.dcmread(path).PixelData).hexdigest()] = path
        copies = dicom_files(after)
        # One of ten, and all that are no slices of a stack.
        chosen = [p for n, p in enumerate(copies) if n % 10 == 0 or "seg" in p.parent.name]
        for copy in chosen:
            original = by_pixels[hashlib.sha256(pydicom.dcmread(copy).PixelData).hexdigest()]
            assert errors_of(copy) <= errors_of(original), (original, copy)
