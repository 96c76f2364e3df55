"""Writes small.hdf5 beside itself: what h5py 3.16 writes by default, for the tests of our reader."""

from pathlib import Path

import h5py
import numpy as np

with h5py.File(Path(__file__).with_name("small.hdf5"), "w", libver="earliest") as file:
    file.attrs["backend"] = "tensorflow"
    file.attrs["names"] = np.array([b"a", b"bc"])
    file["plain"] = np.arange(6, dtype="<f4").reshape(2, 3)
    group = file.create_group("group/inner")
    counted = np.arange(5 * 7 * 3, dtype="<f4").reshape(5, 7, 3)
    group.create_dataset("packed:0", data=counted, chunks=(2, 3, 2), compression="gzip", shuffle=True, fletcher32=True)
    group.create_dataset("double", data=np.array([0.5, -2.0]))
    group.create_dataset("scalar", data=np.float32(4.5))
    file["text"] = "words"
    file["whole"] = np.arange(4)
    for n in range(20):
        file[f"many/m{n:02}"] = np.full(1, n, "<f4")
