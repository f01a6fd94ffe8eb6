"""Image generators and translators as ONNX: run by onnxruntime, at sizes that were never traced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from luoxia.core.errors import LuoxiaError
from luoxia.interchange import onnx as exporting
from luoxia.provenance.label import Label
from luoxia.tasks.image_generation.export_module import GeneratorModule
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.tasks.image_generation.networks import dcgan, mlp, r3gan, resnet, stylegan2, transformer_gan
from luoxia.tasks.image_translation.export_module import TranslatorModule
from luoxia.tasks.image_translation.model import ImageTranslator
from luoxia.tasks.image_translation.networks import cyclegan
from pairs import a_generator

onnxruntime = pytest.importorskip("onnxruntime")

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: a_generator(mlp, 4, (1, 6, 8), (8, 16, 8)),
    "dcgan": lambda: a_generator(dcgan, 4, (3, 20, 16), 4, refine=True, classes=3),
    "dcgan of the paper": lambda: a_generator(dcgan, 4, (4, 16, 16), 4),
    "resnet": lambda: a_generator(resnet, 4, (3, 18, 16), 4),
    "r3gan": lambda: a_generator(r3gan, 4, (3, 16, 16), 8, max_channels=8, depth=1, group=4, classes=3),
    "transformer-gan": lambda: a_generator(transformer_gan, 4, (3, 8, 12), 8, layers=1, heads=2, classes=3),
    "stylegan2": lambda: a_generator(
        stylegan2, 8, (3, 8, 8), 4, max_channels=8, styles=8, mapping_layers=2, classes=3
    ),
}


def generator_of(kind: str) -> ImageGenerator:
    """Of random weights, large enough that images differ, and batch statistics that are not 0 and 1."""
    torch.manual_seed(3)
    network = NETWORKS[kind]()
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if value.is_floating_point() and kind != "stylegan2":
                value.copy_(torch.rand_like(value) + 0.5 if "var" in name else 0.3 * torch.randn_like(value))
    if kind == "stylegan2":
        network.mean_w.normal_()  # type: ignore[union-attr, operator]
    classes = ("ant", "bee", "蝶") if network.classes else ()
    return ImageGenerator(network, classes=classes, details=Label(recipe=kind, run="r-1", step=7, data="ab"))


@pytest.mark.parametrize("kind", NETWORKS)
def test_onnxruntime_gives_the_generators_images(kind: str, tmp_path: Path) -> None:
    generator = generator_of(kind)
    path = exporting.write_onnx(exporting.to_onnx(GeneratorModule(generator)), tmp_path / "g.onnx")
    session = onnxruntime.InferenceSession(path)
    z = generator.latents(7, seed=5)
    labels = generator.labels(7)
    given: dict[str, Any] = {"z": z.numpy()}
    if labels is not None:
        given["labels"] = labels.numpy()
    if kind == "stylegan2":
        given["truncation"] = np.array(0.7, np.float32)
    assert [value.name for value in session.get_inputs()] == list(given)
    (images,) = session.run(None, given)
    truncation = {"truncation": 0.7} if kind == "stylegan2" else {}
    expected = generator.sample(7, seed=5, **truncation)
    as_bytes = np.rint((images.transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8)
    assert expected.std() > 10
    assert np.abs(as_bytes.astype(int) - expected).max() <= 1
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["recipe"], facts["run"], facts["step"]) == (kind, "r-1", "7")
    assert facts["classes"] == ('["ant", "bee", "蝶"]' if labels is not None else "[]")


@pytest.mark.parametrize("resize", [False, True])
def test_onnxruntime_gives_the_translators_images_at_any_size(resize: bool, tmp_path: Path) -> None:
    torch.manual_seed(3)
    ways = {
        way: cyclegan.Generator(cyclegan.GeneratorConfig(channels=3, width=4, blocks=2, resize=resize))
        for way in ("a2b", "b2a")
    }
    with torch.no_grad():
        for weight in ways["b2a"].parameters():
            weight.copy_(0.3 * torch.randn_like(weight))
    details = Label(recipe="cyclegan", run="r-1", step=7, data="ab")
    translator = ImageTranslator(cyclegan.ModuleGroup(ways), channels=3, details=details)
    module = TranslatorModule(translator, "b2a")
    path = exporting.write_onnx(exporting.to_onnx(module), tmp_path / "t.onnx")
    session = onnxruntime.InferenceSession(path)
    for n, height, width in ((3, 28, 52), (1, 64, 16)):
        images = np.random.default_rng(n).integers(0, 256, (n, height, width, 3), np.uint8)
        source = images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        (made,) = session.run(None, {"source": source})
        as_bytes = np.rint((made.transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8)
        expected = translator.translate(images, "b2a")
        assert expected.std() > 10
        assert np.abs(as_bytes.astype(int) - expected).max() <= 1
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["recipe"], facts["direction"]) == ("cyclegan", "b2a")


def test_what_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translated = exporting._translated

    def spoilt(module: exporting.ExportModule) -> Any:
        model = translated(module)
        weight = next(tensor for tensor in model.graph.initializer if "weight" in tensor.name)
        values = np.frombuffer(weight.raw_data, np.float32).copy()
        values[0] += 1
        weight.raw_data = values.tobytes()
        return model

    monkeypatch.setattr(exporting, "_translated", spoilt)
    with pytest.raises(LuoxiaError, match="onnxruntime gives other images than PyTorch"):
        exporting.write_onnx(exporting.to_onnx(GeneratorModule(generator_of("mlp"))), tmp_path / "g.onnx")
    assert list(tmp_path.iterdir()) == []


def test_other_sizes_and_nothing_at_all_are_differences() -> None:
    module = GeneratorModule(generator_of("mlp"))
    for wrong in (lambda given: np.zeros((1, 2)), lambda given: np.full((len(given["z"]), 1, 6, 8), np.nan)):
        with pytest.raises(LuoxiaError, match="other images"):
            exporting.compare(module, wrong, "a toolkit")
