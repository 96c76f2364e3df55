"""The torture set: every geometry that a scanner makes, with a marker of known coordinates, through
the binary and back by other people's software. `docs/conformance/geometry.md` is its table.

PROSECT_WRITE_TABLES=1 writes the table into the page instead of comparing it.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import torture_cases
import torture_read as read
from torture_case import EXACT, REFUSED, WITHIN
from torture_compare import Truth, Wrong
from torture_network import Networks
from torture_run import WAYS, Bench, judge
from torture_table import table, table_of_page, write_page

CASES = torture_cases.cases()
# The machine that CI runs on has two.
N_AT_ONCE = 2


@pytest.fixture(scope="module")
def verdicts(request, run_prosect, tmp_path_factory):
    """The verdicts of the cases that this session asks for, two of them being judged at a time."""
    work = tmp_path_factory.mktemp("torture")
    bench = Bench(run_prosect, Networks(run_prosect, work))
    asked = {item.callspec.params["case"].name for item in request.session.items if "case" in getattr(item, "fixturenames", []) and hasattr(item, "callspec")}
    with ThreadPoolExecutor(N_AT_ONCE) as pool:
        futures = {}
        for number, case in enumerate(CASES, start=1):
            if case.name in asked:
                folder = work / f"{number:03}"
                folder.mkdir()
                futures[case.name] = pool.submit(judge, case, bench, folder)
        yield futures


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_series_goes_through_and_back(case, verdicts):
    verdict = verdicts[case.name].result()
    assert not verdict.faults, "\n".join(verdict.faults)
    allowed = [REFUSED] if case.expected == REFUSED else [EXACT, WITHIN, "interpolated"]
    assert verdict.ways and set(verdict.ways.values()) <= set(allowed), verdict.ways


def test_the_page_shows_what_came_of_each(verdicts, capsys):
    if len(verdicts) < len(CASES):
        pytest.skip("only some cases were asked for")
    text = table([(case, verdicts[case.name].result()) for case in CASES])
    with capsys.disabled():
        print(f"\n{text}")
    if os.environ.get("PROSECT_WRITE_TABLES") == "1":
        write_page(text)
    assert text == table_of_page(), "docs/conformance/geometry.md is out of date; PROSECT_WRITE_TABLES=1 writes it"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_result_would_be_found(axis, tmp_path):
    """The judge itself: each mirroring, each shift by a voxel and each swap of labels is seen."""
    case = next(case for case in CASES if case.name.startswith("double oblique,"))
    (stack,) = case.write(tmp_path)
    truth = Truth(stack)
    truth.require_frames(truth.labels, "itself")
    swapped = np.array([0, 2, 1, 3], np.uint8)[truth.labels]
    for wrong in (np.flip(truth.labels, axis), np.roll(truth.labels, 1, axis), swapped):
        points = {label: truth.points_mm[wrong == label] for label in (1, 2, 3)}
        with pytest.raises(Wrong):
            truth.require_frames(wrong, "mirrored")
        with pytest.raises(Wrong):
            truth.require_points(points, "mirrored")
    flipped = {label: truth.points_mm[np.flip(truth.labels, axis) == label] for label in (1, 2, 3)}
    with pytest.raises(Wrong):
        truth.require_points_nearby(flipped, "mirrored")


def test_contours_with_holes_are_filled_by_crossings():
    """The judge again: a ring with an island, drawn as rectangles along the pixels' edges."""
    labels = np.zeros((12, 15), bool)
    for x0, x1, y0, y1 in ((2, 11, 3, 9), (4, 8, 4, 8), (6, 7, 5, 6)):
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) - 0.5
        expected = labels.copy()
        expected[y0:y1, x0:x1] ^= True
        labels ^= read.filled(corners, 15, 12)
        np.testing.assert_array_equal(labels, expected)
