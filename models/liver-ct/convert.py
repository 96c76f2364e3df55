"""Converts the liver network of pyliverlesionseg 0.3 (Keras HDF5) into network.json and weights.safetensors.

    python convert.py WEIGHTS.hdf5 [-o FOLDER]           writes FOLDER/network.json and FOLDER/weights.safetensors
    python convert.py --check ORACLE.onnx [-o FOLDER]    evaluates the two in numpy (f64) and compares with ONNX Runtime

The HDF5 file holds weights only; the graph follows the package's source and is written down below, in order of execution.
Keras stores a convolution as [kx, ky, kz, in, out]; we store [out, in, kx, ky, kz]. The spatial axes 0, 1, 2 of every tensor
are x, y, z of a volume whose voxel indices grow towards the patient's right, anterior and superior side (RAS): see AXES.
"""

import argparse
import json
from pathlib import Path

import numpy as np

AXES = (
    "spatial axes 0, 1, 2 are x, y, z; voxel indices grow towards right, anterior, superior (RAS); "
    "weights are [out, in, k0, k1, k2] in the same axis order"
)
CROP = {0: 13, 1: 4, 2: 1}  # voxels that the skip of each level loses on every side
# Our name of each convolution -> (its number in the Keras file, kernel), in order of execution.
CONVOLUTIONS = {
    "encoder.0.conv.0": (1, (3, 3, 1)),
    "encoder.0.conv.1": (2, (3, 3, 3)),
    "encoder.1.conv.0": (3, (3, 3, 1)),
    "encoder.1.conv.1": (4, (3, 3, 3)),
    "encoder.2.conv.0": (5, (3, 3, 1)),
    "encoder.2.conv.1": (6, (3, 3, 3)),
    "bottleneck.conv.0": (7, (3, 3, 3)),
    "bottleneck.conv.1": (8, (3, 3, 3)),
    "decoder.2.conv.0": (9, (3, 3, 3)),
    "decoder.2.conv.1": (10, (3, 3, 1)),
    "decoder.1.conv.0": (11, (3, 3, 3)),
    "decoder.1.conv.1": (12, (3, 3, 1)),
    "decoder.0.conv.0": (13, (3, 3, 3)),
    "decoder.0.conv.1": (14, (3, 3, 1)),
    "head.conv": (15, (1, 1, 1)),
}


def convolution_channels():
    """Our name -> (in, out)."""
    features = [1, 20, 40, 40, 80, 80, 160, 160, 160]
    channels = {name: (features[i], features[i + 1]) for i, name in enumerate(list(CONVOLUTIONS)[:8])}
    for level, (wide, narrow) in {2: (160, 80), 1: (80, 40), 0: (40, 20)}.items():
        channels[f"decoder.{level}.conv.0"] = (2 * wide, wide)
        channels[f"decoder.{level}.conv.1"] = (wide, narrow)
    channels["head.conv"] = (20, 1)
    return channels


def build_graph():
    """The network as data: nodes in order of execution, each naming its inputs."""
    nodes = []

    def add(name, op, inputs, **parameters):
        key = {"inputs": inputs} if isinstance(inputs, list) else {"input": inputs}
        nodes.append({"name": name, "op": op, **key, **parameters})
        return name

    def convolve(name, x, normalize=True):
        if normalize:
            # The package divides by (standard deviation + epsilon), not by sqrt(variance + epsilon).
            x = add(f"{name}.norm", "instance_norm", x, epsilon=1e-7, epsilon_added_to="standard_deviation")
            x = add(f"{name}.activation", "leaky_relu", x, slope=0.01)
        i, o = convolution_channels()[name]
        kernel = list(CONVOLUTIONS[name][1])
        return add(name, "conv", x, channels=[i, o], kernel=kernel, padding="same", weight=f"{name}.weight", bias=f"{name}.bias")

    x, skips = "image", {}
    for level in (0, 1, 2):
        x = convolve(f"encoder.{level}.conv.0", x, normalize=level > 0)
        x = convolve(f"encoder.{level}.conv.1", x)
        full = x
        x = add(f"encoder.{level}.pool", "max_pool", full, window=[3, 3, 3], stride=[3, 3, 3])
        skips[level] = add(f"encoder.{level}.skip", "center_crop", full, margin=[CROP[level]] * 3)
    x = convolve("bottleneck.conv.0", x)
    x = convolve("bottleneck.conv.1", x)
    for level in (2, 1, 0):
        x = add(f"decoder.{level}.up", "nearest_up", x, factor=[3, 3, 3])
        x = add(f"decoder.{level}.smooth", "average_pool", x, window=[3, 3, 3], stride=[1, 1, 1])
        x = add(f"decoder.{level}.concat", "concat", [skips[level], x])
        x = convolve(f"decoder.{level}.conv.0", x)
        x = convolve(f"decoder.{level}.conv.1", x)
    x = convolve("head.conv", x)
    x = add("probability", "sigmoid", x)
    return {
        "format": "prosect-network",
        "format_version": 1,
        "axes": AXES,
        "input": {"name": "image", "channels": 1},
        "output": x,
        "nodes": nodes,
    }


def format_graph(graph):
    """JSON with one node a line, so that a change reads well in a diff."""
    head = [f'  "{key}": {json.dumps(value)},\n' for key, value in graph.items() if key != "nodes"]
    nodes = ",\n".join(f"    {json.dumps(node)}" for node in graph["nodes"])
    return "{\n" + "".join(head) + '  "nodes": [\n' + nodes + "\n  ]\n}\n"


