"""`onnxsearch advise`, with a bundled model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onnxsearch.cli import advise  # noqa: F401  adds its command
from onnxsearch.testing import write_pictures
from tests.cli.test_commands import Run, run  # noqa: F401  fixtures


@pytest.mark.integration
def test_settings_are_tried_on_images_in_folders(run: Run, tmp_path: Path) -> None:  # noqa: F811
    write_pictures(tmp_path / "photos", ["red/a", "red/b", "blue/c", "blue/d"])
    assert run("index", tmp_path / "photos").exit_code == 0
    found = run("advise")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("mean_average_precision on 2 queries; 2 others chose")
    assert "engine.search(query, model='efficientnet-lite2'" in found.stdout
    assert "not tried: fusion and reranking" in found.stdout
    document = json.loads(run("advise", "--json", "--metric", "ndcg").stdout)
    assert document["metric"] == "ndcg"
    assert document["tried"][0]["setting"] == "efficientnet-lite2"
    missing = run("advise", "--labels", "no_such_field")
    assert missing.exit_code == 1
    assert "no image has a label" in missing.stderr
