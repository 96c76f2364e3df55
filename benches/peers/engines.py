"""One engine in one process, driven by lines on stdin, so that engines can take turns.

    python engines.py ENGINE NETWORK INPUT.npy THREADS

ENGINE is `torch` (NETWORK: a folder of networks.py), `onnxruntime` or `openvino` (NETWORK: an ONNX
file). `run` answers with one JSON line of wall and CPU seconds, `save FILE` writes the last output,
`end` answers with the peak resident memory.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np


def torch_engine(path, threads, _shape):
    import torch

    import networks

    torch.set_num_threads(threads)
    network = networks.load(Path(path))

    def run(values):
        with torch.inference_mode():
            return network(torch.from_numpy(values)).numpy()

    return run


def onnxruntime_engine(path, threads, _shape):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda values: session.run(None, {name: values})[0]


def openvino_engine(path, threads, shape):
    import openvino

    core = openvino.Core()
    # Without the hint it takes bf16 by itself on processors that have it.
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    model = core.read_model(path)
    model.reshape(list(shape))
    compiled = core.compile_model(model, "CPU", settings)
    precision = compiled.get_property("INFERENCE_PRECISION_HINT")
    assert precision == openvino.Type.f32, precision
    request = compiled.create_infer_request()

    def run(values):
        request.infer([values])
        return request.get_output_tensor(0).data

    return run


ENGINES = {
    "torch": torch_engine,
    "onnxruntime": onnxruntime_engine,
    "openvino": openvino_engine,
}


def main() -> None:
    engine, network, source, threads = sys.argv[1:5]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    values = np.load(source)[None]
    run = ENGINES[engine](network, int(threads), values.shape)
    output = None
    answer(ready=True)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "run":
            wall, cpu = time.perf_counter(), time.process_time()
            output = run(values)
            answer(seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)
        elif word == "save":
            np.save(rest, np.asarray(output, dtype=np.float32)[0])
            answer(saved=rest)
        else:
            # Not getrusage, whose peak a child takes over from the process that started it.
            status = Path("/proc/self/status").read_text()
            answer(peak_rss_bytes=int(status.split("VmHWM:")[1].split()[0]) * 1024)
            return


if __name__ == "__main__":
    main()
