"""Lay the hippocampus cases out for nnU-Net, plan with nnunetv2, and write the reduced plans.

Kept aside: every case whose number is divisible by ten. They are written to a folder of their own
and are seen by neither the fingerprint, the planner, the training nor its validation.

    python prepare.py FOLDER_OF_THE_CASES WORK_FOLDER
"""

import copy
import json
import os
import shutil
import sys
from pathlib import Path

DATASET = "Dataset004_Hippocampus"
REGIONS = "Dataset904_HippocampusRegions"


def is_kept_aside(name: str) -> bool:
    return int(name.removeprefix("hippocampus_").removesuffix(".nii.gz")) % 10 == 0


def write_dataset(cases: Path, raw: Path, name: str, labels: dict, **more) -> int:
    folder = raw / name
    for part in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    n_train = 0
    for image in sorted((cases / "images").glob("hippocampus_*.nii.gz")):
        part = "Ts" if is_kept_aside(image.name) else "Tr"
        n_train += part == "Tr"
        stem = image.name.removesuffix(".nii.gz")
        shutil.copyfile(image, folder / f"images{part}" / f"{stem}_0000.nii.gz")
        shutil.copyfile(cases / "labels" / image.name, folder / f"labels{part}" / image.name)
    description = {
        "channel_names": {"0": "MRI"},
        "labels": labels,
        "numTraining": n_train,
        "file_ending": ".nii.gz",
        **more,
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=2))
    return n_train


def reduced(plans: dict, name: str, **architecture) -> dict:
    """The planner's 3d_fullres with three stages of 16, 32 and 64 features and batches of two:
    small enough to train on two cores in a quarter of an hour and to be kept as a file."""
    plans = copy.deepcopy(plans)
    plans["plans_name"] = name
    plans["configurations"] = {"3d_fullres": plans["configurations"]["3d_fullres"]}
    full = plans["configurations"]["3d_fullres"]
    full["data_identifier"] = "nnUNetPlans_3d_fullres"
    full["batch_size"] = 2
    kwargs = full["architecture"]["arch_kwargs"]
    kwargs.update(
        n_stages=3,
        features_per_stage=[16, 32, 64],
        kernel_sizes=[[3, 3, 3]] * 3,
        strides=[[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        n_conv_per_stage=[2, 2, 2],
        n_conv_per_stage_decoder=[2, 2],
    )
    if architecture.get("residual"):
        full["architecture"]["network_class_name"] = (
            "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
        )
        del kwargs["n_conv_per_stage"]
        kwargs.update(n_blocks_per_stage=[1, 2, 2], n_conv_per_stage_decoder=[1, 1])
    return plans


def main() -> None:
    cases, work = Path(sys.argv[1]), Path(sys.argv[2])
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(work / name)
        (work / name).mkdir(parents=True, exist_ok=True)
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    labels = {"background": 0, "anterior": 1, "posterior": 2}
    regions = {"background": 0, "hippocampus": [1, 2], "posterior": 2}
    n_train = write_dataset(cases, work / "raw", DATASET, labels)
    write_dataset(cases, work / "raw", REGIONS, regions, regions_class_order=[1, 2])
    print(f"{n_train} cases to train on")
    for identifier, name in ((4, DATASET), (904, REGIONS)):
        extract_fingerprints([identifier], num_processes=2)
        plan_experiments([identifier])
        folder = work / "preprocessed" / name
        plans = json.loads((folder / "nnUNetPlans.json").read_text())
        for plans_name, residual in (("nnUNetPlansSmall", False), ("nnUNetResEncPlansSmall", True)):
            text = json.dumps(reduced(plans, plans_name, residual=residual), indent=2)
            (folder / f"{plans_name}.json").write_text(text)
        preprocess([identifier], "nnUNetPlans", ["3d_fullres"], [2])


if __name__ == "__main__":
    main()
