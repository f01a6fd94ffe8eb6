"""The sizes of networks: one table for a generator and its discriminator."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """What both networks of a GAN are made for; each takes of it what concerns it."""

    shape: Shape  # of an image
    latent: int = 64  # dimensions of z
    classes: int = 0  # 0 = no labels


@dataclass(frozen=True, kw_only=True)
class ClassicConfig(PairConfig):
    """What the classic networks share: how they take labels, and dropout."""

    projection: bool = False  # D takes labels by projection, or else joined to its input
    embedding: int = 32  # dimensions of a label that is joined to an input
    dropout: float = 0.0  # in D
    g_dropout: float = 0.0  # in G
