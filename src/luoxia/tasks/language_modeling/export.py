"""Exporting, as a verb: a language model as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.tasks.language_modeling.settings import LanguageExportSettings
from luoxia.tasks.outputs import new_place
from luoxia.tasks.record import ModelRecord


def export(record: ModelRecord, /, **settings: Any) -> Path:
    """Write the model, its tokenizer included; ``settings`` are those of ``LanguageExportSettings``.

    What began in such a folder keeps its architecture and its other files. ``UsageError`` for a network that no
    architecture there can express.
    """
    chosen: LanguageExportSettings = LanguageExportSettings.from_settings(settings)
    if chosen.out is None:
        new_place(record, None, "FOLDER")
    from luoxia.interchange.saving import fitting, save_folder
    from luoxia.tasks.language_modeling.base_model import BaseModel, base_tokenizer

    path = str(record.path)
    base = BaseModel.open(path, chosen.adapter)
    like = base.like
    transformer = base.network.config
    if like is None:
        try:
            fitting(transformer, None, encoder=False)
        except LuoxiaError as error:
            raise UsageError(
                f"this network has no counterpart among Hugging Face's architectures ({transformer.activation}, "
                f"norms {'with' if transformer.norm_affine else 'without'} gains): to export a model, train it with "
                "style=gpt2"
            ) from error
    own = None if like is not None else base_tokenizer(path)
    return save_folder(base.network, str(chosen.out), like=like, tokenizer=own, dtype=chosen.dtype)
