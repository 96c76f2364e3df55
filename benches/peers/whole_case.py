"""A whole case, from process start to files on disk: ours beside the real TotalSegmentator.

    python whole_case.py --work FOLDER --weights RESULTS [--runs 1] [--shape 512,512,280]

The same weights (`total`, fast, 3 mm), the same CT: a real one stretched over the grid asked for, with
noise of 8 HU. Wall time and peak memory are taken from outside: the largest sum of resident memory
of the program and its children (shared pages once), sampled ten times a second.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import nibabel
import numpy as np
from scipy.ndimage import zoom

ROOT = Path(__file__).resolve().parents[2]
SPACING_MM = [0.75, 0.75, 1.25]


def stretched(scan, shape, target):
    if target.is_file():
        return target
    volume = nibabel.load(scan).get_fdata().astype(np.float32)
    volume = zoom(volume, np.divide(shape, volume.shape), order=1)
    assert volume.shape == tuple(shape), volume.shape
    random = np.random.default_rng(0)
    for index in range(shape[2]):
        volume[:, :, index] += random.normal(0, 8, shape[:2])
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    nibabel.save(nibabel.Nifti1Image(np.round(volume).astype(np.int16), affine), target)
    return target


def resident(pid):
    """Resident bytes of a process and its descendants; what they share is counted once (Pss)."""
    total, left = 0, [pid]
    while left:
        one = left.pop()
        try:
            folder = Path(f"/proc/{one}")
            rollup = (folder / "smaps_rollup").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
            for task in (folder / "task").iterdir():
                left += [int(word) for word in (task / "children").read_text().split()]
        except (OSError, ValueError, StopIteration):
            continue
        total += kilobytes * 1024
    return total


def watched(words, environment):
    """Wall seconds, CPU seconds and peak bytes of a program with its children."""
    before = os.times()
    start = time.perf_counter()
    process = subprocess.Popen(
        words, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.1):
            peak[0] = max(peak[0], resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, errors = process.communicate()
    wall = time.perf_counter() - start
    done.set()
    watcher.join()
    after = os.times()
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(words)}\n{errors.decode()}")
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return {"wall": wall, "cpu": cpu, "peak": peak[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="TotalSegmentator's results")
    parser.add_argument("--scan", type=Path, help="a CT as NIfTI [default: the shared example]")
    parser.add_argument("--shape", default="512,512,280")
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    shared = Path(os.environ.get("PROSECT_SHARED", ROOT.parent / "shared"))
    scan = arguments.scan or shared / "data/totalsegmentator-reference/example_ct.nii.gz"
    shape = [int(word) for word in arguments.shape.split(",")]
    image = stretched(scan, shape, work / f"ct-{'x'.join(map(str, shape))}.nii.gz")

    prosect = os.environ.get("PROSECT_BIN", str(ROOT / "target/release/prosect"))
    models = work / "models"
    if not (models / "total-fast/model.toml").is_file():
        words = [prosect, "models", "import", str(arguments.weights), "--name", "total-fast"]
        subprocess.run([*words, "--models", str(models)], check=True)
    home = work / "totalsegmentator-home"
    home.mkdir(exist_ok=True)
    settings = {"totalseg_id": "x", "send_usage_stats": False, "prediction_counter": 0}
    (home / "config.json").write_text(json.dumps(settings | {"statistics_disclaimer_shown": True}))
    theirs = [str(Path(sys.executable).parent / "TotalSegmentator"), "-i", str(image), "--fast"]
    theirs += ["-o", str(work / "theirs.nii.gz"), "--ml", "--device", "cpu", "--quiet"]
    variables = {"TOTALSEG_HOME_DIR": str(home), "TOTALSEG_WEIGHTS_PATH": str(arguments.weights)}
    ours = [prosect, "segment", str(image), "-o", str(work / "case"), "--force", "--no-image"]
    ours += ["--format", "nifti", "--model", "total-fast", "--models", str(models)]
    programs = {
        "TotalSegmentator": (theirs, variables),
        "prosect --compat": ([*ours, "--compat"], {}),
        "prosect": (ours, {}),
    }
    rows = {name: [] for name in programs}
    for _ in range(arguments.runs):
        for name, (words, environment) in programs.items():
            shutil.rmtree(work / "case", ignore_errors=True)
            rows[name].append(watched(words, environment))
    best = {name: min(runs, key=lambda run: run["wall"]) for name, runs in rows.items()}
    base = best["TotalSegmentator"]
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{' x '.join(map(str, shape))}, least wall of {arguments.runs}, load {load}\n")
    print("| program | wall s | CPU s | peak MB | share of its wall | of its memory |")
    print("|---|---|---|---|---|---|")
    for name, run in best.items():
        print(
            f"| {name} | {run['wall']:.1f} | {run['cpu']:.1f} | {run['peak'] / 1e6:.0f} "
            f"| {run['wall'] / base['wall']:.2f} | {run['peak'] / base['peak']:.2f} |"
        )


if __name__ == "__main__":
    main()
