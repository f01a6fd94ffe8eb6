"""Image synthesis, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia import registry
from luoxia.core.errors import UsageError
from luoxia.core.names import absolute, many
from luoxia.runs.reported import Section
from luoxia.tasks.base import Capability
from luoxia.tasks.image_synthesis.flow import Flow
from luoxia.tasks.image_synthesis.image_gpt import CODEC, ImageGPT
from luoxia.tasks.image_synthesis.recipes import SynthesisRecipe
from luoxia.tasks.image_synthesis.rules import FlowOverfitting, GuidanceCopies, PriorOverfitting
from luoxia.tasks.image_synthesis.settings import EditSettings, SynthesisSampleSettings
from luoxia.tasks.shared.image_keys import ImageMeasureSettings
from luoxia.tasks.shared.image_task import ImageTask

if TYPE_CHECKING:
    from luoxia.runs.display import Display
    from luoxia.tasks.record import ModelRecord
    from luoxia.training.doctor import Rule
    from luoxia.training.objective import Objective
    from luoxia.training.recipe import Recipe

HERE = "luoxia.tasks.image_synthesis"


class ImageSynthesis(ImageTask):
    """Images from a text, a class, fields, or nothing."""

    name: ClassVar[str] = "image synthesis"
    kind: ClassVar[str] = "image synthesizer"
    inputs: ClassVar[tuple[str, ...]] = ("text",)
    recipes: ClassVar[tuple[type[Recipe], ...]] = (ImageGPT, Flow)
    family = SynthesisRecipe
    rules: ClassVar[tuple[type[Rule], ...]] = (
        *registry.task(CODEC).rules, FlowOverfitting, PriorOverfitting, GuidanceCopies,
    )  # fmt: skip
    parts: ClassVar[tuple[str, ...]] = ("codec",)
    key_scores: ClassVar[tuple[str, ...]] = (
        "held-out bits", "FD", "FID", "recall", "class accuracy", "CAS", "caption retrieval", "inpainting error",
        "copy rate", "precision", "coverage",
    )  # fmt: skip
    sections: ClassVar[tuple[Section, ...]] = (
        Section("samples", "Samples", f"{HERE}.report:samples"),
        *(section for section in ImageTask.sections if section.anchor != "samples"),
    )
    capabilities: ClassVar[Mapping[str, Capability]] = {
        "sample": Capability(
            SynthesisSampleSettings,
            f"{HERE}.sample:sample",
            'luoxia sample RUN text="a red heart" out=grid.png',
        ),
        "edit": Capability(
            EditSettings, f"{HERE}.edit:edit", "luoxia edit RUN FILE mask=mask.png out=edited.png"
        ),
        "measure": Capability(ImageMeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def stages(self, recipe: Any) -> tuple[type[Any], ...]:
        """Those that the recipe names."""
        stages: tuple[type[Any], ...] = recipe.stages()
        return stages

    def open(self, recipe: Any, display: Display | None = None) -> Any:
        """The images that a recipe names, and what is said of them."""
        from luoxia.media.image.captions import captioned

        data = captioned(super().open(recipe, display), recipe.data)
        _check_condition(recipe.condition, data)
        return data

    def settle(self, recipe: Any, data: Any) -> dict[str, Any]:
        """The data's size and channels, and what the recipe makes of them."""
        own = {}
        if recipe.text_encoder != "words":
            from luoxia.tasks.image_synthesis.encoder import FolderEncoder

            FolderEncoder(recipe.text_encoder, recipe.text_length)  # says what is wrong before the run begins
            own["text_encoder"] = absolute(recipe.text_encoder)
        return {**super().settle(recipe, data), **own}

    def load_base(self, stage: Any, objective: Objective) -> dict[str, Any]:
        """The weights of the model at ``init``; tables of words, classes and fields by name."""
        from luoxia.tasks.image_synthesis.transfer import load_base

        return load_base(stage, objective)

    def describe(self, data: Any) -> str:
        """Number, shape, classes and captions."""
        captions = f", {many(data.captions.count(), 'caption')}" if data.captions.captioned else ""
        return super().describe(data) + captions

    def data_rows(self, data: Mapping[str, Any]) -> list[tuple[str, object]]:
        """The images' shape, and what is said of them."""
        captions = [("Captions", f"{data['captions']:,}")] if data.get("captions") else []
        fields = [("Fields", ", ".join(data["fields"]))] if data.get("fields") else []
        return [*super().data_rows(data), *captions, *fields]

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """An ``ImageSynthesizer``."""
        import torch

        from luoxia.media.image.images import ImageSpec
        from luoxia.tasks.image_synthesis.encoder import FOLDER, FolderEncoder
        from luoxia.tasks.image_synthesis.model import ImageSynthesizer
        from luoxia.tasks.image_synthesis.spec import ConditionSpec
        from luoxia.tasks.networks import spec_of

        spec = spec_of(ImageSpec, record.config["spec"])
        conditions = spec_of(ConditionSpec, record.config["condition"])
        recipe: Any = record.recipe
        dtype = common.pop("dtype", torch.float32)
        device = torch.device(common["device"])
        generator = recipe.open_generator(record, weights, spec, conditions, device=device, dtype=dtype)
        encoder = None
        if conditions.text == "encoder":
            encoder = FolderEncoder(record.folder / FOLDER, conditions.text_length, device)
        shape = (spec.height, spec.width, spec.channels)
        options = {"shape": shape, "defaults": recipe.defaults(), "encoder": encoder}
        return ImageSynthesizer(generator, conditions, **options, **common)


def _check_condition(condition: str, data: Any) -> None:
    """``UsageError`` for a condition of which the data says nothing."""
    captions = data.captions
    if condition in ("text", "both") and not (captions.captioned or any(captions.keywords)):
        raise UsageError(
            f"condition={condition} needs captions, and {data.source} has none: put a .txt beside each image, or a "
            "column text into metadata.csv"
        )
    if condition in ("class", "both") and not (data.classes or captions.fields):
        raise UsageError(
            f"condition={condition} needs classes, and {data.source} has none: put the images into a folder a class, "
            "or a column label into metadata.csv"
        )


TASK = ImageSynthesis()
