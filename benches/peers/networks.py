"""The networks of the comparison, as PyTorch modules, ONNX files and what `prosect models import`
takes. Weights are nnunetv2's and PyTorch's initial ones, the norms' drawn: the outputs are near one.
"""

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/reference"))

HALVE = [2, 2, 2]
FEATURES = [32, 64, 128, 256, 320, 320]
STEPS = [[1, 1, 1], *[HALVE] * 5]

SHAPES = {
    "1.5mm": {
        "says": "PlainConvUNet, 6 stages 32..320, 25 classes",
        "patch": [128, 128, 128],
        "strides": STEPS,
        "classes": 25,
    },
    "3mm": {
        "says": "PlainConvUNet, 6 stages 32..320, 118 classes",
        "patch": [112, 112, 128],
        "strides": [*STEPS[:-1], [1, 1, 2]],
        "classes": 118,
    },
    "resenc-m": {
        "says": "ResidualEncoderUNet M (blocks 1, 3, 4, 6, 6, 6), 3 classes",
        "patch": [128, 128, 128],
        "strides": STEPS,
        "classes": 3,
        "residual": True,
        "n_per_stage": [1, 3, 4, 6, 6, 6],
        "n_conv_per_stage_decoder": [1] * 5,
    },
    "meshnet": {
        "says": "MeshNet, 30 channels, dilations 1 1 1 2 4 8 16 1, 3 classes",
        "patch": [256, 256, 256],
    },
    # For trying the comparison itself out.
    "small": {
        "says": "PlainConvUNet, 4 stages 16..96, 5 classes",
        "patch": [64, 64, 64],
        "strides": STEPS[:4],
        "features": [16, 32, 64, 96],
        "classes": 5,
    },
}


# What an ONNX file does not say, for `prosect models import --manifest`.
MESHNET_MANIFEST = """
name = "bench-meshnet"
version = "1.0.0"
title = "MeshNet with drawn weights, for timing"
intended_use = "Timing only: its labels mean nothing."
source = "benches/peers/networks.py"
provenance = "trained on nothing"
license_code = "Apache-2.0"
license_weights = "Apache-2.0"

[[modalities]]
modality = "MR"
status = "experimental"

[[structures]]
name = "brain"
label_value = 1
expected_dice = "unknown"
expected_source = "trained on nothing"

[[structures]]
name = "skull"
label_value = 2
expected_dice = "unknown"
expected_source = "trained on nothing"

[recipe.meshnet]
edge = 256
normalization = "min_max"
keep_largest = false
labels = [0, 1, 2]
"""


def meshnet():
    layers, channels = [], 1
    for dilation in (1, 1, 1, 2, 4, 8, 16, 1):
        layers += [
            torch.nn.Conv3d(channels, 30, 3, padding=dilation, dilation=dilation),
            torch.nn.BatchNorm3d(30),
            torch.nn.ReLU(),
        ]
        channels = 30
    for norm in layers[1::3]:
        torch.nn.init.uniform_(norm.weight, 1.0, 2.0)
        torch.nn.init.normal_(norm.bias, 0.0, 0.2)
        norm.running_mean.normal_(0.0, 0.2)
        norm.running_var.uniform_(0.2, 0.6)
    return torch.nn.Sequential(*layers, torch.nn.Conv3d(30, 3, 1))


def make_nnunet(name, shape, folder):
    """A trained-model folder of nnunetv2."""
    import standin

    options = {key: shape[key] for key in shape if key.startswith(("residual", "n_"))}
    full = standin.configuration(
        [1.5] * 3, shape["patch"], shape.get("features", FEATURES), shape["strides"], **options
    )
    labels = {"background": 0} | {f"structure_{i}": i for i in range(1, shape["classes"])}
    standin.write_model(
        folder,
        standin.plans(f"Dataset990_{name.replace('.', '_')}", full),
        standin.dataset_json(labels),
        None,
        optimizer_step=False,
    )


def load(folder):
    """The PyTorch network of a folder that `make` wrote, as nnunetv2 itself loads it."""
    if (folder / "meshnet.pt").is_file():
        network = meshnet()
        network.load_state_dict(torch.load(folder / "meshnet.pt"))
        return network.eval()
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(str(folder / "nnunet"), [0])
    return predictor.network.eval()


def make(name, folder):
    """Writes `network.onnx`, `input.npy` and the model to import; gives the path of that."""
    shape = SHAPES[name]
    folder.mkdir(parents=True, exist_ok=True)
    foreign = folder / ("network.onnx" if name == "meshnet" else "nnunet")
    if (folder / "input.npy").is_file():
        return foreign
    torch.manual_seed(1)
    if name == "meshnet":
        torch.save(meshnet().state_dict(), folder / "meshnet.pt")
        (folder / "manifest.toml").write_text(MESHNET_MANIFEST)
    elif not (foreign / "fold_0/checkpoint_final.pth").is_file():
        make_nnunet(name, shape, foreign)
    network = load(folder)
    values = np.random.default_rng(1).normal(size=(1, *shape["patch"])).astype(np.float32)
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 64, 64, 64),),
        folder / "network.onnx",
        opset_version=17,
        dynamo=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {2: "d", 3: "h", 4: "w"}},
    )
    np.save(folder / "input.npy", values)
    return foreign
