"""The engine against the originals: nnunetv2, TotalSegmentator and ONNX Runtime run the same
weights on the same images. Run by `cargo xtask peers engine` alone, since PyTorch weighs gigabytes.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import onnxruntime
import pytest
import scipy.ndimage

from engine_originals import (
    REFERENCE,
    Answer,
    agreement,
    canonical_labels,
    make_totalsegmentator_weights,
    nnunet_predict,
    totalsegmentator,
)

ROOT = Path(__file__).resolve().parents[2]
HIPPOCAMPUS = ROOT / "training/hippocampus/model"
# Cases that no training has seen: training/hippocampus/prepare.py.
KEPT_ASIDE = 10
PREPROCESSED = 1e-5
LOGITS = 1e-4


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> Path:
    """What is dear to make stays here between runs."""
    folder = os.environ.get("PROSECT_ENGINE_WORK")
    return Path(folder) if folder else tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="session")
def table():
    """Rows of the table in docs/conformance/engine.md, which the run replaces at its end."""
    rows = []
    yield rows
    page = os.environ.get("PROSECT_ENGINE_PAGE")
    if page and rows:
        replace_table(Path(page), rows)


def replace_table(page: Path, rows: list) -> None:
    text = page.read_text()
    head, rest = text.split("<!-- table -->\n", 1)
    _, tail = rest.split("<!-- end of table -->", 1)
    lines = ["| what | mode | preprocessed, largest difference | logits, largest difference | labels |"]
    lines += ["|---|---|---|---|---|", *rows]
    page.write_text(f"{head}<!-- table -->\n{chr(10).join(lines)}\n<!-- end of table -->{tail}")


@pytest.fixture(scope="session")
def install(run_prosect, work):
    """Imports foreign weights once, and gives back the model's name."""
    models = work / "models"

    def run(source, name) -> str:
        shutil.rmtree(models / name, ignore_errors=True)
        done = run_prosect("models", "import", source, "--name", name, "--models", models)
        assert done.code == 0, done.told()
        return name

    return run


@pytest.fixture
def answer(run_prosect, work, tmp_path):
    """Our answer for a scan: labels, and nnU-Net's arrays where they are asked for."""

    def run(scan, model, *options, modality="CT", arrays=True) -> Answer:
        case, kept = tmp_path / "case", tmp_path / "arrays"
        words = ["segment", scan, "-o", case, "--force", "--model", model, "--format", "nifti"]
        words += ["--models", work / "models", *options]
        if "nii" in Path(scan).name:
            words += ["--modality", modality]
        if arrays:
            words += ["--save-intermediate", kept]
        done = run_prosect(*words)
        assert done.code in (0, 1), done.told()
        labels = canonical_labels(case / "segmentation.nii.gz")
        if not arrays:
            return Answer(labels)
        return Answer(labels, *(np.load(kept / f"{n}.npy") for n in ("preprocessed", "logits")))

    return run


def largest(ours, theirs) -> float:
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float(np.abs(ours - theirs).max())


def golden_cases():
    return sorted(folder.name for folder in (REFERENCE / "golden").iterdir() if folder.is_dir())


@pytest.mark.parametrize("compat", [False, True], ids=["default", "compat"])
@pytest.mark.parametrize("name", golden_cases())
def test_small_models_of_every_kind(name, compat, install, answer, table, tmp_path):
    """Synthetic volumes through tiny models, where one voxel of a few thousand already counts."""
    folder = REFERENCE / "golden" / name
    model = install(folder / "model", f"golden-{name.replace('_', '-')}")
    image = folder / "image_0000.nii.gz"
    theirs = nnunet_predict(folder / "model", image, tmp_path, f32=not compat)
    channel = next(iter(json.loads((folder / "model/dataset.json").read_text())["channel_names"].values()))
    modality = "CT" if channel == "CT" else "MR"
    ours = answer(image, model, *(["--compat"] if compat else []), modality=modality)
    judge(f"tiny nnU-Net, {name}", compat, ours, theirs, table, exact=True)


@pytest.mark.parametrize("compat", [False, True], ids=["default", "compat"])
def test_hippocampus(compat, install, answer, shared, table, tmp_path):
    """A network that nnunetv2 trained, on cases that it has not seen."""
    model = install(HIPPOCAMPUS, "hippocampus-mr")
    hippocampus(HIPPOCAMPUS, model, compat, answer, shared, table, tmp_path)


@pytest.mark.parametrize("compat", [False, True], ids=["default", "compat"])
@pytest.mark.parametrize("kind", ["HippocampusRegions", "ResEnc"])
def test_hippocampus_variants(kind, compat, install, answer, shared, table, tmp_path):
    """The other trainings of the recipe, where PROSECT_HIPPOCAMPUS names its results folder."""
    results = os.environ.get("PROSECT_HIPPOCAMPUS")
    if not results:
        pytest.skip("PROSECT_HIPPOCAMPUS does not name a results folder of the recipe")
    folders = [path.parent for path in Path(results).glob("*/*/plans.json")]
    folder = next(path for path in folders if kind in str(path))
    model = install(folder, f"hippocampus-{kind.lower()}")
    hippocampus(folder, model, compat, answer, shared, table, tmp_path)


