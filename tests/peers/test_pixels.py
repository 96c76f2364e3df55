"""Every transfer syntax pixel for pixel as pydicom and GDCM read it, and pydicom's own test files,
many of them broken: what pydicom reads is read, or refused by name.
"""

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders.native import _encode_segment
from pydicom.uid import UID

from foreign_pixels import GDCM_ALONE, read_gdcm, read_ours, read_pydicom

# JPEG 2000 with loss: decoders compute in f32, each in its own order.
LOSSY_2000 = {
    "1.2.840.10008.1.2.4.91": 1,
    "1.2.840.10008.1.2.4.203": 1,
}
BIG_ENDIAN = "1.2.840.10008.1.2.2"
# What is refused though pydicom reads it, and the words of the refusal.
NOT_GRAY = ("channels are not supported, only gray ones",)
SINGLE_BITS = ("1 bits per pixel are not supported",)
FLOATS = ("floating-point pixel data are not supported",)


def compare(prosect, path, folder):
    """In a word how the two agree; fails where they do not."""
    ours, reason = read_ours(prosect, path, folder)
    theirs = read_pydicom(path)
    syntax = transfer_syntax(path)
    if theirs is None or syntax.startswith("1.2.840.10008.1.2.4.5"):
        # 8 and 12 bits with loss: GDCM rounds as the Independent JPEG Group does.
        theirs = read_gdcm_if_dicom(path) if theirs is not None or syntax in GDCM_ALONE else None
    if ours is None:
        if theirs is None:
            return "refused by both"
        assert any(words in reason for words in NOT_GRAY + SINGLE_BITS + FLOATS), f"{path.name}: {reason}"
        return "refused by name"
    if theirs is None:
        return "read by us alone"
    assert ours.shape == theirs.shape, f"{path.name}: {ours.shape}, {theirs.shape}"
    worst = int(np.abs(ours - theirs).max())
    assert worst <= LOSSY_2000.get(syntax, 0), f"{path.name}: differs by {worst}"
    return "equal" if worst == 0 else "equal but for rounding"


def transfer_syntax(path):
    try:
        return str(pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    except Exception:
        return ""


def read_gdcm_if_dicom(path):
    try:
        return read_gdcm(path)
    except Exception:
        return None


def tabulate(prosect, files, folder):
    table = {}
    for path in files:
        table.setdefault(compare(prosect, path, folder), []).append(path.name)
    for word, names in sorted(table.items()):
        print(f"{word}: {len(names)}")
    return table


def test_every_shared_transfer_syntax_gives_the_pixels_of_its_judges(prosect, shared, tmp_path):
    files = sorted((shared / "transfer-syntaxes").glob("CT*"))
    table = tabulate(prosect, files, tmp_path)
    assert set(table) == {"equal"}, table
    assert len(table["equal"]) == len(files) >= 19


def test_shared_files_of_pydicom(prosect, shared, tmp_path):
    table = tabulate(prosect, sorted((shared / "pydicom-data").glob("*.dcm")), tmp_path)
    assert len(table["equal"]) >= 13, table


def test_the_test_files_of_pydicom(prosect, tmp_path):
    folder = Path(pydicom.__file__).parent / "data/test_files"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) >= 170
    table = tabulate(prosect, files, tmp_path)
    assert len(table["equal"]) >= 50, table
    # 12-bit images and a header that pydicom cannot count.
    assert set(table.get("read by us alone", [])) <= {"badVR.dcm", "JPEG-lossy.dcm"}, table


def test_inspect_survives_the_test_files_of_pydicom(run_prosect):
    folder = Path(pydicom.__file__).parent / "data/test_files"
    files = [path for path in folder.rglob("*") if path.is_file()]
    done = run_prosect("inspect", folder, "--json")
    assert done.code in (0, 1), done.told()
    assert sum(len(study["series"]) for study in done.json["studies"]) >= 30
    assert len(done.json["left_out"]) < len(files) // 3
    assert "panicked" not in done.stderr, done.told()


