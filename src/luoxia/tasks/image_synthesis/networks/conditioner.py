"""Conditions of images as vectors before a Transformer's input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from luoxia.nn.conditioning import Condition, Conditioner, join
from luoxia.nn.embedding import VectorEmbedding
from luoxia.tasks.image_synthesis.conditions import ConditionBatch, nothing
from luoxia.tasks.image_synthesis.spec import ConditionSpec


class TextContent(nn.Module):
    """Words' ids, or vectors of a frozen encoder, with a learned vector for each place."""

    def __init__(self, spec: ConditionSpec, width: int) -> None:
        super().__init__()
        self.tokens: nn.Module
        if spec.text == "encoder":
            self.tokens = VectorEmbedding(spec.encoder_width, width)
        else:
            self.tokens = nn.Embedding(len(spec.words) + 1, width)
        self.places = nn.Embedding(spec.text_length, width)
        for table in (self.tokens, self.places):
            if isinstance(table, nn.Embedding):
                nn.init.normal_(table.weight, 0.0, 0.02)

    def forward(self, values: Tensor) -> Tensor:
        """Values (n, s) int64 or (n, s, d) float32 → (n, s, width)."""
        vectors: Tensor = self.tokens(values) + self.places.weight[: values.shape[1]]
        return vectors


class ImageConditioner(nn.Module):
    """A class, fields and a text as a prefix of p vectors: 1, one a field, ``text_length``; one learned without any.

    Learning, each is dropped by itself with the probability ``dropout`` > 0 (Ho & Salimans 2022, arXiv:2207.12598).
    """

    def __init__(self, spec: ConditionSpec, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.spec = spec
        tables = [len(spec.classes)] if spec.classes else []
        tables += [len(values) for _, values in spec.fields]
        self.tables = nn.ModuleList(Conditioner(nn.Embedding(size, width), width, dropout) for size in tables)
        for table in self.tables:
            nn.init.normal_(table.content.weight, 0.0, 0.02)  # type: ignore[union-attr,arg-type]
        self.text = Conditioner(TextContent(spec, width), width, dropout) if spec.text else None
        self.start = None if spec.conditional else nn.Parameter(0.02 * torch.randn(width))

    @property
    def length(self) -> int:
        """Vectors in a row, p."""
        return max(1, len(self.tables) + (self.spec.text_length if self.spec.text else 0))

    def forward(self, batch: ConditionBatch) -> Condition:
        """The conditions of n rows → vectors (n, p, width), and which of them are read."""
        if self.start is not None:
            return Condition(self.start.expand(len(batch), 1, -1))
        parts: list[tuple[Tensor, Tensor | None]] = []
        if batch.label is not None:
            parts.append((batch.label, batch.no_label))
        if batch.fields is not None:
            absent = batch.no_fields
            for place in range(batch.fields.shape[1]):
                parts.append((batch.fields[:, place], None if absent is None else absent[:, place]))
        found = [
            table(values, absent=absent) for table, (values, absent) in zip(self.tables, parts, strict=True)
        ]
        if self.text is not None:
            found.append(self.text(batch.text, batch.mask))
        return join(found)

    def none(self, n: int) -> Condition:
        """What n rows read that are asked for nothing: the same shapes as those of any other."""
        device = next(self.parameters()).device
        return self(nothing(self.spec, n).to(device))  # type: ignore[no-any-return]
