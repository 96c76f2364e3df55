"""Makes the seeds of the targets `dicom`, `codec` and `rle`: small synthetic images in every transfer
syntax. Needs what tests/peers/requirements.txt lists.
"""

import sys
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parent / "tests/peers"))

import imagecodecs  # noqa: E402
from test_pixels import CODECS, as_unsigned  # noqa: E402

COLUMNS, ROWS = 16, 12


def picture(bits, signed):
    """A ramp with a hole."""
    ramp = np.linspace(0, (1 << bits) - 1, COLUMNS * ROWS).reshape(ROWS, COLUMNS)
    ramp[4:8, 5:9] = 0
    if signed:
        ramp -= 1 << (bits - 1)
    return ramp.round().astype(("i" if signed else "u") + str(1 if bits == 8 else 2))


def rle(frame):
    """Literal runs of 16 bytes, the high bytes first."""
    width = frame.itemsize
    planes = [frame.astype(f">u{width}").tobytes()[byte::width] for byte in range(width)]
    chunks = [[plane[at : at + 16] for at in range(0, len(plane), 16)] for plane in planes]
    segments = [b"".join(bytes([len(c) - 1]) + c for c in plane) for plane in chunks]
    begins = [64 + sum(map(len, segments[:index])) for index in range(width)]
    return np.array([width, *begins, *[0] * (15 - width)], "<u4").tobytes() + b"".join(segments)


def lossy(frame, bits):
    return imagecodecs.jpeg8_encode(frame, level=80, bitspersample=bits)


def images():
    """Name, transfer syntax, bits, signs, values, and the compressed image or None."""
    for name, (syntax, encode) in CODECS.items():
        for bits, signed in ((12, False), (16, True)):
            values = picture(bits, signed)
            yield f"{name}-{bits}", syntax, bits, signed, values, encode(values, bits)
    for bits in (8, 12):
        values = picture(bits, False)
        syntax = f"1.2.840.10008.1.2.4.{50 if bits == 8 else 51}"
        yield f"jpeg-lossy-{bits}", syntax, bits, False, values, lossy(values, bits)
    values = picture(16, False)
    yield "rle-16", "1.2.840.10008.1.2.5", 16, False, values, rle(values)
    for name, syntax in (("explicit", "1"), ("big-endian", "2"), ("deflated", "1.99")):
        values = picture(12, True)
        yield name, f"1.2.840.10008.1.2.{syntax}", 12, True, values, None
    yield "implicit", "1.2.840.10008.1.2", 12, True, picture(12, True), None


def write(path, syntax, bits, values, image):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    layout = {"is_implicit_VR": syntax == "1.2.840.10008.1.2", "is_little_endian": syntax != "1.2.840.10008.1.2.2"}
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128, **layout)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = meta.MediaStorageSOPClassUID, "1.2.3.4", "CT"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.InstanceNumber = "1.2", "1.2.3", "1"
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [1, 1], 2
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = values.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 8 * values.itemsize, bits, bits - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.RescaleSlope, data.RescaleIntercept = 1, -1000
    if image is None:
        order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
        data.PixelData = values.astype(values.dtype.str.replace("<", order)).tobytes()
    else:
        data.PixelData = encapsulate([bytes(image)])
    data["PixelData"].VR = "OW" if image is None else "OB"
    data.save_as(path, enforce_file_format=True)


def main():
    syntaxes = [f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 55, 57, 70, 80, 90, 201)]
    for target in ("dicom", "codec", "rle"):
        (ROOT / "seeds" / target).mkdir(parents=True, exist_ok=True)
    for name, syntax, bits, signed, values, image in images():
        write(ROOT / f"seeds/dicom/{name}.dcm", syntax, bits, values, image)
        form = int(signed) | (2 if values.itemsize == 2 else 0) | (4 if bits == 12 else 0)
        if syntax in syntaxes:
            head = bytes([syntaxes.index(syntax), form, COLUMNS, ROWS])
            (ROOT / f"seeds/codec/{name}").write_bytes(head + bytes(image))
        if name.startswith("rle"):
            (ROOT / f"seeds/rle/{name}").write_bytes(bytes([1, COLUMNS, ROWS]) + image)


if __name__ == "__main__":
    main()
