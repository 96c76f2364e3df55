"""Stored values of one file as the binary reads them, and as other software does."""

import contextlib
import io
import json
import os
import subprocess
import warnings

import numpy as np
import pydicom
from pydicom.pixels import pixel_array

# Syntaxes for which pydicom has no decoder; retired processes of ITU T.81.
GDCM_ALONE = ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55")


def read_ours(prosect, path, folder):
    """Frames x rows x columns and nothing, or None and the reason."""
    out = folder / "values"
    out.unlink(missing_ok=True)
    done = subprocess.run(
        [str(prosect), "frames", str(path), "-o", str(out)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 2), f"{path}: exit code {done.returncode}\n{done.stderr}"
    if done.returncode == 2:
        assert "error: " in done.stderr and "panicked" not in done.stderr, done.stderr
        return None, done.stderr
    listing = json.loads(done.stdout)
    shape = listing["n_frames"], listing["rows"], listing["columns"]
    return np.fromfile(out, "<i8").reshape(shape), ""


def read_pydicom(path):
    """Frames x rows x columns as pydicom reads them, or None where it does not, or not as gray."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path)
            if dataset.get("SamplesPerPixel", 1) != 1 or "PixelData" not in dataset:
                return None
            for plugin in ("gdcm", "pylibjpeg", "pyjpegls", ""):
                try:
                    values = pixel_array(dataset, raw=True, decoding_plugin=plugin)
                except Exception:
                    continue
                return values.reshape(-1, dataset.Rows, dataset.Columns).astype(np.int64)
        except Exception:
            return None
    return None


def read_gdcm(path):
    """As GDCM itself reads them, without pydicom, or None."""
    import gdcm

    with silenced():
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        if not reader.Read():
            return None
        image = reader.GetImage()
        form = image.GetPixelFormat()
        if form.GetSamplesPerPixel() != 1:
            return None
        sign = "iu"[form.GetPixelRepresentation() == 0]
        buffer = image.GetBuffer().encode("utf-8", "surrogateescape")
    values = np.frombuffer(buffer, f"<{sign}{form.GetBitsAllocated() // 8}").astype(np.int64)
    columns, rows = image.GetDimension(0), image.GetDimension(1)
    return values.reshape(-1, rows, columns)


@contextlib.contextmanager
def silenced():
    """GDCM speaks on the descriptors of the process."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
