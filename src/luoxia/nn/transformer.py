"""The Transformer (Vaswani et al. 2017, arXiv:1706.03762, figure 1): decoder, encoder, and both together.

Each is an `Embedding`, one `Stack` or two, and a `Head`; a task that needs another input or output gives its own.
"""

from __future__ import annotations

import math
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn

from luoxia.core.errors import UsageError
from luoxia.nn.cache import Cache
from luoxia.nn.conditioning import Condition, Conditioner
from luoxia.nn.context import AttentionContext, causal_context, full_context, over_keys
from luoxia.nn.embedding import Embedding, VectorEmbedding
from luoxia.nn.head import Head
from luoxia.nn.stack import Block, ModulatedBlock, Stack
from luoxia.nn.transformer_config import TransformerConfig, vaswani

__all__ = ["Cache", "Decoder", "Encoder", "EncoderDecoder", "TransformerConfig", "initialize", "vaswani"]


def initialize(network: nn.Module, config: TransformerConfig) -> None:
    """Draw the weights, by ``config.init``; biases 0.

    - ``gpt2``: N(0, 0.02), what adds to the residual stream smaller by the root of the number of additions
      (Radford et al. 2019, section 2.3);
    - ``zero``: N(0, 1/√fan-in); 0 for what adds to the residual stream and for an untied head;
    - ``xavier``: Glorot & Bengio 2010, eq. 16; embeddings N(0, 1/√width), so that scaled ones have unit variance.

    A vector for no condition is drawn as embeddings are; a `ModulatedBlock` starts as the identity.
    """
    spread = {"gpt2": 0.02, "zero": 0.02 if config.tied else 1.0, "xavier": config.width**-0.5}[config.init]
    groups = [module.residual_projections() for module in network.modules() if isinstance(module, Stack)]
    residual = {weight: len(group) for group in groups for weight in group}
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, spread)
        elif isinstance(module, Conditioner) and module.none is not None:
            nn.init.normal_(module.none, 0.0, spread)
        elif isinstance(module, nn.Linear | Head | VectorEmbedding) and module.weight is not None:
            last = module.weight in residual or isinstance(module, Head)
            if config.init == "xavier":
                nn.init.xavier_uniform_(module.weight)
            elif config.init == "zero":
                nn.init.normal_(module.weight, 0.0, 0.0 if last else module.weight.shape[1] ** -0.5)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02 / math.sqrt(residual.get(module.weight, 1)))
        if isinstance(module, nn.Linear | VectorEmbedding) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ModulatedBlock):
            nn.init.zeros_(module.modulation.weight)


class Transformer(nn.Module):
    """What encoders and decoders share: what stands before and after their stacks.

    ``checkpointing`` recomputes each layer's inside in the backward pass.
    """

    checkpointing = False

    def __init__(self, config: TransformerConfig, embedding: Embedding | None, output: Head | None) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config) if embedding is None else embedding
        self.output = output
        if output is not None and not output.fits(self.embedding_weight):
            raise UsageError(
                "tied=True needs an input embedded from the head's own codebooks: set tied=False"
            )

    @property
    def embedding_weight(self) -> Tensor | None:
        """The matrix (vocabulary, width) that a tied head reads; None where the input is not embedded ids."""
        tokens = self.embedding.tokens
        return tokens.weight if isinstance(tokens, nn.Embedding) else None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def check(self, length: int) -> None:
        """Refuse rows of more tokens than the context holds."""
        if length > self.config.context:
            raise UsageError(
                f"{length} tokens in a row, and this model's context holds {self.config.context}: "
                "shorten the input or train with a longer context"
            )

    def extent(self, inputs: Tensor | None, prefix: Condition | None) -> tuple[int, torch.device]:
        """How many positions a pass has, and where."""
        first = prefix.vectors if inputs is None and prefix is not None else inputs
        assert first is not None, "an input, a prefix or both"
        length = (0 if inputs is None else inputs.shape[1]) + (0 if prefix is None else prefix.length)
        self.check(length)
        return length, first.device

    def states(
        self,
        stack: Stack,
        inputs: Tensor | None,
        context: AttentionContext,
        *,
        positions: Tensor | None = None,
        prefix: Condition | None = None,
        types: Tensor | None = None,
    ) -> Tensor:
        """Embedding and stack: inputs (n, t, ...) → (n, p + t, width)."""
        if positions is not None:
            context.positions = positions
        elif self.config.grid is not None and self.config.positions != "none":
            axes = len(self.config.grid)
            raise UsageError(
                f"positions on a grid are not counted: pass positions= of the shape (length, {axes})"
            )
        vectors = None if prefix is None else prefix.vectors
        x = self.embedding(inputs, context.positions, types, vectors)
        out: Tensor = stack(x, context, self.checkpointing)
        return out

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden (n, t, width) → logits (n, t, [codebooks,] vocabulary), float32 if capped; itself without a head."""
        if self.output is None:
            return hidden
        logits: Tensor = self.output(hidden, self.embedding_weight)
        return logits

    def attends_in(self, device: str) -> torch.dtype:
        """The dtype of queries, keys and values on this kind of device."""
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
        return next(self.parameters()).dtype

    def allocate(
        self,
        rows: int,
        length: int,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        start: Tensor | None,
        static: bool,
    ) -> Cache:
        """An empty cache, on the weights' device and in the dtype in which they attend unless others are given."""
        self.check(length)
        device = self.device if device is None else torch.device(device)
        dtype = self.attends_in(device.type) if dtype is None else dtype
        sizes = (self.config.layers, rows, self.config.groups, length, self.config.d_k)
        return Cache(sizes, dtype=dtype, device=device, start=start, static=static)


