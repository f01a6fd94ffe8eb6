"""Training on text: samples of fixed seeds, bits per byte on text that was held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from luoxia.core.errors import LuoxiaError
from luoxia.decoding.loop import Decoding
from luoxia.formats import txt
from luoxia.media.text.corpus import LanguageCorpus
from luoxia.media.text.spec import TextSpec
from luoxia.metrics.score import Score
from luoxia.nn.lora import add_lora, merged_state
from luoxia.nn.transfer import load_matching
from luoxia.nn.transformer import Decoder
from luoxia.tasks.language_modeling.base_model import ADAPTER, FOREIGN, BaseModel, copy_foreign, write_adapter
from luoxia.tasks.language_modeling.model import TextGenerator
from luoxia.tasks.language_modeling.objective import TokenBatch
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.language_modeling.scores import prediction_scores, to_batch, writing_scores
from luoxia.tasks.shared.token_stage import TokenStage
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Objective, Phase, Rng

SAMPLES, TOKENS = 4, 256
"""Texts in a sample, and tokens of each."""
TUNED_CONTEXT = 256
"""Tokens in a row of fine-tuning, where ``context`` is not given and the model reads as many."""
QUICK = 64
"""Windows of held-out text in a score between two steps; the final one takes all."""


class LanguageStage(TokenStage):
    """The training of a language model."""

    network: ClassVar[str] = "decoder"
    model_files: ClassVar[tuple[str, ...]] = (*TokenStage.model_files, FOREIGN, ADAPTER)
    card_text: ClassVar[tuple[str, str, str]] = (
        "A language model",
        '.sample(4, seed=0, prompt="Once")',
        "What it writes is synthetic, may be untrue, and can repeat its training text.",
    )

    def prepare(self) -> None:
        """Hold some text back, and serve the rest in rows."""
        self.spec: TextSpec = self.data.spec
        self.base = None if self.recipe.init is None else self._open_base(self.recipe.init)
        recipe, world = self.recipe, self.world
        self.train, self.heldout = self.data.split(recipe.holdout, recipe.seed)
        self.batches = self.data.batches(
            self.train, recipe.batch, recipe.context, recipe.seed, world.size, world.rank
        )

    def _open_base(self, init: str) -> BaseModel:
        """The model to begin with; its architecture becomes that of the network, in rows that it can read."""
        base = BaseModel.open(init)
        shape = replace(base.network.config, dropout=self.recipe.dropout, attention_dropout=0.0)
        if "context" not in self.recipe.model_fields_set:
            context = min(TUNED_CONTEXT, shape.context)
            self.recipe = self.context.recipe = self.recipe.model_copy(update={"context": context})
        base.network.check(self.recipe.context)
        self.spec = replace(self.spec, shape=asdict(shape))
        return base

    def objective(self) -> Objective:
        """The recipe's, with the weights of the base model, and their adapters."""
        recipe = self.recipe
        objective: Objective = recipe.build(self.spec)
        if self.base is not None:
            network: Any = objective.networks[self.network]
            self.loaded = load_matching(network, self.base.network.state_dict())
            if recipe.lora:
                generator = torch.Generator().manual_seed(recipe.seed)
                add_lora(network, recipe.lora, alpha(recipe), generator=generator)
            self.base = replace(self.base, network=network)  # the first copy is needed no more
        return objective

    def batch(self, phase: Phase, index: int) -> TokenBatch:
        """Rows of text."""
        return to_batch(self.batches(index), self.world.device)

    def observe(self, rng: Rng) -> tuple[TokenBatch, TokenBatch | None]:
        """Some rows of either side."""
        return self._pick(self.train, rng), self._pick(self.heldout, rng)  # type: ignore[return-value]

    def _pick(self, part: Any, rng: Rng) -> TokenBatch | None:
        rows, context = self.recipe.batch, self.recipe.context
        some = self.data.some(part, rows, context, lambda high, n: rng.integers(0, high, n).cpu().numpy())
        return None if some is None else to_batch(some, self.world.device)

    # ------------------------------------------------------------------ samples and scores

    def model(self) -> TextGenerator:
        """The language model of this moment."""
        condition = self.recipe.condition
        return TextGenerator(self.network_copy(), self.data.tokenizer, condition=condition, **self.common())

    def preview(self, out: Path) -> None:
        """Some texts, of the same seed every time, under conditions of held-out ones."""
        decoding = Decoding(max_tokens=longest_text(self.recipe), temperature=0.8)
        request = (SAMPLES, self.recipe.context, self.recipe.seed)
        heldout, train = (self.data.conditions(part, *request) for part in (self.heldout, self.train))
        conditions = heldout or train
        texts = self.model().sample(SAMPLES, self.recipe.seed, condition=conditions, decoding=decoding)
        headed = map(under, texts, conditions or [{}] * SAMPLES)
        label = self.context.details().asked({"n": SAMPLES, "temperature": 0.8}, seed=self.recipe.seed)
        txt.write("\n\n――――――――\n\n".join(headed) + "\n", label, out.with_suffix(".txt"))

    def quick_score(self) -> QuickScore | None:
        """Bits per byte of held-out text, of rows spread over all of it; no reference is known for it."""
        scores = self._prediction_scores(QUICK)
        if not scores:
            return None
        bits = next(score for score in scores if score.name == "bits per byte")
        records, rows = [score.as_dict() for score in scores], len(self.heldout.fitting(self.recipe.context))
        return QuickScore(records, bits.value, 0.0, {}, "bits per byte of all held-out text").of(QUICK, rows)

    def evaluate(self) -> list[dict[str, Any]]:
        """How it predicts all held-out text, and what it writes itself."""
        scores = self._prediction_scores(None)
        if scores and self.recipe.score_samples:
            scores += self._writing_scores()
        return [score.as_dict() for score in scores]

    def _prediction_scores(self, most: int | None) -> list[Score]:
        return prediction_scores(
            self.context.eval_model(self.network),
            self.heldout,
            self.data,
            context=self.recipe.context,
            device=self.world.device,
            dtype=self.context.dtype,
            name=held_out_name(self.data, self.recipe),
            seed=self.recipe.seed + 1,
            most=most,
        )

    def _writing_scores(self) -> list[Score]:
        try:
            return writing_scores(
                self.model(),
                self.data,
                self.train,
                self.heldout,
                n=self.recipe.score_samples,
                tokens=longest_text(self.recipe),
                seed=self.recipe.seed + 1,
            )
        except LuoxiaError as error:  # too little text to compare with
            self.context.tell(f"generated text was not scored: {error}")
            return []

    # ------------------------------------------------------------------ the model folder

    def exported(self) -> torch.nn.Module:
        """The decoder without adapters, which are in its weights: where there are some, only its form."""
        network = super().exported()
        if not self.recipe.lora:
            return network
        assert isinstance(network, Decoder)
        with torch.device("meta"):
            return Decoder(network.config)

    def weights(self) -> dict[str, torch.Tensor]:
        """The adapters merged."""
        return merged_state(self.context.eval_model(self.network))

    def describe_model(self) -> dict[str, Any]:
        """The vocabulary, and the fields that texts are asked for by."""
        return {"spec": asdict(self.spec), "fields": list(self.recipe.condition)}

    def write_model(self, folder: Path) -> None:
        """The tokenizer, the adapters, what another toolkit must be given back."""
        super().write_model(folder)
        if self.base is not None:
            copy_foreign(self.base, self.context.run.model, folder)
            if self.recipe.lora:
                network: Any = self.context.eval_model(self.network)
                write_adapter(network, self.base, str(self.recipe.init), folder)

    def card(self) -> str:
        """The model card, with the fields that texts are asked for by."""
        fields = self.recipe.condition
        example = ", ".join(f'"{field}": "…"' for field in fields)
        return super().card() + (
            f"\nTexts are asked for by fields: `condition={{{example}}}`.\n" if fields else ""
        )

    def describe_data(self) -> dict[str, Any]:
        """The text, for run.json."""
        counts = {"train": len(self.train), "heldout": len(self.heldout), "dropped": self.batches.dropped}
        return super().describe_data() | counts


def under(text: str, condition: Mapping[str, str]) -> str:
    """A text below the condition that it was written for."""
    return "  ".join(f"{key}={value}" for key, value in condition.items()) + "\n" * bool(condition) + text


def held_out_name(corpus: LanguageCorpus[Any], recipe: GPT) -> str:
    """Which text was held out, for signatures."""
    return f"{text_name(corpus)} held out {recipe.holdout:g} seed {recipe.seed}"


def text_name(corpus: LanguageCorpus[Any]) -> str:
    """The text and what it is predicted from, for signatures."""
    fields = f" given {', '.join(corpus.condition)}" if corpus.condition else ""
    return corpus.fingerprint[:8] + fields


def alpha(recipe: GPT) -> float:
    """The adapters count α / rank times."""
    return 2.0 * recipe.lora if recipe.lora_alpha is None else recipe.lora_alpha


def adapters_of(recipe: Any) -> tuple[int, float]:
    """Rank and α of the adapters that a run trains."""
    return recipe.lora, alpha(recipe)


def longest_text(recipe: GPT) -> int:
    """Tokens of a sample: what fits the context after a beginning."""
    return max(1, min(TOKENS, recipe.context - 1))
