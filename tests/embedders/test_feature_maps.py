"""Regions are pooled from the right feature map, however the model says how wide it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from onnxsearch import ModelError

onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from onnxsearch.embedders.onnx.feature_maps import find_feature_map  # noqa: E402
from tests.embedders.models import vector_model  # noqa: E402

CHANNELS = 8
Nodes = Sequence[onnx.NodeProto]


def padded_model(widths: Nodes, **constants: Sequence[int]) -> bytes:
    """Return a model of two convolutions; the widths of the second one's padding are computed.

    Args:
        widths: Nodes that give `widths`.
        constants: What they begin with.
    """
    random = np.random.default_rng(1)
    weights = {"one": (CHANNELS, 3, 3, 3), "two": (CHANNELS, CHANNELS, 3, 3)}
    initializers = [
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    initializers += [
        numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in constants.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "one"], ["map"], strides=[2, 2], pads=[1, 1, 1, 1]),
        *widths,
        helper.make_node("Pad", ["map", "widths"], ["padded"]),
        helper.make_node("Conv", ["padded", "two"], ["small"], strides=[2, 2]),
        helper.make_node("ReduceMean", ["small"], ["vector"], axes=[2, 3], keepdims=0),
    ]
    return vector_model(nodes, initializers, ("n", 3, 32, 32), CHANNELS)


def as_pytorch_writes_it() -> bytes:
    """The widths of a padding as torch.onnx.export computes them: by axis, from the last one."""
    return padded_model(
        [
            helper.make_node("ConstantOfShape", ["rest"], ["zeros"], value=_zero()),
            helper.make_node("Concat", ["last", "zeros"], ["all"], axis=0),
            helper.make_node("Reshape", ["all", "pairs"], ["rows"]),
            helper.make_node("Slice", ["rows", "start", "end", "axis", "step"], ["turned"]),
            helper.make_node("Transpose", ["turned"], ["columns"], perm=[1, 0]),
            helper.make_node("Reshape", ["columns", "flat"], ["numbers"]),
            helper.make_node("Cast", ["numbers"], ["widths"], to=TensorProto.INT64),
        ],
        last=[0, 1, 0, 1],
        rest=[4],
        pairs=[-1, 2],
        start=[-1],
        end=[-(2**63) + 1],
        axis=[0],
        step=[-1],
        flat=[-1],
    )


def _zero() -> onnx.TensorProto:
    return numpy_helper.from_array(np.zeros(1, np.int64))


def test_paddings_that_the_graph_computes_are_followed() -> None:
    model = as_pytorch_writes_it()
    assert find_feature_map(model, (1, 3, 32, 32)) == "map", "without its border"
    assert model == as_pytorch_writes_it(), "the model stays as it is"


HOSTILE: dict[str, Callable[[], bytes]] = {
    "huge": lambda: padded_model(
        [helper.make_node("ConstantOfShape", ["shape"], ["widths"], value=_zero())],
        shape=[2**40, 2**20],
    ),
    "impossible": lambda: padded_model(
        [helper.make_node("Reshape", ["few", "shape"], ["widths"])], few=[1, 2], shape=[7]
    ),
    "without inputs": lambda: padded_model([helper.make_node("Concat", [], ["widths"], axis=0)]),
    "with a wrong attribute": lambda: padded_model(
        [helper.make_node("Transpose", ["few"], ["widths"], perm=[5, 9])], few=[1, 2]
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_graph_that_computes_nonsense_has_no_map(name: str) -> None:
    with pytest.raises(ModelError):
        find_feature_map(HOSTILE[name](), (1, 3, 32, 32))


@pytest.mark.integration
def test_both_forms_of_one_network_have_the_same_map(shared: Callable[[str], Path]) -> None:
    plain, quantised = (
        find_feature_map(str(shared(f"models/{name}.onnx")), (1, 3, 224, 224))
        for name in ("efficientnet-lite0", "efficientnet-lite0.int8.conse384")
    )
    assert plain == "/_blocks.11/_swish/Clip_output_0"
    assert quantised.startswith(plain)
