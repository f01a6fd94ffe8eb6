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
    n: Whole = Field(1, ge=1, le=1_000_000, description="how many texts")
    seed: Seed = Field(0, description="text i depends on seed and i alone")
    max_tokens: Whole = Field(256, ge=1, description="maximum tokens of a text")
    temperature: float = Field(0.8, ge=0, description="0 always takes the most likely token")
    top_k: Whole = Field(0, ge=0, description="draw from the k most likely tokens; 0: all")
    top_p: float = Field(
        1.0, gt=0, le=1, description="draw from the most likely tokens that together reach this probability"
    )
    min_p: float = Field(
        0.0, ge=0, le=1, description="leave out tokens less likely than this share of the most likely one"
    )
    repetition_penalty: float = Field(
        1.0, gt=0, description="above 1: tokens that occurred become less likely"
    )
    stop: Words = Field((), description="stop at any of these texts, joined by commas")
    poem: Annotated[str | None, Unset] = Field(
        None, description="verse form to follow: 五言, 七言, 五绝, 七绝, 五律, 七律"
    )
    readings: Annotated[str | None, Place] = Field(
        None,
        description="with poem: a table of character, rhyme group and tone (平 or 仄), to enforce rhyme and tones",
    )
    schema_: Annotated[str | None, Place] = Field(  # pydantic has a ``schema`` of its own
        None, alias="schema", description="a file with the JSON schema that texts must follow"
    )
    grammar: Annotated[str | None, Place] = Field(
        None, description="a file with the grammar that texts must follow, in Lark notation"
    )
    ema: bool = Field(True, description="use the averaged weights; false: those of the last step")
    adapter: Annotated[str | None, Unset] = Field(
        None, description="a PEFT folder of LoRA adapters for a Hugging Face folder, merged into its weights"
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="format of the weights; bf16 takes half the memory"
    )
    int8: bool = Field(False, description="8-bit matrices: a quarter of the memory, less exact")
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.txt, FILE.md or FILE.jsonl; the terminal if unset"
    )
    label_inline: Literal["none", "end"] = INLINE
    overwrite: bool = Field(False, description="replace what Luoxia wrote at out")
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
    out: Annotated[str | None, Place] = Field(None, description="the folder to write; it must not exist yet")
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, Unset] = Field(
        None, description="format of the weights: float32, bfloat16 or float16; unchanged if unset"
    )
    adapter: Annotated[str | None, Unset] = Field(
        None, description="a PEFT folder of LoRA adapters for a Hugging Face folder, merged into its weights"
    )
    use: Annotated[str | None, Unset] = USE
