"""The contract of a task: what is learned, from which media to which, and what its models can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from luoxia.core.config import Config
from luoxia.core.errors import UsageError
from luoxia.core.html import Html, escape
from luoxia.training import own
from luoxia.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from luoxia.media.base import Medium
    from luoxia.runs.display import Display
    from luoxia.runs.reported import Figure, Section
    from luoxia.runs.run import Run
    from luoxia.tasks.record import ModelRecord
    from luoxia.training.distributed import World
    from luoxia.training.doctor import Rule
    from luoxia.training.objective import Objective
    from luoxia.training.stage import Stage


Network = Any
"""MODULE:CLASS of a network, or the class."""


def imported(name: str) -> Any:
    """What MODULE:NAME names. Tasks name their heavy parts so, and stay light themselves."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


@dataclass(frozen=True)
class Capability:
    """What a verb can ask of a task's models.

    ``call`` does it: a function, or MODULE:NAME of one, which takes the ``ModelRecord``, the verb's words and then its
    keys as keywords. ``keys`` lists these for ``--help``. ``example`` is how a person asks, RUN for the model.
    """

    keys: type[Config]
    call: str | Callable[..., Any]
    example: str

    def __call__(self, record: ModelRecord, *words: Any, **settings: Any) -> Any:
        """Ask the model of ``record``."""
        call = imported(self.call) if isinstance(self.call, str) else self.call
        return call(record, *words, **settings)


