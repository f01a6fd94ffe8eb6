"""Writing a trained model for other toolkits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.core.values import named_path
from luoxia.runs.run import Run
from luoxia.verbs.ask import ask


def export(model: str | Path | Run, out: str | Path | None = None, **settings: Any) -> Path:
    """Write a model for other toolkits, and return where.

    ``format``: of a language model ``huggingface``, a folder that transformers and vLLM open; of an image generator
    ``onnx``, a file, or ``tensorflow``, a SavedModel folder, both compared with PyTorch before they are written; of an
    image translator ``onnx``, one ``direction`` of it (a2b if unset). If unset, the first that the model has.
    ``dtype``, of a language model's weights: float32, bfloat16 or float16. ``use``: the file of a recipe of one's own.
    ``adapter``: a PEFT folder, merged into a Hugging Face folder's weights. ``UsageError`` for a model or a network
    that the format cannot hold.
    """
    given = {key: value for key, value in {"out": out, **settings}.items() if value is not None}
    return Path(ask("export", named_path(model, "export"), **given))
