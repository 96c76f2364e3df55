"""Takes one case of the torture set through the binary and back, and gives a verdict for each way."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import trimesh

import torture_read as read
from prosect_run import Run
from torture_body import NAMES, labels_of_values, medium_at
from torture_case import EXACT, REFUSED, WITHIN, Case, Stack
from torture_compare import Truth, Wrong
from torture_foreign import Impossible, write_foreign_seg
from torture_network import Networks

# The columns of the table, each a way through the binary.
WAYS = ["image", "SEG", "LABELMAP", "RTSTRUCT", "NIfTI", "NRRD", "SEG in", "network", "mesh"]
LABEL_FILES = {
    "SEG": "labels.seg.dcm",
    "LABELMAP": "labels.labelmap.dcm",
    "RTSTRUCT": "labels.rtstruct.dcm",
    "NIfTI": "labels.nii.gz",
    "NRRD": "labels.nrrd",
}
# What `segment` calls its files, without "segmentation.".
SEGMENT_FILES = {"SEG": "seg.dcm", "LABELMAP": "labelmap.dcm", "RTSTRUCT": "rtstruct.dcm", "NIfTI": "nii.gz"}


@dataclass
class Verdict:
    """What came of a case: for each way a word of the table, and every fault in full."""

    ways: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@dataclass
class Bench:
    """What every case needs."""

    run_prosect: Callable[..., Run]
    networks: Networks


def judge(case: Case, bench: Bench, work: Path) -> Verdict:
    """The whole case; never raises for what the binary does."""
    folder = work / "in"
    stacks = case.write(folder)
    source = case.pack(folder) if case.pack else folder
    verdict = Verdict()
    if case.expected == REFUSED:
        check_refusal(case, bench, source, work, verdict)
        return verdict
    if case.ambiguous:
        attempt(verdict, "image", lambda: require_refusal(case, bench, source, work))
    listing = inspect(bench, source)
    for stack, series in match(case, bench, stacks, listing, source, work, verdict):
        Way(case, bench, source, stack, series, work, verdict).judge_all()
    return verdict


def attempt(verdict: Verdict, way: str, judge: Callable[[], str | None]) -> None:
    """Notes the word that `judge` gives, or its fault; the worst word of several stacks stays."""
    try:
        word = judge()
    except (Wrong, read.Unreadable, AssertionError) as fault:
        verdict.faults.append(f"{way}: {fault}")
        word = "WRONG"
    if word and verdict.ways.get(way) != "WRONG":
        verdict.ways[way] = word


def told_well(run: Run) -> None:
    """Whatever happened, it was told as a person expects it."""
    for word in ("panicked", "RUST_BACKTRACE", "Traceback", "unwrap"):
        if word in run.stderr:
            raise Wrong(f"`{word}` on stderr\n{run.told()}")


def inspect(bench: Bench, source: Path) -> list[dict]:
    run = bench.run_prosect("inspect", source, "--json")
    told_well(run)
    if run.code not in (0, 1):
        raise Wrong(run.told())
    return [series for study in run.json["studies"] for series in study["series"]]


def require_refusal(case: Case, bench: Bench, source: Path, work: Path, *command) -> None:
    """Refused with exit code 2 and the words of the table, and nothing is left behind."""
    out = work / "refused"
    out.mkdir(exist_ok=True)
    command = command or ("convert", source, "-o", out / "image.nii.gz")
    run = bench.run_prosect(*command)
    told_well(run)
    if run.code != 2 or not re.search(r"^error: ", run.stderr, re.MULTILINE):
        raise Wrong(f"not refused\n{run.told()}")
    if not re.search(case.says, run.stderr):
        raise Wrong(f"refused, but without /{case.says}/\n{run.told()}")
    if left := [path.name for path in out.rglob("*")]:
        raise Wrong(f"{left} were left behind\n{run.told()}")


def check_refusal(case: Case, bench: Bench, source: Path, work: Path, verdict: Verdict) -> None:
    def image() -> str:
        require_refusal(case, bench, source, work)
        return REFUSED

    def labels() -> str:
        grid = nibabel.Nifti1Image(np.ones((36, 33, 16), np.uint8), np.diag([-2.0, -2.0, 4.0, 1.0]))
        nibabel.save(grid, work / "any.nii.gz")
        out = work / "refused" / "any.seg.dcm"
        require_refusal(case, bench, source, work, "convert", work / "any.nii.gz", "--source", source, "-o", out)
        return REFUSED

    def network() -> str:
        require_refusal(case, bench, source, work, "segment", source, "-o", work / "refused" / "case", "--format", "seg")
        return REFUSED

    attempt(verdict, "image", image)
    attempt(verdict, "SEG", labels)
    attempt(verdict, "network", network)


def match(case, bench, stacks, listing, source, work, verdict):
    """Which `--series` gives which stack: by the image's values, since all may share one place."""
    if len(stacks) == 1 and not case.ambiguous:
        return [(stacks[0], listing[0]["name"] if case.named else None)]
    matched, left = [], list(stacks)
    for entry in listing:
        name = entry["name"]
        out = work / f"which-{len(matched)}-{entry['n_slices']}.nii.gz"
        run = bench.run_prosect("convert", source, "--series", name, "-o", out, "--force")
        if run.code == 2:
            continue
        image = nibabel.load(out)
        for stack in left:
            if image_is_of(image, stack):
                matched.append((stack, name))
                left.remove(stack)
                break
    if left:
        names = [entry["name"] for entry in listing]
        verdict.faults.append(f"{len(left)} of {len(stacks)} stacks cannot be reached by --series; there are {names}")
        verdict.ways["image"] = "WRONG"
    return matched


