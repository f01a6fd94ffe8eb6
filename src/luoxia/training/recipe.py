"""What every recipe has: the common keys, and the optimizer, schedule and average they configure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, field_validator, model_validator

from luoxia.core.config import Config
from luoxia.core.names import absolute
from luoxia.core.sections import merge, nest
from luoxia.core.values import AnnealableWeight, Annealed, Betas, Place, Seconds, Seed, Unset, Whole, shortest

if TYPE_CHECKING:
    from luoxia.training.objective import Objective


Presets = Mapping[str, Mapping[str, Any]]
"""Names → settings, whose keys may be dotted."""
WITHOUT_END = 1_000_000_000
"""What runs of before hold as ``steps`` where only their budget ends them; None now."""
Illness = Literal["exploding gradients", "vanishing gradients", "non-finite gradients"]
"""What can befall every training."""


class Optimizer(Config):
    """How gradients become updates."""

    renamed: ClassVar[Mapping[str, str]] = {"clip": "grad_clip"}

    name: Literal["adam", "adamw", "muon", "rmsprop", "sgd"] = Field(
        "adam", description="adam, adamw, muon (adamw beside hidden matrices), rmsprop or sgd"
    )
    adam_lr: Annotated[float | None, Unset] = Field(
        None, gt=0, description="learning rate of adamw beside muon; lr if unset"
    )
    betas: Betas = Field(
        (0.5, 0.999), description="Adam's decay rates of the first and second moment; 0,0.9..0.99 anneals it"
    )
    momentum: float = Field(
        0.0, ge=0, lt=1, description="momentum of sgd, rmsprop and muon (there 0 means 0.95)"
    )
    eps: float = Field(1e-8, gt=0, description="added to the root of the second moment")
    weight_decay: float = Field(
        0.0, ge=0, description="decay of weights a step (adamw, muon: decoupled, of matrices only)"
    )
    grad_clip: float = Field(0.0, ge=0, description="largest norm of a network's gradient; 0: no clipping")


class Schedule(Config):
    """The learning-rate schedule, and when values such as ``0.05..0.005`` arrive at the second."""

    renamed: ClassVar[Mapping[str, str]] = {"images": "samples"}

    name: Literal["constant", "linear", "cosine", "inverse_sqrt"] = Field(
        "constant", description="constant, linear, cosine, or inverse_sqrt: by 1/√step after the warm-up"
    )
    warmup: Whole = Field(0, ge=0, description="warm-up steps (linear)")
    final: float = Field(0.0, ge=0, le=1, description="last learning rate, as a share of lr (linear, cosine)")
    samples: Whole = Field(
        0,
        ge=0,
        description="samples seen, over all processes, in which it runs its course and annealed values theirs; "
        "0: the run",
    )
    hold: float = Field(
        0.0, ge=0, lt=1, description="share of the run at lr before it falls (linear, cosine)"
    )


class Average(Config):
    """The exponential moving average of the weights: what is sampled."""

    renamed: ClassVar[Mapping[str, str]] = {"halflife": "half_life", "ramp": "warmup_share"}

    half_life: AnnealableWeight = Field(10_000, description="half-life in samples seen; 0: no average")
    warmup_share: float = Field(
        0.05, ge=0, description="at the start, half-life ≤ this share of the samples seen; 0: none"
    )
    every: Whole = Field(1, ge=1, description="steps between two updates of the average")


class Recipe(Config):
    """A named, published way to train a family of models. Subclass it, add fields, and write ``build``."""

    renamed: ClassVar[Mapping[str, str]] = {"optimiser": "optimizer", "keep": "keep_checkpoints"}
    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "out", "preset", "steps", "budget", "batch", "lr", "seed", "device", "sample_every",
    )  # fmt: skip
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "common": ("data", "against", "out", "preset", "steps", "budget", "batch", "lr", "seed", "device"),
        "log and checkpoints": (
            "resume", "log", "log_every", "sample_every", "score_every", "checkpoint_every", "keep_checkpoints",
            "average_checkpoints",
        ),
        "machine": ("precision", "compile", "deterministic", "accumulate", "shard", "workers"),
        "from a trained model": ("init",),
    }  # fmt: skip
    task: ClassVar[Any] = None
    """The ``luoxia.tasks.base.Task`` that it trains, where that is one of your own."""
    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    source: ClassVar[str] = ""
    """The paper: authors, year, arXiv number."""
    presets: ClassVar[Presets] = {}
    """Named configurations: name → the settings that it stands for. A key that is given replaces the preset's value."""
    per_run: ClassVar[tuple[str, ...]] = ()
    """Keys beside the common ones that say how a run reads and scores its data: a fine-tuning does not inherit them."""
    deterministic_on_gpu: ClassVar[bool] = True
    """What ``deterministic=auto`` means on a GPU: deterministic kernels there, for some more time a step."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        fields, common = cls.model_fields, Recipe.model_fields["steps"]
        fields["steps"].annotation = common.annotation  # a subclass may know no None
        super().__pydantic_init_subclass__(**kwargs)
        cls.name = cls.__dict__.get("name", cls.__name__)  # a recipe of one's own is not its parent
        known = f": {', '.join(cls.presets)}" if cls.presets else "; this recipe has none"
        fields["preset"].description = f"a named configuration{known}"

    data: Annotated[str | None, Place] = Field(None, description="files to learn from")
    out: Annotated[str | None, Place] = Field(None, description="run folder; runs/NAME-1, NAME-2 … if unset")
    preset: Annotated[str | None, Unset] = Field(None, description="a named configuration")
    init: Annotated[str | None, Place] = Field(
        None, description="a run or a model folder, with whose weights training begins"
    )
    steps: Annotated[Whole | None, Unset] = Field(10_000, ge=1, description="training steps in all")
    budget: Annotated[Seconds | None, Unset] = Field(
        None, gt=0, description="training time such as 90s, 10m, 2h; without steps=, the only limit"
    )
    batch: Whole = Field(64, ge=1, le=2**20, description="batch size per process")
    accumulate: Whole = Field(1, ge=1, description="batches that make one update, as if they were one batch")
    lr: float = Field(2e-4, gt=0, description="learning rate")
    seed: Seed = Field(0, description="seed of everything random")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 if the hardware supports it"
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto", description="torch.compile; auto: on CUDA, for long runs"
    )
    deterministic: Literal["auto", "on", "off"] = Field(
        "auto", description="on a GPU, kernels that give equal weights in equal runs; auto: by recipe"
    )
    shard: bool = Field(
        False, description="with torchrun: weights and optimizer sharded across processes (FSDP2)"
    )
    workers: Annotated[Whole, Field(ge=0, le=256)] | Literal["auto"] = Field(
        "auto",
        description="threads or processes that load data not held in memory; auto: one a core, at most 8",
    )
    resume: Literal["auto", "never"] = Field(
        "auto", description="auto: a run of the same settings at out is continued; never: it is refused"
    )
    log: Literal["none", "tensorboard", "wandb", "mlflow"] = Field(
        "none",
        description="show the log in another tool too, in the run's folder: tensorboard, wandb, mlflow",
    )
    log_every: Whole = Field(50, ge=1, description="steps between lines of metrics.jsonl")
    sample_every: Whole = Field(250, ge=0, description="steps between sample grids; 0: only at the end")
    score_every: Whole = Field(500, ge=0, description="steps between quick scores; 0: only at the end")
    checkpoint_every: Whole = Field(1000, ge=1, description="steps between checkpoints")
    keep_checkpoints: Whole = Field(2, ge=1, description="checkpoints kept")
    average_checkpoints: Whole = Field(
        0,
        ge=0,
        description="checkpoints whose weights, the last so many, are averaged into the model; 0: none",
    )
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    ema: Average = Average()

    @model_validator(mode="wrap")
    @classmethod
    def _remember_given(cls, value: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        """``model_fields_set`` holds what was given alone, in sections too: no default that another key implies."""
        if isinstance(value, Mapping):
            value = cls.current(value)
            if value.get("steps") == WITHOUT_END and value.get("budget") is not None:
                value["steps"] = None
        made = build(cls.filled(value) if isinstance(value, Mapping) else value)
        if isinstance(value, Mapping):
            made.__pydantic_fields_set__ = set(value)
            for name in value:
                section, given = getattr(made, name), value[name]
                if isinstance(section, Config):
                    section.__pydantic_fields_set__ = {"name"} if isinstance(given, str) else set(dict(given))
        return made

    @classmethod
    def filled(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """``given`` laid over the settings of its preset."""
        preset = given.get("preset")
        known = isinstance(preset, str) and preset in cls.presets
        return merge(nest(cls.presets[str(preset)]), given) if known else dict(given)

    @classmethod
    def refuse(cls, given: Mapping[str, Any]) -> None:
        """``UsageError`` for settings that a person may not give together, though a run may hold them so."""

    def is_given(self, key: str) -> bool:
        """Whether a key was set, by itself or by the preset."""
        return key in self.model_fields_set or key in nest(self.presets.get(self.preset or "", {}))

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str | None) -> str | None:
        if value is not None and value not in cls.presets:
            known = (
                f"must be one of {', '.join(cls.presets)}" if cls.presets else "this recipe has no presets"
            )
            raise ValueError(known)
        return value

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.steps is None and self.budget is None:
            raise ValueError("steps=none needs budget=, for something must end the run")
        return self

    @model_validator(mode="after")
    def _known_course(self) -> Self:
        annealed = {"optimizer.betas": self.optimizer.betas[1], "ema.half_life": self.ema.half_life}
        annealed |= {name: getattr(self, name) for name in type(self).model_fields}
        for name, value in annealed.items():
            if isinstance(value, Annealed) and self.schedule.samples == 0:
                raise ValueError(
                    f"{name}={value} needs schedule.samples=, in which it goes from one to the other"
                )
        return self

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.average_checkpoints and self.ema.half_life:
            raise ValueError(
                f"average_checkpoints={self.average_checkpoints} beside ema.half_life={shortest(self.ema.half_life)}: "
                "set one of them to 0"
            )
        return self

    def build(self, data: Any) -> Objective:
        """The objective for data of this kind; ``data`` is the dataset's spec."""
        raise NotImplementedError(f"{type(self).__name__} must define build()")

    def remedy(self, illness: Illness) -> tuple[str, str]:
        """(What to do against it, a sentence without its stop; the key to change), whatever is trained."""
        clip = "" if self.optimizer.grad_clip else ", or set optimizer.grad_clip=1"
        if illness == "vanishing gradients":
            advice = f"Nothing is left to learn, or lr (now {self.lr:g}) broke the network: stop, or lower it"
        elif illness == "exploding gradients":
            advice = f"Lower lr (now {self.lr:g}){clip}"
        else:
            advice = f"Lower lr (now {self.lr:g}){clip}{self._in_full()}"
        return advice, "lr"

    def _in_full(self) -> str:
        return "" if self.precision == "fp32" else ", or set precision=fp32"

    def learning_rates(self) -> dict[str, float]:
        """Learning rates by network, where they differ from ``lr``."""
        return {}


def resolve(recipe: Recipe, settled: dict[str, Any]) -> Any:
    """The recipe with every default settled: by the data, by the folder it was named in, by its budget."""
    if recipe.data is not None:
        settled["data"] = absolute(recipe.data)
    if recipe.init is not None:
        settled["init"] = absolute(recipe.init)
    if recipe.budget is not None and "steps" not in recipe.model_fields_set:
        settled["steps"] = None
    return recipe.model_copy(update=settled)
