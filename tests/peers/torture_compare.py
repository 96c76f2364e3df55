"""Compares what was read back with the truth, as sets of patient coordinates."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from torture_case import Stack


class Wrong(Exception):
    """What was read back is not the truth."""


@dataclass
class Truth:
    """The voxels of a stack's frames, and what lies in them."""

    stack: Stack
    # How far a voxel's centre may lie beside its source's: what decimal strings and f32 cost.
    tolerance_mm: float = 0.002

    @cached_property
    def points_mm(self) -> np.ndarray:
        return self.stack.points_mm()

    @cached_property
    def labels(self) -> np.ndarray:
        labels = self.stack.labels()
        return labels

    @cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.points_mm.reshape(-1, 3))

    @cached_property
    def voxel_mm(self) -> float:
        """The diagonal of the largest voxel: how far one voxel is."""
        frames = self.stack.frames
        heights = sorted(float(frame.origin_mm @ frames[0].normal) for frame in frames)
        gap = max(np.diff(heights), default=frames[0].thickness_mm or 0.0)
        return float(np.linalg.norm([*frames[0].spacing_mm, gap]))

    def require_frames(self, labels: np.ndarray, who: str) -> None:
        """Labels of the frames, voxel for voxel."""
        if labels.shape != self.labels.shape:
            raise Wrong(f"{who}: {labels.shape} voxels instead of {self.labels.shape}")
        n_wrong = int(np.count_nonzero(labels != self.labels))
        if n_wrong:
            frames = np.nonzero((labels != self.labels).any(axis=(1, 2)))[0]
            raise Wrong(f"{who}: {n_wrong} of {self.labels.size} voxels are wrong, in frames {list(map(int, frames))}")

    def require_points(self, found: dict[int, np.ndarray], who: str, tolerance_mm: float | None = None) -> None:
        """For each label the same set of coordinates."""
        tolerance_mm = self.tolerance_mm if tolerance_mm is None else tolerance_mm
        labels = np.zeros(self.labels.size, np.uint8)
        for label, points in found.items():
            off, index = self.tree.query(points)
            if off.max() > tolerance_mm:
                n_off = int(np.count_nonzero(off > tolerance_mm))
                raise Wrong(f"{who}: {n_off} voxels of label {label} lie up to {off.max():.3f} mm beside the source's")
            if len(np.unique(index)) != len(index):
                raise Wrong(f"{who}: two voxels of label {label} at one place")
            if labels[index].any():
                raise Wrong(f"{who}: label {label} lies where another does")
            labels[index] = label
        self.require_frames(labels.reshape(self.labels.shape), who)

    def require_points_nearby(self, found: dict[int, np.ndarray], who: str) -> None:
        """For each label: no voxel is farther than a voxel from one of the truth's, and the reverse."""
        flat, points = self.labels.ravel(), self.points_mm.reshape(-1, 3)
        expected = {int(label): points[flat == label] for label in np.unique(flat) if label}
        if set(found) != set(expected):
            raise Wrong(f"{who}: labels {sorted(found)} instead of {sorted(expected)}")
        for label, there in expected.items():
            self.require_near(found[label], there, f"{who}: label {label}")

    def require_near(self, found: np.ndarray, there: np.ndarray, what: str) -> None:
        limit = self.voxel_mm * 1.001
        for these, those, whose in ((found, there, "found"), (there, found, "expected")):
            off = cKDTree(those).query(these)[0].max()
            if off > limit:
                raise Wrong(f"{what}: a voxel that was {whose} lies {off:.2f} mm from the others, a voxel is {limit:.2f} mm")
