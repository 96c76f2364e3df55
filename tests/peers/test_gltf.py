"""The GLB, judged by the Khronos validator and by trimesh."""

import json
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from case_bundle import Case

HERE = Path(__file__).parent


@pytest.fixture
def glb(any_case: Case) -> Path:
    return any_case.path("model.glb")


@pytest.fixture
def document(glb) -> dict:
    content = glb.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    return json.loads(content[20 : 20 + size])


def test_khronos_finds_no_error(glb, require_tool):
    modules = Path(os.environ.get("PROSECT_PEERS_NPM", HERE.parents[1] / "target/peers-npm")) / "node_modules"
    assert (modules / "gltf-validator").is_dir(), f"gltf-validator is not at {modules}; run `cargo xtask peers`"
    done = subprocess.run(
        [require_tool("node"), HERE / "validate_gltf.cjs", glb],
        capture_output=True,
        text=True,
        env={**os.environ, "NODE_PATH": str(modules)},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["mimeType"] == "model/gltf-binary"
    issues = report["issues"]
    assert issues["numErrors"] == 0 and issues["numWarnings"] == 0, json.dumps(issues, indent=1)
    assert report["info"]["totalTriangleCount"] > 100


def test_one_named_node_per_structure_with_code_and_color(any_case, document):
    nodes = {node["name"]: node for node in document["nodes"] if "mesh" in node}
    assert sorted(nodes) == sorted(structure["name"] for structure in any_case.structures)
    for structure in any_case.structures:
        node = nodes[structure["name"]]
        extras = json.dumps(node["extras"])
        assert structure["property_type"]["value"] in extras and structure["property_type"]["scheme"] in extras, extras
        primitive = document["meshes"][node["mesh"]]["primitives"][0]
        linear = document["materials"][primitive["material"]]["pbrMetallicRoughness"]["baseColorFactor"][:3]
        # glTF 2.0, 3.9.2: base color factors are linear, the record's colors are sRGB.
        srgb = [255 * (12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055) for c in linear]
        assert np.allclose(srgb, structure["color_rgb"], atol=1)


def test_it_says_unreviewed(document):
    assert "UNREVIEWED" in json.dumps(document["asset"]) + json.dumps(document.get("extras", {}))


def test_metres_with_y_up_and_the_right_sides(any_case, glb):
    """The STL is in LPS mm. Superior becomes +y, anterior +z (the front of a glTF asset), and the
    patient's left +x: a rotation, so that no side is swapped. A shift of the whole is allowed.
    """
    surface = trimesh.load_mesh(any_case.path("surfaces/liver.stl"))
    scene = trimesh.load_scene(glb)
    parts = scene.dump()
    (liver,) = [part for part in parts if len(part.faces) == len(surface.faces)]
    turned_m = surface.vertices[:, [0, 2, 1]] * [1, 1, -1] / 1000
    assert np.allclose(np.ptp(turned_m, axis=0), np.ptp(liver.vertices, axis=0), atol=1e-5), "extent along x, y, z"
    shift = liver.bounds.mean(axis=0) - (turned_m.min(axis=0) + turned_m.max(axis=0)) / 2
    far_m, _ = cKDTree(turned_m + shift).query(liver.vertices)
    # 0.01 mm: f32 positions some metres from the origin.
    assert far_m.max() < 1e-5
    merged = trimesh.Trimesh(liver.vertices, liver.faces, process=True)
    merged.merge_vertices(merge_norm=True, merge_tex=True)
    assert merged.is_watertight and merged.volume > 0, "closed and outward in the headset too"
