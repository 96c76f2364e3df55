"""The network engine, judged by ONNX Runtime on the same network as plain ONNX.

The network's norms take means over up to five million voxels. ONNX Runtime adds them up in one f32 sum, which on the full input moves
probabilities by up to 3e-3 (against the same graph evaluated in f64; the engine is within 3e-6 of that). So the judge takes the same
means axis by axis, which changes nothing but that rounding; the file as it is is held to a wider limit.
"""

import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import onnx
import onnxruntime
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/liver-ct"
INPUT_SHAPE = (189, 162, 162)
# The promise of the project, in probability.
TOLERANCE = 1e-4
# What one f32 sum over five million voxels costs the judge itself; measured 3.0e-3.
TOLERANCE_OF_PLAIN_SUMS = 1e-2
# The fastest instruction set of the machine.
DETECTED = "detected"

sys.path.insert(0, str(MODEL))
from convert import synthetic_image  # noqa: E402


@pytest.fixture(scope="module")
def run_network(tmp_path_factory):
    """Runs the engine on an array with these options."""
    binary = Path(os.environ.get("PROSECT_EXAMPLES", ROOT / "target/release/examples")) / "run_network"
    assert binary.is_file(), f"{binary} is not built; run `cargo xtask peers`"
    folder = tmp_path_factory.mktemp("network")

    def run(image, *options):
        np.save(folder / "input.npy", image)
        command = [binary, MODEL / "network.json", MODEL / "weights.safetensors", folder / "input.npy", folder / "output.npy", *options]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=900)
        return done, np.load(folder / "output.npy") if done.returncode == 0 else None

    return run


@pytest.fixture(scope="module")
def probabilities(run_network):
    """As `run_network`, each run once; None where the processor lacks the instruction set and the engine says so."""
    known = {}

    def probabilities_of(name, image, isa, threads):
        if (name, isa, threads) not in known:
            choice = [] if isa == DETECTED else ["--isa", isa]
            done, output = run_network(image, *choice, "--threads", str(threads))
            if isa in ("avx2", "avx512") and f"has no {isa}" in done.stderr:
                return None
            assert done.returncode == 0, done.stderr
            known[name, isa, threads] = output
        return known[name, isa, threads]

    return probabilities_of


@pytest.fixture(scope="module")
def judge(shared):
    """ONNX Runtime's probabilities for an image; `exact` means or those of the file as it is. Each is run once."""
    known = {}

    def judge_image(name, image, exact=True):
        if (name, exact) not in known:
            model = onnx.load(shared / "liver-ct-weights/liver-oracle.onnx")
            known[name, exact] = run_onnx(model, image, exact)
        return known[name, exact]

    return judge_image


def run_onnx(model, image, exact):
    for value in [*model.graph.input, *model.graph.output]:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if axis >= 2:
                dim.dim_param = f"{value.name}_{axis}"
    if exact:
        nodes = [part for node in model.graph.node for part in split_mean(node)]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {model.graph.input[0].name: image[None]})[0][0]


def split_mean(node):
    """A mean over three axes as three means over one; all other nodes as they are."""
    if node.op_type != "ReduceMean":
        return [node]
    assert list(onnx.helper.get_node_attr_value(node, "axes")) == [2, 3, 4]
    names = [node.input[0], f"{node.output[0]}_rows", f"{node.output[0]}_planes", node.output[0]]
    return [
        onnx.helper.make_node("ReduceMean", [source], [target], axes=[axis], keepdims=1)
        for source, target, axis in zip(names, names[1:], (4, 3, 2))
    ]


@pytest.fixture(scope="module")
def trunk(shared):
    """The trunk CT at 3 mm, roughly prepared: its middle in the middle of the input, the rest zero."""
    scan = nibabel.as_closest_canonical(nibabel.load(shared / "totalsegmentator-reference/example_ct.nii.gz"))
    values = np.clip(np.asarray(scan.dataobj, dtype=np.float32) / 1000, -0.2, 0.2) * 2.5
    image = np.zeros((1, *INPUT_SHAPE), dtype=np.float32)
    before = [(n - m) // 2 for n, m in zip(INPUT_SHAPE, values.shape)]
    image[(0, *(slice(b, b + m) for b, m in zip(before, values.shape)))] = values
    return image


@pytest.fixture(scope="module")
def images(trunk):
    noise = np.clip(np.random.default_rng(0).normal(0, 0.3, (1, *INPUT_SHAPE)), -0.5, 0.5).astype(np.float32)
    return {"trunk": trunk, "noise": noise, "small": synthetic_image((54, 54, 54)), "uneven": synthetic_image((81, 54, 27))}


def compare(name, images, probabilities, judge, isa):
    ours = probabilities(name, images[name], isa, 2)
    if ours is None:
        return
    theirs = judge(name, images[name])
    assert ours.shape == theirs.shape == (1, *(n - 26 for n in images[name].shape[1:]))
    assert theirs.max() > 0.5 > theirs.min(), "the image does not exercise the network"
    assert np.abs(ours - theirs).max() <= TOLERANCE


@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
@pytest.mark.parametrize("name", ["small", "uneven"])
def test_small_inputs_agree(name, images, probabilities, judge, isa):
    compare(name, images, probabilities, judge, isa)


@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
def test_a_real_scan_agrees(images, probabilities, judge, isa):
    compare("trunk", images, probabilities, judge, isa)


def test_noise_agrees(images, probabilities, judge):
    compare("noise", images, probabilities, judge, DETECTED)


def test_the_file_as_it_is_agrees_within_its_own_rounding(images, probabilities, judge):
    ours = probabilities("trunk", images["trunk"], DETECTED, 2)
    theirs = judge("trunk", images["trunk"], exact=False)
    assert np.abs(ours - theirs).max() <= TOLERANCE_OF_PLAIN_SUMS
    # Dice of the two labelmaps.
    a, b = ours > 0.5, theirs > 0.5
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.999


@pytest.mark.parametrize("isa", ["avx512", "avx2", "portable"])
def test_threads_change_no_bit(images, probabilities, isa):
    one, two, five = (probabilities("small", images["small"], isa, threads) for threads in (1, 2, 5))
    if one is None:
        return
    assert one.tobytes() == two.tobytes() == five.tobytes()


def test_threads_change_no_bit_of_the_full_size(images, probabilities):
    one, two = (probabilities("trunk", images["trunk"], DETECTED, threads) for threads in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_an_ill_sized_input_is_refused(run_network):
    done, _ = run_network(np.zeros((1, 54, 54, 55), dtype=np.float32))
    assert done.returncode != 0 and "multiples of [27, 27, 27]" in done.stderr
