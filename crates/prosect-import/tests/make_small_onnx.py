"""Writes small.onnx (the supported operations, without training), refused.onnx (one that is not) and what ONNX Runtime answers to
a synthetic input, for the tests of our reader. onnx 1.23.2, onnxruntime 1.32.0."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parent
rng = np.random.default_rng(7)
constants, nodes = [], []


def constant(name, array):
    constants.append(numpy_helper.from_array(np.asarray(array), name))
    return name


def weights(name, *shape):
    return constant(name, (rng.standard_normal(shape) * 0.4).astype(np.float32))


def add(op, inputs, output, **attributes):
    nodes.append(helper.make_node(op, inputs, [output], name=f"/{op}_{len(nodes)}", **attributes))
    return output


def norm(x, n, output):
    scale = constant(f"{output}.s", np.linspace(0.5, 1.5, n, dtype=np.float32))
    return add("InstanceNormalization", [x, scale, weights(f"{output}.b", n)], output, epsilon=1e-5)


x = add("Conv", ["x", weights("w0", 4, 1, 3, 3, 3), weights("b0", 4)], "c0", pads=[1] * 6)
x = add("LeakyRelu", [norm(x, 4, "n0")], "skip", alpha=0.01)
x = add("Conv", [x, weights("w1", 6, 4, 3, 1, 3)], "c1", strides=[2, 1, 2], pads=[1, 0, 1, 1, 0, 1])
batch = [weights("g", 6), weights("h", 6), weights("m", 6), constant("v", np.linspace(0.5, 2, 6, dtype=np.float32))]
x = add("Elu", [add("BatchNormalization", [x, *batch], "bn")], "e1", alpha=1.0)
x = add("Dropout", [x], "d1")
y = add("Pad", [x, constant("pads", np.array([0, 0, 2, 2, 2, 0, 0, 2, 2, 2], np.int64))], "p1")
y = add("Conv", [y, weights("w2", 6, 6, 3, 3, 3)], "c2", dilations=[2, 2, 2])
x = add("Add", [y, x], "sum")
x = add("ConvTranspose", [x, weights("w3", 6, 3, 2, 1, 2), weights("b3", 3)], "up", strides=[2, 1, 2], kernel_shape=[2, 1, 2])
z = add("MaxPool", ["skip"], "mp", kernel_shape=[2, 2, 2], strides=[2, 2, 2])
z = add("Resize", [z, "", constant("scales", np.array([1, 1, 2, 2, 2], np.float32))], "rs", mode="linear", coordinate_transformation_mode="half_pixel")
x = add("Concat", [x, "skip", z], "cat", axis=1)
ints = [constant(f"i{n}", np.array(v, np.int64)) for n, v in enumerate(([1, 2], [-1, -2], [2, 4]))]
x = add("Slice", [x, *ints], "slice")
x = add("Relu", [add("Identity", [x], "same")], "r")
x = add("Conv", [x, weights("w4", 2, 11, 1, 1, 1), weights("b4", 2)], "logits")
add("Softmax", [x], "y", axis=1)
ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, "d", "h", "w"]) for n, c in (("x", 1), ("y", 2))]


def save(name, nodes):
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, FOLDER / name)


save("small.onnx", nodes)
shape = (16, 12, 20)
i, j, k = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape), indexing="ij")
image = (np.sin(0.3 * i + 0.2 * j) * np.cos(0.25 * k)).astype(np.float32)
# The logits, before the softmax.
cut = onnx.load(FOLDER / "small.onnx")
cut.graph.node.pop()
cut.graph.output[0].name = "logits"
session = onnxruntime.InferenceSession(cut.SerializeToString(), providers=["CPUExecutionProvider"])
logits = session.run(None, {"x": image[None, None]})[0][0]
print(logits.shape, logits.min(), logits.max())
logits.astype("<f4").tofile(FOLDER / "small_onnx_logits.f32")
save("refused.onnx", [*nodes[:1], helper.make_node("Tanh", ["c0"], ["t"], name="/odd/Tanh"), helper.make_node("Softmax", ["t"], ["y"], axis=1)])
