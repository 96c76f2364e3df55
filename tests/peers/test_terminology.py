"""The codes of the terminology against the dictionaries of DICOM (PS3.16 as pydicom carries them), and
against the lists of classes that they are for."""

import csv
import json
import re
from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "crates/prosect-segmentation/data/terminology.csv"
WORDS = ROOT / "crates/prosect-segmentation/data/words.csv"
PARTS = ["category", "type", "type_modifier", "region", "region_modifier"]
# Upstream writes "Gluteus minius muscle".
SPELLING = {"75297007": "Gluteus minimus muscle"}


def plain(meaning: str) -> str:
    """Without the kind that SNOMED writes behind a name."""
    return re.sub(r" \([a-z /]+\)$", "", meaning).lower()


@pytest.fixture(scope="module")
def rows():
    with TABLE.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def dictionary():
    """(scheme, value): meanings, each with the context groups that have it."""
    found = {}
    for scheme, keywords in concepts.items():
        for codes in keywords.values():
            for value, (meaning, groups) in codes.items():
                found.setdefault((scheme, value), []).append((plain(meaning), set(groups)))
    return found


@pytest.fixture(scope="module")
def upstream(shared):
    """Scheme, value and meaning of every code that TotalSegmentator's own table has."""
    path = shared.parent / "terminology/totalsegmentator_snomed_mapping.csv"
    with path.open() as file:
        next(file)
        rows = list(csv.reader(file))
    return {tuple(row[at : at + 3]) for row in rows for at in (1, 4, 7, 10, 13)}


def require_code(name, code, found_in, dictionary, upstream):
    scheme, value, meaning = code
    known = dictionary.get((scheme, value), [])
    if found_in == "private":
        assert scheme == "99PROSECT", (name, code)
    elif found_in == "TotalSegmentator":
        original = "Gluteus minius muscle" if value in SPELLING else meaning
        assert (scheme, value, original) in upstream, (name, code)
        assert not known, f"{name}: {code} stands in DICOM's dictionary: take its meaning from there"
    elif found_in == "PS3.16 table O-1":
        assert plain(meaning) in [m for m, _ in known], (name, code, known)
    else:
        group = int(found_in.removeprefix("CID "))
        assert plain(meaning) in [m for m, _ in known], (name, code, known)
        assert any(group in groups for _, groups in known), (name, code, known)


def test_every_code_stands_where_the_table_says(rows, dictionary, upstream):
    for row in rows:
        code = {part: tuple(row[f"{part}_{k}"] for k in ("scheme", "code", "meaning")) for part in PARTS}
        require_code(row["name"], code["category"], "CID 7150", dictionary, upstream)
        require_code(row["name"], code["type"], row["type_found_in"], dictionary, upstream)
        if row["region_code"]:
            require_code(row["name"], code["region"], row["region_found_in"], dictionary, upstream)
        for part in ("type_modifier", "region_modifier"):
            if not code[part][1]:
                continue
            # CID 244 is laterality, CID 2 other modifiers; COVID-19 is upstream's.
            groups = ["CID 244", "CID 2", "TotalSegmentator"]
            errors = []
            for group in groups:
                try:
                    require_code(row["name"], code[part], group, dictionary, upstream)
                    break
                except AssertionError as error:
                    errors.append(error)
            assert len(errors) < len(groups), errors


# The multiplication of the dihedral group of order 10, and its permutation (Verhoeff, 1969).
DIHEDRAL = [[(a + b) % 5 if a < 5 and b < 5 else (a + b) % 5 + 5 if a < 5 else (a - b) % 5 + 5 if b < 5 else (a - b) % 5 for b in range(10)] for a in range(10)]
STEP = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def has_check_digit(value: str) -> bool:
    """Whether the last digit of a SNOMED CT identifier fits the others."""
    check = 0
    for place, digit in enumerate(reversed(value)):
        number = int(digit)
        for _ in range(place % 8):
            number = STEP[number]
        check = DIHEDRAL[check][number]
    return check == 0


def test_no_snomed_code_has_a_wrong_digit(rows):
    assert has_check_digit("10200004") and not has_check_digit("10200005")
    for row in rows:
        for part in PARTS:
            if row[f"{part}_scheme"] == "SCT":
                assert has_check_digit(row[f"{part}_code"]), (row["name"], part, row[f"{part}_code"])


def codes_of(row):
    return tuple(row[f"{part}_{k}"] for part in PARTS[1:] for k in ("scheme", "code"))


def test_every_class_of_every_task_has_codes_of_its_own(rows, shared):
    table = {row["name"]: row for row in rows}
    tasks = {}
    with (shared.parent / "terminology/all_tasks_classes.csv").open() as file:
        for entry in csv.DictReader(file):
            tasks.setdefault(entry["task"], []).append(entry["name"])
    assert len(tasks) > 40
    for task, names in tasks.items():
        seen = {}
        for name in names:
            assert name in table, f"{name} of {task} has no code"
            assert seen.setdefault(codes_of(table[name]), name) == name, (task, name)


def test_every_class_of_the_meshnets_has_codes_of_its_own(rows, shared):
    table = {row["name"]: row for row in rows}
    with WORDS.open() as file:
        words = {row["word"]: row["name"] for row in csv.DictReader(file)}
    maps = sorted((shared / "meshnet-t1-mr/models").glob("*/colormap*.json"))
    assert maps
    for path in maps:
        labels = json.loads(path.read_text())["labels"][1:]
        seen = {}
        for label in labels:
            name = re.sub("[^a-z0-9]+", "_", label.lower()).strip("_")
            name = words.get(name, name)
            assert name in table, f"{label} of {path.parent.name} has no code"
            assert seen.setdefault(codes_of(table[name]), name) == name, (path, label)


def test_the_side_of_a_name_is_in_its_codes(rows):
    for row in rows:
        words = set(row["name"].split("_"))
        meanings = " ".join(row[f"{part}_meaning"] for part in PARTS).lower().split()
        for side, short in (("left", "lh"), ("right", "rh")):
            assert (side in meanings) == bool(words & {side, short}), row["name"]
