"""The command line by the name of the package: `python -m onnxsearch`."""

from __future__ import annotations

from onnxsearch.cli import main

if __name__ == "__main__":
    main()
