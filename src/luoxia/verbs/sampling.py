"""The calls behind ``sample``, ``translate``, ``export``, ``measure`` and ``data``: settings around the Python API."""

from __future__ import annotations

import contextlib
import itertools
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luoxia.core.config import flatten, nearest
from luoxia.core.devices import require_device
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded, many
from luoxia.media.image.keys import DataSettings
from luoxia.runs.folder import LANGUAGE_MODEL, condition_of, kind_of, other_verb, require_run
from luoxia.tasks.image_generation.requests import needing_styles
from luoxia.tasks.image_generation.settings import SampleSettings
from luoxia.tasks.image_translation.settings import TranslateImageSettings
from luoxia.tasks.language_modeling.settings import DECODING, TextSettings
from luoxia.tasks.text_translation.settings import TranslateSettings
from luoxia.verbs.opening import check_images_asked, checked_format, opening, require_data, using
from luoxia.verbs.settings import ExportSettings, MeasureSettings


def sample(run: str, /, **settings: Any) -> Path | Iterator[str] | list[str]:
    """Write samples of a run and return where; without ``out``, a language model's text comes as it is written.

    Without ``out``, several texts are a list.

    ``settings`` are those of ``SampleSettings``, or of ``TextSettings`` for a language model.
    """
    opening(run, settings)
    if told := other_verb(run):
        raise UsageError(told)
    if kind_of(run) == LANGUAGE_MODEL:
        condition, others = _condition(settings, condition_of(run))
        return _sample_text(run, TextSettings.from_settings(others), condition)
    chosen: SampleSettings = SampleSettings.from_settings(settings)
    check_images_asked(run, chosen.label, needing_styles(chosen.mix, chosen.mix_layers, chosen.noise))
    out = _output(run, chosen)
    from luoxia.training.hardware import choose_device, choose_precision
    from luoxia.verbs import api

    dtype = choose_precision(chosen.precision, choose_device(chosen.device))
    return _sample_images(run, api.load(run, ema=chosen.ema, device=chosen.device, dtype=dtype), out, chosen)


