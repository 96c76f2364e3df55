"""What the tables of PS3.3 ask of an object, as highdicom carries them: the attributes of type 1 and
2 of every mandatory module, and of the items of every sequence that is there. They know what dciodvfy
does not: label maps, encapsulated OBJ and MTL.
"""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path

import highdicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset


@cache
def tables():
    folder = Path(highdicom.__file__).parent / "_standard"
    names = ("sop_class_iod_map", "iod_module_map", "module_attribute_map")
    return tuple(json.loads((folder / f"{name}.json").read_text()) for name in names)


def missing(dataset: Dataset) -> list[str]:
    """Everything that is required and is not there."""
    iods, modules, attributes = tables()
    found = []
    for module in modules[iods[dataset.SOPClassUID]]:
        if module["usage"] != "M" or module["key"] in BY_VALUE_TYPE:
            continue
        required = defaultdict(list)
        for attribute in attributes[module["key"]]:
            if attribute["type"] in ("1", "2"):
                required[tuple(attribute["path"])].append((attribute["keyword"], attribute["type"]))
        for path, wanted in required.items():
            if path and path[0] in GROUPS and len(path) == 1:
                # A functional group stands once for all frames, or for each of them.
                wanted = [(keyword, kind) for keyword, kind in wanted if not in_either(dataset, keyword) and applies(dataset, keyword)]
            for item in items_at(dataset, path):
                found += [f"{module['key']}: {'.'.join((*path, keyword))} (type {kind})" for keyword, kind in wanted if lacks(item, keyword, kind)]
    return sorted(set(found))


GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


# What its items need depends on the value type of each; dciodvfy and the readers of SR judge them.
BY_VALUE_TYPE = ("sr-document-content",)


def applies(dataset: Dataset, keyword: str) -> bool:
    """Functional groups of some frames alone, for which the tables have no condition."""
    if keyword == "SegmentIdentificationSequence":
        return dataset.SegmentationType != "LABELMAP"
    return keyword != "PlanePositionSlideSequence"


def in_either(dataset: Dataset, keyword: str) -> bool:
    return any(all(keyword in item for item in dataset.get(name) or [{}]) for name in GROUPS)


def items_at(dataset: Dataset, path: tuple) -> list[Dataset]:
    items = [dataset]
    for keyword in path:
        items = [inner for item in items for inner in item.get(keyword) or []]
    return items


def lacks(item: Dataset, keyword: str, kind: str) -> bool:
    tag = tag_for_keyword(keyword)
    if tag not in item:
        return True
    element = item[tag]
    return kind == "1" and (element.value is None or (hasattr(element.value, "__len__") and len(element.value) == 0))
