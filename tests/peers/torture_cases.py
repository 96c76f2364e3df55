"""The table of the torture set. A case is added here and nowhere else."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from torture_case import EXACT, REFUSED, Case, Stack, all_of, classic, enhanced, in_parts, refused
from torture_files import Form, replace_text, write_classic, write_enhanced
from torture_frames import ORIENTATIONS, Frame, stack, tilted, turned

HFS = ORIENTATIONS["HFS"]
MR = {"rescale": False, "intercept": -1000.0}


def every(frames: list[Frame], change) -> list[Frame]:
    """Each frame changed by its number: `change(frame, n)`."""
    return [change(frame, n) for n, frame in enumerate(frames)]


def rounded(frames: list[Frame], decimals: int) -> list[Frame]:
    return [replace(frame, origin_mm=np.round(frame.origin_mm, decimals)) for frame in frames]


def coarse(frames: list[Frame], decimals: int) -> list[Frame]:
    """Directions as some archives keep them: not quite of length one, nor at right angles."""
    return [replace(f, direction_i=np.round(f.direction_i, decimals), direction_j=np.round(f.direction_j, decimals)) for f in frames]


def without(frames: list[Frame], *missing: int) -> list[Frame]:
    return [frame for n, frame in enumerate(frames) if n not in missing]


def written_again(folder: str, most: int | None = None):
    """Copies what was written so far, or the first files of it, into a subfolder."""

    def write(target: Path) -> list[Stack]:
        for path in sorted(target.glob("*.dcm"))[:most]:
            (target / folder).mkdir(exist_ok=True)
            shutil.copy(path, target / folder / path.name)
        return []

    return write


def with_text(writer, old: str, new: str):
    """Afterwards puts a text into the files that pydicom would not write."""

    def write(target: Path) -> list[Stack]:
        stacks = writer(target)
        replace_text(target, old, new)
        return stacks

    return write


def cut_short(writer, number: int):
    """Ends one file early, as a broken transfer does; its frame is lost."""

    def write(target: Path) -> list[Stack]:
        (truth,) = writer(target)
        kept = [n for n, uid in enumerate(truth.uids) if not uid.endswith(f".{number}")]
        path = next(target.glob(f"*-{number:04}.dcm"))
        path.write_bytes(path.read_bytes()[:900])
        return [Stack([truth.frames[n] for n in kept], [truth.uids[n] for n in kept], truth.modality)]

    return write


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder.parent / "series"), "zip", folder))


def orientations() -> list[Case]:
    cases = []
    orders = ["up", "down", "shuffled"]
    for n, position in enumerate(["HFS", "HFP", "FFS", "FFP", "HFDR", "HFDL", "FFDR", "FFDL"]):
        attributes = {"PatientPosition": position}
        writer = classic(stack(position), order=orders[n % 3], attributes=attributes)
        cases.append(Case(f"{position}, numbered {orders[n % 3]}", writer))
    for n, plane in enumerate(["coronal", "coronal from the back", "sagittal", "sagittal from the right", "sagittal upside down", "sagittal rows up"]):
        cases.append(Case(f"{plane}, numbered {orders[n % 3]}", classic(stack(plane), order=orders[n % 3])))
    turns = [
        ("oblique 10 degrees", "HFS", {"x": 10}),
        ("oblique 30 degrees, prone", "HFP", {"z": 30}),
        ("oblique 0.4 degrees", "HFS", {"y": 0.4}),
        ("double oblique", "HFS", {"x": 20, "z": -35}),
        ("double oblique, feet first prone", "FFP", {"x": -14, "y": 41}),
        ("double oblique sagittal", "sagittal", {"x": 11, "z": 23}),
        ("double oblique coronal from the back", "coronal from the back", {"y": -33, "z": 8}),
        ("oblique 45 degrees between axial and coronal", "HFS", {"x": 45}),
    ]
    for n, (name, plane, turn) in enumerate(turns):
        writer = classic(stack(turned(ORIENTATIONS[plane], turn)), order=orders[n % 3])
        cases.append(Case(f"{name}, numbered {orders[n % 3]}", writer))
    for case in cases:
        # It fills every second slice only where rows run along z; all others read these right.
        case.by_plastimatch = not case.name.startswith("sagittal rows up")
    return cases


def matrices() -> list[Case]:
    return [
        Case("pixels 2.0 x 1.2 mm", classic(stack(spacing_mm=(2.0, 1.2), shape=(34, 50)))),
        Case("pixels 1.1 x 2.3 mm, coronal", classic(stack("coronal", spacing_mm=(1.1, 2.3), shape=(60, 26)))),
        Case("matrix 46 x 21", classic(stack(shape=(46, 21), spacing_mm=(1.5, 3.0)))),
        Case("matrix 21 x 46, double oblique", classic(stack(turned(HFS, {"x": 25, "y": 12}), shape=(21, 46), spacing_mm=(3.0, 1.5)))),
        Case("matrix 33 x 29, frames end within a byte", classic(stack("FFS", shape=(33, 29)))),
        Case("300 thin slices", classic(stack(n=300, gap_mm=0.2, shape=(22, 20), spacing_mm=(3.0, 3.0), thickness_mm=0.2))),
        Case("5 m from the origin", classic(stack(center_mm=(5012.3, -3001.7, 1890.1)))),
        Case("thickness 10 mm, spacing 4 mm", classic(stack(thickness_mm=10.0))),
        Case("thickness 1 mm, spacing 4 mm", classic(stack(thickness_mm=1.0))),
        Case("no thickness", classic(stack(thickness_mm=None))),
        Case("overlapping reconstruction, 5 mm every 2.5 mm", classic(stack(n=24, gap_mm=2.5, thickness_mm=5.0))),
        Case("Spacing Between Slices negative, slice location reversed", classic(every(stack(), lambda f, n: f.having(SpacingBetweenSlices=-4.0, SliceLocation=-4.0 * n)))),
        Case("Patient Position contradicts the orientation", classic(stack("HFP"), attributes={"PatientPosition": "HFS"})),
        Case("no instance numbers", classic(stack(), attributes={"InstanceNumber": None})),
        Case("all instance numbers equal", classic(stack("sagittal"), attributes={"InstanceNumber": 1})),
        Case("0.625 mm apart, positions with two decimals", classic(rounded(stack(n=60, gap_mm=0.625, thickness_mm=0.625), 2), decimals=2), tolerance_mm=0.06),
        Case("1.25 mm apart, positions with one decimal", classic(rounded(stack(n=40, gap_mm=1.25, thickness_mm=1.25), 1), decimals=1), regular=False, tolerance_mm=0.06),
        Case("double oblique, orientation with four decimals", classic(coarse(stack(turned(HFS, {"x": 21, "y": -17, "z": 33})), 4)), tolerance_mm=0.06),
        Case("positions shaken by 0.02 mm", classic(stack(jitter_mm=0.02)), tolerance_mm=0.06),
        Case("one slice with thickness", classic(stack(n=1)), named=True),
        Case("two slices", classic(stack(n=2, gap_mm=6.0)), named=True),
    ]


def irregular() -> list[Case]:
    uneven = [4, 3, 4, 5, 2, 4, 6, 3, 4, 4, 2, 5, 3, 4]
    mixed = [1.1] * 5 + [4.0] * 6 + [7.0] * 4
    full = stack(n=18)
    cases = [
        Case(f"gantry tilted by {angle:+} degrees", classic(tilted(angle), attributes={"GantryDetectorTilt": angle}))
        for angle in (-18.5, 16.5, 30.0, -5.0)
    ]
    cases += [
        Case("gantry tilted, prone, numbered down", classic(tilted_prone(20.0), order="down")),
        Case("gantry tilted, gaps of 1.1, 4 and 7 mm mixed", classic(tilted(18.5, gaps=mixed))),
        Case("gantry tilted, pixels 2.0 x 1.4 mm", classic(tilted(-12.0, spacing_mm=(2.0, 1.4), shape=(34, 44)))),
        Case("a tilt that the positions tell and the orientation does not", classic(stack(along=np.array([0, np.tan(np.radians(16.5)), 1])))),
        Case("uneven gaps", classic(stack(gaps=uneven)), says="gap|uneven|apart"),
        Case("uneven gaps, double oblique", classic(stack(turned(HFS, {"x": 15, "z": 30}), gaps=uneven))),
        Case("thin slices, then thick ones", classic(stack(gaps=[2.0] * 12 + [5.0] * 8))),
        Case("one slice missing", classic(without(full, 7)), says="missing|gap|apart"),
        Case("two neighbors missing, a gap of 9 mm", classic(without(stack(n=22, gap_mm=3.0), 7, 8)), says="missing|gap|apart"),
        Case("two slices missing, apart", classic(without(full, 4, 11)), says="missing|gap|apart"),
        Case("a table that drifts sideways by 0.5 mm a slice", classic(stack(along=np.array([0.5, 0, 4]) / 4))),
    ]
    for case in cases:
        case.regular = False
    cases += [
        Case("a tilt that the header tells and the positions do not", classic(stack(), attributes={"GantryDetectorTilt": -18.5})),
        Case("a gap of 52 mm in a stack of 4 mm", refused(without(stack(n=24), *range(8, 20))), expected=REFUSED, says="apart|gap"),
        Case("two neighbors missing, a gap of 15 mm", refused(without(stack(gap_mm=5.0), 7, 8)), expected=REFUSED, says="apart|gap"),
        Case("two slices 0.1 mm apart", refused([*full, replace(full[6], origin_mm=full[6].origin_mm + [0, 0, 0.1])]), expected=REFUSED, says="apart|gap"),
        Case("slices that jump sideways", refused(every(stack(), lambda f, n: replace(f, origin_mm=f.origin_mm + [25.0 * (n % 2), 0, 0]))), expected=REFUSED, says="shift|jump|line|sideways"),
    ]
    return cases


def tilted_prone(degrees: float) -> list[Frame]:
    return stack(turned(ORIENTATIONS["HFP"], {"x": degrees}), along=(0, 0, 1))


def crowded() -> list[Case]:
    """More in a series than one stack."""
    axial = stack()
    other = replace(axial[5], offset=55.0)
    scout = stack("coronal", n=1)
    small_scout = stack("sagittal", n=1, shape=(64, 40))
    phase = lambda frames, n, **attributes: [replace(f, offset=7.0 * n, attributes=attributes) for f in frames]
    near, far = stack(n=12), stack(n=12, center_mm=(0, 0, 36.0))
    kept = range(len(axial))
    return [
        Case("exact copies of five files", all_of(classic(axial), written_again("again", 5), takes=[0])),
        Case("the same slice twice with another UID", classic([*axial, axial[5]], keep=kept)),
        Case("two images at one place", refused([*axial, other]), expected=REFUSED, says="same place"),
        Case("a scout in the series, marked as one", classic([*axial, *every(small_scout, lambda f, n: f.having(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))], keep=kept)),
        Case("a scout of the same matrix, not marked", classic([*axial, *scout], keep=kept)),
        Case("two scouts across each other, not marked", classic([*axial, *small_scout, *scout], keep=kept)),
        Case("a topogram in a series of its own", all_of(classic(axial), classic(every(small_scout, lambda f, n: f.having(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])), number=2), takes=[0])),
        Case("two stacks: axial and coronal", in_parts(stack(n=14), stack("coronal", n=12))),
        Case("two stacks: pixels of 2 and of 3 mm", in_parts(stack(n=14), stack(n=14, spacing_mm=(3.0, 3.0), shape=(22, 20)))),
        Case("two phases", in_parts(phase(axial, 0, AcquisitionNumber=1, TemporalPositionIdentifier=1, AcquisitionTime="030405"), phase(axial, 1, AcquisitionNumber=2, TemporalPositionIdentifier=2, AcquisitionTime="030505")), ambiguous=True, says="--series"),
        Case("three gates by trigger time", in_parts(*(phase(axial, n, TriggerTime=100.0 * n) for n in range(3))), ambiguous=True, says="--series"),
        Case("two echoes, MR", in_parts(*(phase([replace(f, **MR) for f in axial], n, EchoTime=10.0 * (n + 1), EchoNumbers=n + 1) for n in range(2)), kind="MR", signed=False), ambiguous=True, says="--series"),
        Case("two acquisitions whose ends overlap", in_parts(phase(near, 0, AcquisitionNumber=1), [replace(f, center_mm=(0, 0, 0)) for f in phase(far, 1, AcquisitionNumber=2)]), ambiguous=True, says="--series|same place"),
        Case("two series, one a copy under another UID", all_of(classic(axial), classic(axial, number=2)), ambiguous=True, says="--series"),
        Case("the same files in two folders", all_of(classic(axial), written_again("second"), takes=[0])),
        Case("two patients in one folder", all_of(classic(axial), classic(axial, number=2, study=2, patient="TORTURE-2")), ambiguous=True, says="--series|patient"),
        Case("two patients under one Series UID", refused(every(axial, lambda f, n: f.having(PatientID=f"TORTURE-{n % 2}"))), expected=REFUSED, says="patient"),
        Case("another frame of reference in one slice", refused(every(axial, lambda f, n: f.having(FrameOfReferenceUID="2.25.4407.7") if n == 6 else f)), expected=REFUSED, says="frames? of reference"),
        Case("a slice of another matrix among them", classic([*axial[:7], replace(axial[7], shape=(20, 20)), *axial[8:]], keep=[n for n in kept if n != 7]), regular=False, says="size|matrix|left"),
    ]


def multi_frame() -> list[Case]:
    mr = [replace(f, **MR) for f in stack("sagittal", n=14)]
    two = [*stack(n=10), *stack("coronal", n=9)]
    parts = [range(10), range(10, 19)]
    phases = [replace(f, offset=7.0 * n, attributes={"TemporalPositionIndex": n + 1}) for n in range(2) for f in stack(n=12)]
    oblique = stack(turned(ORIENTATIONS["HFP"], {"x": 12, "y": -25}))
    return [
        Case("enhanced CT, frames in order", enhanced(stack(), order="up")),
        Case("enhanced CT, frames shuffled", enhanced(stack("FFS"))),
        Case("enhanced CT, double oblique, frames backwards", enhanced(oblique, order="down")),
        Case("enhanced CT, gantry tilted", enhanced(tilted(-18.5)), regular=False),
        Case("enhanced CT, uneven gaps", enhanced(stack(gaps=[4, 3, 5, 2, 4, 4, 6, 3, 4, 4, 2, 5])), regular=False),
        Case("enhanced CT, JPEG 2000", enhanced(stack(), syntax="JPEG 2000")),
        Case("enhanced CT in two files", two_files(stack())),
        Case("enhanced MR, sagittal, frames shuffled", enhanced(mr, kind="enhanced MR", signed=False)),
        Case("enhanced MR, RLE", enhanced(mr, kind="enhanced MR", signed=False, syntax="RLE")),
        Case("enhanced CT, two stacks", enhanced(two, ["1"] * 10 + ["2"] * 9, parts)),
        Case("enhanced CT, two phases", enhanced(phases, None, [range(12), range(12, 24)]), ambiguous=True, says="--series"),
        Case("enhanced CT, a slope for each frame", enhanced(every(stack(), lambda f, n: replace(f, slope=0.25 * (1 + n % 3), intercept=-1000.0 + n)))),
    ]


def two_files(frames: list[Frame]):
    def write(target: Path) -> list[Stack]:
        half = len(frames) // 2
        form = Form(kind="enhanced CT")
        uids = write_enhanced(target, frames[:half], form, first=1)
        uids += write_enhanced(target, frames[half:], form, first=2)
        return [Stack(frames, uids)]

    return write


def pixels() -> list[Case]:
    axial = stack()
    slopes = every(axial, lambda f, n: replace(f, slope=[1.0, 0.5, 0.1][n % 3], intercept=-1000.0 - 8 * n))
    syntaxes = ["implicit", "big endian", "deflated", "RLE", "JPEG 2000", "JPEG-LS"]
    cases = [Case(f"pixels: {syntax}", classic(stack("HFP"), syntax=syntax)) for syntax in syntaxes]
    cases += [
        Case("pixels: every syntax in one series", all_syntaxes(axial, syntaxes)),
        Case("pixels: 16 bits unsigned", classic(axial, signed=False)),
        Case("pixels: 12 bits unsigned", classic(axial, signed=False, bits=12)),
        Case("pixels: a slope for each slice", classic(slopes)),
        Case("MR, oblique", classic([replace(f, **MR) for f in stack(turned(ORIENTATIONS["sagittal"], {"z": 17}))], kind="MR", signed=False)),
        Case("in a zip", classic(axial), pack=zipped),
        Case("one file cut short", cut_short(classic(axial, order="up"), 8), regular=False, says="truncated|ends|broken|short|damaged"),
    ]
    return cases


def all_syntaxes(frames: list[Frame], syntaxes: list[str]):
    def write(target: Path) -> list[Stack]:
        uids = []
        for n, frame in enumerate(frames):
            form = Form(syntax=syntaxes[n % len(syntaxes)])
            uids += write_classic(target, [frame], form, first=n + 1)
        return [Stack(frames, uids)]

    return write


def senseless() -> list[Case]:
    """Places that are no places."""
    axial = stack()
    one = lambda **attributes: every(axial, lambda f, n: f.having(**attributes) if n == 6 else f)
    rest = [n for n in range(len(axial)) if n != 6]
    position = r"position|place|orientation"
    skew = (1, 0, 0, 0.17, 0.985, 0)
    nan = lambda frames: [f.having(ImagePositionPatient=["7777.777", *map(str, f.origin_mm[1:])]) for f in frames]
    refusals = [
        ("no Image Position", {"ImagePositionPatient": None}, position),
        ("no Image Orientation", {"ImageOrientationPatient": None}, position),
        ("orientation of length zero", {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, position),
        ("orientation not at right angles", {"ImageOrientationPatient": list(skew)}, position),
        ("orientation of length two", {"ImageOrientationPatient": [2, 0, 0, 0, 2, 0]}, position),
        ("no Pixel Spacing", {"PixelSpacing": None}, "spacing|position"),
        ("Pixel Spacing zero", {"PixelSpacing": [0, 0]}, "spacing|position"),
    ]
    cases = [
        Case(name, refused(axial, attributes=attributes), expected=REFUSED, says=says)
        for name, attributes, says in refusals
    ]
    cases += [
        Case("Image Position is not a number", with_text(refused(nan(axial)), "7777.777", "NaN     "), expected=REFUSED, says=position),
        Case("Image Position infinite", with_text(refused(nan(axial)), "7777.777", "1e999   "), expected=REFUSED, says=position),
        Case("one slice without position", classic(one(ImagePositionPatient=None), keep=rest), regular=False, says=position),
        Case("one slice with NaN as position", with_text(classic([*axial[:6], *nan(axial[6:7]), *axial[7:]], keep=rest), "7777.777", "NaN     "), regular=False, says=position),
        Case("no frame of reference", classic(axial, attributes={"FrameOfReferenceUID": None})),
    ]
    return cases


def cases() -> list[Case]:
    """The whole set, in the order of the table."""
    table = [*orientations(), *matrices(), *irregular(), *crowded(), *multi_frame(), *pixels(), *senseless()]
    names = [case.name for case in table]
    assert len(set(names)) == len(names), "two cases of one name"
    assert all(case.expected in (EXACT, REFUSED) for case in table)
    return table
