"""The originals that the engine is held against, nnunetv2 and TotalSegmentator, and how two label
maps are compared. Only `cargo xtask peers engine` installs what this needs.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
LONGEST_ORIGINAL_SECS = 7200
# Structures below this many voxels are not judged by Dice.
SMALLEST_STRUCTURE = 100


@dataclass
class Answer:
    """Labels on the image's grid (axes of the closest RAS), and nnU-Net's arrays where known."""

    labels: np.ndarray
    preprocessed: np.ndarray = None
    logits: np.ndarray = None


@dataclass
class Agreement:
    """How far two label maps agree."""

    n_voxels: int
    n_different: int
    n_structures: int
    worst_dice: float

    @property
    def share(self) -> float:
        return 1 - self.n_different / self.n_voxels

    def is_met(self) -> bool:
        """The bar: 99.99 % of the voxels, and Dice 0.999 for every structure."""
        return self.share >= 0.9999 and self.worst_dice >= 0.999

    def __str__(self):
        return (
            f"{self.n_different} of {self.n_voxels} voxels differ, "
            f"worst Dice of {self.n_structures} structures {self.worst_dice:.5f}"
        )


def canonical_labels(path) -> np.ndarray:
    image = nibabel.as_closest_canonical(nibabel.load(path))
    return np.asarray(image.dataobj).astype(np.int64)


def agreement(ours: np.ndarray, theirs: np.ndarray) -> Agreement:
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    n = int(max(ours.max(), theirs.max())) + 1
    size_ours = np.bincount(ours.ravel(), minlength=n)
    size_theirs = np.bincount(theirs.ravel(), minlength=n)
    common = np.bincount(ours[ours == theirs].ravel(), minlength=n)
    judged = [v for v in range(1, n) if size_theirs[v] >= SMALLEST_STRUCTURE]
    dice = [2 * common[v] / (size_ours[v] + size_theirs[v]) for v in judged]
    different = int((ours != theirs).sum())
    return Agreement(ours.size, different, len(judged), min(dice, default=1.0))


class F32Accumulators:
    """Stands in for `torch` inside nnunetv2's predictor: its `half` is a float."""

    def __init__(self):
        import torch

        self.torch = torch
        self.half = torch.float32

    def __getattr__(self, name):
        return getattr(self.torch, name)


def nnunet_predict(model, image, folder, mirroring=True, f32=False) -> Answer:
    """nnunetv2's own predictor on the CPU. `f32`: with accumulators in f32 instead of f16."""
    for name in ("raw", "preprocessed", "results"):
        os.environ.setdefault(f"nnUNet_{name}", str(folder))
    import nnunetv2.inference.predict_from_raw_data as original
    import torch
    from nnunetv2.inference.export_prediction import export_prediction_from_logits

    original.torch = F32Accumulators() if f32 else torch
    try:
        predictor = original.nnUNetPredictor(
            device=torch.device("cpu"), allow_tqdm=False, use_mirroring=mirroring
        )
        predictor.initialize_from_trained_model_folder(str(model), None)
        plans, configuration = predictor.plans_manager, predictor.configuration_manager
        preprocessor = configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case(
            [str(image)], None, plans, configuration, predictor.dataset_json
        )
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    finally:
        original.torch = torch
    target = Path(folder) / "original"
    export_prediction_from_logits(
        logits, properties, configuration, plans, predictor.dataset_json, str(target)
    )
    labels = canonical_labels(f"{target}.nii.gz")
    return Answer(labels, data.astype(np.float32), logits.numpy().astype(np.float32))


def program(name) -> str:
    """A program that lies beside the Python that runs this."""
    return str(Path(sys.executable).parent / name)


def make_totalsegmentator_weights(scan, results) -> Path:
    """Stand-in weights in TotalSegmentator's layout, as tests/reference tells."""
    if not (results / "complete").is_file():
        script = REFERENCE / "standin_totalsegmentator.py"
        subprocess.run([sys.executable, str(script), str(scan), str(results)], check=True)
        (results / "complete").touch()
    return results


def totalsegmentator(scan, target, weights, *options) -> Answer:
    """The real program, weights taken from `weights`, nothing downloaded and nothing sent."""
    home = Path(target).parent / "totalsegmentator-home"
    home.mkdir(exist_ok=True)
    settings = {"totalseg_id": "x", "send_usage_stats": False, "prediction_counter": 0}
    settings["statistics_disclaimer_shown"] = True
    (home / "config.json").write_text(json.dumps(settings))
    variables = {"TOTALSEG_HOME_DIR": str(home), "TOTALSEG_WEIGHTS_PATH": str(weights)}
    words = [program("TotalSegmentator"), "-i", str(scan), "-o", str(target), "--ml"]
    subprocess.run(
        [*words, "--device", "cpu", "--quiet", *options],
        check=True,
        env={**os.environ, **variables},
        timeout=LONGEST_ORIGINAL_SECS,
        stdout=subprocess.DEVNULL,
    )
    return Answer(canonical_labels(target))
