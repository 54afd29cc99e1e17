"""Do the wheel and the sdist hold what they should? `python tests/distributions.py DIST`."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "onnxsearch"
LIMIT = 16_000_000  # the two bundled models are 9 MB of it


def main(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    source = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    package = {name for name in shipped if ".dist-info/" not in name}
    assert package == source, f"the wheel differs from the package by {package ^ source}"
    assert "onnxsearch/py.typed" in package
    assert "onnxsearch/embedders/catalogue.toml" in package
    assert "onnxsearch/serving/page/index.html" in package
    assert sum(name.endswith(".onnx") for name in package) == 2, package
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in shipped), shipped
    with tarfile.open(sdist) as archive:
        roots = {Path(name).parts[1] for name in archive.getnames() if "/" in name}
    assert {"src", "tests", "docs", "LICENSE", "README.md", "noxfile.py"} <= roots, roots
    for path in (wheel, sdist):
        size = path.stat().st_size
        assert size < LIMIT, f"{path.name} has {size} bytes: expected under {LIMIT}"
        print(f"{path.name}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
