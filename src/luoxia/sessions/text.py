"""Training on text: samples of fixed seeds, bits per byte on text that was held out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from luoxia.data.text.corpus import Corpus, open_corpus
from luoxia.data.text.tokens import TokenBatches, TokenStream
from luoxia.errors import LuoxiaError
from luoxia.generation.language import TextGenerator
from luoxia.generation.text import Decoding
from luoxia.generation.token_model import TokenModel
from luoxia.metrics.score import Score
from luoxia.objectives.base import Phase, Rng
from luoxia.objectives.language import TokenBatch
from luoxia.provenance.files import write_file
from luoxia.recipes import GPT
from luoxia.runs.display import Display
from luoxia.sessions.text_scores import prediction_scores, to_batch, writing_scores
from luoxia.sessions.tokens import TokenSession
from luoxia.training.loop import QuickScore

SAMPLES, TOKENS = 4, 256
"""Texts in a sample, and tokens of each."""
QUICK = 64
"""Windows of held-out text in a score between two steps; the final one takes all."""


class TextSession(TokenSession):
    """The training of a language model."""

    exported: ClassVar[str] = "language model"
    network: ClassVar[str] = "decoder"
    model: ClassVar[type[TokenModel[Any]]] = TextGenerator
    unit: ClassVar[str] = "rows"
    told: ClassVar[tuple[str, str, str]] = (
        "A language model",
        '.sample(4, seed=0, prompt="Once")',
        "What it writes is synthetic, may be untrue, and can repeat its training text.",
    )
    recipe: GPT
    dataset: Corpus

    @staticmethod
    def open_data(recipe: GPT, display: Display | None = None) -> Corpus:
        """The text that a recipe's ``data`` names, in its ``tokeniser``'s tokens."""
        return open_corpus(recipe.data, recipe.tokeniser, recipe.vocabulary)

    @staticmethod
    def announce(dataset: Corpus) -> str:
        """Documents, tokens, vocabulary."""
        number, tokens = len(dataset), len(dataset.tokens.whole())
        kind, size = dataset.tokeniser.kind, dataset.tokeniser.vocabulary
        documents = "1 document" if number == 1 else f"{number:,} documents"
        return f"{documents}, {tokens:,} tokens ({kind}, {size:,} in all), {dataset.source}"

    def prepare(self) -> None:
        """Hold some text back, and serve the rest in rows."""
        recipe, world = self.recipe, self.world
        self.train, self.heldout = split(self.dataset, recipe)
        self.batches = TokenBatches(
            self.train, recipe.batch, recipe.context, recipe.seed, world.size, world.rank
        )

    def batch(self, phase: Phase, index: int) -> TokenBatch:
        """Rows of text."""
        return to_batch(self.batches(index), self.world.device)

    def observe(self, rng: Rng) -> tuple[TokenBatch, TokenBatch | None]:
        """Some rows of either side."""
        return self._pick(self.train, rng), self._pick(self.heldout, rng)  # type: ignore[return-value]

    def _pick(self, stream: TokenStream, rng: Rng) -> TokenBatch | None:
        last = len(stream) - self.recipe.context
        if last < 1:
            return None
        starts = rng.integers(0, last, self.recipe.batch).cpu().numpy()
        return to_batch(stream.windows(starts, self.recipe.context), self.world.device)

    # ------------------------------------------------------------------ samples and scores

    def sample(self, step: int) -> None:
        """Some texts, of the same seed every time."""
        decoding = Decoding(max_tokens=longest_text(self.recipe), temperature=0.8)
        texts = self.generator().sample(SAMPLES, self.recipe.seed, decoding=decoding)
        path = self.run.path / "samples" / f"step_{step:06d}.txt"
        write_file(path, "\n\n――――――――\n\n".join(texts) + "\n")

    def quick_score(self, step: int) -> QuickScore | None:
        """Bits per byte of some held-out text; no floor is known for it."""
        scores = self._prediction_scores(QUICK)
        if not scores:
            return None
        bits = next(score for score in scores if score.name == "bits per byte")
        return QuickScore([score.as_dict() for score in scores], bits.value, 0.0, {}, "bits per byte")

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

    def describe_data(self) -> dict[str, Any]:
        """The text, for run.json."""
        skipped = self.dataset.tokens.skips.count
        return self.describe_tokens() | {
            "train": len(self.train),
            "heldout": len(self.heldout),
            "skipped": skipped,
        }


def split(corpus: Corpus, recipe: GPT) -> tuple[TokenStream, TokenStream]:
    """(train, held-out) text; ``holdout=0`` holds none out."""
    if recipe.holdout == 0:
        whole = corpus.tokens.whole()
        return whole, replace(whole, spans=whole.spans[:0])
    return corpus.tokens.split(recipe.holdout, recipe.seed)


def held_out_name(corpus: Corpus, recipe: GPT) -> str:
    """Which text was held out, for signatures."""
    return f"{corpus.fingerprint[:8]} held out {recipe.holdout:g} seed {recipe.seed}"


def longest_text(recipe: GPT) -> int:
    """Tokens of a sample: what fits the context after a beginning."""
    return max(1, min(TOKENS, recipe.context - 1))
