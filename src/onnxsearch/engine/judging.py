"""The part of the engine that tells how good its answers are, and what is there twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnxsearch.engine.base import EngineBase
from onnxsearch.errors import InvalidArgumentError
from onnxsearch.evaluation.evaluator import Evaluation, Evaluator
from onnxsearch.evaluation.ground_truth import GroundTruth
from onnxsearch.evaluation.index_recall import Sample
from onnxsearch.evaluation.index_tuning import Tuning, tune
from onnxsearch.search.fusion import as_fusion
from onnxsearch.search.near_duplicates import Threshold, calibrate, clusters

if TYPE_CHECKING:
    from onnxsearch.evaluation.bootstrap import Estimate
    from onnxsearch.evaluation.ground_truth import Labels
    from onnxsearch.search.fusion import FusionChoice


class Judging(EngineBase):
    """Judges models, indexes and the album itself."""

    def evaluate(
        self,
        labels: Labels | None = None,
        *,
        pairs: Iterable[tuple[str, str]] | None = None,
        models: Sequence[str] | None = None,
        fusion: FusionChoice = "rrf",
        k: Sequence[int] = (1, 5, 10),
        depth: int | None = None,
        confidence: float = 0.95,
        resamples: int = 1000,
        seed: int = 0,
    ) -> Evaluation:
        """Measure how well each model, and their fusion, finds what belongs together.

        Each labelled picture is searched for among all others that have a label; those
        with the same label are the right answers. Stored vectors are used: no model runs.

        Args:
            labels: Label by id; or the name of a metadata field; or a function that
                tells a record's. None stands for not known.
            pairs: Instead of labels, pairs of ids, each a right answer to the other,
                among the whole album.
            models: Names of the models; by default all.
            fusion: How several models' rankings are fused.
            k: Ranks at which precision and recall are cut.
            depth: How many ranks are looked at; by default all, which takes time in
                the square of the album. (Milvus gives 16,384 at most.)
            confidence: Of the bootstrap intervals.
            resamples: How many times queries are drawn for them.
            seed: Of those draws.

        Raises:
            InvalidArgumentError: Not exactly one of `labels` and `pairs` is given, no
                two pictures belong together, or an id is not stored.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.

        Example:
            >>> evaluation = engine.evaluate(lambda record: Path(record.uri).parent.name)
            >>> evaluation.scores["vgg16"].mean_average_precision.value
        """
        self._check_open()
        judge = Evaluator(self._retrieval, self._several(models), as_fusion(fusion), k, depth)
        records = self._catalog.records
        if labels is not None and pairs is None:
            truth = GroundTruth.of_labels(labels, records)
        elif pairs is not None and labels is None:
            truth = GroundTruth.of_pairs(pairs, records)
        else:
            raise InvalidArgumentError("evaluate needs either labels or pairs, and not both")
        return judge.evaluate(truth, confidence=confidence, resamples=resamples, seed=seed)

    def recall(
        self, *, model: str | None = None, limit: int = 10, sample: int = 100, seed: int = 0
    ) -> Estimate:
        """Return which share of the truly nearest pictures the vector store finds.

        Stored pictures are searched for, and the answers compared with exact ones, for
        which every vector is read once. Exact indexes give 1.

        Args:
            model: Name of the model; by default the first one.
            limit: How many nearest pictures.
            sample: How many pictures to search for, drawn at random.
            seed: Of that draw.

        Returns:
            The mean over the sample, with a 95 % interval.

        Raises:
            InvalidArgumentError: Nothing is stored, or a number is below 1.
            StoreError: A store failed.
        """
        self._check_open()
        store = self._retrieval.vectors
        collection = self._catalog.collection(self._embedder(model).name)
        drawn = Sample.draw(store, collection, limit=limit, sample=sample, seed=seed)
        return drawn.recall(store.search(collection, drawn.queries, limit))

    def tune(
        self,
        target_recall: float,
        *,
        model: str | None = None,
        limit: int = 10,
        sample: int = 100,
        seed: int = 0,
    ) -> Tuning:
        """Propose how to search an approximate index, so that it finds what it should.

        The ways in which the store can search the index that is there are measured as by
        `recall`, the cheapest first, until one reaches the target: for Milvus, more
        candidates of a graph or more lists. Exact answers are worked out once. Nothing is
        changed: open the store with the index proposed. Indexes are built in the
        background, and rows not yet in them are searched exactly: wait until it is done.

        Args:
            target_recall: The share of the truly nearest to be found, above 0, at most 1.
            model: Name of the model; by default the first one.
            limit: How many nearest pictures.
            sample: How many pictures to search for, drawn at random.
            seed: Of that draw.

        Returns:
            What was measured, and the cheapest that reaches the target; if none does, the
            best. A store with nothing to choose is measured as it is.

        Raises:
            InvalidArgumentError: Nothing is stored, or a number is out of its range.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.

        Example:
            >>> store.wait_until_indexed(store.collections()[0])
            >>> tuning = engine.tune(0.99)
            >>> store = MilvusVectorStore("http://localhost:19530", index=tuning.index)
        """
        self._check_open()
        store = self._retrieval.vectors
        collection = self._catalog.collection(self._embedder(model).name)
        return tune(store, collection, target_recall, limit=limit, sample=sample, seed=seed)

    def duplicates(self, max_distance: float, *, model: str | None = None) -> list[tuple[str, ...]]:
        """Return groups of pictures that are nearly the same.

        Two pictures are of one group if they are at most `max_distance` apart, or if
        others between them are. Each picture is searched for once.

        Args:
            max_distance: See `duplicate_threshold`. What is apart by rounding only, as
                copies of a file are, is found with 0.001.
            model: Name of the model; by default the first one.

        Returns:
            Ids by group, the largest group first; pictures that stand alone are left out.

        Raises:
            InvalidArgumentError: `max_distance` is NaN.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.

        Example:
            >>> for group in engine.duplicates(max_distance=0.25):
            ...     print(*group)
        """
        self._check_open()
        return clusters(self._retrieval, self._embedder(model), max_distance)

    def duplicate_threshold(
        self, pairs: Iterable[tuple[str, str]], *, model: str | None = None
    ) -> Threshold:
        """Find the `max_distance` for `duplicates` from pairs that are known.

        It is the distance that best parts the pairs from the nearest pictures that are
        not known to belong together (greatest F1).

        Args:
            pairs: Ids of stored pictures that are nearly the same. Give all partners of
                a picture, since others count as wrong.
            model: Name of the model; by default the first one.

        Raises:
            InvalidArgumentError: There is no pair, or a picture is not stored.
            UnknownModelError: There is no model of that name.
            StoreError: A store failed.
        """
        self._check_open()
        return calibrate(self._retrieval, self._embedder(model), pairs)