def image_is_of(image, stack: Stack) -> bool:
    try:
        require_image(image, Truth(stack), 0.1)
    except Wrong:
        return False
    return True


def require_image(image, truth: Truth, tolerance_mm: float) -> None:
    """Every voxel of the frames has its value in the image, and the image has no others."""
    array = np.asanyarray(image.dataobj)
    points = centers_of(image)
    if len(points) != truth.labels.size:
        raise Wrong(f"the image has {len(points)} voxels, the frames {truth.labels.size}")
    off, index = truth.tree.query(points)
    if off.max() > tolerance_mm:
        raise Wrong(f"the image's voxels lie up to {off.max():.3f} mm beside the frames'")
    difference = np.abs(array.ravel() - truth.stack.values().ravel()[index]).max()
    # 0.02: an intercept beyond 1000 and a slope of a tenth in f32.
    if len(np.unique(index)) != len(index) or difference > 0.02:
        raise Wrong(f"the image's values differ by up to {difference}")


def require_resampled_image(image, truth: Truth, tolerance_mm: float) -> None:
    """The medium is linear in space, so that linear interpolation must give it exactly: at every voxel
    between the frames and away from the marker.
    """
    array = np.asanyarray(image.dataobj)
    points = centers_of(image)
    medium = truth.sees_only_medium(points)
    if np.count_nonzero(medium) < 0.2 * truth.labels.size:
        raise Wrong(f"only {np.count_nonzero(medium)} voxels of the image lie in the medium between the frames")
    frame = truth.stack.frames[0]
    expected = medium_at(points[medium], frame.center_mm) + truth.stack.value_offset
    difference = np.abs(array.ravel()[medium] - expected)
    # Stored values are whole numbers, each up to half a unit off; the medium rises by 3.1 a millimeter.
    limit = 0.51 * frame.slope + 3.1 * tolerance_mm
    if difference.max() > limit:
        raise Wrong(f"{np.count_nonzero(difference > limit)} interpolated values are off by up to {difference.max():.1f}")


def centers_of(image) -> np.ndarray:
    """The centers of all voxels of a NIfTI, in LPS, in the order of its raveled array."""
    return nibabel.affines.apply_affine(image.affine, np.argwhere(np.ones(image.shape, bool))) * read.LPS_FROM_RAS


