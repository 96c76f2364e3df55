"""Small arrays by nnunetv2's own functions, for the steps around its network.

    python make_oracle.py

writes oracle.safetensors beside this file. Made with nnunetv2 2.8.1, acvl-utils 0.2.6, torch 2.15.0,
numpy 2.4.6, scipy 1.17.1 and scikit-image 0.26.0. Every array is synthetic.
"""

from pathlib import Path

import numpy as np
import torch
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)
from nnunetv2.preprocessing.cropping.cropping import create_nonzero_mask, crop_to_nonzero
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg
from safetensors.numpy import save_file

# From, to, order, the axis across which slices are apart (-1 for none), the order across them.
RESAMPLINGS = [
    ([7, 9, 11], [5, 12, 8], 3, -1, 0),
    ([30, 6, 5], [12, 6, 9], 3, -1, 0),
    ([1, 9, 11], [1, 5, 17], 3, -1, 0),
    ([6, 1, 20], [9, 2, 13], 3, -1, 0),
    ([8, 8, 8], [16, 4, 9], 1, -1, 0),
    ([8, 7, 6], [3, 14, 9], 0, -1, 0),
    ([5, 9, 10], [12, 7, 13], 3, 0, 0),
    ([9, 5, 10], [7, 12, 13], 3, 1, 0),
    ([9, 10, 5], [7, 13, 12], 3, 2, 0),
    ([5, 9, 10], [12, 9, 10], 3, 0, 1),
    ([9, 5, 10], [9, 3, 14], 1, 1, 1),
]
PATCHES = [[16, 20, 12], [7, 33, 28], [64, 8, 9]]
WINDOWS = [
    (100, 64, 0.5),
    (110, 64, 0.5),
    (37, 37, 0.5),
    (129, 128, 0.8),
    (300, 112, 0.8),
    (95, 10, 0.33),
]


def main() -> None:
    random = np.random.default_rng(5)
    arrays = {}
    for n, (old, new, order, axis, order_z) in enumerate(RESAMPLINGS):
        data = random.normal(0, 2, [1, *old]).astype(np.float32)
        apart = axis >= 0
        resized = resample_data_or_seg(
            data, new, False, axis if apart else None, order, apart, order_z
        )
        arrays[f"resampling_{n}"] = np.array([*old, *new, order, axis, order_z], np.int32)
        arrays[f"resampling_{n}_from"] = data[0]
        arrays[f"resampling_{n}_to"] = resized[0].astype(np.float32)
    for n, patch in enumerate(PATCHES):
        weights = compute_gaussian(
            tuple(patch), sigma_scale=1.0 / 8, value_scaling_factor=10, device=torch.device("cpu")
        )
        arrays[f"weights_{n}"] = weights.float().numpy()
    for n, (length, patch, step) in enumerate(WINDOWS):
        [starts] = compute_steps_for_sliding_window([length], [patch], step)
        arrays[f"starts_{n}"] = np.array(starts, np.int32)
        arrays[f"window_{n}"] = np.array([length, patch, step], np.float32)
    # Zeros around a body with a hole; the box is cut off, mean and deviation are its own.
    body = np.zeros([1, 14, 40, 57], np.float32)
    body[0, 2:12, 3:38, 4:50] = random.normal(1500, 300, [10, 35, 46]).astype(np.float32)
    body[0, 4:7, 8:20, 9:30] = 0
    body[0, 2:5, 3:9, 4:11] = 0
    arrays["body"] = body[0]
    arrays["body_mask"] = create_nonzero_mask(body).astype(np.uint8)
    for use_mask in (False, True):
        data, seg, box = crop_to_nonzero(body.copy())
        normalizer = ZScoreNormalization(use_mask_for_norm=use_mask, intensityproperties={})
        data[0] = normalizer.run(data[0], seg[0])
        arrays[f"body_normalized_{int(use_mask)}"] = np.ascontiguousarray(data[0])
    arrays["body_box"] = np.array(box, np.int32)
    whole = random.normal(900, 50, [1, 13, 29, 31]).astype(np.float32)
    normalizer = ZScoreNormalization(use_mask_for_norm=False, intensityproperties={})
    arrays["whole"] = whole[0].copy()
    arrays["whole_normalized"] = normalizer.run(whole[0].copy(), None)
    target = Path(__file__).with_name("oracle.safetensors")
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, target)
    print(target.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
