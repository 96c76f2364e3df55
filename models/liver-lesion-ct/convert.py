"""Converts the liver-lesion network of pyliverlesionseg 0.3 (KU Leuven, Apache-2.0) into files for the engine.

    python convert.py WEIGHTS.hdf5 [-o FOLDER]           writes FOLDER/network.json and FOLDER/weights.safetensors
    python convert.py --oracle WEIGHTS.hdf5 ORACLE.onnx  writes the same network as ONNX, straight from the Keras file
    python convert.py --check ORACLE.onnx [-o FOLDER]    evaluates the two in numpy (f64) and compares with ONNX Runtime

The HDF5 file holds weights only; the graph follows the package's source (`unet_lesion_predict`, `create_unet_like_model`) and is
written down below, in order of execution. Keras stores a convolution as [kx, ky, kz, in, out]; we store [out, in, kx, ky, kz].
The spatial axes 0, 1, 2 of every tensor are x, y, z of a volume whose voxel indices grow towards the patient's right, anterior
and superior side (RAS): see AXES.
"""

import argparse
import json
from pathlib import Path

import numpy as np

AXES = (
    "spatial axes 0, 1, 2 are x, y, z; voxel indices grow towards right, anterior, superior (RAS); "
    "weights are [out, in, k0, k1, k2] in the same axis order"
)
FLAT, CUBE, POINT = (3, 3, 1), (3, 3, 3), (1, 1, 1)
# A pair of 'valid' convolutions, flat and cube, loses so many voxels on every side: the shortcut is cropped by them.
SHORTCUT_CROP = [2, 2, 1]
# What the skip of each level loses on every side before it is joined with the upsampled path.
SKIP_CROP = {2: [4, 4, 2], 1: [16, 16, 8], 0: [40, 40, 20]}
# Our name of each convolution -> (its number in the Keras file, kernel, in, out), in order of execution.
CONVOLUTIONS = {
    "encoder.0.conv.0": (1, FLAT, 1, 20),
    "encoder.0.conv.1": (2, CUBE, 20, 40),
    "encoder.0.shortcut": (3, POINT, 1, 40),
    "encoder.1.conv.0": (4, FLAT, 40, 40),
    "encoder.1.conv.1": (5, CUBE, 40, 80),
    "encoder.1.shortcut": (6, POINT, 40, 80),
    "encoder.2.conv.0": (7, FLAT, 80, 80),
    "encoder.2.conv.1": (8, CUBE, 80, 160),
    "encoder.2.shortcut": (9, POINT, 80, 160),
    "bottleneck.conv.0": (10, FLAT, 160, 160),
    "bottleneck.conv.1": (11, CUBE, 160, 160),
    "decoder.2.conv.0": (12, CUBE, 320, 160),
    "decoder.2.conv.1": (13, FLAT, 160, 80),
    "decoder.2.shortcut": (14, POINT, 320, 80),
    "decoder.1.conv.0": (15, CUBE, 160, 80),
    "decoder.1.conv.1": (16, FLAT, 80, 40),
    "decoder.1.shortcut": (17, POINT, 160, 40),
    "decoder.0.conv.0": (18, CUBE, 80, 40),
    "decoder.0.conv.1": (19, FLAT, 40, 20),
    "decoder.0.shortcut": (20, POINT, 80, 20),
    "head.conv": (21, POINT, 20, 1),
}


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
        _, kernel, i, o = CONVOLUTIONS[name]
        return add(name, "conv", x, channels=[i, o], kernel=list(kernel), padding="valid", weight=f"{name}.weight", bias=f"{name}.bias")

    def block(name, x, normalize_first=True):
        """Two convolutions beside a shortcut, which is taken before the first norm."""
        shortcut = add(f"{name}.shortcut.crop", "center_crop", x, margin=SHORTCUT_CROP)
        if f"{name}.shortcut" in CONVOLUTIONS:
            shortcut = convolve(f"{name}.shortcut", shortcut, normalize=False)
        x = convolve(f"{name}.conv.0", x, normalize=normalize_first)
        x = convolve(f"{name}.conv.1", x)
        return add(f"{name}.sum", "add", [x, shortcut])

    x, skips = "image", {}
    for level in (0, 1, 2):
        full = block(f"encoder.{level}", x, normalize_first=level > 0)
        x = add(f"encoder.{level}.pool", "max_pool", full, window=[2, 2, 2], stride=[2, 2, 2])
        skips[level] = add(f"encoder.{level}.skip", "center_crop", full, margin=SKIP_CROP[level])
    x = block("bottleneck", x)
    for level in (2, 1, 0):
        x = add(f"decoder.{level}.up", "nearest_up", x, factor=[2, 2, 2])
        x = add(f"decoder.{level}.concat", "concat", [skips[level], x])
        x = block(f"decoder.{level}", x)
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
        for name, (number, kernel, i, o) in CONVOLUTIONS.items():
            layer = file[f"conv3d_{number}/conv3d_{number}"]
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
            return convolve_valid(x, tensors[node["weight"]].astype(np.float64), tensors[node["bias"]].astype(np.float64))
        case "instance_norm":
            mean = x.mean(axis=(1, 2, 3), keepdims=True)
            deviation = x.std(axis=(1, 2, 3), keepdims=True)
            return (x - mean) / (deviation + node["epsilon"])
        case "leaky_relu":
            return np.where(x < 0, x * node["slope"], x)
        case "max_pool":
            windows = np.lib.stride_tricks.sliding_window_view(x, node["window"], axis=(1, 2, 3))
            a, b, c = node["stride"]
            return windows[:, ::a, ::b, ::c].max(axis=(4, 5, 6))
        case "nearest_up":
            for axis, factor in enumerate(node["factor"], start=1):
                x = x.repeat(factor, axis=axis)
            return x
        case "center_crop":
            a, b, c = node["margin"]
            return x[:, a : x.shape[1] - a, b : x.shape[2] - b, c : x.shape[3] - c]
        case "concat":
            return np.concatenate(x)
        case "add":
            return x[0] + x[1]
        case "sigmoid":
            return 1 / (1 + np.exp(-x))
        case other:
            raise SystemExit(f"no operation {other}")


