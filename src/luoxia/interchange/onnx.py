"""Image generators as ONNX: any batch size, controls as inputs, compared with PyTorch before anything is written."""

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

from luoxia import __version__
from luoxia.errors import LuoxiaError, MissingExtraError
from luoxia.generation.images import ImageGenerator
from luoxia.generation.styles import has_styles
from luoxia.provenance.files import write_file

Array = NDArray[Any]
Runner = Callable[[dict[str, Array]], Array]
"""Inputs by name → images, in another toolkit."""

OPSET = 20
BATCHES = (1, 2, 5)
"""Batch sizes at which an exported generator is compared with PyTorch's."""
TOLERANCE = 1e-3
"""Largest difference allowed: an eighth of a grey level, in [−1, 1]."""


class Playable(nn.Module):
    """What is exported: z, and the controls that the network has, → images in [−1, 1].

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
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtraError("export format=onnx", "onnx") from None
    playable = Playable(generator).eval()
    model = _translated(playable)
    for key, value in metadata(generator).items():
        model.metadata_props.add(key=key, value=value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    compare(playable, lambda given: np.asarray(session.run(["images"], given)[0]), "onnxruntime")
    return model


def write_onnx(generator: ImageGenerator, out: Path) -> Path:
    """Write FILE.onnx; nothing is written that was not compared with PyTorch."""
    return write_file(out, to_onnx(generator).SerializeToString())


def metadata(generator: ImageGenerator) -> dict[str, str]:
    """Where it comes from and what its classes are called: texts by name."""
    facts = {key: str(value) for key, value in generator.details.items()}
    classes = json.dumps(list(generator.classes) if generator.conditional else [], ensure_ascii=False)
    layout = "float32 (n, channels, height, width) in [-1, 1]"
    return {"generator": f"Luoxia {__version__}", **facts, "classes": classes, "images": layout}


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
    """By torch's exporter, which traces the network once for all batch sizes."""
    example = playable.inputs(2, seed=0)
    dynamic = {
        name: {0: torch.export.Dim.DYNAMIC} if value.dim() else None for name, value in example.items()
    }
    with _quiet():
        program = torch.onnx.export(
            playable,
            kwargs=example,
            dynamic_shapes=dynamic,
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
