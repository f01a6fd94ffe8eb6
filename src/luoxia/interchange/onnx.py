"""Generators and translators of images as ONNX: compared with PyTorch at several sizes before anything is written."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from luoxia.core.errors import LuoxiaError, MissingExtraError
from luoxia.core.files import write_file
from luoxia.provenance.label import Label
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.tasks.image_generation.styles import has_styles
from luoxia.tasks.image_translation.model import ImageTranslator
from luoxia.tasks.image_translation.networks.cyclegan import SMALLEST, STRIDE

Array = NDArray[Any]
Runner = Callable[[dict[str, Array]], Array]
"""Inputs by name → images, in another toolkit."""

OPSET = 20
LAYOUT = "float32 (n, channels, height, width) in [-1, 1]"
BATCHES = (1, 2, 5)
"""Batch sizes at which an exported generator is compared with PyTorch's."""
LONGEST = 4096
"""Pixels a side that an exported translator takes at most."""
TOLERANCE = 1e-3
"""Largest difference allowed: an eighth of a gray level, in [−1, 1]."""


class Playable(nn.Module):
    """What is exported: inputs by name → images in [−1, 1]."""

    def inputs(self, n: int, seed: int) -> dict[str, Tensor]:
        """Random inputs for n images by name, in their order."""
        raise NotImplementedError

    def dynamic(self) -> dict[str, Any]:
        """The dimensions of each input that may be of any size: the batch."""
        example = self.inputs(2, seed=0)
        return {name: {0: torch.export.Dim.DYNAMIC} if x.dim() else None for name, x in example.items()}


class PlayableTranslator(Playable):
    """Images → their translations in one direction; sides are multiples of 4, from 16 to ``LONGEST`` pixels."""

    def __init__(self, translator: ImageTranslator, direction: str) -> None:
        super().__init__()
        self.network = translator.network(direction)
        self.channels = translator.channels

    def forward(self, source: Tensor) -> Tensor:
        """(n, channels, height, width) in [−1, 1] → the same."""
        images: Tensor = self.network(source)
        return images

    def inputs(self, n: int, seed: int) -> dict[str, Tensor]:
        """Noise, of another size for each n."""
        rng = torch.Generator().manual_seed(seed)
        size = (n, self.channels, 2 * SMALLEST + STRIDE * n, 4 * SMALLEST)
        return {"source": 2 * torch.rand(size, generator=rng) - 1}

    def dynamic(self) -> dict[str, Any]:
        """The batch, and both sides."""
        most, least = LONGEST // STRIDE, 2 * SMALLEST // STRIDE
        height, width = (STRIDE * torch.export.Dim(name, min=least, max=most) for name in ("rows", "columns"))
        return {"source": {0: torch.export.Dim.DYNAMIC, 2: height, 3: width}}


class PlayableGenerator(Playable):
    """z, and the controls that the network has, → images in [−1, 1].

    ``labels`` where it is conditional; ``truncation`` ψ, which pulls w towards its mean, where there is a mapping.
    Noise, where a network takes any, is its constant one.
    """

    def __init__(self, generator: ImageGenerator) -> None:
        super().__init__()
        self.network = generator.network
        self.styled = has_styles(generator.network)
        self.classes = len(generator.classes) if generator.conditional else 0

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: Tensor | None = None) -> Tensor:
        """Z (n, latent), labels (n,), truncation () → (n, channels, height, width)."""
        if not self.styled:
            images: Tensor = self.network(z, labels)
            return images.clamp(-1, 1)
        network: Any = self.network
        assert truncation is not None
        w = network.mean_w + truncation * (network.map(z, labels) - network.mean_w)
        styled: Tensor = network.synthesise(w)
        return styled.clamp(-1, 1)

    def inputs(self, n: int, seed: int) -> dict[str, Tensor]:
        """Random inputs by name, in their order."""
        rng = torch.Generator().manual_seed(seed)
        drawn = {"z": torch.randn(n, int(self.network.latent), generator=rng)}  # type: ignore[arg-type]
        if self.classes:
            drawn["labels"] = torch.randint(self.classes, (n,), generator=rng)
        if self.styled:
            drawn["truncation"] = torch.rand((), generator=rng)
        return drawn


def to_onnx(generator: ImageGenerator) -> Any:
    """The generator as an ONNX model (a ``ModelProto``), with its origin as metadata, compared with PyTorch.

    Inputs: ``z`` float32 (n, latent); ``labels`` int64 (n,) of a conditional one; ``truncation`` float32 () of one with
    a mapping. Output: ``images`` float32 (n, channels, height, width) in [−1, 1]. ``LuoxiaError`` where onnxruntime
    gives other images.
    """
    return _compared(PlayableGenerator(generator).eval(), metadata(generator))


def translator_to_onnx(translator: ImageTranslator, direction: str) -> Any:
    """One direction of a translator, likewise.

    Input: ``source`` float32 (n, channels, height, width) in [−1, 1], sides that are multiples of 4, from 16 to
    ``LONGEST``. Output: ``images``, as large.
    """
    facts = {**_origin(translator.details), "direction": direction, "images": LAYOUT}
    return _compared(PlayableTranslator(translator, direction).eval(), facts)


def _compared(playable: Playable, facts: dict[str, str]) -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("export format=onnx", "onnx") from error
    model = _translated(playable)
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    compare(playable, lambda given: np.asarray(session.run(["images"], given)[0]), "onnxruntime")
    return model


def write_onnx(model: Any, out: Path) -> Path:
    """Write what ``to_onnx`` or ``translator_to_onnx`` made as FILE.onnx."""
    return write_file(out, model.SerializeToString())


def metadata(generator: ImageGenerator) -> dict[str, str]:
    """Where it comes from and what its classes are called: texts by name."""
    classes = json.dumps(list(generator.classes) if generator.conditional else [], ensure_ascii=False)
    return {**_origin(generator.details), "classes": classes, "images": LAYOUT}


def _origin(label: Label) -> dict[str, str]:
    facts = {"recipe": label.recipe, "run": label.run, "step": label.step, "data": label.data}
    known = {key: str(value) for key, value in facts.items() if value not in ("", None)}
    return {"generator": f"{label.system} {label.version}", **known}


def compare(playable: Playable, run: Runner, toolkit: str) -> None:
    """``LuoxiaError`` unless ``run`` gives PyTorch's images, for random inputs of several batch sizes."""
    for n in BATCHES:
        given = playable.inputs(n, seed=n)
        with torch.inference_mode():
            expected = playable(**given).numpy()
        found = run({name: value.numpy() for name, value in given.items()})
        worst = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
        if not worst <= TOLERANCE:
            raise LuoxiaError(
                f"{toolkit} gives other images than PyTorch (they differ by {worst:.3g} in [−1, 1], for a batch of "
                f"{n}): nothing was written, please report it"
            )


def _translated(playable: Playable) -> Any:
    """By torch's exporter, which traces the network once for all sizes."""
    example = playable.inputs(2, seed=0)
    with _quiet():
        program = torch.onnx.export(
            playable,
            kwargs=example,
            dynamic_shapes=playable.dynamic(),
            input_names=list(example),
            output_names=["images"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's advice to developers is none of the user's."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
