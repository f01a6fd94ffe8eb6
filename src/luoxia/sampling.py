"""The calls behind ``sample``, ``translate``, ``export``, ``measure`` and ``data``: settings around the Python API."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luoxia.config import nearest
from luoxia.errors import LuoxiaError, UsageError
from luoxia.opening import opening, using
from luoxia.runs.folder import require_run
from luoxia.settings import (
    DataSettings,
    ExportSettings,
    MeasureSettings,
    SampleSettings,
    TextSettings,
    TranslateImageSettings,
    TranslateSettings,
)


def sample(run: str, /, **settings: Any) -> Path | Iterator[str]:
    """Write samples of a run and return where; without ``out``, a language model's text comes as it is written.

    ``settings`` are those of ``SampleSettings``, or of ``TextSettings`` for a language model.
    """
    opening(run, settings)
    from luoxia import api
    from luoxia.sessions.text import TextSession

    kind = api.kind_of(run)
    if told := api.other_verb(run):
        raise UsageError(told)
    if kind == TextSession.exported:
        condition, others = _condition(settings, api.condition_of(run))
        return _sample_text(run, TextSettings.from_settings(others), condition)
    chosen: SampleSettings = SampleSettings.from_settings(settings)
    out = _output(run, chosen)
    return _sample_images(api.load(run, ema=chosen.ema, device=chosen.device), out, chosen)


def _condition(settings: dict[str, Any], known: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the fields say, all other settings): a field is a key, or condition.FIELD where a key has its name."""
    keys = [field.alias or name for name, field in TextSettings.model_fields.items()]
    said = {key: settings[key] for key in known if key in settings and key not in keys}
    others = {key: value for key, value in settings.items() if key != "condition" and key not in said}
    prefixed = settings.get("condition", {})
    if not isinstance(prefixed, dict):
        raise UsageError(f"condition={prefixed}: write condition.FIELD=VALUE, or FIELD=VALUE")
    for key in others:
        if known and key not in keys:
            hint = nearest(key, [*known, *keys]) or f"; the fields of this model are {', '.join(known)}"
            raise UsageError(f"unknown key '{key}'{hint}")
    return {**prefixed, **said}, others


