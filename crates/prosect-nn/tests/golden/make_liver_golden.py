"""Makes liver_81x54x54.safetensors: what ONNX Runtime computes for the liver network on a synthetic input.

    python make_liver_golden.py ORACLE.onnx

The input is `synthetic_image` of models/liver-ct/convert.py; the test in Rust repeats its formula. On an input this small ONNX
Runtime's f32 means are exact enough (they are not on the full 189x162x162, where they cost 3e-3 in probability).
Python packages: models/liver-ct/requirements-convert.txt.
"""

import hashlib
import sys
from pathlib import Path

import onnxruntime
from safetensors.numpy import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[3] / "models/liver-ct"))
import convert  # noqa: E402

SHAPE = (81, 54, 54)

oracle = Path(sys.argv[1])
probability = convert.run_oracle(oracle, convert.synthetic_image(SHAPE))
made_with = f"onnxruntime {onnxruntime.__version__}, oracle sha256 {hashlib.sha256(oracle.read_bytes()).hexdigest()}"
target = HERE / "liver_81x54x54.safetensors"
save_file({"probability": probability}, target, metadata={"made_with": made_with})
target.chmod(0o644)
print(probability.shape, f"{probability.min():.4f}..{probability.max():.4f}", made_with)
