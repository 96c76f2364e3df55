"""Small stacks of slices that a scanner may make, with structures of known places in the patient, for
the tests of `prosect convert`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from synthetic_series import UID_ROOT, Series

ROWS, COLUMNS = 34, 36
CENTER_MM = np.array([12.0, -35.0, 240.0])
# Label values as a label map has them, in no order, and what they mean.
NAMES = {5: "liver", 2: "kidney_left", 9: "kidney_right"}


@dataclass
class Stack:
    """Slices with directions along columns and rows (i, j), spacing of columns and rows, and the way
    from slice to slice."""

    name: str
    i: tuple
    j: tuple
    spacing_mm: tuple = (1.5, 2.0)
    gaps_mm: tuple = (3.0,) * 11
    tilt_mm: float = 0.0

    @property
    def axes(self):
        i, j = np.array(self.i, float), np.array(self.j, float)
        return i, j, np.cross(i, j)

    @property
    def origins(self) -> np.ndarray:
        i, j, k = self.axes
        heights = np.concatenate([[0.0], np.cumsum(self.gaps_mm)])
        half = i * self.spacing_mm[0] * (COLUMNS - 1) / 2 + j * self.spacing_mm[1] * (ROWS - 1) / 2
        shifts = np.arange(len(heights)) * self.tilt_mm
        middle = k * heights.mean() + j * shifts.mean()
        return CENTER_MM - half - middle + heights[:, None] * k + shifts[:, None] * j

    @property
    def regular(self) -> bool:
        return self.tilt_mm == 0 and len(set(self.gaps_mm)) == 1

    def points_mm(self) -> np.ndarray:
        """Of every pixel: frames x rows x columns x 3, in LPS."""
        i, j, _ = self.axes
        columns = np.arange(COLUMNS)[:, None] * i * self.spacing_mm[0]
        rows = np.arange(ROWS)[:, None, None] * j * self.spacing_mm[1]
        return self.origins[:, None, None, :] + rows + columns

    def write(self, folder: Path) -> list[pydicom.Dataset]:
        """A CT series whose files are in no order; the data sets in the order of the frames."""
        folder.mkdir(parents=True)
        made = Series(number=7, n_slices=len(self.origins), size=4)
        points = self.points_mm()
        datasets = []
        for index, origin in enumerate(self.origins):
            dataset = made.slice(index)
            dataset.Rows, dataset.Columns = ROWS, COLUMNS
            dataset.ImagePositionPatient = [round(float(c), 6) for c in origin]
            dataset.ImageOrientationPatient = [*map(float, self.i), *map(float, self.j)]
            dataset.PixelSpacing = [self.spacing_mm[1], self.spacing_mm[0]]
            dataset.SliceThickness = 3.0
            dataset.PixelData = values_at(points[index]).astype("<i2").tobytes()
            dataset.save_as(folder / f"{(index * 7) % 97:03}.dcm", enforce_file_format=True)
            datasets.append(dataset)
        return datasets


STACKS = [
    Stack("axial", (1, 0, 0), (0, 1, 0)),
    Stack("prone", (-1, 0, 0), (0, -1, 0)),
    Stack("feet first", (1, 0, 0), (0, -1, 0)),
    Stack("coronal", (1, 0, 0), (0, 0, -1)),
    Stack("oblique", (0.6, 0.8, 0), (-0.48, 0.36, 0.8)),
    Stack("tilted", (1, 0, 0), (0, 1, 0), tilt_mm=0.9),
    Stack("uneven", (0.6, 0.8, 0), (-0.48, 0.36, 0.8), gaps_mm=(2.0, 3.5, 2.0, 5.0, 2.5, 2.0, 4.0, 2.0, 3.0)),
]


def values_at(points_mm: np.ndarray) -> np.ndarray:
    """Stored values: linear in the place, so that they tell where they are."""
    return np.rint(1024 + (points_mm - CENTER_MM) @ np.array([1.7, 5.1, 9.3]))


def labels_at(points_mm: np.ndarray) -> np.ndarray:
    """Structures without overlap and without symmetry."""
    x, y, z = np.moveaxis(points_mm - CENTER_MM, -1, 0)
    labels = np.zeros(x.shape, np.uint16)
    labels[(x / 9) ** 2 + ((y + 2) / 13) ** 2 + ((z - 1) / 8) ** 2 < 1] = 5
    # A hole, and an island in it.
    labels[(x + 2) ** 2 + (y + 1) ** 2 + (z - 1) ** 2 < 16] = 0
    labels[(x + 2) ** 2 + (y + 1) ** 2 + (z - 1) ** 2 < 4] = 5
    labels[(x > 10) & (x < 17) & (y > -9) & (y < 3) & (z > -9) & (z < 2)] = 2
    labels[(x < -11) & (y > 1) & (z < 7) & (x + y + z > -14)] = 9
    return labels


def lesion_at(points_mm: np.ndarray) -> np.ndarray:
    """A mask that overlaps the liver, its hole and the left kidney."""
    x, y, z = np.moveaxis(points_mm - CENTER_MM, -1, 0)
    return (x > -1) & (x < 13) & (y > -5) & (y < 4) & (z > -4) & (z < 5)


def named_uid(*numbers: int) -> str:
    return ".".join([UID_ROOT, "77", *map(str, numbers)])
