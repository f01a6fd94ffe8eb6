"""Codecs of images, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.runs.reported import Section
from luoxia.tasks.base import Capability, Network
from luoxia.tasks.image_codec.recipes import ImageCodecRecipe
from luoxia.tasks.image_codec.rules import RULES
from luoxia.tasks.image_codec.settings import CodecMeasureSettings, DecodeSettings, EncodeSettings
from luoxia.tasks.shared.image_task import ImageTask

if TYPE_CHECKING:
    from luoxia.tasks.record import ModelRecord

HERE = "luoxia.tasks.image_codec"


class ImageCodecTask(ImageTask):
    """Images into tokens on a grid, and back."""

    name: ClassVar[str] = "image codec"
    kind: ClassVar[str] = "image codec"
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    recipes = (ImageCodecRecipe,)
    family = ImageCodecRecipe
    stage_names = (f"{HERE}.stage:CodecStage",)
    networks: ClassVar[Mapping[str, Network]] = {"image-codec": f"{HERE}.networks:ImageAutoencoder"}
    rules = RULES
    key_scores: ClassVar[tuple[str, ...]] = (
        "PSNR",
        "rFD",
        "pFD",
        "PSNR over nearest",
        "book use",
        "perplexity",
    )
    sections = (Section("samples", "Originals and reconstructions", f"{HERE}.report:reconstructions"),)
    capabilities: ClassVar[Mapping[str, Capability]] = {
        "encode": Capability(
            EncodeSettings, f"{HERE}.encode:encode", "luoxia encode RUN photos/ out=tokens.npz"
        ),
        "decode": Capability(
            DecodeSettings, f"{HERE}.decode:decode", "luoxia decode RUN tokens.npz out=FOLDER/"
        ),
        "measure": Capability(CodecMeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """An ``ImageCodec``."""
        from luoxia.media.image.images import ImageSpec
        from luoxia.tasks.image_codec.model import ImageCodec
        from luoxia.tasks.networks import network_of, spec_of

        spec = spec_of(ImageSpec, record.config["spec"])
        network = network_of(record, weights, lambda recipe: recipe.build_autoencoder(spec))
        network.load_state_dict(weights)
        return ImageCodec(network, shape=(spec.height, spec.width, spec.channels), **common)


TASK = ImageCodecTask()
