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
    # How far a voxel's centre may lie beside its source's: what decimal strings, f32 and axes made
    # to be of length one cost.
    tolerance_mm: float = 0.01

    @cached_property
    def points_mm(self) -> np.ndarray:
        return self.stack.points_mm()

    @cached_property
    def labels(self) -> np.ndarray:
        return self.stack.labels()

    @cached_property
    def frames_up(self) -> tuple[np.ndarray, np.ndarray]:
        """The frames in order along their normal: their numbers and heights."""
        heights = np.array([frame.origin_mm @ self.stack.frames[0].normal for frame in self.stack.frames])
        order = np.argsort(heights)
        return order, heights[order]

    @cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.points_mm.reshape(-1, 3))

    @cached_property
    def voxel_mm(self) -> float:
        """The diagonal of the largest voxel: how far one voxel is."""
        frame = self.stack.frames[0]
        gap = max(np.diff(self.frames_up[1]), default=frame.thickness_mm or 0.0)
        return float(np.linalg.norm([*frame.spacing_mm, gap]))

    @cached_property
    def weights(self) -> np.ndarray:
        """How much of the patient each frame stands for, in mm: half the way to each neighbor."""
        order, heights = self.frames_up
        if len(order) == 1:
            return np.ones(1)
        gaps = np.diff(heights)
        weights = np.empty(len(order))
        weights[order] = (np.append(gaps[0], gaps) + np.append(gaps, gaps[-1])) / 2
        return weights

    def center_mm(self, label: int) -> np.ndarray:
        """The center of mass of a label."""
        frames, rows, columns = np.nonzero(self.labels == label)
        return np.average(self.points_mm[frames, rows, columns], axis=0, weights=self.weights[frames])

    def united(self) -> "Truth":
        """The same frames, with all structures as one of label 1."""
        truth = Truth(self.stack, self.tolerance_mm)
        truth.labels = (self.labels != 0).astype(np.uint8)
        return truth

    def sees_only_medium(self, points: np.ndarray) -> np.ndarray:
        """Points between two neighboring frames that both see them, and where interpolation in and
        between these uses pixels of the medium only.
        """
        order, heights = self.frames_up
        frame = self.stack.frames[0]
        origins = np.array([self.stack.frames[n].origin_mm for n in order])
        below = np.searchsorted(heights, points @ frame.normal, side="right") - 1
        ok = (below >= 0) & (below < len(order) - 1)
        for side in (0, 1):
            number = np.clip(below + side, 0, len(order) - 1)
            at = points - origins[number]
            pixels = [at @ direction / mm for direction, mm in zip((frame.direction_i, frame.direction_j), frame.spacing_mm)]
            for along, size in zip(pixels, frame.shape):
                ok &= (along >= 0) & (along <= size - 1)
            corners = [np.clip(np.floor(along).astype(int), 0, size - 2) for along, size in zip(pixels, frame.shape)]
            for di in (0, 1):
                for dj in (0, 1):
                    ok &= self.labels[order[number], corners[1] + dj, corners[0] + di] == 0
        return ok

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
