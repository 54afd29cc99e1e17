"""Compare our preprocessing with the libraries that define it, bit for bit.

    python -m tools.golden keras            # in an environment with Keras
    python -m tools.golden torch --write    # and keep the references

Without `--write` nothing is changed. References are made under Pillow 12: Pillow 13
resizes some portraits in another order, and the libraries with it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path

import numpy as np
import PIL

from tools.golden.compare import Case, Result, compare
from tools.golden.images import FAST, GoldenImage, golden_images

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"

_LIBRARIES = {
    "keras": ("keras", "numpy", "pillow"),
    "torch": ("open_clip_torch", "pillow", "timm", "torch", "torchvision", "transformers"),
}
# Enough for derived profiles: the rules were compared on all images already.
_FEW = {"1x1", "31x33", "223x225", "257x256", "300x200", "333x500", "427x640", "640x427"} | {
    *("9x700", "700x9", "RGBA", "L", "LA", "P transparent", "EXIF 6", "500x333"),
}
_TIMM = {"31x33", "333x500", "640x427", "RGBA"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.golden", description=__doc__)
    parser.add_argument("family", choices=_LIBRARIES)
    parser.add_argument("--write", action="store_true", help="keep the references")
    arguments = parser.parse_args()
    if int(PIL.__version__.split(".")[0]) > 12:
        parser.error(f"Pillow {PIL.__version__}: references are made under Pillow 12")
    everything = list(golden_images())
    failed = 0
    named: list[Result] = []
    for case, names in _cases(arguments.family):
        chosen = [image for image in everything if names is None or image.name in names]
        result = _run(case, chosen)
        failed += bool(result.different)
        if names is None:
            named.append(result)
    if arguments.family == "torch":
        failed += _compare_tokens()
    if arguments.write:
        _write(arguments.family, named)
    return 1 if failed else 0


def _run(case: Case, chosen: list[GoldenImage]) -> Result:
    result = compare(case, chosen)
    print(result, flush=True)
    return result


def _compare_tokens() -> int:
    """Compare token ids, and return how many tokenizers differ."""
    from tools.golden.token_cases import TEXTS, token_results

    failed = 0
    for name, different in token_results():
        failed += bool(different)
        differing = f"; DIFFERENT: {different}" if different else ""
        print(f"tokens, {name}: {len(TEXTS) - len(different)}/{len(TEXTS)} equal{differing}")
    return failed


def _cases(family: str) -> list[tuple[Case, set[str] | None]]:
    if family == "keras":
        from tools.golden import keras_cases as cases

        others = [(case, _FEW) for case in cases.other_cases()]
    else:
        from tools.golden import torch_cases as cases

        others = [(case, _FEW) for case in cases.transformers_cases()]
        others += [(case, _FEW) for case in cases.open_clip_cases()]
        others += [(case, _FEW) for case in cases.catalogue_cases()]
        others += [(case, _TIMM) for case in cases.timm_cases()]
    return [(case, None) for case in cases.named_cases()] + others


def _write(family: str, results: list[Result]) -> None:
    document = {
        "made with": {name: importlib.metadata.version(name) for name in _LIBRARIES[family]},
        "digests": {
            result.name: {name: result.digests[name] for name in result.digests if name in FAST}
            for result in results
        },
    }
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{family}.json").write_text(json.dumps(document, indent=1) + "\n")
    samples = {result.name: result.sample for result in results}
    np.savez_compressed(GOLDEN / f"{family}.npz", **samples)


if __name__ == "__main__":
    sys.exit(main())
