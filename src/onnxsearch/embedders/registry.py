"""The embedders of one engine, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from onnxsearch._internal.validation import check_name, instance, items
from onnxsearch.embedders.base import Embedder
from onnxsearch.embedders.regions import model_of_regions, regions_name, regions_of
from onnxsearch.errors import InvalidArgumentError, UnknownModelError

Derive: TypeAlias = "Callable[[str, Mapping[str, Embedder]], Embedder | None]"


class EmbedderRegistry(Mapping[str, Embedder]):
    """Embedders by name, the default one first. Threads may read it while it changes.

    Args:
        embedders: One or several, of different names.
        hint: Returns a remark on a model that is not among them, for the error.
        derive: Returns a model that is made of one of them, given its name and all of them; None
            for any other name. Such models are found by name, and are not listed.

    Raises:
        InvalidArgumentError: There is no embedder, or two have the same name.
    """

    def __init__(
        self,
        embedders: Embedder | Sequence[Embedder],
        hint: Callable[[str], str] = lambda _: "",
        derive: Derive = lambda _, __: None,
    ) -> None:
        self._by_name = _by_name([embedders] if isinstance(embedders, Embedder) else embedders)
        self._hint = hint
        self._derive = derive

    def named(self, model: str | None) -> Embedder:
        """Return the embedder of this name; the default one for None.

        Raises:
            UnknownModelError: There is no such model.
        """
        if model is None:
            return next(iter(self._by_name.values()))
        instance("model", model, str, "the name of a model")
        if model not in self._by_name:
            if (derived := self._derive(model, self)) is not None:
                return derived
            whole = self._by_name.get(model_of_regions(model) or "")
            known = ", ".join(self._by_name)
            if whole is not None and regions_of(whole) is not None:
                raise UnknownModelError(
                    f"{model!r} are regions, which are for searches: expected one of {known}"
                )
            raise UnknownModelError(
                f"there is no model {model!r} here: expected one of {known}{self._hint(model)}"
            )
        return self._by_name[model]

    def searched(self, model: str | None) -> Embedder:
        """Return the embedder that searches by this name: one of `named`, or of regions.

        Raises:
            UnknownModelError: There is no such model, or it gives no regions.
        """
        if not isinstance(model, str) or model in self._by_name:
            return self.named(model)
        whole = self._by_name.get(model_of_regions(model) or "")
        if whole is None:
            return self.named(model)
        if (regions := regions_of(whole)) is None:
            raise UnknownModelError(
                f"model {whole.name!r} gives no vectors of regions: make it with "
                f"OnnxEmbedder(..., regions=True), and backfill({whole.name!r}) what is missing. "
                "On the command line: onnxsearch index DIR --regions"
            )
        return regions

    def selected(self, models: Sequence[str] | None) -> list[Embedder]:
        """Return the embedders that search by these names, in their order; None for all models.

        Raises:
            InvalidArgumentError: `models` is not a list of different names.
            UnknownModelError: One of the names is unknown.
        """
        expected = f"a list of different names out of {', '.join(self._by_name)}"
        names = list(self._by_name) if models is None else items("models", models, expected)
        for name in names:
            instance("models", name, str, expected)
        if not names or len(set(names)) < len(names):
            raise InvalidArgumentError(f"models {models!r}: expected {expected}")
        return [self.searched(name) for name in names]

    def insert(self, embedder: Embedder, *, after: str) -> None:
        """Add an embedder behind the one named `after`, or at the end."""
        models = list(self._by_name.values())
        place = next((n for n, each in enumerate(models, 1) if each.name == after), len(models))
        # One assignment, since other threads are searching.
        self._by_name = _by_name([*models[:place], embedder, *models[place:]])

    def discard(self, model: str) -> None:
        """Take an embedder out; nothing happens if it is not there."""
        self._by_name = {name: each for name, each in self._by_name.items() if name != model}

    def __getitem__(self, name: str) -> Embedder:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


def _by_name(embedders: Sequence[Embedder]) -> dict[str, Embedder]:
    sequence = items("embedders", embedders, "an Embedder, or a list of them")
    for embedder in sequence:
        instance("embedders", embedder, Embedder, "an Embedder, or a list of them")
    if not sequence:
        raise InvalidArgumentError("embedders are empty: expected at least one")
    by_name = {check_name(embedder.name): embedder for embedder in sequence}
    if len(by_name) < len(sequence):
        raise InvalidArgumentError(
            f"two embedders have the same name ({', '.join(e.name for e in sequence)}): give each "
            "its own, as in OnnxEmbedder(path, name='mine')"
        )
    for name, embedder in by_name.items():
        if regions_of(embedder) is not None and regions_name(name) in by_name:
            raise InvalidArgumentError(
                f"an embedder is named {regions_name(name)!r}, as the regions of {name!r} are: "
                "give it another name"
            )
    return by_name
