"""Image generation, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.tasks.base import Capability, Network
from luoxia.tasks.image_generation.recipes.adversarial import AdversarialRecipe
from luoxia.tasks.image_generation.recipes.gan import CGAN, DCGAN, GAN, WGAN, WGANGP
from luoxia.tasks.image_generation.recipes.r3gan import R3GAN
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.image_generation.recipes.transformer_gan import TransformerGAN
from luoxia.tasks.image_generation.settings import (
    DirectionsSettings,
    GeneratorExportSettings,
    InterpolateSettings,
    MixSettings,
    ProjectSettings,
    SampleSettings,
)
from luoxia.tasks.shared.image_keys import ImageMeasureSettings
from luoxia.tasks.shared.image_task import ImageTask

if TYPE_CHECKING:
    from luoxia.runs.display import Display
    from luoxia.runs.run import Run
    from luoxia.tasks.record import ModelRecord
    from luoxia.training.distributed import World

HERE = "luoxia.tasks.image_generation"


class ImageGeneration(ImageTask):
    """Images from nothing, or from a class."""

    name: ClassVar[str] = "image generation"
    kind: ClassVar[str] = "image generator"
    recipes = (GAN, CGAN, DCGAN, WGAN, WGANGP, StyleGAN2, R3GAN, TransformerGAN)
    family = AdversarialRecipe
    stage_names = (f"{HERE}.stage:GeneratorStage",)
    networks: ClassVar[Mapping[str, Network]] = {
        "mlp": f"{HERE}.networks.mlp:Generator",
        "dcgan": f"{HERE}.networks.dcgan:Generator",
        "resnet": f"{HERE}.networks.resnet:Generator",
        "stylegan2": f"{HERE}.networks.stylegan2:Generator",
        "r3gan": f"{HERE}.networks.r3gan:Generator",
        "transformer-gan": f"{HERE}.networks.transformer_gan:Generator",
    }
    capabilities: ClassVar[Mapping[str, Capability]] = {
        "sample": Capability(SampleSettings, f"{HERE}.sample:sample", "luoxia sample RUN n=16 out=grid.png"),
        "interpolate": Capability(
            InterpolateSettings,
            f"{HERE}.latents:interpolate",
            "luoxia interpolate RUN seeds=1,2,3 out=walk.gif",
        ),
        "mix": Capability(MixSettings, f"{HERE}.latents:mix", "luoxia mix RUN out=grid.png"),
        "directions": Capability(
            DirectionsSettings, f"{HERE}.latents:directions", "luoxia directions RUN out=directions.npz"
        ),
        "project": Capability(
            ProjectSettings, f"{HERE}.latents:project", "luoxia project RUN photo.jpg out=photo.npz"
        ),
        "export": Capability(
            GeneratorExportSettings, f"{HERE}.export:export", "luoxia export RUN out=FILE.onnx"
        ),
        "measure": Capability(ImageMeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def try_out(self, recipe: Any, run: Run, data: Any, world: World, display: Display) -> Any:
        """The recipe with what it leaves to trials replaced by the values that scored best."""
        from luoxia.tasks.image_generation.sweep import settled_by_trial

        return settled_by_trial(self, recipe, run, data, world, display)

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """An ``ImageGenerator``."""
        from luoxia.media.image.images import ImageSpec
        from luoxia.tasks.image_generation.model import ImageGenerator
        from luoxia.tasks.networks import network_of, spec_of

        spec = spec_of(ImageSpec, record.config["spec"])
        network = network_of(record, weights, lambda recipe: recipe.build_generator(spec))
        network.load_state_dict(weights)
        classes, shape = record.config.get("classes", ()), (spec.height, spec.width, spec.channels)
        return ImageGenerator(network, classes=tuple(classes), shape=shape, **common)


TASK = ImageGeneration()
