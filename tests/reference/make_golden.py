"""Golden arrays of nnunetv2: tiny models and synthetic volumes through the original's own code.

    python make_golden.py [CASE...]

Per case, under golden/CASE/: `model/` (a trained-model folder as nnunetv2 writes it, weights made
as told in standin.py), `image_0000.nii.gz` (made here, no patient) and `golden.safetensors`:

- `preprocessed` f32 [1, d0, d1, d2]: what DefaultPreprocessor gives, on the network's grid;
- `logits` f32 [C, d0, d1, d2]: nnUNetPredictor's sliding window on the CPU, with its two
  accumulators in f32 instead of f16 (the only change; the Gaussian keeps its f16 values);
- `labels` u8 [z, y, x]: those logits through nnunetv2's export, in the order of the NIfTI's array;
- `compat_logits` f16 and `compat_labels` u8: the same with nothing changed.

Versions that made the kept arrays stand in golden/versions.json. Torch on another processor gives
logits that differ in the last digits, so that a new run changes the files slightly.
"""

import importlib.metadata
import json
import shutil
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import torch
from safetensors.numpy import save_file

import standin
from standin import configuration, dataset_json, patches_of, plans, write_model

HERE = Path(__file__).resolve().parent / "golden"
STEPS = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]
FLAT_STEPS = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
FLAT_KERNELS = [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
INTENSITIES = standin.CT_INTENSITIES | {"mean": 40.0, "std": 250.0}


def labels(n_classes):
    return {"background": 0} | {f"structure_{value}": value for value in range(1, n_classes)}


def phantom(shape, seed, margin=0):
    """An ellipsoid body with organs, in units like Hounsfield's; zero in a margin, if any."""
    random = np.random.default_rng(seed)
    where = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"), -1)
    volume = np.full(shape, -900.0)
    volume[(where**2 / [0.85, 0.8, 1.3]).sum(-1) < 1] = 30
    for _ in range(7):
        center, radius = random.uniform(-0.6, 0.6, 3), random.uniform(0.15, 0.45, 3)
        inside = (((where - center) / radius) ** 2).sum(-1) < 1
        volume[inside] = random.choice([-700, -90, 60, 140, 260, 600])
    volume += random.normal(0, 12, shape)
    if margin:
        kept = np.zeros(shape, bool)
        kept[margin:-margin, margin + 1 : -margin, margin : -margin - 1] = True
        volume[~kept] = 0
        volume[tuple(n // 2 for n in shape)] = 0  # a hole inside stays inside
    return np.round(volume).astype(np.int16)


def affine(spacing_mm, columns=((1, 0, 0), (0, 1, 0), (0, 0, 1))):
    result = np.eye(4)
    result[:3, :3] = np.asarray(columns, float).T * spacing_mm
    result[:3, 3] = [-20.0, 13.5, 7.25]
    return result


def picture(volume):
    """The volume in 0..255, which the normalization of pictures wants."""
    return np.clip((volume + 1000) // 7, 0, 255).astype(np.int16)


LPS = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
TURNED = ((0, 0, -1), (1, 0, 0), (0, -1, 0))

CASES = {
    # One spacing for the network, another per axis of the image; plans in the new form.
    "isotropic": {
        "image": (phantom((21, 18, 15), 1), affine([1.0, 1.2, 1.4])),
        "network": configuration([1.3] * 3, [12, 12, 12], [4, 6, 8], STEPS),
        "dataset": dataset_json(labels(5)),
    },
    # Thick slices: resampled apart from the plane, in the old form of plans.json.
    "separate_z": {
        "image": (phantom((24, 22, 9), 2), affine([0.8, 0.8, 4.0], LPS)),
        "network": configuration(
            [3.2, 1.0, 1.0],
            [8, 16, 16],
            [4, 8, 8],
            FLAT_STEPS,
            kernel_sizes=FLAT_KERNELS,
            old_form=True,
            normalization=["ZScoreNormalization"],
        ),
        "dataset": dataset_json(labels(4), ["MRI"]),
    },
    # Axes turned before the network, and not by an exchange of two, which would hide its inverse.
    "transposed": {
        "image": (phantom((17, 20, 14), 3), affine([1.1, 0.9, 1.5], LPS)),
        "network": configuration([1.2, 1.4, 1.0], [12, 8, 12], [4, 6, 8], STEPS),
        "dataset": dataset_json(labels(4)),
        "plans": {"transpose_forward": [2, 0, 1]},
    },
    "mirroring": {
        "image": (phantom((16, 15, 13), 4), affine([1.5, 1.5, 1.5])),
        "network": configuration(
            [1.5] * 3, [12, 12, 8], [4, 6, 8], STEPS, normalization=["ZScoreNormalization"]
        ),
        "dataset": dataset_json(labels(4), ["MRI"]),
        "mirror_axes": (0, 1, 2),
    },
    "regions": {
        "image": (phantom((16, 18, 14), 5), affine([1.2, 1.0, 1.1])),
        "network": configuration([1.2] * 3, [12, 12, 12], [4, 6, 8], STEPS),
        "dataset": dataset_json(
            {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": [3]},
            regions_class_order=[1, 2, 3],
        ),
        "mirror_axes": (0, 2),
    },
    "residual": {
        "image": (phantom((16, 17, 15), 6), affine([1.0, 1.0, 1.0])),
        "network": configuration(
            [1.1] * 3,
            [12, 12, 12],
            [4, 8, 10],
            STEPS,
            residual=True,
            n_per_stage=[1, 2, 2],
            n_conv_per_stage_decoder=[1, 1],
            normalization=["RescaleTo01Normalization"],
        ),
        "dataset": dataset_json(labels(5), ["something"]),
    },
    "two_folds": {
        "image": (picture(phantom((15, 16, 14), 7)), affine([1.0, 1.3, 1.0])),
        "network": configuration(
            [1.2] * 3, [12, 12, 12], [4, 6], STEPS[:2], normalization=["RGBTo01Normalization"]
        ),
        "dataset": dataset_json(labels(4), ["something"]),
        "folds": [0, 2],
    },
    # Shorter than the patch along two axes, and turned against RAS, which its reader undoes.
    "smaller_than_patch": {
        "image": (phantom((9, 15, 8), 8), affine([1.5, 1.5, 2.0], TURNED)),
        "network": configuration(
            [1.5] * 3, [12, 12, 16], [4, 6, 8], STEPS, normalization=["NoNormalization"]
        ),
        "dataset": dataset_json(labels(4), ["something"]),
        "plans": {"image_reader_writer": "NibabelIOWithReorient"},
    },
    # Zeros around the body are cut off; mean and deviation are those of the body alone.
    "cropped": {
        "image": (phantom((20, 22, 18), 9, margin=3), affine([1.0, 1.0, 1.2])),
        "network": configuration(
            [1.1] * 3,
            [12, 12, 8],
            [4, 6, 8],
            STEPS,
            normalization=["ZScoreNormalization"],
            use_mask_for_norm=[True],
        ),
        "dataset": dataset_json(labels(4), ["MRI"]),
        "mirror_axes": (1,),
    },
}


class WithF32Accumulators:
    """Stands in for `torch` inside the predictor's module: its `half` is a float."""

    half = torch.float32

    def __getattr__(self, name):
        return getattr(torch, name)


def predict(model, image, scratch, accumulators):
    """Preprocessed array, logits and labels of one run of the original."""
    import nnunetv2.inference.predict_from_raw_data as original
    from nnunetv2.inference.export_prediction import export_prediction_from_logits
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    compute_gaussian.cache_clear()
    original.torch = accumulators
    try:
        predictor = original.nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(model), None)
        settings = (predictor.plans_manager, predictor.configuration_manager)
        preprocessor = predictor.configuration_manager.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case(
            [str(image)], None, *settings, predictor.dataset_json
        )
        logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    finally:
        original.torch = torch
    target = Path(scratch) / "labels"
    export_prediction_from_logits(
        logits, properties, *reversed(settings), predictor.dataset_json, str(target)
    )
    found = np.asarray(nibabel.load(f"{target}.nii.gz").dataobj).transpose(2, 1, 0)
    return data, logits.numpy(), found.astype(np.uint8)


def make(name, case):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    volume, ras_from_voxel = case["image"]
    image = folder / "image_0000.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume, ras_from_voxel), image)
    seed = 11 + list(CASES).index(name)
    dataset_name = f"Dataset{900 + seed}_{name}"
    write_model(
        folder / "model",
        plans(dataset_name, case["network"], intensities=INTENSITIES, **case.get("plans", {})),
        case["dataset"],
        patches_of([[image]]),
        seed=seed,
        optimizer_step=False,
        mirror_axes=case.get("mirror_axes"),
        folds=case.get("folds", [0]),
    )
    with tempfile.TemporaryDirectory() as scratch:
        data, logits, found = predict(folder / "model", image, scratch, WithF32Accumulators())
        _, compat_logits, compat_found = predict(folder / "model", image, scratch, torch)
    assert compat_logits.dtype == np.float16 and logits.dtype == np.float32
    arrays = {
        "preprocessed": data.astype(np.float32),
        "logits": logits,
        "labels": found,
        "compat_logits": compat_logits,
        "compat_labels": compat_found,
    }
    arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    save_file(arrays, folder / "golden.safetensors")
    counts = np.bincount(found.ravel())
    print(name, data.shape, "labels", counts, "compat differs", (found != compat_found).sum())


def main() -> None:
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or list(CASES)
    for name in wanted:
        make(name, CASES[name])
    packages = [
        "torch",
        "nnunetv2",
        "dynamic-network-architectures",
        "acvl-utils",
        "numpy",
        "scipy",
        "scikit-image",
        "SimpleITK",
        "nibabel",
    ]
    versions = {package: importlib.metadata.version(package) for package in packages}
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")


if __name__ == "__main__":
    main()
