"""Exporting, as a verb: a generator as ONNX, or as TensorFlow's SavedModel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.tasks.image_generation.settings import GeneratorExportSettings
from luoxia.tasks.outputs import new_place
from luoxia.tasks.record import ModelRecord


def export(record: ModelRecord, /, **settings: Any) -> Path:
    """Write the generator, compared with PyTorch before; ``settings`` are those of ``GeneratorExportSettings``."""
    chosen: GeneratorExportSettings = GeneratorExportSettings.from_settings(settings)
    to_onnx = chosen.format in (None, "onnx")
    out = new_place(record, chosen.out, "FILE.onnx" if to_onnx else "FOLDER")
    from luoxia.tasks.image_generation.export_module import GeneratorModule
    from luoxia.tasks.loading import load_model

    module = GeneratorModule(load_model(record))
    if to_onnx:
        from luoxia.interchange import onnx

        return onnx.write_onnx(onnx.to_onnx(module), out)
    from luoxia.interchange.tensorflow import write_saved_model

    return write_saved_model(module, out)
