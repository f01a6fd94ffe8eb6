"""Translating, as a verb: an image, or a folder or zip of them, each written under its own name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded
from luoxia.tasks.image_translation.settings import TranslateImageSettings
from luoxia.tasks.outputs import Word, claimed
from luoxia.tasks.record import ModelRecord


def translate(record: ModelRecord, what: str | Path, /, **settings: Any) -> dict[str, Any]:
    """Write translations; returns ``out``, ``translated`` and ``skipped``. See ``TranslateImageSettings``."""
    chosen: TranslateImageSettings = TranslateImageSettings.from_settings(settings)
    if isinstance(what, str) and not isinstance(what, Word):
        raise UsageError(
            f"{record.path} translates images: give file=PATH, an image, or a folder or zip of them"
        )
    what = str(what)
    from luoxia.formats import png
    from luoxia.formats.places import Named, form_of
    from luoxia.media.image.originals import open_originals
    from luoxia.provenance.label import Parent
    from luoxia.tasks.labeling import label_of
    from luoxia.tasks.loading import load_model
    from luoxia.training.hardware import choose_device, choose_precision

    originals = open_originals(what)
    if chosen.out is None:
        needed = "FILE.png" if originals.single else "FOLDER"
        raise UsageError(
            f"translating images needs out={needed}: luoxia translate {record.path} {what} out={needed}"
        )
    wanted = (".png", "") if originals.single else ("",)
    out = claimed(record, chosen.out, wanted, chosen.overwrite, expanded(what))
    named = None if originals.single and form_of(out, chosen.out) else Named(out)
    dtype = choose_precision(chosen.precision, choose_device(chosen.device))
    translator = load_model(record, ema=chosen.ema, device=chosen.device, dtype=dtype)
    translator.network(chosen.direction)
    label = label_of(translator, record, ema=chosen.ema)
    label = label.asked({"direction": chosen.direction, "ema": chosen.ema})
    skipped, translated = [], 0
    for name, target, digest, pixels in originals.read(translator.channels):
        place: Path | str = (
            pixels if isinstance(pixels, str) else out if named is None else named.place(target)
        )
        if isinstance(place, str):
            skipped.append({"name": name, "reason": place})
            continue
        translation = translator.translate(pixels, chosen.direction, tile=chosen.tile)
        png.write(translation, label.asked({}, index=translated, parents=[Parent(name, digest)]), place)
        translated += 1
    if not translated:
        first = skipped[0]
        raise LuoxiaError(
            f"none of the images at {what} could be read, such as {first['name']}: {first['reason']}"
        )
    return {"out": str(out), "translated": translated, "skipped": skipped}