def remember(cache: Cache, stack: Stack, memory: Condition) -> Cache:
    """The cache with the keys and values of a memory for each layer of ``stack`` in it."""
    dtype = cache.keys.dtype
    pairs = [block.cross.remember(memory.vectors) for block in stack.layers]  # type: ignore[operator,union-attr]
    cache.memory = [(k.to(dtype).contiguous(), v.to(dtype).contiguous()) for k, v in pairs]
    cache.memory_mask = over_keys(memory.mask)
    return cache


class DecoderOptions(TypedDict, total=False):
    """The keywords of a decoder's pass; see `Decoder.hidden`."""

    cache: Cache | None
    mask: Tensor | None
    segments: Tensor | None
    bounds: Tensor | None
    positions: Tensor | None
    prefix: Condition | None
    memory: Condition | None
    style: Tensor | None


class SingleStack(Transformer):
    """What has one stack. ``predicts``: it has a head, unless there is no vocabulary, where none is given."""

    predicts = False

    def __init__(
        self,
        config: TransformerConfig,
        embedding: Embedding | None = None,
        output: Head | None = None,
        *,
        cross: bool = False,
        block: type[Block] = Block,
    ) -> None:
        """``cross``: with attention to a memory in each layer; ``block``: the layers' kind."""
        if output is None and self.predicts and config.vocabulary:
            output = Head(config)
        super().__init__(config, embedding, output)
        self.stack = Stack(config, config.layers, cross=cross, block=block)
        initialize(self, config)


class Encoder(SingleStack):
    """Every position sees every other: the figure's left side. Without a head it ends in hidden vectors."""

    def forward(
        self,
        inputs: Tensor | None,
        mask: Tensor | None = None,
        types: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        prefix: Condition | None = None,
        memory: Condition | None = None,
        style: Tensor | None = None,
    ) -> Tensor:
        """Ids (n, t), mask (n, t) bool with True = real token, types (n, t) → (n, t, width), or logits with a head.

        The input is whatever the embedding takes. A ``prefix`` of p vectors a row stands before it: the result then has
        p + t positions, and so have ``types`` and ``positions``, which a grid needs: (p + t, axes) or (n, p + t, axes).
        ``memory`` is what cross-attention reads, ``style`` (n, width) what modulates a `ModulatedBlock`.
        """
        length, device = self.extent(inputs, prefix)
        prefix = None if prefix is None else prefix.real_last()
        context = full_context(length, device, mask, prefix).with_memory(memory)
        context.style = style
        return self.head(
            self.states(self.stack, inputs, context, positions=positions, prefix=prefix, types=types)
        )