def convolve_valid(x, weight, bias):
    kernel = weight.shape[2:]
    shape = [n - k + 1 for n, k in zip(x.shape[1:], kernel)]
    y = np.zeros((weight.shape[0], *shape)) + bias[:, None, None, None]
    for offset in np.ndindex(*kernel):
        window = x[(slice(None), *(slice(o, o + n) for o, n in zip(offset, shape)))]
        y += np.tensordot(weight[(slice(None), slice(None), *offset)], window, axes=1)
    return y


def write_oracle(weights, target):
    """The network as ONNX, written from the package's source and the Keras file, not from build_graph."""
    import h5py
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    file = h5py.File(weights)
    nodes, constants, count = [], [], [0]

    def constant(name, array):
        constants.append(numpy_helper.from_array(array, name))
        return name

    def emit(op, inputs, **attributes):
        count[0] += 1
        output = f"t{count[0]}"
        nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    epsilon = constant("epsilon", np.array(1e-7, np.float32))

    def conv(number, x):
        layer = file[f"conv3d_{number}/conv3d_{number}"]
        weight = np.ascontiguousarray(np.asarray(layer["kernel:0"]).transpose(4, 3, 0, 1, 2))
        names = [constant(f"w{number}", weight), constant(f"b{number}", np.asarray(layer["bias:0"]))]
        return emit("Conv", [x, *names], kernel_shape=list(weight.shape[2:]))

    def activate(x):
        mean = emit("ReduceMean", [x], axes=[2, 3, 4])
        centered = emit("Sub", [x, mean])
        variance = emit("ReduceMean", [emit("Mul", [centered, centered])], axes=[2, 3, 4])
        x = emit("Div", [centered, emit("Add", [emit("Sqrt", [variance]), epsilon])])
        return emit("LeakyRelu", [x], alpha=0.01)

    def crop(x, margin):
        ints = [constant(f"i{count[0]}_{n}", np.array(v, np.int64)) for n, v in enumerate((margin, [-m for m in margin], [2, 3, 4]))]
        return emit("Slice", [x, *ints])

    number = iter(range(1, 22))

    def residual(x, first, project):
        shortcut = crop(x, [2, 2, 1])
        y = conv(next(number), x if first else activate(x))
        y = conv(next(number), activate(y))
        return emit("Add", [y, conv(next(number), shortcut) if project else shortcut])

    skips = []
    path = "image"
    for level in range(4):
        if level > 0:
            path = emit("MaxPool", [path], kernel_shape=[2] * 3, strides=[2] * 3)
        path = residual(path, first=level == 0, project=level < 3)
        skips.append(path)
    scales = constant("scales", np.array([1, 1, 2, 2, 2], np.float32))
    for level, margin in ((2, [4, 4, 2]), (1, [16, 16, 8]), (0, [40, 40, 20])):
        path = emit("Resize", [path, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        path = emit("Concat", [crop(skips[level], margin), path], axis=1)
        path = residual(path, first=False, project=True)
    nodes.append(helper.make_node("Sigmoid", [conv(next(number), activate(path))], ["probability"]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1, *(f"{n}{a}" for a in range(3))]) for n in ("image", "probability")]
    graph = helper.make_graph(nodes, "lesion", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, target)


def synthetic_image(shape):
    """A smooth pattern with values in [-0.5, 0.5] and a margin of zeros, without random numbers."""
    i, j, k = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape), indexing="ij")
    image = 0.5 * np.sin(0.11 * i + 0.23 * j) * np.cos(0.17 * k - 0.05 * i)
    image[:3], image[:, -2:] = 0, 0
    return image[None].astype(np.float32)


