"""The body in the torture series: a marker without any symmetry, defined in the patient (LPS, mm),
inside a medium whose value is a linear function of the place.

Whoever turns, mirrors or shifts a series cannot get the marker back in its place. Linear
interpolation reproduces a linear function, so that also images on another grid can be checked.
"""

import numpy as np

# What the three structures are called, by label value; sides as the patient's.
NAMES = {1: "liver", 2: "kidney_left", 3: "spleen"}
# Their values in HU; the medium stays below -400.
VALUES_HU = {0: -700.0, 1: 100.0, 2: 400.0, 3: 800.0}

# Boxes in mm from the body's centre: ((left from, to), (posterior from, to), (superior from, to)).
FAR = 1000.0
SOLID = [((-20.2, 4.3), (-16.4, 10.7), (-18.1, 14.3)), ((4.3, 9.4), (-16.4, -7.9), (2.2, 14.3))]
HOLE = ((-13.1, -2.3), (-9.3, 4.6), (-9.2, 6.6))
ISLAND = ((-9.4, -6.1), (-5.7, 0.9), (-5.1, 3.3))
SECOND = [((11.2, 17.7), (-20.3, -5.9), (-3.8, 10.4)), ((11.2, 14.9), (-5.9, 1.1), (-3.8, 2.7))]
# Reaches beyond every image to the left, to the back and to the feet.
BORDER = ((13.3, FAR), (6.2, FAR), (-FAR, -5.3))


def inside(points_mm: np.ndarray, box) -> np.ndarray:
    """Whether each of the points lies in a box; the last axis of `points_mm` is x, y, z."""
    low, high = np.array(box, float).T
    return ((points_mm >= low) & (points_mm < high)).all(axis=-1)


def labels_at(points_mm: np.ndarray, center_mm) -> np.ndarray:
    """The label value of each point: 0 is the medium."""
    at = points_mm - np.asarray(center_mm, float)
    solid = np.logical_or.reduce([inside(at, box) for box in SOLID])
    solid = (solid & ~inside(at, HOLE)) | inside(at, ISLAND)
    second = np.logical_or.reduce([inside(at, box) for box in SECOND])
    return np.select([solid, second, inside(at, BORDER)], [1, 2, 3], 0).astype(np.uint8)


def medium_at(points_mm: np.ndarray, center_mm) -> np.ndarray:
    """HU of the medium: linear in x, y and z, between about -950 and -450."""
    return -700.0 + (points_mm - np.asarray(center_mm, float)) @ np.array([1.7, 1.1, 2.3])


def values_at(points_mm: np.ndarray, center_mm) -> np.ndarray:
    """HU of each point."""
    labels = labels_at(points_mm, center_mm)
    values = medium_at(points_mm, center_mm)
    for label in NAMES:
        values[labels == label] = VALUES_HU[label]
    return values


def labels_of_values(values_hu: np.ndarray) -> np.ndarray:
    """The trivial model: the structure whose value is nearest."""
    edges = [(VALUES_HU[label] + VALUES_HU[label + 1]) / 2 for label in range(3)]
    return np.digitize(values_hu, edges).astype(np.uint8)