class Decoder(SingleStack):
    """Every position sees those before it: a language model. With a vocabulary of 0 it ends in hidden vectors."""

    predicts = True

    def forward(self, inputs: Tensor | None, **options: Unpack[DecoderOptions]) -> Tensor:
        """Ids (n, t) → logits (n, t, vocabulary) of the token after each; see ``hidden`` for the options."""
        return self.head(self.hidden(inputs, **options))

    def hidden(
        self,
        inputs: Tensor | None,
        *,
        cache: Cache | None = None,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
        bounds: Tensor | None = None,
        positions: Tensor | None = None,
        prefix: Condition | None = None,
        memory: Condition | None = None,
        style: Tensor | None = None,
    ) -> Tensor:
        """Ids (n, t) → (n, t, width), what the head reads.

        With a cache, the ids follow the tokens in it and are added to it. Without one, ``mask`` (n, t) bool marks the
        real tokens of rows padded at either end, and ``segments`` (n, t) int64 numbers the documents packed in a row:
        attention stays in a document, and positions start again with each. ``bounds`` says the same once more, for a
        kernel that is quicker than a mask: see `torch_private.packed_attention`.

        The input is whatever the embedding takes. A ``prefix`` of p vectors a row stands before it, and every position
        sees all of it: the result then has p + t positions, of which the last of the prefix predicts the first token;
        ``mask`` may then pad at the end only. An input of None is a prefix alone, to fill a cache.

        ``positions`` are those of this pass's p + t tokens where they are not counted, (p + t,) or (n, p + t), and on a
        grid (..., p + t, axes). ``memory`` is what cross-attention reads, unless the cache holds it; ``style`` (n,
        width) is what modulates a `ModulatedBlock`.
        """
        length, device = self.extent(inputs, prefix)
        prefix = None if prefix is None else prefix.real_last()
        bounds = bounds if self.attends_packed(device) and mask is None else None
        context = causal_context(
            length,
            device,
            self.config.window,
            cache,
            mask=mask,
            segments=segments,
            bounds=bounds,
            prefix=prefix,
        )
        context = context.with_memory(memory)
        context.style = style
        return self.states(self.stack, inputs, context, positions=positions, prefix=prefix)

    def attends_packed(self, device: torch.device) -> bool:
        """Whether the kernel for packed documents can do what this network asks of attention."""
        plain = self.config.window is None and not self.config.attention_dropout
        fits = self.config.d_k % 8 == 0 and self.config.d_k <= 256
        return plain and fits and self.attends_in(device.type) in (torch.bfloat16, torch.float16)

    def make_cache(
        self,
        batch: int,
        length: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        *,
        start: Tensor | None = None,
        static: bool = False,
        memory: Condition | None = None,
    ) -> Cache:
        """An empty cache for rows of up to ``length`` tokens, a prefix and cross-attention's ``memory`` included.

        ``start`` (n,) int64 = each row's first real token, of rows padded on the left.
        """
        cache = self.allocate(batch, length, dtype, device, start, static)
        return cache if memory is None else remember(cache, self.stack, memory)


class EncoderDecoder(Transformer):
    """The whole figure: a source is encoded, a target decoded with attention to it; one embedding for both."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config, None, Head(config))
        self.encoder = Stack(
            config, config.layers if config.encoder_layers is None else config.encoder_layers
        )
        self.decoder = Stack(config, config.layers, cross=True)
        initialize(self, config)

    def forward(self, source: Tensor, source_mask: Tensor | None, target: Tensor) -> Tensor:
        """Source (n, s), its mask (n, s) with True = real token, target (n, t) → logits (n, t, vocabulary)."""
        return self.decode(target, self.encode(source, source_mask), source_mask)

    def encode(self, source: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """Source (n, s) and its mask (n, s) → memory (n, s, width)."""
        context = full_context(*self.extent(source, None), source_mask)
        return self.states(self.encoder, source, context)

    def decode(
        self,
        target: Tensor,
        memory: Tensor | None,
        source_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Target (n, t), memory (n, s, width), source mask (n, s) → logits (n, t, vocabulary).

        With a cache, the target follows the tokens in it, and memory and mask are the cache's own.
        """
        context = causal_context(*self.extent(target, None), self.config.window, cache)
        context = context.with_memory(None if memory is None else Condition(memory, source_mask))
        return self.head(self.states(self.decoder, target, context))

    def make_cache(
        self,
        memory: Tensor,
        source_mask: Tensor | None,
        length: int,
        *,
        dtype: torch.dtype | None = None,
        static: bool = False,
    ) -> Cache:
        """An empty cache for targets of up to ``length`` tokens, with the memory's keys and values in it."""
        cache = self.allocate(len(memory), length, dtype, memory.device, None, static)
        return remember(cache, self.decoder, Condition(memory, source_mask))