def check(oracle, folder):
    import onnxruntime
    from safetensors.numpy import load_file

    session = onnxruntime.InferenceSession(oracle, providers=["CPUExecutionProvider"])
    graph = json.loads((folder / "network.json").read_text())
    tensors = load_file(folder / "weights.safetensors")
    worst = 0.0
    for shape in ((92, 92, 46), (100, 92, 54)):
        image = synthetic_image(shape)
        ours, theirs = evaluate(graph, tensors, image), session.run(None, {"image": image[None]})[0][0]
        difference = float(np.abs(ours - theirs).max())
        print(f"input {shape}: output {ours.shape[1:]}, probabilities {ours.min():.4f}..{ours.max():.4f}, largest difference {difference:.2e}")
        worst = max(worst, difference)
    if worst > 1e-4:
        raise SystemExit(f"the converted network differs from {oracle} by {worst:.2e}; the limit is 1e-4")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", type=Path, help="Keras HDF5 file of the package")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    parser.add_argument("--oracle", nargs=2, type=Path, metavar=("WEIGHTS", "ORACLE"), help="write the network as ONNX")
    parser.add_argument("--check", type=Path, metavar="ORACLE", help="ONNX file of the same network")
    arguments = parser.parse_args()
    if not (arguments.weights or arguments.check or arguments.oracle):
        parser.error("give a weights file, --oracle or --check")
    if arguments.weights:
        from safetensors.numpy import save_file

        tensors = read_keras_weights(arguments.weights)
        (arguments.output / "network.json").write_text(format_graph(build_graph()))
        save_file(tensors, arguments.output / "weights.safetensors", metadata={"source": "pyliverlesionseg 0.3, Apache-2.0"})
        (arguments.output / "weights.safetensors").chmod(0o644)
        print(f"{len(tensors)} tensors, {sum(t.size for t in tensors.values())} parameters")
    if arguments.oracle:
        write_oracle(*arguments.oracle)
    if arguments.check:
        check(arguments.check, arguments.output)


if __name__ == "__main__":
    main()