def _sample_text(run: str, chosen: TextSettings, condition: dict[str, str]) -> Path | Iterator[str]:
    from luoxia import api
    from luoxia.generation.text import Decoding
    from luoxia.provenance.files import write_file

    names = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop")
    decoding = Decoding(**{name: getattr(chosen, name) for name in names})
    out = None if chosen.out is None else free_path(chosen.out, (".txt", ".jsonl"), chosen.overwrite)
    generator = api.load(run, ema=chosen.ema, device=chosen.device, adapter=chosen.adapter)
    generator.lighten(bf16=chosen.precision == "bf16", int8=chosen.int8)
    rule = generator.rule(
        poem=chosen.poem, readings=chosen.readings, schema=chosen.schema_, grammar=chosen.grammar
    )
    asked = {"prompt": chosen.prompt, "condition": condition, "constraint": rule, "decoding": decoding}
    if out is None and chosen.n == 1:
        written = generator.stream(seed=chosen.seed, **asked)
        first = next(written, "")  # what is wrong with the prompt is said before anything is written
        return itertools.chain([chosen.prompt, first], written)
    texts = generator.sample(chosen.n, chosen.seed, **asked)
    if out is None:
        return iter("\n\n".join(chosen.prompt + text for text in texts))
    if out.suffix.lower() == ".txt":
        write_file(out, "\n\n".join(chosen.prompt + text for text in texts) + "\n")
    else:
        told = {
            "prompt": chosen.prompt,
            **({"condition": condition} if condition else {}),
            "seed": chosen.seed,
        }
        rows = ({"text": text, **told, "index": i, **generator.details} for i, text in enumerate(texts))
        write_file(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return out


def _sample_images(generator: Any, out: Path, chosen: SampleSettings) -> Path:
    from luoxia.provenance import images as writer
    from luoxia.training.hardware import choose_precision

    generator.dtype = choose_precision(chosen.precision, generator.device)
    controls: dict[str, Any] = {"label": chosen.label, "truncation": chosen.truncation}
    given = {"mix": chosen.mix, "mix_layers": chosen.mix_layers}
    controls |= {key: value for key, value in given.items() if value is not None}
    controls |= {} if chosen.noise == "const" else {"noise": chosen.noise}
    parameters = {**generator.details, "seed": chosen.seed, **controls, "ema": chosen.ema}
    parameters |= {} if chosen.precision == "fp32" else {"precision": chosen.precision}
    if chosen.interpolate:
        frames = generator.interpolate(chosen.n, chosen.interpolate, chosen.seed, **controls)
        return writer.write_gif(out, frames, {**parameters, "interpolate": chosen.interpolate, "n": chosen.n})
    if chosen.direction is None:
        images = generator.sample(chosen.n, chosen.seed, **controls)
    else:
        images = generator.along(chosen.direction, chosen.strength, chosen.n, chosen.seed, **controls)
        parameters |= {"direction": chosen.direction, "strength": chosen.strength}
    kind = _kind(out, chosen.out)
    if kind == ".npz":
        labels = generator.labels(chosen.n, chosen.label)
        return writer.write_npz(out, images, None if labels is None else labels.numpy(), parameters)
    if kind == ".png":
        return writer.write_grid(out, images, {**parameters, "n": chosen.n}, chosen.columns)
    return writer.write_folder(out, images, ({**parameters, "index": i} for i in range(chosen.n)))


def translate(run: str, what: str, /, **settings: Any) -> Path | str | dict[str, Any]:
    """Translate a text, or a file line by line; or an image, or a folder or zip of them, by a translator of images.

    ``settings`` are those of ``TranslateSettings`` or ``TranslateImageSettings``. Returns a text's translation, or
    where it was written: a line in is a line out, an empty one too. Of images: ``out``, ``translated``, ``skipped``.
    """
    opening(run, settings)
    from luoxia import api
    from luoxia.data.text.alignment import read_lines
    from luoxia.generation.translation import Translator
    from luoxia.provenance.files import write_file

    if api.kind_of(run) == "image translator":
        return _translate_images(run, what, TranslateImageSettings.from_settings(settings))
    chosen: TranslateSettings = TranslateSettings.from_settings(settings)
    out = None if chosen.out is None else _unoccupied(chosen.out, chosen.overwrite)
    translator = api.load(run, device=chosen.device)
    if not isinstance(translator, Translator):
        raise UsageError(
            api.other_verb(run)
            or f"{run} is no translator; train one of sentences with luoxia train translate data=… against=…, "
            "or of images with luoxia train cyclegan data=… against=…"
        )
    file = named_file(what)
    lines = [what] if file is None else read_lines(file)
    found = translator.translate(lines, beams=chosen.beams, alpha=chosen.alpha, max_tokens=chosen.max_tokens)
    text = "\n".join(" ".join(line.splitlines()) for line in found)
    return text if out is None else write_file(out, text + "\n")


def named_file(what: str) -> Path | None:
    """The file that ``what`` names, None where it is a text itself; ``UsageError`` for a path with nothing to read."""
    from luoxia.data.reading import kind_of
    from luoxia.data.text.records import RECORDS
    from luoxia.data.text.sources import PLAIN

    path = Path(what)
    with contextlib.suppress(OSError):  # a text may be too long to be asked for as a name
        if path.is_file():
            return path
    if what.endswith(("/", os.sep)) and path.is_dir():
        raise UsageError(f"{what} is a folder: give a text, or a file of texts")
    if len(what.split()) == 1 and kind_of(path) in PLAIN | RECORDS:
        raise UsageError(f"there is nothing at {what}: check the path")
    return None


def _translate_images(run: str, what: str, chosen: TranslateImageSettings) -> dict[str, Any]:
    """Write each image of ``what``, translated, under its own name."""
    from luoxia import api
    from luoxia.data.originals import open_originals
    from luoxia.provenance.images import write_png
    from luoxia.training.hardware import choose_precision

    originals = open_originals(what)
    if chosen.out is None:
        place = "FILE.png" if originals.single else "FOLDER"
        raise UsageError(f"translating images needs out={place}: luoxia translate {run} {what} out={place}")
    out = free_path(chosen.out, (".png", "") if originals.single else ("",), chosen.overwrite)
    folder = not originals.single or _kind(out, chosen.out) == ""
    translator = api.load(run, ema=chosen.ema, device=chosen.device)
    translator.network(chosen.direction)
    translator.dtype = choose_precision(chosen.precision, translator.device)
    skipped, translated = [], 0
    for name, target, pixels in originals.read(translator.channels):
        if isinstance(pixels, str):
            skipped.append({"name": name, "reason": pixels})
            continue
        made = translator.translate(pixels, chosen.direction, tile=chosen.tile)
        parameters = {**translator.details, "direction": chosen.direction, "ema": chosen.ema, "of": name}
        write_png(out / target if folder else out, made, parameters)
        translated += 1
    if not translated:
        first = skipped[0]
        raise LuoxiaError(
            f"none of the images at {what} could be read, such as {first['name']}: {first['reason']}"
        )
    return {"out": str(out), "translated": translated, "skipped": skipped}


def export(run: str, /, **settings: Any) -> Path:
    """Write a model for other toolkits; ``settings`` are those of ``ExportSettings``."""
    opening(run, settings)
    chosen: ExportSettings = ExportSettings.from_settings(settings)
    if chosen.out is None:
        raise UsageError(
            f"export needs out=: luoxia export {run} out=FOLDER, or out=FILE.onnx of a model of images"
        )
    from luoxia import api

    return api.export(run, **chosen.model_dump(exclude_none=True, exclude={"use"}))


def measure(run: str | None, /, **settings: Any) -> Any:
    """Score a run, or two sources of images; ``settings`` are those of ``MeasureSettings``."""
    if run is not None:
        require_run(Path(run))
        using(settings)
    chosen = MeasureSettings.from_settings(settings)
    from luoxia import measuring

    return measuring.measure(run, **chosen.model_dump())


def describe_data(path: str | None, /, **settings: Any) -> dict[str, Any]:
    """What would be read from ``path``; ``settings`` are those of ``DataSettings``."""
    chosen = DataSettings.from_settings(settings)
    from luoxia.data import describe
    from luoxia.data.text.describe import describe_text, holds_text

    if path is not None and holds_text(path):
        for key in settings:
            raise UsageError(f"{key}= is for images, and {path} holds text")
        return describe_text(path).as_dict()
    return describe(path, chosen.size, chosen.crop, chosen.channels).as_dict()


def _kind(out: Path, asked: str | None) -> str:
    """The ending that decides the format, "" for a folder, which may have a dot in its name: v1.2/."""
    return "" if out.is_dir() or (asked or "").endswith(("/", os.sep)) else out.suffix.lower()


def _output(run: str, chosen: SampleSettings) -> Path:
    """Where to write, checked before work starts."""
    if chosen.out is None:
        return numbered(run, ".gif" if chosen.interpolate else ".png")
    wanted = (".gif",) if chosen.interpolate else (".png", ".npz", "")
    return free_path(chosen.out, wanted, chosen.overwrite)


def numbered(run: str, ending: str) -> Path:
    """The first free of RUN/generated/001, 002 …"""
    folder, number = Path(run) / "generated", 1
    while (folder / f"{number:03d}{ending}").exists():
        number += 1
    return folder / f"{number:03d}{ending}"


def free_path(asked: str, wanted: tuple[str, ...], overwrite: bool) -> Path:
    """The path, if its ending is one of those wanted ("" is a folder) and nothing is lost by writing there."""
    out = Path(asked)
    if _kind(out, asked) not in wanted:
        names = [f"FILE{ending}" if ending else "FOLDER/" for ending in wanted]
        must = " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        raise UsageError(f"out={asked}: must be {must}")
    return _unoccupied(asked, overwrite)


def _unoccupied(asked: str, overwrite: bool) -> Path:
    """The path, if nothing is lost by writing there."""
    out = Path(asked)
    occupied = any(out.iterdir()) if out.is_dir() else out.exists()
    if occupied and not overwrite:
        raise UsageError(f"out={asked} is there already; choose another, or add overwrite=true")
    return out
