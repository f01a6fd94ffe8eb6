"""What tasks on tokens share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.core.errors import UsageError
from luoxia.core.names import absolute, many
from luoxia.tasks.base import Task
from luoxia.tasks.shared.rules import Overfitting

if TYPE_CHECKING:
    from luoxia.runs.display import Display


class TokenTask(Task):
    """A task whose data set has a ``tokenizer``."""

    output: ClassVar[str] = "text"
    unit: ClassVar[str] = "tokens"
    rules = (Overfitting,)
    aids: ClassVar[Mapping[str, str]] = {
        "train_nll": "Loss on training examples. Good: falling, then level.",
        "heldout_nll": "Loss on held-out examples. Good: level in the end; a steady rise is overfitting.",
    }
    items: ClassVar[str] = "documents"
    sample_note: ClassVar[str] = 'AI-generated text <span lang="zh">(人工智能生成)</span>'

    def data_rows(self, data: Mapping[str, Any]) -> list[tuple[str, object]]:
        """The tokenizer."""
        return [("Tokens", f"{data.get('tokenizer')}, {data.get('vocabulary')} in all")]

    def skipped(self, data: Any) -> str:
        """How many rows could not be used."""
        return str(data.data.skips.amount())


class PairTask(TokenTask):
    """A task on pairs of texts: two aligned files, or one of two columns."""

    inputs: ClassVar[tuple[str, ...]] = ("text",)
    items: ClassVar[str] = "pairs"
    needs: ClassVar[str]
    """How the data is named, for a person who named none."""

    def open(self, recipe: Any, display: Display | None = None) -> Any:
        """The pairs that ``data`` and ``against`` name."""
        from luoxia.tasks.shared.pairs import open_pairs

        if recipe.data is None:
            raise UsageError(f"{type(recipe).name} needs {self.needs}")
        return open_pairs(recipe)

    def settle(self, recipe: Any, data: Any) -> dict[str, Any]:
        """The other file, from wherever the run is resumed."""
        return {} if recipe.against is None else {"against": absolute(recipe.against)}

    def describe(self, data: Any) -> str:
        """Pairs and vocabulary."""
        return f"{many(len(data), 'pair')} ({vocabulary(data)}), {data.source}"


def vocabulary(data: Any) -> str:
    """The tokenizer of a data set, in words."""
    return f"{data.tokenizer.kind}, {data.tokenizer.vocabulary:,} tokens in all"
