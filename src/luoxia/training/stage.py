"""The contract between a run and what it trains. A run has one or several stages, each with its own objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from luoxia import __version__
from luoxia.provenance.label import Label
from luoxia.runs.reported import Reported
from luoxia.runs.run import Run
from luoxia.training.distributed import World
from luoxia.training.doctor import Rule
from luoxia.training.loop import QuickScore
from luoxia.training.objective import BatchLike, Objective, Phase, Rng
from luoxia.training.trainer import Trainer


@dataclass
class Context:
    """What a stage may know of the run that it is part of."""

    recipe: Any
    data: Any
    world: World
    run: Run
    tell: Callable[[str], None]
    """Says a sentence to the person who trains."""
    dtype: torch.dtype
    """Of products, under mixed precision."""
    resumed: bool = False
    left: Mapping[str, Path] = field(default_factory=dict)
    """What the stages before left behind: name → folder."""
    trainer: Trainer | None = None
    """The stage's own, once its objective is built."""

    @property
    def step(self) -> int:
        """Steps that the stage has done."""
        return 0 if self.trainer is None else self.trainer.progress.step

    def eval_model(self, name: str) -> nn.Module:
        """What is sampled and measured of a network: its average, or itself where there is none."""
        assert self.trainer is not None
        return self.trainer.eval_model(name)

    def is_training(self, network: nn.Module) -> bool:
        """Whether this very network is being trained, so that only a copy of it may be used."""
        return self.trainer is not None and any(network is own for own in self.trainer.networks.values())

    def details(self) -> Label:
        """Where a sample of this moment comes from."""
        return Label(
            recipe=type(self.recipe).name or type(self.recipe).__name__,
            run=self.run.name,
            step=self.step,
            data=self.data.fingerprint,
        )


class Stage:
    """A part of a run: its objective and batches, its samples and scores, the model that it leaves.

    A task lists its stages in order; most have one. What a stage needs of the run is in its ``context``.
    """

    name: ClassVar[str] = "training"
    share: ClassVar[float] = 1.0
    """Of the run's budget, in proportion to the other stages'; what one leaves over goes to those after it."""
    network: ClassVar[str]
    """The network that is sampled, measured and exported."""
    from_earlier: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the names of tensors that its objective takes from the stages before: ``init`` leaves them alone."""

    model_files: ClassVar[tuple[str, ...]] = ()
    """Names of what ``write_model`` may write: what a former model folder has of them does not stay."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.recipe = context.recipe
        self.data = context.data
        self.world = context.world
        self.prepare()

    @classmethod
    def settings(cls, recipe: Any) -> dict[str, Any]:
        """Settings of the recipe that are others in this stage, such as ``steps`` of any but the last one."""
        return {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the data, in the order of their numbers; () where there are none."""
        return ()

    def prepare(self) -> None:
        """Split the data and make what ``batch`` needs, before there is an objective."""

    def objective(self) -> Objective:
        """What is trained."""
        built: Objective = self.recipe.build(self.data.spec)
        return built

    def batch(self, phase: Phase, index: int) -> BatchLike:
        """Batch number ``index`` of a phase: a function of the seed and of these alone."""
        raise NotImplementedError

    def close(self) -> None:
        """End what loads batches beside the training (``LoadedBatches.close``); nothing by default."""

    def observe(self, rng: Rng) -> tuple[Any, Any | None]:
        """A batch of training and one of held-out data, for the objective's ``observe``."""
        raise NotImplementedError

    # ------------------------------------------------------------------ samples and scores

    def model(self) -> Any:
        """The model of this moment, as ``luoxia.load`` would return it."""
        raise NotImplementedError

    def preview(self, out: Path) -> None:
        """Write what the model makes now to ``out`` and a suffix: always of the same seeds or inputs."""
        raise NotImplementedError

    @property
    def scored(self) -> bool:
        """Whether scores are wanted."""
        return True

    def prepare_scores(self) -> None:
        """Work that the scores need once, before training starts."""

    def quick_score(self) -> QuickScore | None:
        """Scores in about a second, between two steps."""
        return None

    def evaluate(self) -> list[dict[str, Any]]:
        """All final scores, as records; what else they show is written to scores/."""
        raise NotImplementedError

    # ------------------------------------------------------------------ what it leaves

    def exported(self) -> nn.Module:
        """The network of the model folder, as it is built again there."""
        return self.context.eval_model(self.network)

    def weights(self) -> dict[str, torch.Tensor]:
        """Those of the network of the model folder."""
        state: dict[str, torch.Tensor] = self.exported().state_dict()
        return state

    def describe_model(self) -> dict[str, Any]:
        """What ``luoxia.load`` needs besides the network, for config.json."""
        return {}

    def write_model(self, folder: Path) -> None:
        """Write what lies beside the weights; nothing by default."""

    def describe_data(self) -> dict[str, Any]:
        """The data, for run.json."""
        return {"source": self.data.source, "fingerprint": self.data.fingerprint, "count": len(self.data)}

    def card(self) -> str:
        """What the model is and how it is used, for a person, in Markdown."""
        return self.write_card("A model", self.data.source, 'model = luoxia.load("PATH/TO/THIS/FOLDER")', "")

    def write_card(self, what: str, data: str, example: str, warning: str) -> str:
        """A card in Markdown: what the model is, what it learned from, a call in Python, a warning."""
        kind = type(self.recipe)
        return (
            f"# {kind.name or kind.__name__}: {self.context.run.name}\n\n"
            f"{what}, trained with Luoxia {__version__} for {self.context.step:,} steps on {data}.\n\n"
            f"Recipe: {kind.title} ({kind.source}).\n\n"
            f"```python\nimport luoxia\n\n{example}\n```\n\n{warning}\n"
        )


def shares(stages: tuple[type[Stage], ...], budget: float | None, spent: tuple[float, ...]) -> float | None:
    """Seconds that the stage after those that ``spent`` some may take; None without a budget.

    >>> shares((Stage, Stage), 100.0, ())
    50.0
    >>> shares((Stage, Stage), 100.0, (20.0,))
    80.0
    """
    if budget is None:
        return None
    rest = stages[len(spent) :]
    return max(0.0, budget - math.fsum(spent)) * rest[0].share / math.fsum(stage.share for stage in rest)


class Trainable(Reported, Protocol):
    """What a session asks of a task; ``luoxia.tasks.base.Task`` is one."""

    name: ClassVar[str]
    kind: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    output: ClassVar[str]
    rules: ClassVar[tuple[type[Rule], ...]]

    def stages(self, recipe: Any) -> tuple[type[Stage], ...]:
        """In order."""
        ...

    def recipe_record(self, recipe: Any) -> dict[str, Any]:
        """What run.json and config.json say of the recipe."""
        ...

    def network_record(self, network: nn.Module) -> dict[str, Any]:
        """What config.json says of the network that a stage leaves."""
        ...

    def load_base(self, stage: Stage, objective: Objective) -> dict[str, Any]:
        """Give the networks of ``objective`` the weights of the model at the recipe's ``init``; run.json's record."""
        ...

    def keep_base(self, init: str, folder: Path) -> None:
        """Copy what ``load_base`` needs of the model at ``init`` into the run, for stages to come."""
        ...
