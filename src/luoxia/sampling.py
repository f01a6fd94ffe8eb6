"""The calls behind ``sample``, ``measure`` and ``data``: typed settings around the Python API."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from luoxia.config import Config, Size, Unset, Whole, Words, nearest
from luoxia.errors import UsageError


class SampleSettings(Config):
    """The keys of ``luoxia sample``."""

    n: Whole = Field(
        16, ge=1, le=1_000_000, description="images; with interpolate, the latents walked through"
    )
    seed: Whole = Field(0, ge=0, lt=2**63, description="image i is a function of (seed, i)")
    label: Annotated[str | None, Unset] = Field(
        None, description="a class by name or number; all in turn if unset"
    )
    truncation: float = Field(1.0, gt=0, le=1, description="scale of z: lower is more typical, less varied")
    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    interpolate: Whole = Field(0, ge=0, le=1000, description="frames between two latents; makes a GIF")
    columns: Annotated[Whole | None, Unset] = Field(None, ge=1, description="columns of the grid")
    out: Annotated[str | None, Unset] = Field(None, description="FILE.png, FILE.gif, FILE.npz or FOLDER/")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("cpu", description="auto, cpu, cuda, mps")


class TextSettings(Config):
    """The keys of ``luoxia sample`` for a language model; the fields of its condition are further ones: form=七言."""

    prompt: str = Field("", description="what the text goes on from")
    n: Whole = Field(1, ge=1, le=1_000_000, description="texts")
    seed: Whole = Field(0, ge=0, lt=2**63, description="text i is a function of (seed, i)")
    max_tokens: Whole = Field(256, ge=1, description="tokens of a text at most")
    temperature: float = Field(0.8, ge=0, description="0 takes the likeliest token always")
    top_k: Whole = Field(0, ge=0, description="draw among the k likeliest tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="draw among the likeliest that reach this probability")
    min_p: float = Field(0.0, ge=0, le=1, description="leave out tokens below this share of the likeliest")
    repetition_penalty: float = Field(1.0, gt=0, description="above 1: tokens already there are less likely")
    stop: Words = Field((), description="texts that end it, joined by commas")
    poem: Annotated[str | None, Unset] = Field(
        None, description="a form of verse to keep: 五言, 七言, 五绝, 七绝, 五律, 七律"
    )
    readings: Annotated[str | None, Unset] = Field(
        None, description="with poem: a table of character, rhyme group, tone (平 or 仄), for rhyme and tones"
    )
    schema_: Annotated[str | None, Unset] = Field(  # pydantic has a ``schema`` of its own
        None, alias="schema", description="a file with a JSON schema to keep"
    )
    grammar: Annotated[str | None, Unset] = Field(
        None, description="a file with a grammar to keep, in Lark's notation"
    )
    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the weights: bf16 is half the bytes")
    int8: bool = Field(False, description="matrices of 8 bits: a quarter of the bytes, less exact")
    out: Annotated[str | None, Unset] = Field(
        None, description="FILE.txt or FILE.jsonl; the terminal if unset"
    )
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("cpu", description="auto, cpu, cuda, mps")


class TranslateSettings(Config):
    """The keys of ``luoxia translate``."""

    out: Annotated[str | None, Unset] = Field(None, description="a file; the terminal if unset")
    beams: Whole = Field(5, ge=1, le=64, description="translations followed at once; 1 is greedy")
    alpha: float = Field(0.6, ge=0, description="exponent of the length penalty; 0: none")
    max_tokens: Whole = Field(128, ge=1, description="tokens of a translation at most")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("cpu", description="auto, cpu, cuda, mps")


class ExportSettings(Config):
    """The keys of ``luoxia export``."""

    format: Literal["huggingface"] = Field(
        "huggingface", description="huggingface: what transformers and vLLM open"
    )
    out: Annotated[str | None, Unset] = Field(None, description="the folder to write, which must be new")
    dtype: Literal["none", "float32", "bfloat16", "float16"] = Field(
        "none", description="of the weights: float32, bfloat16, float16; none: as they are"
    )


class MeasureSettings(Config):
    """The keys of ``luoxia measure``."""

    data: Annotated[str | None, Unset] = Field(
        None, description="other data to measure a run against; or the images to measure"
    )
    against: Annotated[str | None, Unset] = Field(
        None, description="the reference images, when no run is given; or the other side of a run's data="
    )
    extractor: Annotated[str | None, Unset] = Field(None, description="self, effnet-lite0 or inception:FILE")
    n: Annotated[Whole | None, Unset] = Field(
        None, ge=2, description="samples of the run, or images a side at most"
    )
    seed: Annotated[Whole | None, Unset] = Field(
        None,
        ge=0,
        lt=2**63,
        description="seed of the samples and of every subset; as after training if unset",
    )


class DataSettings(Config):
    """The keys of ``luoxia data``."""

    size: Annotated[Size | None, Unset] = Field(
        None, description="pixels, 64 or 48x64; from the data if unset"
    )
    crop: Literal["center", "random", "pad"] = Field(
        "center", description="how images of other shapes are made to fit"
    )
    channels: Annotated[Whole | None, Unset] = Field(
        None, ge=1, le=4, description="1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; from the data if unset"
    )


def sample(run: str, /, **settings: Any) -> Path | Iterator[str]:
    """Write samples of a run and return where; without ``out``, a language model's text comes as it is written.

    ``settings`` are those of ``SampleSettings``, or of ``TextSettings`` for a language model.
    """
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
    generator = api.load(run, ema=chosen.ema, device=chosen.device)
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

    controls: dict[str, Any] = {"label": chosen.label, "truncation": chosen.truncation}
    parameters = {**generator.details, "seed": chosen.seed, **controls, "ema": chosen.ema}
    if chosen.interpolate:
        frames = generator.interpolate(chosen.n, chosen.interpolate, chosen.seed, **controls)
        return writer.write_gif(out, frames, {**parameters, "interpolate": chosen.interpolate, "n": chosen.n})
    images = generator.sample(chosen.n, chosen.seed, **controls)
    kind = _kind(out, chosen.out)
    if kind == ".npz":
        labels = generator.labels(chosen.n, chosen.label)
        return writer.write_npz(out, images, None if labels is None else labels.numpy(), parameters)
    if kind == ".png":
        return writer.write_grid(out, images, {**parameters, "n": chosen.n}, chosen.columns)
    return writer.write_folder(out, images, ({**parameters, "index": i} for i in range(chosen.n)))


def translate(run: str, what: str, /, **settings: Any) -> Path | str:
    """Translate a text, or a file line by line; ``settings`` are those of ``TranslateSettings``.

    Returns the translation, or where it was written. A line in is a line out, an empty one too.
    """
    chosen: TranslateSettings = TranslateSettings.from_settings(settings)
    from luoxia import api
    from luoxia.data.text.alignment import read_lines
    from luoxia.generation.translation import Translator
    from luoxia.provenance.files import write_file

    out = None if chosen.out is None else _unoccupied(chosen.out, chosen.overwrite)
    translator = api.load(run, device=chosen.device)
    if not isinstance(translator, Translator):
        raise UsageError(
            api.other_verb(run)
            or f"{run} is no translator; train one with: luoxia train translate data=… against=…"
        )
    lines = read_lines(what) if Path(what).is_file() else [what]
    found = translator.translate(lines, beams=chosen.beams, alpha=chosen.alpha, max_tokens=chosen.max_tokens)
    text = "\n".join(" ".join(line.splitlines()) for line in found)
    return text if out is None else write_file(out, text + "\n")


def export(run: str, /, **settings: Any) -> Path:
    """Write a model for other toolkits; ``settings`` are those of ``ExportSettings``."""
    chosen: ExportSettings = ExportSettings.from_settings(settings)
    if chosen.out is None:
        raise UsageError(f"export needs out=FOLDER: luoxia export {run} format=huggingface out=FOLDER")
    from luoxia import api

    dtype = None if chosen.dtype == "none" else chosen.dtype
    return api.export(run, chosen.out, format=chosen.format, dtype=dtype)


def measure(run: str | None, /, **settings: Any) -> Any:
    """Score a run, or two sources of images; ``settings`` are those of ``MeasureSettings``."""
    chosen = MeasureSettings.from_settings(settings)
    from luoxia import measuring

    return measuring.measure(run, **chosen.model_dump())


def describe_data(path: str | None, /, **settings: Any) -> dict[str, Any]:
    """What would be read from ``path``; ``settings`` are those of ``DataSettings``."""
    chosen = DataSettings.from_settings(settings)
    from luoxia.data import describe

    size = None if chosen.size is None else "x".join(map(str, chosen.size))
    return describe(path, size, chosen.crop, chosen.channels).as_dict()


def _kind(out: Path, asked: str | None) -> str:
    """The ending that decides the format, "" for a folder, which may have a dot in its name: v1.2/."""
    return "" if out.is_dir() or (asked or "").endswith(("/", os.sep)) else out.suffix.lower()


def _output(run: str, chosen: SampleSettings) -> Path:
    """Where to write, checked before work starts."""
    if chosen.out is None:
        suffix = ".gif" if chosen.interpolate else ".png"
        folder, number = Path(run) / "generated", 1
        while (folder / f"{number:03d}{suffix}").exists():
            number += 1
        return folder / f"{number:03d}{suffix}"
    wanted = (".gif",) if chosen.interpolate else (".png", ".npz", "")
    return free_path(chosen.out, wanted, chosen.overwrite)


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