def image(bits: int, signed: bool, seed: int) -> np.ndarray:
    """Three frames of 37 x 53 pixels that use every bit: a ramp, noise, and a flat one with a hole."""
    random = np.random.default_rng(seed)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    ramp = np.linspace(low, high, 37 * 53).reshape(37, 53)
    noise = random.integers(low, high, (37, 53), endpoint=True)
    flat = np.full((37, 53), high)
    flat[10:20, 10:30] = low
    dtype = {(8, False): "u1", (8, True): "i1", (16, False): "u2", (16, True): "i2"}
    return np.stack([ramp, noise, flat]).round().astype(dtype[8 if bits <= 8 else 16, signed])


def write(path, values, bits, syntax, pixels):
    """A multi-frame file of these values with the given Pixel Data and extra elements."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    layout = {"is_implicit_VR": syntax == "1.2.840.10008.1.2", "is_little_endian": syntax != BIG_ENDIAN}
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, **layout)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    dataset.Rows, dataset.Columns = values.shape[1:]
    dataset.NumberOfFrames = len(values)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * values.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in pixels.items():
        setattr(dataset, name, value)
    dataset["PixelData"].VR = "OB" if meta.TransferSyntaxUID.is_compressed else "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def as_unsigned(frame, bits):
    """Two's complement in so many bits, for codecs that know no signs."""
    unsigned = frame.view(frame.dtype.str.replace("i", "u"))
    return unsigned & np.array((1 << bits) - 1, unsigned.dtype)


CODECS = {
    "jpeg-ls": ("1.2.840.10008.1.2.4.80", lambda f, bits: imagecodecs.jpegls_encode(as_unsigned(f, bits))),
    "jpeg-lossless": (
        "1.2.840.10008.1.2.4.57",
        lambda f, bits: imagecodecs.jpeg8_encode(as_unsigned(f, bits), lossless=True, predictor=6, bitspersample=bits),
    ),
    "jpeg-lossless-sv1": (
        "1.2.840.10008.1.2.4.70",
        lambda f, bits: imagecodecs.ljpeg_encode(as_unsigned(f, bits).astype("u2"), bitspersample=bits),
    ),
    "jpeg-2000": (
        "1.2.840.10008.1.2.4.90",
        lambda f, bits: imagecodecs.jpeg2k_encode(f, codecformat="j2k", reversible=True, bitspersample=bits),
    ),
    "htj2k": ("1.2.840.10008.1.2.4.201", lambda f, bits: imagecodecs.htj2k_encode(f, reversible=True)),
    "htj2k-tiles": (
        "1.2.840.10008.1.2.4.202",
        lambda f, bits: imagecodecs.htj2k_encode(f, reversible=True, tile=(16, 32), resolutions=3),
    ),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_codecs_of_others_give_every_value_back(prosect, tmp_path, codec, signed, bits):
    values = image(bits, signed, seed=bits)
    syntax, encode = CODECS[codec]
    frames = [encode(np.ascontiguousarray(frame), bits) for frame in values]
    path = write(tmp_path / "image.dcm", values, bits, syntax, {"PixelData": encapsulate(frames)})
    ours, reason = read_ours(prosect, path, tmp_path)
    assert ours is not None, reason
    assert np.array_equal(ours, values), np.abs(ours - values).max()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN, "1.2.840.10008.1.2.1.99"])
def test_unused_bits_are_not_values(prosect, tmp_path, signed, syntax):
    """12 bits stored at the highest place, above them nothing, below them what an overlay leaves."""
    values = image(12, signed, seed=3)
    stored = values.view("u2") << 4 | 0b1010
    order = ">" if syntax == BIG_ENDIAN else "<"
    pixels = {"PixelData": stored.astype(order + "u2").tobytes(), "HighBit": 15}
    path = write(tmp_path / "image.dcm", values, 12, syntax, pixels)
    ours, reason = read_ours(prosect, path, tmp_path)
    assert ours is not None and np.array_equal(ours, values), reason