class Task:
    """What is learned. A subclass names its media, recipes, stages and capabilities; one instance stands in a registry.

    A task imports torch only in its methods: the command line reads the rest of it before work starts.
    """

    name: ClassVar[str]
    """Written into run.json and config.json."""
    kind: ClassVar[str]
    """What a trained model is: "image generator"."""
    inputs: ClassVar[tuple[str, ...]] = ()
    """The media that samples are made from."""
    output: ClassVar[str]
    """The medium of its samples."""
    unit: ClassVar[str] = "samples"
    """What is counted as seen in training."""
    recipes: ClassVar[tuple[type[Recipe], ...]]
    family: ClassVar[type[Recipe]]
    """What its recipes are, and what a recipe of one's own must be a subclass of."""
    stage_names: ClassVar[tuple[str, ...]] = ()
    """MODULE:CLASS of each stage, in order."""
    items: ClassVar[str] = "samples"
    """What a data set holds."""
    sample_note: ClassVar[str] = 'AI-generated <span lang="zh">(人工智能生成)</span>'
    """HTML above the samples of a report: what they are."""
    key_scores: ClassVar[tuple[str, ...]] = ()
    """Scores that a report shows first; ``FD`` is FD-self, too."""
    sections: ClassVar[tuple[Section, ...]] = ()
    """Parts of a report that show what the frame does not, or in its place."""
    figures: ClassVar[tuple[Figure, ...]] = ()
    """Statistics that a report draws together."""
    aids: ClassVar[Mapping[str, str]] = {}
    """Phase or statistic → a sentence on how its curve is read."""
    rules: ClassVar[tuple[type[Rule], ...]] = ()
    """What the doctor looks for besides what ails every training."""
    parts: ClassVar[tuple[str, ...]] = ()
    """Models of other tasks within a model folder: NAME has its config under "NAME", its tensors as "NAME.…"."""
    capabilities: ClassVar[Mapping[str, Capability]] = {}
    """Verb → what it asks."""
    networks: ClassVar[Mapping[str, Network]] = {}
    """What its model folders may hold: name in config.json → class, whose only argument ``config`` are its sizes."""
    quantizes: ClassVar[bool] = False
    """Whether its models can be loaded with ``quantize=``."""
    media: ClassVar[Mapping[str, Medium]] = {}
    """Media of one's own, by name; those of ``luoxia.registry.MEDIA`` need not be named."""

    # ------------------------------------------------------------------ training

    def stages(self, recipe: Any) -> tuple[type[Stage], ...]:
        """The parts of a run, in order."""
        return tuple(imported(name) for name in self.stage_names)

    def open(self, recipe: Any, display: Display | None = None) -> Any:
        """The data set that a recipe names: ``spec``, ``source``, ``fingerprint``, ``skipped`` and a length."""
        raise NotImplementedError(f"{type(self).__name__} must define open()")

    def settle(self, recipe: Any, data: Any) -> dict[str, Any]:
        """Settings of the recipe that the data decides."""
        return {}

    def try_out(self, recipe: Any, run: Run, data: Any, world: World, display: Display) -> Any:
        """The recipe with what it leaves to trials replaced by what scored best; itself by default."""
        return recipe

    def describe(self, data: Any) -> str:
        """The data set in a line."""
        return f"{len(data):,} {self.unit}, {data.source}"

    def skipped(self, data: Any) -> str:
        """How much of the data could not be used, in words."""
        number = len(data.skipped)
        return f"{number:,} file{'s' if number != 1 else ''}"

    def recipe_record(self, recipe: Recipe) -> dict[str, Any]:
        """What run.json and config.json say of a recipe."""
        return own.record(type(recipe))

    def network_record(self, network: torch.nn.Module) -> dict[str, Any]:
        """What config.json says of a trained network, so that it can be built without its recipe."""
        from luoxia.tasks.networks import record_of

        return record_of(self.networks, network)

    # ------------------------------------------------------------------ the report

    def data_rows(self, data: Mapping[str, Any]) -> list[tuple[str, object]]:
        """What the report says of the data besides what it says of all, from ``Stage.describe_data``."""
        return []

    def html(self, file: Path) -> Html:
        """How a file of samples is shown: as the output's medium does it, the input's where no medium comes out."""
        from luoxia import registry

        known = [name for name in (self.output, *self.inputs) if name in {**registry.MEDIA, **self.media}]
        return registry.medium(known[0], self).html(file) if known else Html(escape(file.name))

    # ------------------------------------------------------------------ models

    def load(self, record: ModelRecord, weights: dict[str, torch.Tensor], **common: Any) -> Any:
        """What ``luoxia.load`` returns of a model folder and the network's ``weights``.

        ``common`` is ``details`` and ``device``, and ``dtype`` and ``quantize`` where they are given.
        """
        raise UsageError(f"{record.path}: models of {self.name} cannot be loaded")

    def load_foreign(self, record: ModelRecord, adapter: str | Path | None, **common: Any) -> Any:
        """The model of another toolkit's folder."""
        raise UsageError(f"{record.path} is another toolkit's folder, which {self.name} cannot open")

    def finetune(
        self, record: ModelRecord, settings: dict[str, Any]
    ) -> tuple[str | type[Recipe], dict[str, Any]]:
        """The recipe and the settings of a training that begins with the weights of ``record``."""
        from luoxia.tasks.finetuning import finetune_settings

        return finetune_settings(record, settings)

    def load_base(self, stage: Stage, objective: Objective) -> dict[str, Any]:
        """Give the networks of ``objective`` the weights of the model at the recipe's ``init``; run.json's record."""
        from luoxia.tasks.base_weights import load_base

        return load_base(stage, objective)

    def keep_base(self, init: str, folder: Path) -> None:
        """Copy what ``load_base`` needs of the model at ``init`` into the run, for stages to come."""
        from luoxia.tasks.base_weights import keep_base

        keep_base(init, folder)

    def capability(self, verb: str, record: ModelRecord) -> Capability:
        """What a verb asks of the model of ``record``; ``UsageError`` names what it can be asked instead."""
        if verb in self.capabilities:
            return self.capabilities[verb]
        others = [c.example for name, c in self.capabilities.items() if name not in ("measure", "export")]
        instead = f"; use {others[0].replace('RUN', str(record.path))}" if others else ""
        raise UsageError(f"{record.path} is {article(self.kind)} and cannot {verb}{instead}")


class Codec(Protocol):
    """A model that turns samples into tokens on a grid, and tokens into samples.

    What learns to generate tokens needs no more of it, whatever the medium.
    """

    codebooks: int
    """Tokens at each place of the grid."""
    vocabulary: int
    """Values of a token: 0 to ``vocabulary`` − 1."""
    fingerprint: str
    """32 hexadecimal digits of its weights and quantizer: tokens are those of one fingerprint."""

    def grid(self, *sides: int) -> tuple[int, ...]:
        """The grid of a sample with these sides: (height, width) of an image."""
        ...

    def encode(self, samples: Any) -> torch.Tensor:
        """Samples (n, …) → tokens (n, *grid, ``codebooks``), int64, the same in batches of any size."""
        ...

    def decode(self, tokens: torch.Tensor) -> Any:
        """Tokens (n, *grid, ``codebooks``), int64 → samples (n, …), the same in batches of any size."""
        ...


def article(noun: str) -> str:
    """A noun with its article.

    >>> article("image generator"), article("translator")
    ('an image generator', 'a translator')
    """
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"
