"""The settings of a Transformer: one table that decides its architecture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from luoxia.core.errors import UsageError


@dataclass(frozen=True)
class TransformerConfig:
    """The architecture of a Transformer. The defaults are a modern decoder; `vaswani` gives the paper's."""

    vocabulary: (
        int  # tokens, of one codebook if there are several; 0 = none: a decoder ends in hidden vectors
    )
    width: int = 384  # d_model
    layers: int = 6
    heads: int = 6
    kv_heads: int | None = None  # heads of keys and values; None = heads
    hidden: int | None = None  # width of the feed-forward's inside, d_ff; None = 4 · width
    context: int = 1024  # most tokens in a row
    norm: Literal["layer", "rms"] = "rms"
    norm_first: bool = (
        True  # norm before each sub-layer and at the end, or after each sub-layer (the paper's)
    )
    norm_affine: bool = True  # learned gains (and, with ``bias``, offsets of a LayerNorm)
    norm_eps: float = 1e-5
    positions: Literal["rotary", "sinusoidal", "learned", "none"] = "rotary"
    grid: tuple[int, ...] | None = (
        None  # positions along each axis, such as (rows, columns); None = along the row
    )
    rope_theta: float = 10_000.0
    rope_factor: float = 1.0  # positions stretched by this; for the other three see `positions.rates`
    rope_low: float = 0.0
    rope_high: float = 0.0
    rope_original: int = 0
    activation: Literal["gelu", "gelu_tanh", "relu", "relu2", "swiglu"] = "gelu"
    qk_norm: bool = False
    bias: bool = False
    qkv_bias: bool | None = None  # None = bias
    head_width: int | None = None  # d_k; None = width / heads
    window: int | None = None  # how many of the latest tokens a decoder's position sees; None = all
    tied: bool = True  # the head's matrix is the embedding's (section 3.4)
    softcap: float = 0.0  # logits within ± this (Gemma 2, arXiv:2408.00118); 0 = no cap
    embedding_scale: bool = False  # embeddings times √width (section 3.4)
    embedding_norm: bool = False  # norm after the sum of embeddings
    token_types: int = 0  # BERT's segment embeddings
    dropout: float = 0.0  # of the embeddings and of each sub-layer's output
    attention_dropout: float = 0.0  # of the attention weights
    init: Literal["gpt2", "zero", "xavier"] = "gpt2"
    encoder_layers: int | None = None  # of an encoder–decoder; None = layers

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.head_width is None and self.width % self.heads:
            raise UsageError(
                f"width={self.width} is not a multiple of heads={self.heads}: change one, or set head_width"
            )
        if self.heads % self.groups:
            raise UsageError(f"heads={self.heads} is not a multiple of kv_heads={self.groups}: change one")
        if self.positions == "rotary" and self.d_k % 2:
            raise UsageError(
                f"rotary positions need an even head width, not {self.d_k}: change width or heads"
            )
        if self.grid is not None:
            object.__setattr__(self, "grid", tuple(self.grid))  # JSON has lists
            self._check_grid(len(self.grid))

    def _check_grid(self, axes: int) -> None:
        if self.positions == "sinusoidal":
            raise UsageError("sinusoidal positions lie on one axis: use rotary or learned ones on a grid")
        if self.positions == "rotary" and self.d_k < 2 * axes:
            raise UsageError(
                f"a head width of {self.d_k} has no pair for each of {axes} axes: widen the heads"
            )

    @property
    def groups(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def d_k(self) -> int:
        """Width of one head."""
        return self.width // self.heads if self.head_width is None else self.head_width

    @property
    def d_ff(self) -> int:
        """Width of the inside of the feed-forward."""
        return 4 * self.width if self.hidden is None else self.hidden


def vaswani(vocabulary: int, **changes: object) -> TransformerConfig:
    """The paper's base model (table 3): 6 layers, d_model 512, d_ff 2048, 8 heads, dropout 0.1."""
    base = TransformerConfig(
        vocabulary,
        width=512,
        heads=8,
        norm="layer",
        norm_first=False,
        positions="sinusoidal",
        activation="relu",
        bias=True,
        embedding_scale=True,
        dropout=0.1,
        init="xavier",
    )
    return replace(base, **changes)  # type: ignore[arg-type]