def _condition(settings: dict[str, Any], known: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the fields say, all other settings): a field is a key, or condition.FIELD where a key has its name."""
    keys = [field.alias or name for name, field in TextSettings.model_fields.items()]
    given = dict(settings)
    prefixed = given.pop("condition", {})
    if not isinstance(prefixed, dict):
        raise UsageError(f"condition={prefixed}: write condition.FIELD=VALUE, or FIELD=VALUE")
    # The dot in the name of a field has made a section of it.
    fields, prefixed = (
        {unicodedata.normalize("NFC", key): value for key, value in flatten(nested).items()}
        for nested in (given, prefixed)
    )
    said = {key: fields[key] for key in known if key in fields and key not in keys}
    others = {key: value for key, value in fields.items() if key not in said}
    for key in others:
        if known and key not in keys:
            hint = nearest(key, [*known, *keys]) or f"; the fields of this model are {', '.join(known)}"
            raise UsageError(f"unknown key '{key}'{hint}")
    return {**prefixed, **said}, others


def _sample_text(
    run: str, chosen: TextSettings, condition: dict[str, str]
) -> Path | Iterator[str] | list[str]:
    from luoxia.media.text.chat import read_messages

    read = [
        None if path is None else Path(path) for path in (chosen.readings, chosen.schema_, chosen.grammar)
    ]
    messages = None if chosen.messages is None else read_messages(chosen.messages)
    out = (
        None
        if chosen.out is None
        else claimed(run, chosen.out, (".txt", ".md", ".jsonl"), chosen.overwrite, *read)
    )
    from luoxia.decoding.loop import Decoding
    from luoxia.formats import jsonl, md, txt
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.verbs import api

    decoding = Decoding(**{name: getattr(chosen, name) for name in DECODING})
    precise = {
        "dtype": "bfloat16" if chosen.precision == "bf16" else None,
        "quantize": "int8" if chosen.int8 else None,
    }
    generator = api.load(run, ema=chosen.ema, device=chosen.device, adapter=chosen.adapter, **precise)
    rule = generator.rule(
        poem=chosen.poem, readings=chosen.readings, schema=chosen.schema_, grammar=chosen.grammar
    )
    asked = {
        "prompt": chosen.prompt,
        "messages": messages,
        "condition": condition,
        "constraint": rule,
        "decoding": decoding,
    }
    if out is None and chosen.n == 1:
        written = generator.stream(seed=chosen.seed, **asked)
        first = next(written, "")  # what is wrong with the prompt is said before anything is written
        return itertools.chain([chosen.prompt + first], written)
    texts = generator.sample(chosen.n, chosen.seed, **asked)
    whole = "\n\n".join(chosen.prompt + text for text in texts)
    if out is None:
        return [chosen.prompt + text for text in texts]
    request = {"prompt": chosen.prompt, "messages": messages, "condition": condition}
    request = {key: value for key, value in request.items() if value or key == "prompt"}
    own = chosen.model_dump(exclude_defaults=True, include={*DECODING, "poem", "ema", "precision", "int8"})
    parents = [one for path in read for one in parent(path)]
    label = label_of(generator, run, ema=chosen.ema)
    label = label.asked({**request, "n": chosen.n, **own}, seed=chosen.seed, parents=parents)
    if out.suffix.lower() == ".jsonl":
        return jsonl.write(({"text": text, **request} for text in texts), label, out)
    if out.suffix.lower() == ".md":
        return md.write(whole + "\n", label, out)
    return txt.write(whole + "\n", label, out, inline=chosen.label_inline == "end")


def _sample_images(run: str, generator: Any, out: Path, chosen: SampleSettings) -> Path:
    """Write images as they are made."""
    from luoxia.formats.places import form_of
    from luoxia.media.image import writer as writer
    from luoxia.tasks.labeling import label_of

    label = generator.class_asked(chosen.label)
    controls: dict[str, Any] = {"label": label, "truncation": chosen.truncation}
    given = {"mix": chosen.mix, "mix_layers": chosen.mix_layers}
    controls |= {key: value for key, value in given.items() if value is not None}
    controls |= {} if chosen.noise == "const" else {"noise": chosen.noise}
    request = {**controls, "ema": chosen.ema, "n": chosen.n}
    request |= {} if chosen.precision == "fp32" else {"precision": chosen.precision}
    if chosen.interpolate:
        request |= {"interpolate": chosen.interpolate}
    elif chosen.direction is not None:
        request |= {"direction": chosen.direction, "strength": chosen.strength}
    made = label_of(generator, run, ema=chosen.ema).asked(request, seed=chosen.seed)
    if chosen.interpolate:
        _tell_need(chosen.n * chosen.interpolate, generator.shape)
        frames = generator.stream_interpolation(chosen.n, chosen.interpolate, chosen.seed, **controls)
        return writer.write_gif(out, frames, made)
    kind = form_of(out, chosen.out or "")
    if kind == ".png":
        writer.check_grid(chosen.n, generator.shape, chosen.columns)
    _tell_need(chosen.n, generator.shape)
    shift = None
    if chosen.direction is not None:
        shift = generator.towards(chosen.direction, chosen.strength)
    images = generator.stream(chosen.n, chosen.seed, shift=shift, **controls)
    if kind == ".npz":
        labels = generator.labels(chosen.n, label)
        own = None if labels is None else labels.numpy()
        return writer.write_npz(out, images, own, made, chosen.n)
    if kind == ".png":
        return writer.write_grid(out, images, made, chosen.columns, chosen.n)
    return writer.write_folder(out, images, made)


LARGE = 2**30
"""Bytes of images from which on is told what will be written."""


def _tell_need(n: int, shape: tuple[int, int, int]) -> None:
    """Say how much many images are, before they are made."""
    if (size := n * math.prod(shape)) >= LARGE:
        from luoxia.runs.display import Display

        told = f"{many(n, 'image')} of {shape[0]} × {shape[1]} × {shape[2]}"
        Display().tell(f"{told}: {size / 2**30:,.1f} GiB before they are packed, written as they are made")


def translate(
    run: str, /, *, text: str | None = None, file: str | Path | None = None, **settings: Any
) -> Path | str | dict[str, Any]:
    """Translate a ``text``, or a ``file`` line by line; or images: a file, a folder or a zip.

    ``settings`` are those of ``TranslateSettings`` or ``TranslateImageSettings``. Returns a text's translation, or
    where it was written: a line or a row in is a line out, an empty line too. Of images: ``out``, ``translated``,
    ``skipped``.
    """
    opening(run, settings)
    if (text is None) == (file is None):
        raise UsageError("translate needs text= or file=, one of them")
    if kind_of(run) != "image translator":
        return _translate_text(run, text, file, TranslateSettings.from_settings(flatten(settings)))
    if file is None:
        raise UsageError(f"{run} translates images: give file=PATH, an image, or a folder or zip of them")
    return _translate_images(run, str(file), TranslateImageSettings.from_settings(settings))


def translate_word(run: str, what: str, /, **settings: Any) -> Path | str | dict[str, Any]:
    """The same for a word of the command line, which may be a text or name a file."""
    opening(run, settings)
    if kind_of(run) == "image translator":
        return _translate_images(run, what, TranslateImageSettings.from_settings(settings))
    file = named_file(what)
    text = what if file is None else None
    return _translate_text(run, text, file, TranslateSettings.from_settings(flatten(settings)))


def _translate_text(
    run: str, text: str | None, file: str | Path | None, chosen: TranslateSettings
) -> Path | str:
    if kind_of(run) not in ("", "translator"):
        raise UsageError(
            other_verb(run)
            or f"{run} is no translator; train one of sentences with luoxia train translate data=… against=…, "
            "or of images with luoxia train cyclegan data=… against=…"
        )
    read = None if file is None else Path(file)

    out = None if chosen.out is None else claimed(run, chosen.out, None, chosen.overwrite, read)
    from luoxia.formats import txt
    from luoxia.media.text.asked import texts_in
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.verbs import api

    translator = api.load(run, device=chosen.device)
    lines = [text or ""] if read is None else texts_in(read, chosen.field, blank=True)
    found = translator.translate(lines, beams=chosen.beams, alpha=chosen.alpha, max_tokens=chosen.max_tokens)
    made = "\n".join(" ".join(line.splitlines()) for line in found)
    if out is None:
        return made
    request = {"beams": chosen.beams, "alpha": chosen.alpha, "max_tokens": chosen.max_tokens}
    label = label_of(translator, run).asked(request, parents=parent(read))
    return txt.write(made + "\n", label, out, inline=chosen.label_inline == "end")


def named_file(what: str) -> Path | None:
    """The file that a word of the command line names, None where it is a text itself.

    ``UsageError`` for a path with nothing to read, and for a word that may be either.
    """
    from luoxia.core import reading
    from luoxia.media.text.records import RECORDS
    from luoxia.media.text.sources import PLAIN

    path = Path(what)
    with contextlib.suppress(OSError, ValueError):  # a text may be too long to be asked for as a name
        if path.is_file():
            if path.suffix or path.name != what:
                return path
            raise UsageError(
                f"'{what}' may be a text, and a file here has that name: write ./{what} for the file, "
                f"or '{what} ' with a space for the text"
            )
        if what and path.is_dir():
            raise UsageError(
                f"{what} is a folder: give a file of texts, or '{what} ' with a space for the text"
            )
    if len(what.split()) == 1 and reading.kind_of(path) in PLAIN | RECORDS:
        raise UsageError(f"there is nothing at {what}: check the path")
    return None


def _translate_images(run: str, what: str, chosen: TranslateImageSettings) -> dict[str, Any]:
    """Write each image of ``what``, translated, under its own name."""
    from luoxia.formats import png
    from luoxia.formats.places import Named, form_of
    from luoxia.media.image.originals import open_originals
    from luoxia.provenance.label import Parent
    from luoxia.tasks.labeling import label_of
    from luoxia.training.hardware import choose_device, choose_precision
    from luoxia.verbs import api

    originals = open_originals(what)
    if chosen.out is None:
        needed = "FILE.png" if originals.single else "FOLDER"
        raise UsageError(f"translating images needs out={needed}: luoxia translate {run} {what} out={needed}")
    wanted = (".png", "") if originals.single else ("",)
    out = claimed(run, chosen.out, wanted, chosen.overwrite, expanded(what))
    named = None if originals.single and form_of(out, chosen.out) else Named(out)
    dtype = choose_precision(chosen.precision, choose_device(chosen.device))
    translator = api.load(run, ema=chosen.ema, device=chosen.device, dtype=dtype)
    translator.network(chosen.direction)
    label = label_of(translator, run, ema=chosen.ema)
    label = label.asked({"direction": chosen.direction, "ema": chosen.ema})
    skipped, translated = [], 0
    for name, target, digest, pixels in originals.read(translator.channels):
        place: Path | str = (
            pixels if isinstance(pixels, str) else out if named is None else named.place(target)
        )
        if isinstance(place, str):
            skipped.append({"name": name, "reason": place})
            continue
        made = translator.translate(pixels, chosen.direction, tile=chosen.tile)
        png.write(made, label.asked({}, index=translated, parents=[Parent(name, digest)]), place)
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
    checked_format(run, chosen)
    from luoxia.verbs import api

    return api.export(run, **chosen.model_dump(exclude_none=True, exclude={"use"}))


def measure(run: str | None, /, **settings: Any) -> Any:
    """Score a run, or two sources of images; ``settings`` are those of ``MeasureSettings``."""
    if run is not None:
        require_run(Path(run))
        using(settings)
    chosen = MeasureSettings.from_settings(settings)
    require_device(chosen.device)
    for path in (chosen.data, chosen.against):
        require_data(path)
    from luoxia.verbs import measuring

    return measuring.measure(run, **chosen.model_dump())


def describe_data(path: str | None, /, **settings: Any) -> dict[str, Any]:
    """What would be read from ``path``; ``settings`` are those of ``DataSettings``."""
    chosen = DataSettings.from_settings(settings)
    from luoxia.media.image.describe import describe
    from luoxia.media.text.describe import describe_text, holds_text

    if path is not None and holds_text(path):
        for key in settings:
            raise UsageError(f"{key}= is for images, and {path} holds text")
        return describe_text(path).as_dict()
    return describe(path, chosen.size, chosen.crop, chosen.channels).as_dict()


def _output(run: str, chosen: SampleSettings) -> Path:
    """Where to write, checked before work starts."""
    if chosen.out is None:
        return numbered(run, ".gif" if chosen.interpolate else ".png")
    wanted = (".gif",) if chosen.interpolate else (".png", ".npz", "")
    return claimed(run, chosen.out, wanted, chosen.overwrite)


def claimed(
    run: str, out: str, wanted: tuple[str, ...] | None, overwrite: bool, *inputs: Path | None
) -> Path:
    """Where a verb that asks ``run`` may write; see ``luoxia.formats.places.claim``."""
    from luoxia.formats.places import claim
    from luoxia.runs.run import Run

    learned = []
    if (Path(run) / "run.json").exists():
        config = Run.open(run).manifest.get("config", {})
        learned = [Path(config[key]) for key in ("data", "against") if isinstance(config.get(key), str)]
    return claim(out, wanted, overwrite, inputs, learned)


def numbered(run: str, ending: str) -> Path:
    """RUN/generated/001, 002 …: the first number that no file has, whatever its ending."""
    from luoxia.runs.run import refuse_link

    folder, number = Path(run) / "generated", 1
    refuse_link(folder)
    with contextlib.suppress(OSError):
        taken = {path.name.partition(".")[0] for path in folder.iterdir()}
        while f"{number:03d}" in taken:
            number += 1
    return folder / f"{number:03d}{ending}"
