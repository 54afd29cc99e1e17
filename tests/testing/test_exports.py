"""`onnxsearch.testing` has the names that it exports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from onnxsearch import MissingExtraError, testing


@pytest.mark.parametrize("name", testing.__all__)
def test_has_every_name(name: str) -> None:
    assert getattr(testing, name).__name__ == name
    assert name in dir(testing)


def test_has_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'FakeStore'"):
        _ = testing.FakeStore  # type: ignore[attr-defined]


def test_contracts_name_the_package_that_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", None)
    monkeypatch.delattr(testing, "EmbedderContract", raising=False)
    with pytest.raises(MissingExtraError, match="pip install pytest"):
        _ = testing.EmbedderContract


def test_the_package_itself_never_loads_pytest() -> None:
    code = "import sys, onnxsearch.testing; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
