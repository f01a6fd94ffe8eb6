"""Image generators as SavedModel, and each operation against ONNX's reference. Needs the extra ``tensorflow``."""

# ruff: noqa: E402
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install 'luoxia[tensorflow]'")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from test_onnx import NETWORKS, generator_of

from luoxia.core.errors import LuoxiaError
from luoxia.interchange.tensorflow import as_module, write_saved_model
from luoxia.interchange.tensorflow_operations import operations
from luoxia.tasks.image_generation.export_module import GeneratorModule


@pytest.mark.parametrize("kind", NETWORKS)
def test_tensorflow_gives_the_generators_images(kind: str, tmp_path: Path) -> None:
    generator = generator_of(kind)
    loaded = tf.saved_model.load(str(write_saved_model(GeneratorModule(generator), tmp_path / "saved")))
    z, labels = generator.latents(7, seed=5), generator.labels(7)
    given: dict[str, Any] = {"z": tf.constant(z.numpy())}
    if labels is not None:
        given["labels"] = tf.constant(labels.numpy())
    if kind == "stylegan2":
        given["truncation"] = tf.constant(0.7)
    images = loaded.signatures["serving_default"](**given)["images"].numpy()
    expected = generator.sample(7, seed=5, **({"truncation": 0.7} if kind == "stylegan2" else {}))
    assert np.abs(np.rint((images + 1) * 127.5) - expected).max() <= 1
    assert np.array_equal(loaded.generate(*given.values()).numpy(), images)
    assert f"recipe={kind}".encode() in loaded.facts().numpy()


def node(kind: str, *shapes: tuple[int, ...], **attributes: Any) -> tuple[Any, list[Any]]:
    rng = np.random.default_rng()
    given = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    names = [f"x{i}" for i in range(len(given))]
    return onnx.helper.make_node(kind, names, ["y"], **attributes), given


CASES = {
    "strides and padding": node("Conv", (2, 3, 9, 8), (4, 3, 3, 2), (4,), strides=[2, 1], pads=[1, 0, 2, 1]),
    "groups": node("Conv", (2, 4, 6, 6), (6, 2, 3, 3), group=2, pads=[1, 1, 1, 1]),
    "a filter a channel": node("Conv", (2, 4, 6, 5), (4, 1, 4, 4), group=4, strides=[2, 2]),
    "transposed": node("ConvTranspose", (2, 3, 5, 4), (3, 4, 4, 4), (4,), strides=[2, 2], pads=[1, 1, 1, 1]),
    "transposed, odd": node(
        "ConvTranspose", (1, 2, 3, 3), (2, 3, 3, 3), strides=[2, 2], pads=[1, 0, 0, 1], output_padding=[1, 0]
    ),
    "sub-pixels": node("DepthToSpace", (2, 12, 3, 4), blocksize=2, mode="CRD"),
    "depth first": node("DepthToSpace", (2, 12, 3, 4), blocksize=2, mode="DCR"),
    "layer norm": node("LayerNormalization", (2, 3, 5), (5,), (5,), axis=-1),
    "gemm": node("Gemm", (4, 3), (5, 4), (3, 5), transA=1, transB=1, alpha=0.5, beta=2.0),
    "gelu": node("Gelu", (3, 4)),
    "gelu by tanh": node("Gelu", (3, 4), approximate="tanh"),
    "softmax": node("Softmax", (3, 4), axis=0),
}


@pytest.mark.parametrize("case", CASES)
def test_each_operation_is_onnxs(case: str) -> None:
    from onnx.reference import ReferenceEvaluator

    made, given = CASES[case]
    inputs = [
        onnx.helper.make_tensor_value_info(n, 1, x.shape) for n, x in zip(made.input, given, strict=True)
    ]
    output = onnx.helper.make_tensor_value_info("y", 1, None)
    graph = onnx.helper.make_graph([made], "g", inputs, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    (expected,) = ReferenceEvaluator(model).run(None, dict(zip(made.input, given, strict=True)))
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in made.attribute}
    found = operations(tf)[made.op_type](attributes, *map(tf.constant, given))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_what_is_not_known_is_said() -> None:
    made, _ = node("Conv", (1, 1, 4, 4), (1, 1, 3, 3), dilations=[2, 2])
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in made.attribute}
    with pytest.raises(LuoxiaError, match="dilated"):
        operations(tf)["Conv"](attributes, tf.zeros([1, 1, 5, 5]), tf.zeros([1, 1, 3, 3]))
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("GridSample", ["x", "x"], ["y"])], "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 1, 2, 2])],
        [onnx.helper.make_tensor_value_info("y", 1, [1, 1, 2, 2])],
    )  # fmt: skip
    with pytest.raises(LuoxiaError, match="GridSample"):
        as_module(tf, onnx.helper.make_model(graph))
