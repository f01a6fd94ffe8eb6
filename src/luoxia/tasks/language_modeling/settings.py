"""The keys of sample for a language model."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from luoxia.core.config import Config
from luoxia.core.values import Place, Seed, Unset, Whole, Words
from luoxia.tasks.shared.settings import INLINE, USE


class TextSettings(Config):
    """The keys of ``luoxia sample`` for a language model; the fields of its condition are further ones: form=七言."""

    main_keys: ClassVar[tuple[str, ...]] = (
        "prompt", "n", "seed", "max_tokens", "temperature", "top_k", "top_p", "stop", "out", "device",
    )  # fmt: skip

    prompt: str = Field("", description="the text to continue")
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
        None, description="FILE.txt, FILE.md or FILE.jsonl; the terminal if unset"
    )
    label_inline: Literal["none", "end"] = INLINE
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


DECODING = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "stop")
"""The keys of ``TextSettings`` that say how tokens are chosen, and when to stop."""


RULES = ("poem", "readings", "schema", "grammar")
"""Those that say what a text keeps to."""


class LanguageExportSettings(Config):
    """The keys of ``luoxia export`` for a language model."""

    format: Annotated[Literal["huggingface"] | None, Unset] = Field(
        None, description="huggingface: a folder that transformers and vLLM open"
    )
    out: Annotated[str | None, Place] = Field(None, description="the folder to write; it must be new")
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Unset] = Field(
        None, description="of the weights: float32, bfloat16, float16; as they are if unset"
    )
    adapter: Annotated[str | None, Unset] = Field(
        None, description="a PEFT folder of LoRA adapters for a Hugging Face folder, merged into its weights"
    )
    use: Annotated[str | None, Unset] = USE
