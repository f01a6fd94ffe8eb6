"""Training on text: samples of fixed seeds, bits per byte on text that was held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from luoxia.core.config import merge
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import write_file
from luoxia.core.names import many
from luoxia.decoding.loop import Decoding
from luoxia.media.text.chat import ChatTemplate
from luoxia.media.text.corpus import LanguageCorpus, corpus_of, open_corpus
from luoxia.media.text.sources import read_texts
from luoxia.media.text.spec import TextSpec
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.metrics.score import Score
from luoxia.nn.lora import add_lora, merged_state
from luoxia.runs.display import Display
from luoxia.runs.folder import LANGUAGE_MODEL
from luoxia.tasks.language_modeling.base_model import (
    FOREIGN,
    Origin,
    copy_foreign,
    learned_ends,
    load_adapted,
    origin_chat,
    origin_tokenizer,
    write_adapter,
)
from luoxia.tasks.language_modeling.model import TextGenerator
from luoxia.tasks.language_modeling.objective import TokenBatch
from luoxia.tasks.language_modeling.recipes import FORM
from luoxia.tasks.language_modeling.scores import prediction_scores, to_batch, writing_scores
from luoxia.tasks.menu import GPT, Recipe
from luoxia.tasks.shared.token_model import TokenModel
from luoxia.tasks.shared.token_training import TokenSession
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Objective, Phase, Rng
from luoxia.training.session import absolute

SAMPLES, TOKENS = 4, 256
"""Texts in a sample, and tokens of each."""
TUNED_CONTEXT = 256
"""Tokens in a row of fine-tuning, where none are asked for and the model reads as many."""
QUICK = 64
"""Windows of held-out text in a score between two steps; the final one takes all."""


class TextSession(TokenSession):
    """The training of a language model."""

    exported: ClassVar[str] = LANGUAGE_MODEL
    network: ClassVar[str] = "decoder"
    model: ClassVar[type[TokenModel[Any]]] = TextGenerator
    unit: ClassVar[str] = "rows"
    told: ClassVar[tuple[str, str, str]] = (
        "A language model",
        '.sample(4, seed=0, prompt="Once")',
        "What it writes is synthetic, may be untrue, and can repeat its training text.",
    )
    recipe: GPT
    dataset: LanguageCorpus[Any]

    @staticmethod
    def open_data(recipe: GPT, display: Display | None = None) -> LanguageCorpus[Any]:
        """The text that a recipe's ``data`` names, in its ``tokenizer``'s tokens, or in those of its ``init``."""
        if recipe.init is not None:
            source = read_texts(
                recipe.data,
                condition=recipe.condition,
                target=recipe.target,
                allow_skipped=recipe.allow_skipped,
                template=origin_chat(recipe.init),
            )
            return corpus_of(source, origin_tokenizer(recipe.init), recipe.condition_dropout)
        return open_corpus(
            recipe.data,
            recipe.tokenizer,
            recipe.vocabulary,
            condition=recipe.condition,
            target=recipe.target,
            omitted=recipe.condition_dropout,
            allow_skipped=recipe.allow_skipped,
        )

    @classmethod
    def tuned(cls, model: str, settings: dict[str, Any]) -> tuple[str | type[Recipe], dict[str, Any]]:
        """``gpt``, with the model's form and its tokenizer."""
        for key in FORM:
            if key in settings:
                raise UsageError(f"{key}= is that of the model at {model}: leave it out")
        return "gpt", merge({"init": model}, settings)

    @staticmethod
    def announce(dataset: LanguageCorpus[Any]) -> str:
        """Documents, their conditions, tokens, vocabulary."""
        kind, size = dataset.tokenizer.kind, dataset.tokenizer.vocabulary
        documents = many(len(dataset), "document")
        given = f" given {', '.join(dataset.condition)}" if dataset.condition else ""
        return f"{documents}{given}, {dataset.size:,} tokens ({kind}, {size:,} in all), {dataset.source}"

    @staticmethod
    def controls(recipe: GPT) -> dict[str, Any]:
        """The fields that it learns texts by."""
        return {"condition": recipe.condition}

    @staticmethod
    def beside(folder: Path, tokenizer: Tokenizer) -> dict[str, Any]:
        """What ends its texts, and how it writes chats."""
        return {"ends": learned_ends(folder, tokenizer), "chat": ChatTemplate.of(folder / FOREIGN)}

    @staticmethod
    def settle(recipe: GPT, dataset: LanguageCorpus[Any]) -> dict[str, Any]:
        """Where the weights come from, wherever the run is resumed from."""
        return {} if recipe.init is None else {"init": absolute(recipe.init)}

    def prepare(self) -> None:
        """Hold some text back, and serve the rest in rows."""
        self.spec: TextSpec = self.dataset.spec
        self.origin = None if self.recipe.init is None else self._open_origin(self.recipe.init)
        recipe, world = self.recipe, self.world
        self.train, self.heldout = self.dataset.split(recipe.holdout, recipe.seed)
        self.batches = self.dataset.batches(
            self.train, recipe.batch, recipe.context, recipe.seed, world.size, world.rank
        )

    def _open_origin(self, init: str) -> Origin:
        """The model to go on from; its form becomes that of the network, in rows that it can read."""
        origin = Origin.open(init, type(self))
        shape = replace(origin.network.config, dropout=self.recipe.dropout, attention_dropout=0.0)
        if "context" not in self.recipe.model_fields_set:
            self.recipe = self.recipe.model_copy(update={"context": min(TUNED_CONTEXT, shape.context)})
        origin.network.check(self.recipe.context)
        self.spec = replace(self.spec, shape=asdict(shape))
        return origin

    def objective(self) -> Objective:
        """The recipe's, with the weights that are gone on with, and their adapters."""
        recipe, objective = self.recipe, self.recipe.build(self.spec)
        if self.origin is not None:
            network: Any = objective.networks[self.network]
            network.load_state_dict(self.origin.network.state_dict())
            if recipe.lora:
                generator = torch.Generator().manual_seed(recipe.seed)
                add_lora(network, recipe.lora, alpha(recipe), generator=generator)
            self.origin = replace(self.origin, network=network)  # the first copy is needed no more
        return objective

    def batch(self, phase: Phase, index: int) -> TokenBatch:
        """Rows of text."""
        return to_batch(self.batches(index), self.world.device)

    def observe(self, rng: Rng) -> tuple[TokenBatch, TokenBatch | None]:
        """Some rows of either side."""
        return self._pick(self.train, rng), self._pick(self.heldout, rng)  # type: ignore[return-value]

    def _pick(self, part: Any, rng: Rng) -> TokenBatch | None:
        rows, context = self.recipe.batch, self.recipe.context
        some = self.dataset.some(part, rows, context, lambda high, n: rng.integers(0, high, n).cpu().numpy())
        return None if some is None else to_batch(some, self.world.device)

    # ------------------------------------------------------------------ samples and scores

    def sample(self, step: int) -> None:
        """Some texts, of the same seed every time, under conditions of held-out ones."""
        decoding = Decoding(max_tokens=longest_text(self.recipe), temperature=0.8)
        asked = (SAMPLES, self.recipe.context, self.recipe.seed)
        heldout, train = (self.dataset.conditions(part, *asked) for part in (self.heldout, self.train))
        conditions = heldout or train
        texts = self.generator().sample(SAMPLES, self.recipe.seed, condition=conditions, decoding=decoding)
        headed = map(under, texts, conditions or [{}] * SAMPLES)
        path = self.run.path / "samples" / f"step_{step:06d}.txt"
        write_file(path, "\n\n――――――――\n\n".join(headed) + "\n")

    def quick_score(self, step: int) -> QuickScore | None:
        """Bits per byte of held-out text, of rows spread over all of it; no floor is known for it."""
        scores = self._prediction_scores(QUICK)
        if not scores:
            return None
        bits = next(score for score in scores if score.name == "bits per byte")
        records, rows = [score.as_dict() for score in scores], len(self.heldout.fitting(self.recipe.context))
        return QuickScore(records, bits.value, 0.0, {}, "bits per byte of all held-out text").of(QUICK, rows)

    def measure(self) -> list[dict[str, Any]]:
        """How it predicts all held-out text, and what it writes itself."""
        scores = self._prediction_scores(None)
        if scores and self.recipe.score_samples:
            scores += self._writing_scores()
        return [score.as_dict() for score in scores]

    def _prediction_scores(self, most: int | None) -> list[Score]:
        return prediction_scores(
            self.averaged(self.network),
            self.heldout,
            self.dataset,
            context=self.recipe.context,
            device=self.world.device,
            dtype=self.dtype,
            name=held_out_name(self.dataset, self.recipe),
            seed=self.recipe.seed + 1,
            most=most,
        )

    def _writing_scores(self) -> list[Score]:
        try:
            return writing_scores(
                self.generator(),
                self.dataset,
                self.train,
                self.heldout,
                n=self.recipe.score_samples,
                tokens=longest_text(self.recipe),
                seed=self.recipe.seed + 1,
            )
        except LuoxiaError as error:  # too little text to compare with
            self.display.tell(f"generated text was not scored: {error}")
            return []

    # ------------------------------------------------------------------ the model folder

    @staticmethod
    def fill(network: Any, weights: dict[str, torch.Tensor], recipe: GPT) -> None:
        """Give a network its weights, merged with its adapters where a checkpoint has them apart."""
        load_adapted(network, weights, recipe.lora, alpha(recipe))

    def weights(self) -> dict[str, torch.Tensor]:
        """The adapters merged."""
        return merged_state(self.averaged(self.network))

    def describe_model(self) -> dict[str, Any]:
        """What the network's form needs."""
        return {"spec": asdict(self.spec)}

    def write_model(self, folder: Path) -> None:
        """The tokenizer, the adapters, what another toolkit must be given back."""
        super().write_model(folder)
        if self.origin is not None:
            copy_foreign(self.origin, self.run.model, folder)
            if self.recipe.lora:
                network: Any = self.averaged(self.network)
                write_adapter(network, self.origin, str(self.recipe.init), folder)

    def card(self) -> str:
        """The model card, with the fields that texts are asked for by."""
        fields = self.recipe.condition
        asked = ", ".join(f'"{field}": "…"' for field in fields)
        return super().card() + (
            f"\nTexts are asked for by fields: `condition={{{asked}}}`.\n" if fields else ""
        )

    def describe_data(self) -> dict[str, Any]:
        """The text, for run.json."""
        return self.describe_tokens() | {
            "train": len(self.train),
            "heldout": len(self.heldout),
            "skipped": self.dataset.data.skips.count,
            "dropped": self.batches.dropped,
        }


def under(text: str, condition: Mapping[str, str]) -> str:
    """A text below the condition that it was written for."""
    return "  ".join(f"{key}={value}" for key, value in condition.items()) + "\n" * bool(condition) + text


def held_out_name(corpus: LanguageCorpus[Any], recipe: GPT) -> str:
    """Which text was held out, for signatures."""
    return f"{text_name(corpus)} held out {recipe.holdout:g} seed {recipe.seed}"


def text_name(corpus: LanguageCorpus[Any]) -> str:
    """The text and what it is predicted from, for signatures."""
    given = f" given {', '.join(corpus.condition)}" if corpus.condition else ""
    return corpus.fingerprint[:8] + given


def alpha(recipe: GPT) -> float:
    """The adapters count α / rank times."""
    return 2.0 * recipe.lora if recipe.lora_alpha is None else recipe.lora_alpha


def longest_text(recipe: GPT) -> int:
    """Tokens of a sample: what fits the context after a beginning."""
    return max(1, min(TOKENS, recipe.context - 1))
