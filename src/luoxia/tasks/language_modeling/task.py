"""Language modeling, as a task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.core.errors import UsageError
from luoxia.core.names import many
from luoxia.core.sections import merge
from luoxia.tasks.base import Capability, Network
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.language_modeling.settings import LanguageExportSettings, TextSettings
from luoxia.tasks.shared.settings import MeasureSettings
from luoxia.tasks.shared.token_task import TokenTask

if TYPE_CHECKING:
    from luoxia.runs.display import Display
    from luoxia.tasks.record import ModelRecord
    from luoxia.training.objective import Objective
    from luoxia.training.recipe import Recipe


HERE = "luoxia.tasks.language_modeling"


class LanguageModeling(TokenTask):
    """Text from a prompt, a chat or a condition."""

    name: ClassVar[str] = "language modeling"
    kind: ClassVar[str] = "language model"
    unit: ClassVar[str] = "rows"
    quantizes: ClassVar[bool] = True
    recipes = (GPT,)
    family = GPT
    stage_names = (f"{HERE}.stage:LanguageStage",)
    networks: ClassVar[Mapping[str, Network]] = {"decoder": "luoxia.nn.transformer:Decoder"}

    capabilities: ClassVar[Mapping[str, Capability]] = {
        "sample": Capability(TextSettings, f"{HERE}.sample:sample", 'luoxia sample RUN prompt="Once"'),
        "export": Capability(LanguageExportSettings, f"{HERE}.export:export", "luoxia export RUN out=FOLDER"),
        "measure": Capability(MeasureSettings, f"{HERE}.measure:measure", "luoxia measure RUN"),
    }

    def open(self, recipe: Any, display: Display | None = None) -> Any:
        """The text that a recipe's ``data`` names, in its ``tokenizer``'s tokens, or in those of its ``init``."""
        from luoxia.media.text.corpus import corpus_of, open_corpus
        from luoxia.media.text.sources import read_texts
        from luoxia.tasks.language_modeling.base_model import base_chat, base_tokenizer

        common = {
            "condition": recipe.condition,
            "target": recipe.target,
            "allow_skipped": recipe.allow_skipped,
        }
        if recipe.init is None:
            kind = (recipe.tokenizer, recipe.vocabulary)
            return open_corpus(recipe.data, *kind, omitted=recipe.condition_dropout, **common)
        source = read_texts(recipe.data, template=base_chat(recipe.init), **common)
        return corpus_of(source, base_tokenizer(recipe.init), recipe.condition_dropout)

    def describe(self, data: Any) -> str:
        """Documents, their conditions, tokens, vocabulary."""
        documents = many(len(data), "document")
        given = f" given {', '.join(data.condition)}" if data.condition else ""
        kind, size = data.tokenizer.kind, data.tokenizer.vocabulary
        return f"{documents}{given}, {data.size:,} tokens ({kind}, {size:,} in all), {data.source}"

    def load(self, record: ModelRecord, weights: dict[str, Any], **common: Any) -> Any:
        """A ``TextGenerator``."""
        from luoxia.media.text.chat import ChatTemplate
        from luoxia.tasks.language_modeling.base_model import FOREIGN, learned_ends, load_adapted
        from luoxia.tasks.language_modeling.model import TextGenerator
        from luoxia.tasks.language_modeling.stage import adapters_of
        from luoxia.tasks.shared.token_stage import open_network

        def fill(network: Any, weights: dict[str, Any]) -> None:
            load_adapted(network, weights, lambda: adapters_of(record.recipe))

        fields = record.config.get("fields")
        if fields is None:  # in no folder of before 0.2
            recipe: Any = record.recipe
            fields = recipe.condition
        network, tokenizer = open_network(record, weights, fill)
        return TextGenerator(
            network,
            tokenizer,
            ends=learned_ends(record.folder, tokenizer),
            chat=ChatTemplate.of(record.folder / FOREIGN),
            condition=fields,
            **common,
        )

    def load_foreign(self, record: ModelRecord, adapter: str | Path | None, **common: Any) -> Any:
        """A ``TextGenerator``, or a ``TextEncoder`` of a BERT."""
        from luoxia.tasks.language_modeling.base_model import load_foreign

        return load_foreign(record.folder, common.pop("device"), adapter, **common)

    def capability(self, verb: str, record: ModelRecord) -> Capability:
        """What a verb asks; another toolkit's encoder writes nothing."""
        if record.kind == "text encoder":
            raise UsageError(
                f"{record.path} is an encoder and cannot generate text; use luoxia.load(…).hidden(ids) from Python"
            )
        return super().capability(verb, record)

    def finetune(
        self, record: ModelRecord, settings: dict[str, Any]
    ) -> tuple[str | type[Recipe], dict[str, Any]]:
        """``gpt``, which has defaults for it, with the model's architecture and its tokenizer."""
        for key in GPT.from_base:
            if key in settings:
                raise UsageError(f"{key}= is that of the model at {record.path}: leave it out")
        return "gpt", merge({"init": str(record.path)}, settings)

    def load_base(self, stage: Any, objective: Objective) -> dict[str, Any]:
        """The record alone: the stage has built its network of the base model."""
        networks = {stage.network: stage.loaded.as_dict()}
        return {"path": str(stage.recipe.init), **stage.base.details.as_dict(), "networks": networks}


TASK = LanguageModeling()
