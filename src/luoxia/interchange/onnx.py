"""Networks as ONNX: compared with PyTorch at several sizes before anything is written."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from luoxia.core.errors import LuoxiaError, MissingExtraError
from luoxia.core.files import write_file
from luoxia.provenance.label import Label

Array = NDArray[Any]
Runner = Callable[[dict[str, Array]], Array]
"""Inputs by name → the output, in another toolkit."""

OPSET = 20
LAYOUT = "float32 (n, channels, height, width) in [-1, 1]"
"""Of ``images``, in the metadata."""
BATCHES = (1, 2, 5)
"""Batch sizes at which an exported network is compared with PyTorch's."""
TOLERANCE = 1e-3
"""Largest difference allowed: an eighth of a gray level, in [−1, 1]."""


class ExportModule(nn.Module):
    """What is exported: inputs by name → one output, ``images`` in [−1, 1]. A task's subclass knows its network."""

    def inputs(self, n: int, seed: int) -> dict[str, Tensor]:
        """Random inputs of a batch of n, by name, in their order."""
        raise NotImplementedError

    def dynamic(self) -> dict[str, Any]:
        """The dimensions of each input that may be of any size: the batch."""
        example = self.inputs(2, seed=0)
        return {name: {0: torch.export.Dim.DYNAMIC} if x.dim() else None for name, x in example.items()}

    def metadata(self) -> dict[str, str]:
        """What the exported file says of itself, by name."""
        raise NotImplementedError


def to_onnx(module: ExportModule) -> Any:
    """The module as an ONNX model (a ``ModelProto``), with its metadata, compared with PyTorch.

    Its inputs are the module's, its output ``images``. ``LuoxiaError`` where onnxruntime computes something else.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("export format=onnx", "onnx") from error
    model = _translated(module)
    for key, value in module.metadata().items():
        model.metadata_props.add(key=key, value=value)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    compare(module, lambda inputs: np.asarray(session.run(["images"], inputs)[0]), "onnxruntime")
    return model


def write_onnx(model: Any, out: Path) -> Path:
    """Write what ``to_onnx`` returned as FILE.onnx."""
    return write_file(out, model.SerializeToString())


def origin_metadata(label: Label) -> Mapping[str, str]:
    """Where a model comes from and how its images lie, for ``ExportModule.metadata``."""
    facts = {"recipe": label.recipe, "run": label.run, "step": label.step, "data": label.data}
    known = {key: str(value) for key, value in facts.items() if value not in ("", None)}
    return {"generator": f"{label.system} {label.version}", **known, "images": LAYOUT}


def compare(module: ExportModule, run: Runner, toolkit: str) -> None:
    """``LuoxiaError`` unless ``run`` gives PyTorch's output, for random inputs of several batch sizes."""
    for n in BATCHES:
        inputs = module.inputs(n, seed=n)
        with torch.inference_mode():
            expected = module(**inputs).numpy()
        output = run({name: value.numpy() for name, value in inputs.items()})
        worst = float(np.abs(output - expected).max()) if output.shape == expected.shape else float("inf")
        if not worst <= TOLERANCE:
            raise LuoxiaError(
                f"{toolkit} gives other images than PyTorch (they differ by {worst:.3g} in [−1, 1], for a batch of "
                f"{n}): nothing was written, please report it"
            )


def _translated(module: ExportModule) -> Any:
    """By torch's exporter, which traces the network once for all sizes."""
    example = module.inputs(2, seed=0)
    with _quiet():
        program = torch.onnx.export(
            module,
            kwargs=example,
            dynamic_shapes=module.dynamic(),
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
    """Without the exporter's advice, which is for developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
