"""Frames in the patient, and stacks of them as scanners make them. No DICOM here: only places.

All coordinates are LPS in mm. `i` runs along a row of pixels, `j` along a column.
"""

from dataclasses import dataclass, field, replace

import numpy as np

import torture_body


@dataclass(eq=False)
class Frame:
    """One image: where its pixels are, and what may be special in its file."""

    origin_mm: np.ndarray
    direction_i: np.ndarray
    direction_j: np.ndarray
    # Distance of pixels along i and j.
    spacing_mm: tuple = (2.0, 2.0)
    # Pixels along i and j: columns and rows.
    shape: tuple = (36, 33)
    thickness_mm: float | None = 4.0
    center_mm: tuple = (0.0, 0.0, 0.0)
    # Attributes that replace those of the file; None removes one.
    attributes: dict = field(default_factory=dict)
    # Added to every value: phases and echoes see the same body, but never with the same numbers.
    offset: float = 0.0
    slope: float = 1.0
    intercept: float = -1024.0
    # Whether slope and intercept stand in the file; MR has none, so that a reader finds stored values.
    rescale: bool = True

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.direction_i, self.direction_j)

    def points_mm(self) -> np.ndarray:
        """Centres of the pixels: rows x columns x 3 (PS3.3 C.7.6.2.1.1)."""
        columns, rows = self.shape
        along_i = np.arange(columns)[None, :, None] * self.spacing_mm[0] * self.direction_i
        along_j = np.arange(rows)[:, None, None] * self.spacing_mm[1] * self.direction_j
        return self.origin_mm + along_i + along_j

    def labels(self) -> np.ndarray:
        return torture_body.labels_at(self.points_mm(), self.center_mm)

    def stored(self) -> np.ndarray:
        """Stored values: what the rescale slope and intercept turn into HU."""
        values = torture_body.values_at(self.points_mm(), self.center_mm) + self.offset
        return np.rint((values - self.intercept) / self.slope)

    def values(self) -> np.ndarray:
        """What a reader must find."""
        return self.stored() * self.slope + self.intercept if self.rescale else self.stored()

    def having(self, **attributes) -> "Frame":
        """The same frame with other attributes in its file."""
        return replace(self, attributes={**self.attributes, **attributes})


# Image Orientation as scanners write it for each position of the patient.
ORIENTATIONS = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "HFDR": (0, 1, 0, -1, 0, 0),
    "HFDL": (0, -1, 0, 1, 0, 0),
    "FFDR": (0, -1, 0, -1, 0, 0),
    "FFDL": (0, 1, 0, 1, 0, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "coronal from the back": (-1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "sagittal from the right": (0, -1, 0, 0, 0, -1),
    "sagittal upside down": (0, 1, 0, 0, 0, 1),
    "sagittal rows up": (0, 0, 1, 0, 1, 0),
}


def turned(orientation, degrees: dict) -> tuple:
    """An orientation turned about the patient's axes, in the order given: {"x": 10, "z": 5}."""
    cosines = np.array(orientation, float).reshape(2, 3)
    for axis, angle in degrees.items():
        cosines = cosines @ rotation(axis, angle).T
    return tuple(cosines.ravel())


def rotation(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = [(1, 2), (2, 0), (0, 1)]["xyz".index(axis)]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = c
    matrix[first, second], matrix[second, first] = -s, s
    return matrix


def stack(orientation="HFS", gaps=None, n=16, gap_mm=4.0, along=None, jitter_mm=0.0, **options) -> list[Frame]:
    """A stack around the body's centre, in order along the normal or along `along`.

    `gaps`: the distances of neighbors along that direction, where they are not all `gap_mm`.
    `along`: the direction of the table where it is not the frames' normal (a tilted gantry).
    """
    orientation = ORIENTATIONS.get(orientation, orientation)
    direction_i, direction_j = np.array(orientation, float).reshape(2, 3)
    blank = Frame(np.zeros(3), direction_i, direction_j, **options)
    gaps = [gap_mm] * (n - 1) if gaps is None else list(gaps)
    places_mm = np.concatenate([[0.0], np.cumsum(gaps)])
    places_mm -= places_mm[-1] / 2
    along = blank.normal if along is None else np.array(along, float)
    half = [(size - 1) / 2 * mm for size, mm in zip(blank.shape, blank.spacing_mm)]
    corner = np.array(blank.center_mm, float) - direction_i * half[0] - direction_j * half[1]
    shaken = np.random.default_rng(3).uniform(-jitter_mm, jitter_mm, (len(places_mm), 3))
    return [replace(blank, origin_mm=corner + along * at + by) for at, by in zip(places_mm, shaken)]


def tilted(degrees: float, n=16, gap_mm=4.0, gaps=None, **options) -> list[Frame]:
    """A tilted gantry: the table moves along z, the planes are turned about x."""
    return stack(turned(ORIENTATIONS["HFS"], {"x": degrees}), gaps=gaps, n=n, gap_mm=gap_mm, along=(0, 0, 1), **options)
