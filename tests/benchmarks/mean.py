"""The mean of the weights of two models, of which one was trained on from the other; it often loses less than either.

``python -m benchmarks.mean FIRST SECOND SHARE OUT`` (in ``tests/``): ``SHARE`` (0 to 1) is the weight of the second model. The
new folder has the other files of the first, and its precision.
"""

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

_WEIGHTS = "model.safetensors"


def mean(first: Path, second: Path, share: float, out: Path) -> None:
    """Writes the mean into a new folder, computed in fp32."""
    ours, theirs = load_file(first / _WEIGHTS), load_file(second / _WEIGHTS)
    assert ours.keys() == theirs.keys(), f"{first} and {second} are models of different kinds"
    shutil.copytree(first, out)
    mixed = {name: ours[name].float().lerp(theirs[name].float(), share).to(ours[name].dtype) for name in ours}
    save_file(mixed, out / _WEIGHTS, {"format": "pt"})


if __name__ == "__main__":
    before, after, weight, folder = sys.argv[1:]
    mean(Path(before), Path(after), float(weight), Path(folder))
