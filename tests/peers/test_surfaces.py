"""STL and OBJ, judged by trimesh, admesh and PrusaSlicer."""

import re
import subprocess

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from case_bundle import Case, lps_of


@pytest.fixture
def stl_path(any_case: Case):
    return any_case.path("surfaces/liver.stl")


@pytest.fixture
def surface(stl_path) -> trimesh.Trimesh:
    surface = trimesh.load_mesh(stl_path)
    assert len(surface.faces) > 100
    return surface


@pytest.fixture
def liver(any_case) -> dict:
    (liver,) = [structure for structure in any_case.structures if structure["name"] == "liver"]
    return liver


def test_trimesh_sees_a_closed_outward_surface(surface):
    assert surface.is_watertight
    assert surface.is_winding_consistent
    assert surface.volume > 0, "turned inside out"
    assert not surface.is_empty and surface.is_volume


def test_it_encloses_the_volume_of_the_mask(surface, liver):
    # 3 %: smoothing must not eat the organ; the smallest one here is a slab with two flat cuts.
    assert surface.volume / 1000 == pytest.approx(liver["volume_ml"], rel=0.03)
    proof = liver["surface"]
    assert proof["triangles"] == len(surface.faces)
    assert proof["volume_ml"] == pytest.approx(surface.volume / 1000, rel=1e-3)
    assert proof["shells"] == surface.body_count


def test_it_lies_where_the_mask_lies(any_case, surface, liver):
    """In LPS millimetres: a surface in RAS, in metres or with a swapped side fails here."""
    mask = any_case.mask(liver)
    inner = mask.copy()
    for axis in range(3):
        for step in (1, -1):
            shifted = np.roll(mask, step, axis)
            edge = [slice(None)] * 3
            edge[axis] = 0 if step == 1 else -1
            shifted[tuple(edge)] = False
            inner &= shifted
    border_mm = lps_of(any_case.labels, np.argwhere(mask & ~inner))
    voxel_mm = np.linalg.norm(any_case.labels.affine[:3, :3], axis=0)
    # One voxel's diagonal: half of it from a centre to a corner, half for smoothing and sub-voxel placement.
    allowed_mm = np.linalg.norm(voxel_mm)
    to_border_mm, _ = cKDTree(border_mm).query(surface.vertices)
    to_surface_mm, _ = cKDTree(surface.triangles_center).query(border_mm)
    assert np.percentile(to_border_mm, 99) < allowed_mm
    assert np.percentile(to_surface_mm, 99) < allowed_mm
    assert max(to_border_mm.max(), to_surface_mm.max()) < 3 * allowed_mm

    centroid_mm = lps_of(any_case.labels, np.argwhere(mask)).mean(axis=0)
    assert np.allclose(surface.center_mass, centroid_mm, atol=2.0), "middle of the surface and of the mask"


def test_it_lies_within_the_image(any_case, surface):
    corners = np.array(np.meshgrid(*[[-0.5, n - 0.5] for n in any_case.labels.shape])).reshape(3, -1).T
    low, high = lps_of(any_case.labels, corners).min(axis=0), lps_of(any_case.labels, corners).max(axis=0)
    # One voxel: the surface closes just outside a mask that reaches the edge of the scan.
    slack_mm = np.linalg.norm(any_case.labels.affine[:3, :3], axis=0).max()
    assert (surface.bounds[0] >= low - slack_mm).all() and (surface.bounds[1] <= high + slack_mm).all()


def test_admesh_has_nothing_to_mend(stl_path, surface, require_tool):
    done = subprocess.run([require_tool("admesh"), stl_path], capture_output=True, text=True)
    told = done.stdout
    assert done.returncode == 0, told + done.stderr
    counts = dict(re.findall(r"(\S[^:|\n]*?)\s*:\s+(\d+)", told))
    assert int(counts["Number of facets"]) == len(surface.faces), told
    for defect in [
        "Total disconnected facets",
        "Degenerate facets",
        "Edges fixed",
        "Facets removed",
        "Facets added",
        "Facets reversed",
        "Backwards edges",
        "Normals fixed",
    ]:
        assert counts[defect] == "0", f"{defect}: {counts[defect]}\n{told}"
    assert int(counts["Number of parts"]) == surface.body_count


def test_prusaslicer_would_print_it(stl_path, require_tool):
    done = subprocess.run([require_tool("prusa-slicer"), "--info", stl_path], capture_output=True, text=True)
    told = done.stdout
    assert done.returncode == 0, told + done.stderr
    assert re.search(r"^manifold = yes$", told, re.MULTILINE), told
    assert not re.search(r"^(open_edges|facets_removed|edges_fixed|facets_reversed|degenerate_facets)", told, re.MULTILINE), told
    volume_mm3 = float(re.search(r"^volume = (\S+)$", told, re.MULTILINE)[1])
    assert volume_mm3 > 0


def test_the_header_tells_what_it_is(stl_path):
    header = stl_path.read_bytes()[:80]
    assert not header.startswith(b"solid"), "readers would take it for text"
    assert b"UNREVIEWED" in header, header


def test_obj_is_the_same_surface(any_case, surface):
    path = any_case.path("surfaces/liver.obj")
    text = path.read_text()
    other = trimesh.load_mesh(path, process=True)
    assert len(other.faces) == len(surface.faces)
    # 1e-3 mm: decimal text against f32.
    assert np.allclose(other.bounds, surface.bounds, atol=1e-3)
    assert other.volume == pytest.approx(surface.volume, rel=1e-4)
    far_mm, _ = cKDTree(surface.vertices).query(other.vertices)
    assert far_mm.max() < 1e-3
    assert "UNREVIEWED" in text.split("\nv ", 1)[0]


def test_obj_names_its_material(any_case, liver):
    text = any_case.path("surfaces/liver.obj").read_text()
    (library,) = re.findall(r"^mtllib (\S+)$", text, re.MULTILINE)
    (used,) = set(re.findall(r"^usemtl (\S+)$", text, re.MULTILINE))
    material = any_case.path(f"surfaces/{library}").read_text()
    assert re.search(rf"^newmtl {re.escape(used)}$", material, re.MULTILINE)
    color = [float(value) for value in re.search(r"^Kd (\S+) (\S+) (\S+)", material, re.MULTILINE).groups()]
    assert np.allclose(np.array(color) * 255, liver["color_rgb"], atol=1)