@pytest.mark.parametrize("table", ["none", "basic", "extended", "short"])
def test_frames_in_several_fragments_are_told_apart(prosect, tmp_path, table):
    values = image(12, False, seed=5)
    syntax, encode = CODECS["jpeg-ls"]
    frames = [encode(np.ascontiguousarray(frame), 12) for frame in values]
    if table == "extended":
        data, offsets, lengths = encapsulate_extended(frames)
        pixels = {"PixelData": data, "ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    else:
        pixels = {"PixelData": encapsulate(frames, fragments_per_frame=3, has_bot=table == "basic")}
    if table == "short":
        pixels["NumberOfFrames"] = 4
    path = write(tmp_path / "image.dcm", values, 12, syntax, pixels)
    ours, reason = read_ours(prosect, path, tmp_path)
    if table == "short":
        assert ours is None and "cannot be told apart into 4 frames" in reason
    else:
        assert ours is not None and np.array_equal(ours, values), reason


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("level", [60, 95])
def test_lossy_jpeg_rounds_as_gdcm_does(prosect, tmp_path, bits, level):
    """Sequential, with restart markers where imagecodecs writes them, of odd size."""
    values = image(bits, False, seed=7)
    frames = [imagecodecs.jpeg8_encode(frame, level=level, bitspersample=bits) for frame in values]
    syntax = "1.2.840.10008.1.2.4.50" if bits == 8 else "1.2.840.10008.1.2.4.51"
    path = write(tmp_path / "image.dcm", values, bits, syntax, {"PixelData": encapsulate(frames)})
    ours, reason = read_ours(prosect, path, tmp_path)
    assert ours is not None, reason
    assert np.array_equal(ours, read_gdcm(path))


@pytest.mark.parametrize("codec", ["jpeg-2000", "htj2k"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_values_that_overshoot_do_not_wrap(prosect, tmp_path, codec, bits):
    """With loss, and with more bits in the codestream than stored ones (HTJ2K of 12 bits has 16 here)."""
    values = image(bits, True, seed=9) if bits > 8 else image(8, False, seed=9)
    if codec == "htj2k":
        syntax = "1.2.840.10008.1.2.4.203"
        frames = [bytes(imagecodecs.htj2k_encode(frame, level=0.001, reversible=False)) for frame in values]
    else:
        syntax = "1.2.840.10008.1.2.4.91"
        options = {"codecformat": "j2k", "reversible": False, "bitspersample": bits}
        frames = [imagecodecs.jpeg2k_encode(frame, level=60, **options) for frame in values]
    path = write(tmp_path / "image.dcm", values, bits, syntax, {"PixelData": encapsulate(frames)})
    ours, reason = read_ours(prosect, path, tmp_path)
    assert ours is not None, reason
    # The encoders' own errors at these levels are below a fortieth of the range; a value that wraps is
    # off by most of it.
    assert np.abs(ours - values).max() < (1 << bits) // 16


@pytest.mark.parametrize("allocated", [8, 16, 32])
def test_rle_of_every_width(prosect, tmp_path, allocated):
    values = np.arange(2 * 37 * 53, dtype=np.uint32).reshape(2, 37, 53) * 2654435761 >> (32 - allocated)
    values = values.astype(f"u{allocated // 8}")
    width = values.itemsize
    frames = []
    for frame in values:
        planes = [frame.astype(f">u{width}").tobytes()[byte::width] for byte in range(width)]
        segments = [bytes(_encode_segment(plane, 53)) for plane in planes]
        begins = [64 + sum(map(len, segments[:index])) for index in range(width)]
        head = np.array([width, *begins, *[0] * (15 - width)], "<u4").tobytes()
        frames.append(b"".join([head, *segments]))
    pixels = {"PixelData": encapsulate(frames)}
    path = write(tmp_path / "rle.dcm", values, allocated, "1.2.840.10008.1.2.5", pixels)
    ours, reason = read_ours(prosect, path, tmp_path)
    assert ours is not None and np.array_equal(ours, values), reason
