"""Stand-in weights in TotalSegmentator's own folder layout, with the real shapes: `total` in its
three modes (five parts at 1.5 mm, one model at 3 mm, one at 6 mm). How the weights come about is
told in standin.py; the heads are fitted to the CT that is given.

    python standin_totalsegmentator.py CT.nii.gz RESULTS_FOLDER [DATASET_ID...]

Names of folders, trainers and classes are read from the installed TotalSegmentator.
"""

import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import torch

from standin import configuration, dataset_json, patches_of, plans, write_model

HALVE = [2, 2, 2]
PARTS = [291, 292, 293, 294, 295]


def network(spacing_mm):
    """Patch and stages. 1.5 mm: the planner's largest. 3 mm: the last step halves one axis only."""
    features = [32, 64, 128, 256, 320, 320]
    if spacing_mm == 1.5:
        return [128, 128, 128], features, [[1, 1, 1], *[HALVE] * 5]
    if spacing_mm == 3.0:
        return [112, 112, 128], features, [[1, 1, 1], *[HALVE] * 4, [1, 1, 2]]
    return [80, 64, 64], features[:5], [[1, 1, 1], *[HALVE] * 4]


def classes(dataset_id):
    """Label values and names of one model, as TotalSegmentator maps them."""
    from totalsegmentator.map_to_binary import (
        class_map,
        class_map_5_parts,
        map_taskid_to_partname_ct,
    )

    if dataset_id in PARTS:
        return class_map_5_parts[map_taskid_to_partname_ct[dataset_id]]
    return class_map["total"]


def resampled(scan, spacing_mm, folder):
    """The scan as TotalSegmentator hands it to the network."""
    from totalsegmentator.alignment import as_closest_canonical
    from totalsegmentator.resampling import change_spacing

    image = nibabel.load(scan)
    image = as_closest_canonical(nibabel.Nifti1Image(image.get_fdata(), image.affine))
    image = change_spacing(image, [spacing_mm] * 3, order=1, dtype=np.int32, nr_cpus=1)
    path = Path(folder) / f"scan_{spacing_mm}.nii.gz"
    nibabel.save(image, path)
    return path


def main() -> None:
    from totalsegmentator.map_tasks_config import TASK_CONFIGS, TASK_ID_WEIGHTS_CONFIGS

    scan, results = Path(sys.argv[1]), Path(sys.argv[2])
    wanted = [int(word) for word in sys.argv[3:]] or [297, *PARTS, 298]
    modes = TASK_CONFIGS["total"]["sub_modes"].values()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as scratch:
        for dataset_id in wanted:
            mode = next(mode for mode in modes if dataset_id in np.atleast_1d(mode["task_id"]))
            spacing_mm = mode["resample"]
            patch, features, strides = network(spacing_mm)
            full = configuration([spacing_mm] * 3, patch, features, strides, old_form=True)
            name = TASK_ID_WEIGHTS_CONFIGS[dataset_id]["foldername"]
            labels = {"background": 0}
            labels |= {structure: value for value, structure in classes(dataset_id).items()}
            write_model(
                results / name / f"{mode['trainer']}__nnUNetPlans__3d_fullres",
                plans(name, full, image_reader_writer="NibabelIOWithReorient"),
                dataset_json(labels, overwrite_image_reader_writer="NibabelIOWithReorient"),
                patches_of([[resampled(scan, spacing_mm, scratch)]], n_patches=1),
                trainer=mode["trainer"],
                seed=dataset_id,
                optimizer_step=False,
            )


if __name__ == "__main__":
    main()
