"""The manifest of a namespace: which models its vectors are of, and how to open them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from onnxsearch.catalog.model_entries import LaterManifestError, decode_models, encode_models
from onnxsearch.catalog.records import Change
from onnxsearch.catalog.retries import attempts, contended
from onnxsearch.embedders.description import REGIONS, ModelDescription
from onnxsearch.embedders.regions import regions_name
from onnxsearch.errors import StoreCorruptError, StoreError
from onnxsearch.metadata.base import Cell, MetadataStore

logger = logging.getLogger("onnxsearch")


def manifest_cell(namespace: str) -> Cell:
    """Return the cell that holds the manifest of a namespace."""
    return Cell(f"{namespace}:models", "manifest")


class Manifest:
    """The descriptions of the models of one namespace, in one cell of the metadata store.

    Args:
        metadata: Holds the cell.
        namespace: Prefix of the table's name.
    """

    def __init__(self, metadata: MetadataStore, namespace: str) -> None:
        self._metadata = metadata
        self._cell = manifest_cell(namespace)
        self._folder = None if metadata.folder is None else Path(metadata.folder)

    def models(self) -> list[ModelDescription]:
        """Return the descriptions, the default model first; none if there is no manifest.

        Raises:
            StoreCorruptError: The manifest cannot be read.
            StoreError: The store failed.
        """
        data = self._metadata.get(*self._cell)
        return [] if data is None else decode_models(data, self._folder)

    def remember(self, models: Sequence[ModelDescription]) -> None:
        """Add models, or replace what was said of them.

        A damaged manifest is replaced. Nothing happens if a later release wrote it, or if
        the store cannot be written: an index on a read-only disk can be searched.

        Args:
            models: The models of an engine, the default one first. They take this order if
                they are all of the index; else the others keep their places.
        """
        try:
            for _ in attempts():
                before, known = self._read()
                after = self._encoded(_merged(known, models))
                if after == before or self._replace(before, after):
                    return
            raise contended()
        except StoreError as error:
            logger.info("onnxsearch: the models of the index are not noted: %s", error)

    def without(self, model: str) -> Change:
        """Return the change that takes a model out, or the regions of one."""
        try:
            before, known = self._read()
        except LaterManifestError:
            return Change()
        after = [_without_regions(each, model) for each in known if each.name != model]
        if after == known:
            return Change()
        return Change({self._cell: self._encoded(after)}, {self._cell: before})

    def _read(self) -> tuple[bytes | None, list[ModelDescription]]:
        """Return what the cell holds, and the models that it describes; none if it is damaged."""
        data = self._metadata.get(*self._cell)
        try:
            return data, [] if data is None else decode_models(data, self._folder)
        except LaterManifestError:
            raise
        except StoreCorruptError as error:
            logger.warning("onnxsearch: %s", error)
            return data, []

    def _replace(self, before: bytes | None, after: bytes) -> bool:
        return self._metadata.commit({self._cell: after}, expect={self._cell: before})

    def _encoded(self, models: Sequence[ModelDescription]) -> bytes:
        return encode_models(models, self._folder)


def _merged(
    before: Sequence[ModelDescription], models: Sequence[ModelDescription]
) -> list[ModelDescription]:
    """Return what was known of models, and what is known now, in one order."""
    known = {model.name: model for model in before}
    news = {model.name: _with_known(model, known.get(model.name)) for model in models}
    if news.keys() >= known.keys():
        return list(news.values())
    return list({**known, **news}.values())


def _with_known(model: ModelDescription, known: ModelDescription | None) -> ModelDescription:
    """Return a description with what the engine that made it does not know."""
    if known is None or known.fingerprint != model.fingerprint:
        return model
    # An image model is often opened alone, or without regions: its vectors are the same.
    merged = model if model.text else replace(model, text=known.text)
    layer = known.settings.get(REGIONS)
    if isinstance(layer, str) and layer and REGIONS not in model.settings:
        merged = replace(merged, settings={**model.settings, REGIONS: layer})
    return replace(merged, version=known.version) if merged == known else merged


def _without_regions(model: ModelDescription, dropped: str) -> ModelDescription:
    """Return a description without its regions, if they are what is dropped."""
    if regions_name(model.name) != dropped:
        return model
    kept = {name: value for name, value in model.settings.items() if name != REGIONS}
    return replace(model, settings=kept)
