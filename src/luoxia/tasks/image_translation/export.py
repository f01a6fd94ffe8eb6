"""Exporting, as a verb: one direction of a translator as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.tasks.image_translation.settings import TranslatorExportSettings
from luoxia.tasks.outputs import new_place
from luoxia.tasks.record import ModelRecord


def export(record: ModelRecord, /, **settings: Any) -> Path:
    """Write a direction, compared with PyTorch before; ``settings`` are those of ``TranslatorExportSettings``."""
    chosen: TranslatorExportSettings = TranslatorExportSettings.from_settings(settings)
    out = new_place(record, chosen.out, "FILE.onnx")
    from luoxia.interchange import onnx
    from luoxia.tasks.image_translation.export_module import TranslatorModule
    from luoxia.tasks.loading import load_model

    return onnx.write_onnx(onnx.to_onnx(TranslatorModule(load_model(record), chosen.direction)), out)
