"""The keys of the verbs that are no trainings: typed, with defaults and meanings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from luoxia.config import Bytes, Config, Place, Seed, Several, Size, Unset, Whole, Words

USE = Field(None, description="the file of the recipe, FILE.py, where that is one of your own")


def _class_name(value: Any) -> Any:
    if value == "":
        raise ValueError("is empty: give a class, by name or number")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ClassName = BeforeValidator(_class_name)
"""A class by name or number. The word none unsets it only where no class has that name, which the model knows."""


class SampleSettings(Config):
    """The keys of ``luoxia sample``."""

    n: Whole = Field(
        16, ge=1, le=1_000_000, description="images; with interpolate, the latents walked through"
    )
    seed: Seed = Field(0, description="image i is a function of (seed, i)")
    label: Annotated[str | None, ClassName] = Field(
        None, description="a class by name or number; all in turn if unset"
    )
    truncation: float = Field(
        1.0, gt=0, le=1, description="scale of z, or of w around its mean: lower is more typical, less varied"
    )
    mix: Annotated[Seed | None, Unset] = Field(
        None, description="with styles: another seed, whose style some layers take"
    )
    mix_layers: Annotated[str | None, Unset] = Field(
        None, description="with mix: these layers, such as 4-7, 4- or 5; the second half if unset"
    )
    noise: Literal["const", "random", "none"] = Field(
        "const", description="with styles: the same in each image, its own by seed, or left out"
    )
    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    direction: Annotated[Whole | None, Unset] = Field(
        None, ge=0, description="move along this direction of luoxia directions, the first is 0"
    )
    strength: float = Field(3.0, description="how far along direction, in standard deviations of the latents")
    interpolate: Whole = Field(0, ge=0, le=1000, description="frames between two latents; makes a GIF")
    columns: Annotated[Whole | None, Unset] = Field(None, ge=1, description="columns of the grid")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 is faster where the hardware has it")
    out: Annotated[str | None, Place] = Field(None, description="FILE.png, FILE.gif, FILE.npz or FOLDER/")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class TextSettings(Config):
    """The keys of ``luoxia sample`` for a language model; the fields of its condition are further ones: form=七言."""

    prompt: str = Field("", description="what the text goes on from")
    messages: Annotated[Any, Unset] = Field(
        None, description="a chat to answer: FILE.json, or JSON: a list of objects with role and content"
    )
    n: Whole = Field(1, ge=1, le=1_000_000, description="texts")
    seed: Seed = Field(0, description="text i is a function of (seed, i)")
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
    readings: Annotated[str | None, Place] = Field(
        None, description="with poem: a table of character, rhyme group, tone (平 or 仄), for rhyme and tones"
    )
    schema_: Annotated[str | None, Place] = Field(  # pydantic has a ``schema`` of its own
        None, alias="schema", description="a file with a JSON schema to keep"
    )
    grammar: Annotated[str | None, Place] = Field(
        None, description="a file with a grammar to keep, in Lark's notation"
    )
    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    adapter: Annotated[str | None, Unset] = Field(
        None, description="a PEFT folder of LoRA adapters for a Hugging Face folder, merged into its weights"
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the weights: bf16 is half the bytes")
    int8: bool = Field(False, description="matrices of 8 bits: a quarter of the bytes, less exact")
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.txt or FILE.jsonl; the terminal if unset"
    )
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


DECODING = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop")
"""The keys of ``TextSettings`` that say how tokens are chosen, and when to stop."""
RULES = ("poem", "readings", "schema", "grammar")
"""Those that say what a text keeps to."""


class TranslateSettings(Config):
    """The keys of ``luoxia translate`` for a translator of text."""

    out: Annotated[str | None, Place] = Field(None, description="a file; the terminal if unset")
    field: Annotated[str | None, Unset] = Field(
        None, description="field of a file of rows (.json, .jsonl, .csv, .tsv); text if unset"
    )
    beams: Whole = Field(5, ge=1, le=64, description="translations followed at once; 1 is greedy")
    alpha: float = Field(0.6, ge=0, description="exponent of the length penalty; 0: none")
    max_tokens: Whole = Field(128, ge=1, description="tokens of a translation at most")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class TranslateImageSettings(Config):
    """The keys of ``luoxia translate`` for a translator of images."""

    direction: Literal["a2b", "b2a"] = Field("a2b", description="from side A to B, or back")
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.png for one image, FOLDER/ for a folder or zip, whose names are kept"
    )
    tile: Whole = Field(
        1024,
        ge=64,
        le=65_536,
        description="pixels a side above which an image is translated in tiles of this size",
    )
    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 is faster where the hardware has it")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class ExportSettings(Config):
    """The keys of ``luoxia export``."""

    format: Annotated[Literal["huggingface", "onnx", "tensorflow"] | None, Unset] = Field(
        None,
        description="huggingface (language models: what transformers and vLLM open), onnx (image generators "
        "and translators), tensorflow (image generators); huggingface or onnx, as the model is, if unset",
    )
    out: Annotated[str | None, Place] = Field(
        None, description="the folder to write, of onnx the FILE.onnx; it must be new"
    )
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Unset] = Field(
        None, description="of the weights: float32, bfloat16, float16; as they are if unset"
    )
    direction: Annotated[Literal["a2b", "b2a"] | None, Unset] = Field(
        None, description="of an image translator: a2b (if unset) or b2a"
    )
    use: Annotated[str | None, Unset] = USE
    adapter: Annotated[str | None, Unset] = Field(
        None, description="a PEFT folder of LoRA adapters for a Hugging Face folder, merged into its weights"
    )


class LoadSettings(Config):
    """What ``luoxia.load`` takes beside a path."""

    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")


class PlanSettings(Config):
    """What ``--dry-run`` takes beside the keys of a recipe."""

    plan: Literal["estimated", "measured"] = Field(
        "estimated", description="measured: memory and time by a few real steps"
    )


class LatentSettings(Config):
    """What the tools for latents share."""

    label: Annotated[str | None, ClassName] = Field(
        None, description="a class by name or number; the first if unset"
    )
    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    out: Annotated[str | None, Place] = Field(None, description="a file; RUN/generated/001… if unset")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class DrawnSettings(LatentSettings):
    """What those that draw latents share."""

    truncation: float = Field(1.0, gt=0, le=1, description="lower is more typical, less varied")


Seeds = Annotated[tuple[Seed, ...], Several]


class InterpolateSettings(DrawnSettings):
    """The keys of ``luoxia interpolate``."""

    seeds: Seeds = Field(
        (), description="a latent each, joined by commas; 0 to 7 if neither these nor latents"
    )
    latents: Annotated[tuple[str, ...], Several] = Field(
        (), description="files of luoxia project, joined by commas: walked through before the seeds"
    )
    frames: Whole = Field(24, ge=1, le=1000, description="frames from one latent to the next")
    fps: float = Field(24.0, gt=0, le=240, description="frames a second")
    closed: bool = Field(True, description="go back to the first latent, so that it can be played in a loop")
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.mp4 or FILE.gif; RUN/generated/ if unset"
    )


class MixSettings(DrawnSettings):
    """The keys of ``luoxia mix``."""

    rows: Seeds = Field((1, 2, 3), min_length=1, description="seeds of the first column, joined by commas")
    columns: Seeds = Field((4, 5, 6), min_length=1, description="seeds of the first row, joined by commas")
    layers: str = Field(
        "coarse",
        description="layers that take the column's style: coarse, middle, fine, or numbers such as 0-3,6",
    )
    out: Annotated[str | None, Place] = Field(None, description="FILE.png; RUN/generated/ if unset")


class DirectionsSettings(DrawnSettings):
    """The keys of ``luoxia directions``."""

    n: Whole = Field(8, ge=1, le=1000, description="directions, at most as many as the latent has dimensions")
    seed: Seed = Field(0, description="the image that the picture moves along each")
    strength: float = Field(
        3.0, gt=0, description="how far either way, in standard deviations of the latents"
    )
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.npz, with a picture beside it; RUN/generated/ if unset"
    )


class ProjectSettings(LatentSettings):
    """The keys of ``luoxia project``."""

    label: Annotated[str | None, ClassName] = Field(
        None, description="a class by name or number; the likeliest if unset"
    )
    steps: Whole = Field(300, ge=1, le=100_000, description="steps of the search")
    seed: Seed = Field(0, description="of where it begins")
    extractor: Annotated[Literal["effnet-lite0", "self", "pixels"] | None, Unset] = Field(
        None,
        description="what compares images: effnet-lite0, self or pixels; the first that is installed if unset",
    )
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.npz, with a picture beside it; RUN/generated/ if unset"
    )


def is_extractor(name: str) -> bool:
    """Whether it is self, effnet-lite0 or inception:FILE."""
    kind, _, path = name.partition(":")
    return name in ("self", "effnet-lite0") or (kind == "inception" and path != "")


def _known_extractor(value: str | None) -> str | None:
    if value is not None and not is_extractor(value):
        raise ValueError("must be self, effnet-lite0 or inception:WEIGHTS_FILE")
    return value


class MeasureSettings(Config):
    """The keys of ``luoxia measure``."""

    data: Annotated[str | None, Place] = Field(
        None, description="other data to measure a run against; or the images to measure"
    )
    against: Annotated[str | None, Place] = Field(
        None, description="the reference images, when no run is given; or the other side of a run's data="
    )
    extractor: Annotated[str | None, AfterValidator(_known_extractor), Unset] = Field(
        None, description="self, effnet-lite0 or inception:FILE"
    )
    n: Annotated[Whole | None, Unset] = Field(
        None, ge=2, description="samples of the run, or images a side at most"
    )
    seed: Annotated[Seed | None, Unset] = Field(
        None,
        description="seed of the samples and of every subset; as after training if unset",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class DataSettings(Config):
    """The keys of ``luoxia data``, which every recipe of images has, too."""

    size: Annotated[Size | None, Unset] = Field(
        None, description="pixels, 64 or 48x64; from the data if unset"
    )
    crop: Literal["center", "random", "pad"] = Field(
        "center", description="how images of other shapes are made to fit"
    )
    channels: Annotated[Whole | None, Unset] = Field(
        None, ge=1, le=4, description="1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; from the data if unset"
    )


class ClassifySettings(Config):
    """The keys of ``luoxia classify``."""

    out: Annotated[str | None, Place] = Field(
        None, description="FILE.jsonl or FILE.csv; the terminal if unset"
    )
    text: Annotated[str | None, Unset] = Field(
        None, description="field of a file of rows (.json, .jsonl, .csv, .tsv); text if unset"
    )
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class EmbedSettings(ClassifySettings):
    """The keys of ``luoxia embed``."""

    out: Annotated[str | None, Place] = Field(None, description="FILE.npy, or FILE.npz with the texts in it")
    against: Annotated[str | None, Place] = Field(
        None, description="a text, or a file of as many: prints cosines"
    )


class CacheSettings(Config):
    """The keys of ``luoxia cache``."""

    limit: Annotated[Bytes | None, Unset] = Field(
        None, ge=0, description="remove the least recently used entries until the rest fits, such as 20G"
    )
