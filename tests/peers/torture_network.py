"""A network that is a threshold: one convolution of 1 x 1 x 1, whose largest logit is the structure
with the nearest value. Through it a case goes the whole way of `prosect segment`.
"""

import threading
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from torture_body import NAMES, VALUES_HU

# HU are divided by this before the network sees them.
SCALE_HU = 1000.0

MANIFEST = """
name = "{name}"
version = "1.0.0"
title = "A threshold, for tests"
intended_use = "Tests only."
source = "tests/peers/torture_network.py"
provenance = "trained on nothing"
license_code = "Apache-2.0"
license_weights = "Apache-2.0"

[[modalities]]
modality = "{modality}"
status = "experimental"
{structures}
[recipe.nnunet]
[[recipe.nnunet.parts]]
id = "main"
axes = "stored"
transpose_forward = [0, 1, 2]
spacing_mm = [{spacing}]
patch_size = [32, 64, 64]
step = 1.0
mirror_axes = []
heads = {{ labels = [{labels}] }}
data_resampling = {{ order = 1, order_z = 0 }}
logits_resampling = {{ order = 1, order_z = 0 }}
channels = [{{ name = "{modality}", use_mask = false, normalization = {{ ct = {{ mean = {offset}, std = {scale}, low = -9000.0, high = 9000.0 }} }} }}]
"""

STRUCTURE = """
[[structures]]
name = "{name}"
label_value = {label}
expected_dice = "unknown"
expected_source = "a threshold"
"""


class Networks:
    """Imports a network for each voxel size, so that nothing is resampled on its way."""

    def __init__(self, run_prosect, folder: Path):
        self.run_prosect = run_prosect
        self.folder = folder
        self.home = {"PROSECT_HOME": str(folder / "home")}
        self.lock = threading.Lock()
        self.known: dict[tuple, str] = {}
        write_onnx(folder / "threshold-4.onnx", list(VALUES_HU))
        write_onnx(folder / "threshold-2.onnx", [0, 1])

    def name_for(self, spacing_mm, modality: str, offset: float, united: bool = False) -> str:
        """The installed model for voxels of this size (i, j, k) and values of this offset. `united`:
        all structures are one, because between the highest and the medium lie the values of the
        others, and interpolation passes through them.
        """
        key = (*(round(float(mm), 6) for mm in spacing_mm), modality, offset, united)
        with self.lock:
            if key not in self.known:
                self.known[key] = self.install(key, f"threshold-{len(self.known)}")
            return self.known[key]

    def install(self, key: tuple, name: str) -> str:
        *spacing, modality, offset, united = key
        labels = [0, 1] if united else list(VALUES_HU)
        structures = "".join(STRUCTURE.format(name=NAMES[label], label=label) for label in labels[1:])
        text = MANIFEST.format(
            name=name,
            modality=modality,
            structures=structures,
            labels=", ".join(map(str, labels)),
            spacing=", ".join(map(repr, reversed(spacing))),
            offset=float(offset),
            scale=SCALE_HU,
        )
        manifest = self.folder / f"{name}.toml"
        manifest.write_text(text)
        network = self.folder / f"threshold-{len(labels)}.onnx"
        done = self.run_prosect("models", "import", network, "--manifest", manifest, env=self.home)
        assert done.code in (0, 1), done.told()
        return name


def write_onnx(path: Path, labels: list[int]) -> None:
    """The logit of value v for a structure of value c is 2 v c - c^2: the nearest is the largest."""
    values = np.array([VALUES_HU[label] / SCALE_HU for label in labels], np.float32)
    constants = [
        numpy_helper.from_array((40 * values).reshape(-1, 1, 1, 1, 1), "w"),
        numpy_helper.from_array(-20 * values**2, "b"),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, "d", "h", "w"]) for n, c in (("x", 1), ("y", len(labels)))]
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="/conv")
    graph = helper.make_graph([node], "threshold", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
