"""The keys of the verbs that every task has: typed, with defaults and meanings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from luoxia.core.config import Bytes, Config, Place, Seed, Unset, Whole
from luoxia.media.image.keys import _known_extractor
from luoxia.tasks.shared.settings import USE


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


class CacheSettings(Config):
    """The keys of ``luoxia cache``."""

    limit: Annotated[Bytes | None, Unset] = Field(
        None, ge=0, description="remove the least recently used entries until the rest fits, such as 20G"
    )
