"""Regions of images are stored, replaced and removed as a whole, however a process ends."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import SearchEngine
from tests.engine.mosaic import Mosaic

ROOT = Path(__file__).parents[2]


@pytest.mark.integration
def test_killed_processes_leave_no_regions_without_an_image(tmp_path: Path) -> None:
    dice = random.Random(0)
    for seed in range(8):
        command = [sys.executable, "-m", "tests.engine.region_child", str(tmp_path / "album")]
        with subprocess.Popen(
            [*command, str(seed)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(dice.uniform(0.02, 0.3))
            child.kill()
        with SearchEngine.open(tmp_path / "album", embedders=Mosaic()) as engine:
            report = engine.verify()
            assert report.ok, report.findings
            assert set(report.vectors.values()) <= {engine.count()}, "orphans"
            for record in engine.records():
                assert record.models == ("mosaic", "mosaic.regions")
            everything = engine.search(np.zeros((9, 9, 3), np.uint8), model="mosaic.regions")
            assert len(everything) == engine.count()
