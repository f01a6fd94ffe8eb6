"""What tasks on tokens share."""

from __future__ import annotations

from typing import Any, ClassVar

from luoxia.tasks.base import Task
from luoxia.tasks.shared.rules import Overfitting


class TokenTask(Task):
    """A task whose data set has a ``tokenizer``."""

    output: ClassVar[str] = "text"
    unit: ClassVar[str] = "tokens"
    rules = (Overfitting,)

    def skipped(self, data: Any) -> str:
        """How many rows could not be used."""
        return str(data.data.skips.amount())


def vocabulary(data: Any) -> str:
    """The tokenizer of a data set, in words."""
    return f"{data.tokenizer.kind}, {data.tokenizer.vocabulary:,} tokens in all"
