"""Dice of label maps against the manual outlines, case by case and on average.

    python evaluate.py FOLDER_OF_THE_CASES FOLDER_OF_LABEL_MAPS

The label maps are `hippocampus_NNN.nii.gz`, from nnUNetv2_predict or from `prosect segment`.
"""

import sys
from pathlib import Path

import nibabel
import numpy as np

NAMES = {1: "anterior", 2: "posterior"}


def main() -> None:
    truth, found = Path(sys.argv[1]) / "labels", Path(sys.argv[2])
    rows = []
    for path in sorted(found.glob("hippocampus_*.nii.gz")):
        ours = np.asarray(nibabel.load(path).dataobj)
        theirs = np.asarray(nibabel.load(truth / path.name).dataobj)
        assert ours.shape == theirs.shape, path.name
        dice = [
            2 * ((ours == value) & (theirs == value)).sum()
            / ((ours == value).sum() + (theirs == value).sum())
            for value in NAMES
        ]
        rows.append(dice)
        print(path.name, *(f"{value:.3f}" for value in dice))
    for name, column in zip(NAMES.values(), np.transpose(rows)):
        least, most = column.min(), column.max()
        print(f"{name}: mean {column.mean():.3f}, {least:.3f} to {most:.3f}, {len(rows)} cases")


if __name__ == "__main__":
    main()
