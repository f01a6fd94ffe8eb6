"""Trained models in other toolkits' formats."""

from __future__ import annotations

from pathlib import Path

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.interchange.saving import fitting, save_folder
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.tasks.image_translation.model import ImageTranslator
from luoxia.tasks.language_modeling.base_model import Origin, origin_tokenizer
from luoxia.tasks.language_modeling.training import TextSession


def export_images(model: ImageGenerator | ImageTranslator, out: Path, format: str, direction: str) -> Path:
    """Write a generator, or a direction of a translator, as FILE.onnx or as a SavedModel folder, which must be new."""
    from luoxia.interchange.onnx import to_onnx, translator_to_onnx, write_onnx
    from luoxia.interchange.tensorflow import write_saved_model

    if isinstance(model, ImageTranslator):
        return write_onnx(translator_to_onnx(model, direction), out)
    return write_onnx(to_onnx(model), out) if format == "onnx" else write_saved_model(model, out)


def export_huggingface(model: str, out: str, dtype: str | None = None, adapter: str | None = None) -> Path:
    """Write a language model as a Hugging Face folder, its tokenizer included, and a PEFT ``adapter`` merged.

    What began in such a folder keeps its architecture and its other files. ``UsageError`` for a network that no
    architecture there can express.
    """
    origin = Origin.open(model, TextSession, adapter)
    like = origin.like
    shape = origin.network.config
    if like is None:
        try:
            fitting(shape, None, encoder=False)
        except LuoxiaError as error:
            raise UsageError(
                f"no architecture of Hugging Face's is like this network ({shape.activation}, "
                f"norms {'with' if shape.norm_affine else 'without'} gains): train one to be exported with style=gpt2"
            ) from error
    own = None if like is not None else origin_tokenizer(model)
    return save_folder(origin.network, out, like=like, tokenizer=own, dtype=dtype)