@dataclass
class Way:
    """One stack of a case on all its ways."""

    case: Case
    bench: Bench
    source: Path
    stack: Stack
    series: str | None
    work: Path
    verdict: Verdict

    def __post_init__(self):
        self.truth = Truth(self.stack)
        self.grid_mm = max(0.005, self.case.tolerance_mm)
        self.work = self.work / f"stack-{(self.series or 'all').replace('/', '-')}"
        self.work.mkdir()
        self.chosen = ["--series", self.series] if self.series else []

    def judge_all(self) -> None:
        attempt(self.verdict, "image", self.image)
        if not (self.work / "image.nii.gz").is_file():
            return
        attempt(self.verdict, "SEG in", self.foreign_seg)
        self.write_trivial_labels()
        for way in LABEL_FILES:
            attempt(self.verdict, way, lambda way=way: self.labels(way))
        attempt(self.verdict, "network", self.network)
        attempt(self.verdict, "mesh", self.mesh)

    def prosect(self, *arguments, **options) -> Run:
        run = self.bench.run_prosect(*arguments, **options)
        told_well(run)
        if run.code not in (0, 1):
            raise Wrong(run.told())
        return run

    def image(self) -> str:
        path = self.work / "image.nii.gz"
        run = self.prosect("convert", self.source, *self.chosen, "-o", path)
        if self.case.says and not self.case.ambiguous and not re.search(self.case.says, run.stdout + run.stderr):
            raise Wrong(f"nobody is told /{self.case.says}/\n{run.told()}")
        image = nibabel.load(path)
        if self.case.regular:
            require_image(image, self.truth, self.grid_mm)
            return EXACT
        require_resampled_image(image, self.truth, self.case.tolerance_mm)
        return "interpolated"

    def write_trivial_labels(self) -> None:
        """What the trivial model sees: where the image is the frames themselves, thresholds of it; on
        a grid between the frames the body itself, as a model would draw it there.
        """
        image = nibabel.load(self.work / "image.nii.gz")
        array = np.asanyarray(image.dataobj)
        if self.case.regular:
            labels = labels_of_values(array - self.stack.value_offset)
        else:
            labels = self.truth.labels.ravel()[self.truth.tree.query(centers_of(image))[1]].reshape(array.shape)
        nibabel.save(nibabel.Nifti1Image(labels.astype(np.uint8), image.affine), self.work / "in.nii.gz")
        (self.work / "table.json").write_text(json.dumps(LABEL_TABLE))

    def convert(self, labels: Path, name: str) -> Path:
        out = self.work / name
        source = ["--source", self.source, *self.chosen]
        self.prosect("convert", labels, *source, "--labels", self.work / "table.json", "-o", out)
        return out

    def labels(self, way: str) -> str:
        """The trivial labels, written by the binary and read by others."""
        path = self.convert(self.work / "in.nii.gz", LABEL_FILES[way])
        word = self.require(way, path)
        if way == "RTSTRUCT" and self.case.by_plastimatch:
            found = read.rtstruct_by_plastimatch(path, self.source, self.work / "plastimatch")
            self.truth.require_points(found, "plastimatch")
        return word

    def require(self, way: str, path: Path) -> str:
        if way in ("NIfTI", "NRRD"):
            return self.require_grid(path)
        if way == "RTSTRUCT":
            self.truth.require_frames(self.contours(path), "contours")
            return EXACT
        self.truth.require_points(read.seg_by_hand(path), "pydicom")
        self.truth.require_frames(read.seg_frames_by_highdicom(path, self.stack.uids), "highdicom")
        names = read.segment_names(path)
        if any(names.get(int(label)) != NAMES[int(label)] for label in np.unique(self.truth.labels) if label):
            raise Wrong(f"segments are called {names}")
        if self.case.regular and way == "SEG":
            self.truth.require_points(read.seg_by_dcmqi(path, path.parent / f"dcmqi-{path.stem}"), "dcmqi", max(0.02, self.case.tolerance_mm))
        return EXACT

    def contours(self, path: Path) -> np.ndarray:
        return read.rtstruct_frames(path, dict(zip(self.stack.uids, self.stack.frames)), 0.01)

    def require_grid(self, path: Path) -> str:
        readers = {"SimpleITK": read.volume_by_simpleitk}
        if path.name.endswith(".nii.gz"):
            readers["nibabel"] = read.nifti_by_nibabel
        for who, reader in readers.items():
            if self.case.regular:
                self.truth.require_points(reader(path), who, self.grid_mm)
            else:
                self.truth.require_points_nearby(reader(path), who)
        return EXACT if self.case.regular else WITHIN

    def foreign_seg(self) -> str | None:
        """A SEG of highdicom on the frames: to LABELMAP and RTSTRUCT without the loss of a voxel."""
        (self.work / "table.json").write_text(json.dumps(LABEL_TABLE))
        foreign = self.work / "foreign.dcm"
        try:
            write_foreign_seg(self.source_files(), self.stack, foreign)
        except Impossible:
            return None
        for way, name in (("LABELMAP", "again.labelmap.dcm"), ("RTSTRUCT", "again.rtstruct.dcm"), ("NIfTI", "again.nii.gz")):
            out = self.work / name
            self.prosect("convert", foreign, "--source", self.source, *self.chosen, "-o", out)
            self.require(way, out)
        # And from the grid back onto the frames.
        self.require("SEG", self.convert(self.work / "again.nii.gz", "back.seg.dcm"))
        return EXACT

    def source_files(self) -> list[Path]:
        folder = self.work.parent / "in"
        return sorted(folder.rglob("*.dcm"))

    def network(self) -> str:
        """The whole way of `segment`: onto the frames, and as NIfTI."""
        spacing = nibabel.load(self.work / "image.nii.gz").header.get_zooms()[:3]
        name = self.bench.networks.name_for(spacing, self.stack.modality, self.stack.value_offset, united=not self.case.regular)
        case = self.work / "case"
        formats = "seg,labelmap,rtstruct,nifti,stl"
        command = ("segment", self.source, *self.chosen, "-o", case, "--model", name, "--format", formats, "--threads", 1)
        self.prosect(*command, env=self.bench.networks.home)
        objects = {way: case / f"segmentation.{ending}" for way, ending in SEGMENT_FILES.items()}
        if self.case.regular:
            for way, path in objects.items():
                self.require(way, path)
            return EXACT
        truth = self.truth.united()
        for way in ("SEG", "LABELMAP"):
            truth.require_points_nearby(read.seg_by_hand(objects[way]), way)
        truth.require_points_nearby(read.nifti_by_nibabel(objects["NIfTI"]), "NIfTI")
        contours = self.contours(objects["RTSTRUCT"])
        truth.require_points_nearby({1: self.truth.points_mm[contours == 1]}, "RTSTRUCT")
        return WITHIN

    def mesh(self) -> str | None:
        """Each surface encloses its structure: its box and its centre are the truth's, in LPS."""
        folder = self.work / "case" / "surfaces"
        if not folder.is_dir():
            return None
        truth = self.truth if self.case.regular else self.truth.united()
        for label in np.unique(truth.labels[truth.labels != 0]):
            name = NAMES[int(label)]
            mesh = trimesh.load(folder / f"{name}.stl")
            voxels = truth.points_mm[truth.labels == label]
            off = np.abs(np.array(mesh.bounds) - [voxels.min(axis=0), voxels.max(axis=0)]).max()
            away = np.linalg.norm(mesh.center_mass - truth.center_mm(label))
            if off > self.truth.voxel_mm or away > 0.5 * self.truth.voxel_mm or mesh.volume <= 0:
                raise Wrong(f"{name}.stl: the box is {off:.2f} mm off, the center {away:.2f} mm")
        return WITHIN


LABEL_TABLE = {str(label): name for label, name in NAMES.items()}
