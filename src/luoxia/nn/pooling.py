"""One vector a text: the mean of an encoder's states over the real tokens, and a linear head upon it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luoxia.nn.linear import LastLayer
from luoxia.nn.transformer import Encoder
from luoxia.nn.transformer_config import TransformerConfig


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """States (n, t, width) and mask (n, t) bool, True = real token → their means (n, width), float32."""
    weights = mask.unsqueeze(-1).float()
    return (states.float() * weights).sum(1) / weights.sum(1)


class SentenceEncoder(nn.Module):
    """A text as a point of the unit sphere (Reimers & Gurevych 2019, arXiv:1908.10084, section 3: mean pooling)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.columns = config.width

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids (n, t), mask (n, t) bool, True = real token → embeddings (n, width) of length 1, float32."""
        return F.normalize(mean_pool(self.encoder(ids, mask), mask), dim=-1)


class ClassHead(LastLayer):
    """A logit for each class: a row of the weight, and a bias."""

    class_axis = 0
    """As in ``layers.ClassVectors``."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Sizes of a classifier: its encoder's, and the number of classes."""

    encoder: TransformerConfig
    classes: int


class SentenceClassifier(nn.Module):
    """Logits of classes: dropout and a linear head on the mean state, which start at 0 for every class."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.columns = config.classes
        self.dropout = nn.Dropout(config.encoder.dropout)
        self.head = ClassHead(config.encoder.width, config.classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids (n, t), mask (n, t) bool, True = real token → logits (n, classes), float32."""
        pooled = self.dropout(mean_pool(self.encoder(ids, mask), mask))
        with torch.autocast(pooled.device.type, enabled=False):
            logits: Tensor = self.head(pooled)
        return logits
