"""Every DICOM object of a case through an archive (Orthanc) and through dcmtk: over the network, into
other transfer syntaxes and back. Every attribute and every pixel must come back.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

import torture_cases
from torture_network import Networks

# Both are ready within a second; this only ends a hang.
LONGEST_START_SECS = 30
# Younger than Debian's dcmtk, which refuses to send it.
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
SYNTAXES = {"implicit": "+ti", "big endian": "+tb", "deflated": "+td"}


@pytest.fixture(scope="module")
def objects(run_prosect, tmp_path_factory) -> list[Path]:
    """Every DICOM object that `segment --format all` writes."""
    folder = tmp_path_factory.mktemp("archive")
    case = next(case for case in torture_cases.cases() if case.name.startswith("double oblique,"))
    (stack,) = case.write(folder / "in")
    networks = Networks(run_prosect, folder)
    name = networks.name_for((2.0, 2.0, 4.0), "CT", 0.0)
    run = run_prosect("segment", folder / "in", "-o", folder / "case", "--model", name, "--format", "all", env=networks.home)
    assert run.code in (0, 1), run.told()
    found = sorted((folder / "case").rglob("*.dcm"))
    assert found, "the case holds no DICOM object"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + LONGEST_START_SECS
    while time.monotonic() < end:
        assert process.poll() is None, f"it ended with exit code {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("it did not start")


@pytest.fixture
def started(tmp_path):
    """Starts programs that serve on a port, and ends them."""
    running = []

    def start(command: list, port: int) -> None:
        log = open(tmp_path / f"{port}.log", "wb")
        running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        wait_for(port, running[-1])

    yield start
    for process in running:
        # Nothing of theirs is kept, and Orthanc takes seconds to end by itself.
        process.kill()
        process.wait(LONGEST_START_SECS)


@pytest.fixture
def orthanc(started, tmp_path) -> tuple[int, int, int]:
    """An empty archive on the loopback: its DICOM port, its HTTP port, and the port it sends to."""
    # Debian has it where only root looks for programs.
    program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    assert Path(program).is_file(), "Orthanc is not installed; run `cargo xtask peers`, which installs it"
    dicom, http, receiver = free_port(), free_port(), free_port()
    settings = {
        "StorageDirectory": str(tmp_path / "storage"),
        "IndexDirectory": str(tmp_path / "storage"),
        "DicomPort": dicom,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "UnknownSopClassAccepted": True,
        "DicomModalities": {"BACK": ["BACK", "127.0.0.1", receiver]},
        "Plugins": [],
    }
    path = tmp_path / "orthanc.json"
    path.write_text(json.dumps(settings))
    started([program, path], http)
    return dicom, http, receiver


def require_equal(found: Dataset, expected: Dataset, where: str = "") -> None:
    """The same attributes with the same values, at every depth."""
    keys = {element.tag for element in expected if element.tag.element}
    assert {element.tag for element in found if element.tag.element} == keys, f"other attributes in {where or 'the object'}"
    for tag in keys:
        theirs, ours = found[tag], expected[tag]
        name = f"{where}/{ours.keyword or tag}"
        if ours.VR == "SQ":
            assert len(theirs.value) == len(ours.value), name
            for number, (one, other) in enumerate(zip(theirs.value, ours.value)):
                require_equal(one, other, f"{name}[{number}]")
        else:
            assert plain(theirs.value) == plain(ours.value), name


def plain(value):
    """Without what an encoding may change: padding to an even length."""
    if isinstance(value, bytes):
        return value.rstrip(b"\0")
    return value


def test_orthanc_keeps_every_byte(objects, orthanc):
    _, http, _ = orthanc
    for path in objects:
        content = path.read_bytes()
        answer = urllib.request.urlopen(f"http://127.0.0.1:{http}/instances", data=content)
        stored = json.load(answer)
        assert stored["Status"] == "Success", path.name
        back = urllib.request.urlopen(f"http://127.0.0.1:{http}/instances/{stored['ID']}/file").read()
        assert back == content, f"{path.name} changed in the archive"
        tags = json.load(urllib.request.urlopen(f"http://127.0.0.1:{http}/instances/{stored['ID']}/simplified-tags"))
        assert tags["SOPInstanceUID"] == pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID


def test_the_study_of_the_archive_is_that_of_the_source(objects, orthanc):
    _, http, _ = orthanc
    for path in objects:
        urllib.request.urlopen(f"http://127.0.0.1:{http}/instances", data=path.read_bytes())
    studies = json.load(urllib.request.urlopen(f"http://127.0.0.1:{http}/studies?expand"))
    assert len(studies) == 1, "the objects of one case lie in several studies"
    series = json.load(urllib.request.urlopen(f"http://127.0.0.1:{http}/series"))
    datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in objects]
    assert len(series) == len({dataset.SeriesInstanceUID for dataset in datasets})
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(objects)


def test_c_store_to_orthanc_and_from_there_to_storescp(objects, orthanc, started, require_tool, tmp_path):
    dicom, http, receiver = orthanc
    back = tmp_path / "back"
    back.mkdir()
    # Promiscuous: it need not know what it receives, nor how that is compressed.
    started([require_tool("storescp"), "-pm", "+xa", "-od", back, str(receiver)], receiver)
    for path in objects:
        if pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID == LABELMAP:
            urllib.request.urlopen(f"http://127.0.0.1:{http}/instances", data=path.read_bytes())
        else:
            subprocess.run([require_tool("storescu"), "-R", "127.0.0.1", str(dicom), path], check=True, capture_output=True)
    stored = json.load(urllib.request.urlopen(f"http://127.0.0.1:{http}/instances"))
    assert len(stored) == len(objects)
    urllib.request.urlopen(f"http://127.0.0.1:{http}/modalities/BACK/store", data=json.dumps(stored).encode())
    require_all_back(objects, back)


def require_all_back(sent: list[Path], folder: Path) -> None:
    back = {dataset.SOPInstanceUID: dataset for dataset in map(pydicom.dcmread, folder.iterdir())}
    assert len(back) == len(sent), f"{len(sent)} were sent, {len(back)} came back"
    for path in sent:
        original = pydicom.dcmread(path)
        require_equal(back[original.SOPInstanceUID], original)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_dcmconv_and_back(objects, require_tool, tmp_path, syntax):
    for path in objects:
        if pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID.is_encapsulated:
            continue
        other, back = tmp_path / f"other-{path.name}", tmp_path / path.name
        subprocess.run([require_tool("dcmconv"), SYNTAXES[syntax], path, other], check=True, capture_output=True)
        subprocess.run([require_tool("dcmconv"), "+te", other, back], check=True, capture_output=True)
        assert other.read_bytes() != path.read_bytes()
        require_equal(pydicom.dcmread(back), pydicom.dcmread(path))