def read_keras_weights(path):
    import h5py

    tensors = {}
    with h5py.File(path) as file:
        for name, (number, kernel) in CONVOLUTIONS.items():
            layer = file[f"conv3d_{number}/conv3d_{number}"]
            i, o = convolution_channels()[name]
            weight = np.asarray(layer["kernel:0"], dtype=np.float32)
            bias = np.asarray(layer["bias:0"], dtype=np.float32)
            if weight.shape != (*kernel, i, o) or bias.shape != (o,):
                raise SystemExit(f"conv3d_{number} has shape {weight.shape}, {name} needs {(*kernel, i, o)}")
            tensors[f"{name}.weight"] = np.ascontiguousarray(weight.transpose(4, 3, 0, 1, 2))
            tensors[f"{name}.bias"] = bias
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise SystemExit(f"{name} holds a value that is not finite")
    return tensors


def evaluate(graph, tensors, image):
    """A slow and plain reading of network.json in f64: the judge of both the conversion and the Rust engine."""
    values = {graph["input"]["name"]: image.astype(np.float64)}
    for node in graph["nodes"]:
        x = values[node["input"]] if "input" in node else [values[name] for name in node["inputs"]]
        values[node["name"]] = evaluate_node(node, tensors, x)
    return values[graph["output"]]


def evaluate_node(node, tensors, x):
    match node["op"]:
        case "conv":
            return convolve_same(x, tensors[node["weight"]].astype(np.float64), tensors[node["bias"]].astype(np.float64))
        case "instance_norm":
            mean = x.mean(axis=(1, 2, 3), keepdims=True)
            deviation = x.std(axis=(1, 2, 3), keepdims=True)
            return (x - mean) / (deviation + node["epsilon"])
        case "leaky_relu":
            return np.where(x < 0, x * node["slope"], x)
        case "max_pool" | "average_pool":
            windows = np.lib.stride_tricks.sliding_window_view(x, node["window"], axis=(1, 2, 3))
            a, b, c = node["stride"]
            windows = windows[:, ::a, ::b, ::c]
            return windows.max(axis=(4, 5, 6)) if node["op"] == "max_pool" else windows.mean(axis=(4, 5, 6))
        case "nearest_up":
            for axis, factor in enumerate(node["factor"], start=1):
                x = x.repeat(factor, axis=axis)
            return x
        case "center_crop":
            a, b, c = node["margin"]
            return x[:, a : x.shape[1] - a, b : x.shape[2] - b, c : x.shape[3] - c]
        case "concat":
            return np.concatenate(x)
        case "sigmoid":
            return 1 / (1 + np.exp(-x))
        case other:
            raise SystemExit(f"no operation {other}")


def convolve_same(x, weight, bias):
    kernel = weight.shape[2:]
    padded = np.pad(x, [(0, 0)] + [(k // 2, k // 2) for k in kernel])
    y = np.zeros((weight.shape[0], *x.shape[1:])) + bias[:, None, None, None]
    for offset in np.ndindex(*kernel):
        window = padded[(slice(None), *(slice(o, o + n) for o, n in zip(offset, x.shape[1:])))]
        y += np.tensordot(weight[(slice(None), slice(None), *offset)], window, axes=1)
    return y


def synthetic_image(shape):
    """A smooth pattern with values in [-0.5, 0.5] and a margin of zeros, without random numbers."""
    i, j, k = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape), indexing="ij")
    image = 0.5 * np.sin(0.11 * i + 0.23 * j) * np.cos(0.17 * k - 0.05 * i)
    image[:3], image[:, -2:] = 0, 0
    return image[None].astype(np.float32)


def run_oracle(path, image):
    """ONNX Runtime on any input size: the fixed sizes in the file are replaced by names."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    for value in [*model.graph.input, *model.graph.output]:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if axis >= 2:
                dim.dim_param = f"{value.name}_{axis}"
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {model.graph.input[0].name: image[None]})[0][0]


def check(oracle, folder):
    from safetensors.numpy import load_file

    graph = json.loads((folder / "network.json").read_text())
    tensors = load_file(folder / "weights.safetensors")
    worst = 0.0
    for shape in ((54, 54, 54), (81, 54, 27)):
        image = synthetic_image(shape)
        ours, theirs = evaluate(graph, tensors, image), run_oracle(oracle, image)
        difference = float(np.abs(ours - theirs).max())
        print(f"input {shape}: output {ours.shape[1:]}, probabilities {ours.min():.4f}..{ours.max():.4f}, largest difference {difference:.2e}")
        worst = max(worst, difference)
    if worst > 1e-4:
        raise SystemExit(f"the converted network differs from {oracle} by {worst:.2e}; the limit is 1e-4")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", type=Path, help="Keras HDF5 file of the package")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--check", type=Path, metavar="ORACLE", help="ONNX file of the same network")
    arguments = parser.parse_args()
    if not arguments.weights and not arguments.check:
        parser.error("give a weights file, --check or both")
    if arguments.weights:
        from safetensors.numpy import save_file

        tensors = read_keras_weights(arguments.weights)
        (arguments.output / "network.json").write_text(format_graph(build_graph()))
        save_file(tensors, arguments.output / "weights.safetensors", metadata={"source": "pyliverlesionseg 0.3, Apache-2.0"})
        (arguments.output / "weights.safetensors").chmod(0o644)
        print(f"{len(tensors)} tensors, {sum(t.size for t in tensors.values())} parameters")
    if arguments.check:
        check(arguments.check, arguments.output)


if __name__ == "__main__":
    main()
