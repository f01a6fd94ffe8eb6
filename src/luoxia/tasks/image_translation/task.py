"""Translation of images, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.core.errors import UsageError
from luoxia.core.names import absolute, many
from luoxia.runs.reported import Section
from luoxia.tasks.base import Capability, Network
from luoxia.tasks.image_translation.recipes import CUT, CycleGAN, UnpairedRecipe
from luoxia.tasks.image_translation.settings import TranslateImageSettings, TranslatorExportSettings
from luoxia.tasks.shared.image_keys import TwoSidedMeasureSettings
from luoxia.tasks.shared.image_task import REPORT, ImageTask

if TYPE_CHECKING:
    from luoxia.runs.display import Display
    from luoxia.tasks.record import ModelRecord

HERE = "luoxia.tasks.image_translation"


class ImageTranslation(ImageTask):
    """Images of one kind into images of another, learned without pairs."""

    name: ClassVar[str] = "image translation"
    kind: ClassVar[str] = "image translator"
    inputs: ClassVar[tuple[str, ...]] = ("image",)
    recipes = (CycleGAN, CUT)
    family = UnpairedRecipe
    stage_names = (f"{HERE}.stage:UnpairedStage",)
    networks: ClassVar[Mapping[str, Network]] = {"cyclegan": f"{HERE}.networks.cyclegan:Translators"}
    sections = (Section("samples", "Samples", f"{REPORT}:translations"), *ImageTask.sections[1:])
    capabilities: ClassVar[Mapping[str, Capability]] = {
        "translate": Capability(
            TranslateImageSettings,
            f"{HERE}.translate:translate",
            "luoxia translate RUN photos/ out=translated/",
        ),
        "export": Capability(
            TranslatorExportSettings, f"{HERE}.export:export", "luoxia export RUN out=FILE.onnx"
        ),
        "measure": Capability(TwoSidedMeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def open(self, recipe: Any, display: Display | None = None) -> Any:
        """The two sources that ``data`` and ``against`` name."""
        from luoxia.media.image.unpaired import open_unpaired

        if recipe.data is None or recipe.against is None:
            name = type(recipe).name
            raise UsageError(
                f"{name} needs two sides: luoxia train {name} data=IMAGES_OF_A against=IMAGES_OF_B"
            )
        return open_unpaired(
            recipe.data, recipe.against, recipe.size, recipe.crop, recipe.channels, recipe.load_size,
            progress=display.progress("decoding images") if display else None,
        )  # fmt: skip

    def settle(self, recipe: Any, data: Any) -> dict[str, Any]:
        """The data's sizes and channels, the other source from wherever the run is resumed, and epochs in steps."""
        from luoxia.tasks.image_translation.stage import split

        spec = data.spec
        settled: dict[str, Any] = {
            "against": absolute(recipe.against),
            "size": (spec.height, spec.width),
            "load_size": data.load,
            "channels": spec.channels,
        }
        if recipe.epochs is not None:
            trained = max(len(split(side, recipe)[0]) for side in (data.a, data.b))
            settled["steps"] = -(-recipe.epochs * trained // recipe.batch)
        return settled

    def describe(self, data: Any) -> str:
        """Number and shape."""
        spec, (height, width) = data.spec, data.load
        shape = f"{spec.height} × {spec.width} × {spec.channels}"
        cut = f", cut out of {height} × {width}" if data.load != (spec.height, spec.width) else ""
        return f"{many(len(data.a), 'image')} against {len(data.b):,}, of {shape}{cut}, {data.source}"

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """An ``ImageTranslator``."""
        from luoxia.media.image.images import ImageSpec
        from luoxia.tasks.image_translation.model import ImageTranslator
        from luoxia.tasks.image_translation.stage import of_translators
        from luoxia.tasks.networks import network_of, spec_of

        spec = spec_of(ImageSpec, record.config["spec"])
        networks = network_of(record, weights, lambda recipe: recipe.translators(spec))
        networks.load_state_dict(of_translators(weights))
        return ImageTranslator(networks, channels=spec.channels, **common)


TASK = ImageTranslation()
