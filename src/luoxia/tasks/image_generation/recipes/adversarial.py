"""The adversarial game around any two networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from luoxia.core.values import Annealable, AnnealableWeight, Annealed, Unset, Whole, Words, value_at
from luoxia.tasks.shared.image_recipe import ImageRecipe
from luoxia.training.recipe import Illness

if TYPE_CHECKING:
    from torch import Tensor, nn

    from luoxia.adversarial.ada.adaptive import Ada
    from luoxia.adversarial.objective import Adversarial
    from luoxia.media.image.images import ImageSpec


LossName = Literal["minimax", "nonsaturating", "lsgan", "hinge", "wasserstein", "relativistic"]


PenaltyName = Literal["none", "gp", "r1", "r2", "r1+r2", "dragan"]


ConditionName = Literal["none", "concat", "projection"]


PipeName = Literal[
    "blit", "geometry", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"
]


GUpdateName = Literal["fresh", "shared", "joint"]


AUGMENTATIONS = ("color", "translation", "cutout", "mirror")


def gamma_line(values: int) -> float:
    """γ of R1 and R2 for images of so many values: 1.5 · (√values / 64)^3.3, the line through R3GAN's settings.

    The paper's (32 px: 0.05 and 0.5; 64 px: 2; 256 px: 150; all end at a tenth of that) and its code's (64 px: 1) are
    each within a factor of 3.2.
    """
    return 1.5 * math.pow(math.sqrt(values) / 64, 3.3)


class AdversarialRecipe(ImageRecipe):
    """One generator against one discriminator: ``build_generator`` and ``build_discriminator`` say which."""

    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "augment": {"colour": "color"},
        "ada_pipe": {"colour": "color"},
    }
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "objective": (
            "loss", "penalty", "gamma", "penalty_every", "d_steps", "g_update", "d_lr", "clip_weights",
        ),
        "augmentation": ("augment", "ada_pipe", "ada_target", "ada_kimg", "augment_p"),
        "from a trained model": ("init", "freeze_d"),
    }  # fmt: skip

    per_run: ClassVar[tuple[str, ...]] = (*ImageRecipe.per_run, "freeze_d")

    loss: LossName = Field("nonsaturating", description="the adversarial loss")
    penalty: PenaltyName = Field("none", description="gradient penalty on D")
    gamma: AnnealableWeight = Field(1.0, description="weight of the penalty (gp, dragan: λ; r1, r2: γ)")
    penalty_every: Whole = Field(1, ge=1, description="steps between two penalties (lazy regularization)")
    d_steps: Whole = Field(
        1, ge=1, description="updates of D for each update of G (k in Goodfellow et al. 2014, algorithm 1)"
    )
    g_update: GUpdateName = Field(
        "fresh",
        description="G's update: on fresh latents (algorithm 1); shared: on what D has just seen, a pass of G less; "
        "joint: through D's own pass of it, which spares one of D too; where that cannot be, shared",
    )
    d_lr: Annotated[float | None, Unset] = Field(None, gt=0, description="learning rate of D; lr if unset")
    clip_weights: float = Field(
        0.0, ge=0, description="clip D's weights to ± this after each update; 0: never"
    )
    freeze_d: Whole = Field(
        0, ge=0, description="with init: blocks of D, from the image on, that are not trained (FreezeD)"
    )
    augment: Words = Field(
        (),
        description="what D sees of images: ada, which adapts; or any of color, translation, cutout, mirror "
        "(DiffAugment), joined by commas",
    )
    ada_pipe: PipeName = Field(
        "bgc",
        description="transforms of ada: blit, geometry, color, filter, noise, cutout, or first letters: bg … bgcfnc",
    )
    ada_target: float = Field(
        0.6,
        gt=-1,
        lt=1,
        description="E[sign D(real)] that ada steers to, counted from where the loss is undecided",
    )
    ada_kimg: float = Field(500, gt=0, description="thousands of images in which ada's p can go from 0 to 1")
    augment_p: Annotated[Annealable | None, Unset] = Field(
        None, ge=0, le=1, description="probability of ada's transforms, which else adapts; 0..0.55 anneals it"
    )
    condition: ConditionName = Field(
        "none", description="class labels: none, joined to both inputs, or projected in D"
    )

    @field_validator("augment")
    @classmethod
    def _known_augmentations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in (*AUGMENTATIONS, "ada"):
                raise ValueError(f"'{name}' is unknown; choose from ada, {', '.join(AUGMENTATIONS)}")
        return value

    @model_validator(mode="after")
    def _frozen_after_training(self) -> Self:
        if self.freeze_d and self.init is None:
            raise ValueError("freeze_d= keeps trained blocks: name the run as init=, or use luoxia finetune")
        return self

    @model_validator(mode="after")
    def _strength_has_an_augmentation(self) -> Self:
        if "ada" not in self.augment and self.augment_p is not None:
            raise ValueError("augment_p= is for augment=ada")
        return self

    def remedy(self, illness: Illness) -> tuple[str, str]:
        """Against what befalls a GAN: mostly by D's penalty and its learning rate."""
        lower = f"lower lr (now {self.lr:g})"
        bounded = self.penalty != "none"
        if illness == "exploding gradients":
            if bounded:
                now = "" if self.gamma is None else f" (now {self.gamma:g})"
                return f"Bound D more: raise gamma{now}; or {lower}", "gamma"
            gp = "penalty=gp" if self.loss == "wasserstein" else "penalty=gp with loss=wasserstein"
            return f"Bound D: penalty=r1, or {gp}; or {lower}", "penalty"
        if illness == "non-finite gradients":
            return f"Lower{lower[5:]}{'' if bounded else ', add penalty=r1'}{self._in_full()}", "lr"
        if self.loss == "minimax":
            return "log(1 − D(G(z))) is flat while D is sure: set loss=nonsaturating", "loss"
        more = "" if bounded else ", add penalty=r1"
        return (
            f"D is too sure to teach: lower d_lr{more}{', or set d_steps=1' if self.d_steps > 1 else ''}",
            "d_lr",
        )

    def learning_rates(self) -> dict[str, float]:
        """D may learn at its own rate."""
        return {} if self.d_lr is None else {"discriminator": self.d_lr}

    def trials(self, data: ImageSpec) -> dict[str, list[Any]]:
        """Settings left to short trainings, each with the values to try; none by default, and at most one."""
        return {}

    def build(self, data: ImageSpec) -> Adversarial:
        """The adversarial objective on images of the data's shape."""
        own = self.model_copy(update=self.settled(data))
        return own.kind()(*own.players(data), **own.rules())

    def kind(self) -> type[Adversarial]:
        """The objective that plays by ``rules``."""
        from luoxia.adversarial.objective import Adversarial

        return Adversarial

    def players(self, data: ImageSpec) -> tuple[nn.Module, nn.Module]:
        """G and D."""
        from luoxia.core.errors import UsageError

        if self.condition != "none" and data.classes < 2:
            raise UsageError(
                f"condition={self.condition} needs labeled data; use class folders or condition=none"
            )
        return self.build_generator(data), self.build_discriminator(data)

    def rules(self) -> dict[str, Any]:
        """The loss, and what else the objective takes besides the networks."""
        from luoxia.adversarial.losses import LOSSES
        from luoxia.adversarial.penalties import PENALTIES

        return {
            "loss": LOSSES[self.loss](),
            "penalties": PENALTIES[self.penalty](value_at(self.gamma, 0.0)),
            "penalty_every": self.penalty_every,
            "gamma": self.gamma if isinstance(self.gamma, Annealed) else None,
            "course": self.schedule.samples,
            "d_steps": self.d_steps,
            "augmentations": tuple(name for name in self.augment if name != "ada"),
            "ada": self._ada() if "ada" in self.augment else None,
            "clip_weights": self.clip_weights,
            "g_update": "fresh" if self.accumulate > 1 else self.g_update,  # one graph is kept, not many
        }

    def _ada(self) -> Callable[[dict[str, Tensor]], Ada]:
        from luoxia.adversarial.ada.adaptive import Ada

        return lambda state: Ada(
            self.ada_pipe,
            state,
            target=self.ada_target,
            samples=1000 * self.ada_kimg,
            fixed=self.augment_p,
            course=self.schedule.samples,
        )

    def build_generator(self, data: ImageSpec) -> nn.Module:
        """The network z, labels → images, with its ``latent`` dimensions as an attribute."""
        raise NotImplementedError(f"{type(self).__name__} must define build_generator()")

    def build_discriminator(self, data: ImageSpec) -> nn.Module:
        """The network images, labels → logits."""
        raise NotImplementedError(f"{type(self).__name__} must define build_discriminator()")

    def _of_data(self, data: ImageSpec) -> dict[str, Any]:
        """What the data decides of both networks' sizes: see ``networks.config.PairConfig``."""
        classes = 0 if self.condition == "none" else data.classes
        return {"shape": data.shape, "classes": classes}
