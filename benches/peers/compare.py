"""Our engine beside PyTorch, ONNX Runtime and OpenVINO: one run, turn by turn, f32.

    python compare.py --work FOLDER [--shapes 1.5mm,3mm,resenc-m,meshnet] [--isa avx2] [--rounds 3]

Builds nothing: `cargo build --release --bins --examples` first. Every engine is one process with
the same number of threads; they take turns, so that a busy machine is busy for all of them. Prints a table of
medians of wall and CPU seconds, ratios, peak resident memory and the largest deviation from PyTorch.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

import networks

HERE = Path(__file__).resolve().parent
RELEASE = Path(os.environ.get("PROSECT_RELEASE", networks.ROOT / "target/release"))
PEERS = ["openvino", "onnxruntime", "torch"]


class Peer:
    """A process of engines.py."""

    def __init__(self, engine, folder, threads, environment):
        self.engine = engine
        network = folder if engine == "torch" else folder / "network.onnx"
        words = [sys.executable, str(HERE / "engines.py"), engine, str(network)]
        self.process = subprocess.Popen(
            [*words, str(folder / "input.npy"), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.engine} ended without an answer")
        return json.loads(line)

    def ask(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.answer()

    def run(self):
        return self.ask("run")


class Ours:
    """`prosect bench network`, started anew for each turn."""

    engine = "prosect"

    def __init__(self, home, name, shape, arguments):
        self.words = [str(RELEASE / "prosect"), "bench", "network", "--model", name]
        self.words += ["--patch", ",".join(map(str, shape["patch"])), "--runs", "3", "--json"]
        self.words += ["--threads", str(arguments.threads), "--models", str(home)]
        if arguments.isa:
            self.words += ["--isa", arguments.isa]
        self.last = {}

    def run(self):
        done = subprocess.run(self.words, check=True, capture_output=True, text=True)
        self.last = json.loads(done.stdout)
        return {
            "seconds": self.last["seconds_median"],
            "cpu_seconds": self.last["cpu_seconds_median"],
        }


def require(words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def import_model(foreign, name, home):
    if not (home / name / "model.toml").is_file():
        words = [str(RELEASE / "prosect"), "models", "import", str(foreign)]
        if foreign.suffix == ".onnx":
            words += ["--manifest", str(foreign.parent / "manifest.toml")]
        require([*words, "--name", name, "--models", str(home)])
    return home / name


def our_output(model, folder, arguments):
    """The network's answer through the example of the engine's crate."""
    graph = next(model.rglob("network.json"))
    weights = next(model.rglob("*.safetensors"))
    target = folder / "prosect.npy"
    words = [str(RELEASE / "examples/run_network"), str(graph), str(weights)]
    words += [str(folder / "input.npy"), str(target), "--threads", str(arguments.threads)]
    require([*words, *(["--isa", arguments.isa] if arguments.isa else [])])
    return np.load(target)


def compare(name, arguments):
    shape = networks.SHAPES[name]
    folder = arguments.work / name
    foreign = networks.make(name, folder)
    model = import_model(foreign, f"bench-{name.replace('.', '-')}", arguments.work / "models")
    environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads))
    if arguments.isa == "avx2":
        environment |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    peers = [
        Peer(engine, folder, arguments.threads, environment)
        for engine in PEERS
        if engine in arguments.peers
    ]
    ours = Ours(arguments.work / "models", model.name, shape, arguments)
    turns = [ours, *peers]
    for one in turns:
        one.run()  # warm
    times = {one.engine: [] for one in turns}
    for _ in range(arguments.rounds):
        for one in turns:
            times[one.engine].append(one.run())
    outputs = {}
    peaks = {"prosect": ours.last["peak_rss_bytes"]}
    for peer in peers:
        target = folder / f"{peer.engine}.npy"
        peer.ask(f"save {target}")
        outputs[peer.engine] = np.load(target)
        peaks[peer.engine] = peer.ask("end")["peak_rss_bytes"]
        peer.process.wait()
    outputs["prosect"] = our_output(model, folder, arguments)
    flops = ours.last["flops"]
    report(name, shape, arguments, times, peaks, outputs, flops, ours.last)


def report(name, shape, arguments, times, peaks, outputs, flops, last):
    middle = {
        engine: {
            key: statistics.median(turn[key] for turn in turns)
            for key in ("seconds", "cpu_seconds")
        }
        for engine, turns in times.items()
    }
    mine = middle["prosect"]
    size = " x ".join(map(str, shape["patch"]))
    print(f"\n### {name}: {shape['says']}, {size} ({flops / 1e9:.1f} GFLOP)\n")
    isa = f"held to {arguments.isa}" if arguments.isa else last["isa"]
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{arguments.threads} threads, {isa}, {arguments.rounds} rounds, load {load}\n")
    print("| engine | wall s (least) | CPU s | GFLOP/s | ours is faster by, wall | by, CPU | peak RSS MB | largest deviation from PyTorch |")
    print("|---|---|---|---|---|---|---|---|")
    reference = outputs.get("torch")
    for engine, found in middle.items():
        least = min(turn["seconds"] for turn in times[engine])
        if reference is None or engine == "torch":
            deviation = "-"
        else:
            deviation = f"{np.abs(outputs[engine] - reference).max():.1e}"
        print(
            f"| {engine} | {found['seconds']:.3f} ({least:.3f}) | {found['cpu_seconds']:.2f} "
            f"| {flops / 1e9 / found['seconds']:.0f} | {found['seconds'] / mine['seconds']:.2f} "
            f"| {found['cpu_seconds'] / mine['cpu_seconds']:.2f} | {peaks[engine] / 1e6:.0f} "
            f"| {deviation} |"
        )
    predicted, peak = last["predicted_peak_bytes"], last["peak_rss_bytes"]
    print(f"\nPredicted {predicted / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB; ", end="")
    if reference is not None:
        print(f"PyTorch's largest |logit| {np.abs(reference).max():.1f}.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for models and outputs")
    parser.add_argument("--shapes", default="1.5mm,3mm,resenc-m,meshnet")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--isa", choices=["avx2"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    packages = ["torch", "onnxruntime", "openvino", "nnunetv2", "dynamic-network-architectures"]
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"{platform.machine()}, {os.cpu_count()} cores; {versions}")
    for name in arguments.shapes.split(","):
        compare(name, arguments)


if __name__ == "__main__":
    main()
