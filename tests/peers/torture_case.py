"""What a case of the torture set is: how its files are written, and what must come of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture_files import Form, write_classic, write_enhanced
from torture_frames import Frame

# What must come of a case. Whatever else happens is a failure.
EXACT = "exact"
WITHIN = "within a voxel"
REFUSED = "refused"


@dataclass(eq=False)
class Stack:
    """The truth: frames that belong together, each with the SOP Instance UID of its file, followed by
    "#" and the frame's number where the file has several.
    """

    frames: list[Frame]
    uids: list[str]
    modality: str = "CT"

    @property
    def n_frames(self) -> int:
        return len(self.frames)

    def points_mm(self) -> np.ndarray:
        """frames x rows x columns x 3."""
        return np.stack([frame.points_mm() for frame in self.frames])

    def labels(self) -> np.ndarray:
        return np.stack([frame.labels() for frame in self.frames])

    def values(self) -> np.ndarray:
        return np.stack([frame.values() for frame in self.frames])

    @property
    def value_offset(self) -> float:
        """What a reader's values have more than HU: series without rescale show stored values."""
        frame = self.frames[0]
        return frame.offset + (0.0 if frame.rescale else -frame.intercept)


@dataclass
class Case:
    name: str
    # Writes the files below a folder and gives the stacks in them that can be segmented.
    write: Callable[[Path], list[Stack]]
    # What must come of the labels, on every way where nothing is interpolated.
    expected: str = EXACT
    # What a refusal must say, or what must be told beside the result (a regular expression).
    says: str | None = None
    # Whether the frames lie on a regular grid, so that also the image comes out voxel for voxel.
    regular: bool = True
    # Several stacks fit equally well: without --series this is a refusal that names them.
    ambiguous: bool = False
    # Too little to be taken by itself: --series must name it.
    named: bool = False
    # Beside the folder: writes the input somewhere else, as a zip for example.
    pack: Callable[[Path], Path] | None = None
    # Whether plastimatch reads such images, to fill contours on their grid.
    by_plastimatch: bool = False
    # How far the voxels of a regular grid may lie beside the frames, where these are only almost even.
    tolerance_mm: float = 0.002


def classic(frames: list[Frame], folder: str = "", keep=None, **form) -> Callable[[Path], list[Stack]]:
    """One classic series. `keep`: the frames that are a slice of the stack, where not all are."""

    def write(target: Path) -> list[Stack]:
        options = Form(**form)
        uids = write_classic(target / folder, frames, options)
        kept = range(len(frames)) if keep is None else keep
        return [Stack([frames[n] for n in kept], [uids[n] for n in kept], options.modality)]

    return write


def enhanced(frames: list[Frame], stacks=None, parts=None, **form) -> Callable[[Path], list[Stack]]:
    """One multi-frame file. `parts`: the frames of each stack, where there are several."""

    def write(target: Path) -> list[Stack]:
        options = Form(**{"kind": "enhanced CT", **form})
        uids = write_enhanced(target, frames, options, stacks)
        members = parts or [range(len(frames))]
        return [Stack([frames[n] for n in part], [uids[n] for n in part], options.modality) for part in members]

    return write


def in_parts(*parts: list[Frame], **form) -> Callable[[Path], list[Stack]]:
    """One classic series of several stacks."""

    def write(target: Path) -> list[Stack]:
        frames = [frame for part in parts for frame in part]
        options = Form(**form)
        uids = write_classic(target, frames, options)
        ends = np.cumsum([len(part) for part in parts])
        return [Stack(part, uids[end - len(part) : end], options.modality) for part, end in zip(parts, ends)]

    return write


def all_of(*writers, takes=None) -> Callable[[Path], list[Stack]]:
    """Several writers into one folder; `takes`: the numbers of the stacks that count."""

    def write(target: Path) -> list[Stack]:
        stacks = [stack for writer in writers for stack in writer(target)]
        return stacks if takes is None else [stacks[n] for n in takes]

    return write


def refused(frames: list[Frame], **form) -> Callable[[Path], list[Stack]]:
    """Files from which nothing may come."""

    def write(target: Path) -> list[Stack]:
        write_classic(target, frames, Form(**form))
        return []

    return write