def hippocampus(folder, model, compat, answer, shared, table, tmp_path):
    images = sorted((shared / "msd-hippocampus-mr/images").glob("*.nii.gz"))
    images = [path for path in images if int(path.name[12:15]) % KEPT_ASIDE == 0]
    ours, theirs = [], []
    for image in images:
        theirs.append(nnunet_predict(folder, image, tmp_path, f32=not compat))
        ours.append(answer(image, model, *(["--compat"] if compat else []), modality="MR"))
    what = f"hippocampus, {len(images)} cases kept aside, {folder.name}"
    judge_all(what, compat, ours, theirs, table)


@pytest.mark.parametrize("scan", ["nifti", "dicom"])
@pytest.mark.parametrize("mode", ["fast", "total"])
def test_totalsegmentator(mode, scan, install, answer, shared, work, table, tmp_path):
    """The real program with stand-in weights in its own layout; `total` has five parts."""
    example = shared / "totalsegmentator-reference/example_ct.nii.gz"
    source = example if scan == "nifti" else shared / "ct-abdomen-siemens-j2k"
    if scan == "nifti" and mode == "total":
        # Five networks at 1.5 mm take the original a quarter of an hour on two cores for the whole example.
        source = example.with_name("example_ct_sm.nii.gz")
    weights = make_totalsegmentator_weights(example, work / "totalsegmentator")
    name = "total-fast" if mode == "fast" else "total"
    install(weights, name)
    kept = work / f"theirs-{mode}-{scan}.nii.gz"
    if kept.is_file():
        theirs = Answer(canonical_labels(kept))
    else:
        theirs = totalsegmentator(source, kept, weights, *(["--fast"] if mode == "fast" else []))
    ours = answer(source, name, "--compat", arrays=False)
    judge(f"TotalSegmentator {name}, {source.name}", True, ours, theirs, table)


def test_meshnet(run_prosect, answer, shared, work, table, tmp_path):
    """brainchop's MeshNet on a head, against its ONNX twin in ONNX Runtime."""
    data = shared / "meshnet-t1-mr"
    models = work / "models"
    name = "meshnet-tissue-light"
    source = data / "models/model5_gw_ae"
    done = run_prosect("models", "import", source, "--name", name, "--models", models, "--force")
    assert done.code == 0, done.told()
    head = nibabel.load(data / "t1_crop.nii.gz")
    values = np.asarray(head.dataobj).astype(np.float32)
    values = (values - values.min()) / (values.max() - values.min())
    values = np.ascontiguousarray(values.transpose(2, 1, 0))[None]

    twin = str(data / "niivue-meshnet-tissue.onnx")
    session = onnxruntime.InferenceSession(twin, providers=["CPUExecutionProvider"])
    theirs = session.run(None, {session.get_inputs()[0].name: values[None]})[0][0]
    logits = our_logits(models / name, values, tmp_path)
    difference = largest(logits, theirs)

    labels = theirs.argmax(0)
    # Both sides keep the largest part of what is not background, as brainchop does.
    parts, _ = scipy.ndimage.label(labels > 0, np.ones((3, 3, 3)))
    labels[parts != np.bincount(parts[parts > 0]).argmax()] = 0
    image = nibabel.Nifti1Image(labels.transpose(2, 1, 0).astype(np.uint8), head.affine)
    expected = np.asarray(nibabel.as_closest_canonical(image).dataobj).astype(np.int64)
    ours = answer(data / "t1_crop.nii.gz", name, modality="MR", arrays=False)
    same = agreement(ours.labels, expected)
    table.append(f"| MeshNet tissue, ONNX twin, t1_crop | default | - | {difference:.1e} | {same} |")
    assert difference <= LOGITS and same.is_met(), f"{difference} {same}"


def our_logits(model, values, folder) -> np.ndarray:
    """The engine alone, through the example of its crate."""
    network = Path(os.environ["PROSECT_EXAMPLES"]) / "run_network"
    np.save(folder / "input.npy", values)
    words = [network, next(model.rglob("network.json")), next(model.rglob("*.safetensors"))]
    subprocess.run([*words, folder / "input.npy", folder / "output.npy"], check=True)
    return np.load(folder / "output.npy")


def judge(what, compat, ours, theirs, table, exact=False):
    judge_all(what, compat, [ours], [theirs], table, exact)


def judge_all(what, compat, ours, theirs, table, exact=False):
    """Adds a row, then requires what the row shows. Many small volumes count as one."""
    pairs = list(zip(ours, theirs))
    arrays = all(one.logits is not None and other.logits is not None for one, other in pairs)
    shown = ["-", "-"]
    differences = (0.0, 0.0)
    if arrays:
        differences = tuple(
            max(largest(getattr(a, name), getattr(b, name)) for a, b in pairs)
            for name in ("preprocessed", "logits")
        )
        shown = [f"{value:.1e}" for value in differences]
    flat = [np.concatenate([one.labels.ravel() for one in side]) for side in (ours, theirs)]
    same = agreement(*flat)
    mode = "compat" if compat else "default"
    table.append(f"| {what} | {mode} | {shown[0]} | {shown[1]} | {same} |")
    assert differences[0] <= PREPROCESSED, f"preprocessed differs by {differences[0]}"
    if not compat:
        # Under --compat both sides round to f16, where the last digit of a large logit is 0.03.
        assert differences[1] <= LOGITS, f"logits differ by {differences[1]}"
    # A tiny volume has fewer voxels than the share allows for: not one may differ by default.
    allowed = same.n_different <= 1 if exact else same.is_met()
    assert allowed, str(same)
