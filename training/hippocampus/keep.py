"""Copy a trained-model folder of nnunetv2 without the optimizer's state, which only a training that
goes on needs, and without the paths of the machine that trained it.

    python keep.py RESULTS/DATASET/TRAINER__PLANS__CONFIGURATION TARGET
"""

import json
import shutil
import sys
from pathlib import Path

import torch


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    shutil.rmtree(target, ignore_errors=True)
    (target / "fold_0").mkdir(parents=True)
    for name in ("plans.json", "dataset.json"):
        text = json.dumps(json.loads((source / name).read_text()), indent=2) + "\n"
        (target / name).write_text(text)
    name = "fold_0/checkpoint_final.pth"
    checkpoint = torch.load(source / name, map_location="cpu", weights_only=False)
    checkpoint["optimizer_state"] = {}
    checkpoint["logging"] = {}
    torch.save(checkpoint, target / name)
    print(f"{(target / name).stat().st_size} bytes, keys {sorted(checkpoint)}")


if __name__ == "__main__":
    main()
