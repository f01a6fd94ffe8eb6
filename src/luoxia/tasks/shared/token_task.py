"""What tasks on tokens share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from luoxia.tasks.base import Task
from luoxia.tasks.shared.rules import Overfitting


class TokenTask(Task):
    """A task whose data set has a ``tokenizer``."""

    output: ClassVar[str] = "text"
    unit: ClassVar[str] = "tokens"
    rules = (Overfitting,)
    items: ClassVar[str] = "documents"
    sample_note: ClassVar[str] = 'AI-generated text <span lang="zh">(人工智能生成)</span>'

    def data_rows(self, data: Mapping[str, Any]) -> list[tuple[str, object]]:
        """The tokenizer."""
        return [("Tokens", f"{data.get('tokenizer')}, {data.get('vocabulary')} in all")]

    def skipped(self, data: Any) -> str:
        """How many rows could not be used."""
        return str(data.data.skips.amount())


def vocabulary(data: Any) -> str:
    """The tokenizer of a data set, in words."""
    return f"{data.tokenizer.kind}, {data.tokenizer.vocabulary:,} tokens in all"
