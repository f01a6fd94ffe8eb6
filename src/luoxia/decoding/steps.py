"""A network and its cache, one step at a time: the tokens of every row in, the logits of the next ones out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from luoxia.core.errors import UsageError
from luoxia.nn.transformer import Decoder, EncoderDecoder

Ids = Sequence[int]
Network = Decoder | EncoderDecoder


class Steps:
    """A batch of rows on their way through a decoder, or through the decoder of an encoder–decoder.

    The first call runs the prompts, the others one token a row; nothing is computed twice. ``length``: tokens that the
    longest row may come to, its last one not counted, since nothing is asked after it.
    """

    def __init__(
        self, network: Network, prompts: Sequence[Ids], length: int, sources: Sequence[Ids] | None = None
    ) -> None:
        device = network.device
        self.network = network
        self.prompts, start = padded_left(prompts, device)
        if sources is None:
            assert isinstance(network, Decoder)
            self.cache = network.make_cache(len(prompts), length, start=start)
        else:
            assert isinstance(network, EncoderDecoder)
            source, mask = padded_right(sources, device)
            self.cache = network.make_cache(network.encode(source, mask), mask, length)

    @property
    def full(self) -> bool:
        """Whether no further token fits."""
        return self.cache.length >= self.cache.capacity

    def __call__(self, ids: Tensor) -> Tensor:
        """The next ids (n, t) → logits (n, vocabulary), float32, of the token after them."""
        if isinstance(self.network, EncoderDecoder):
            return self.network.decode(ids, None, None, self.cache)[:, -1].float()
        hidden = self.network.hidden(ids, cache=self.cache)
        last = hidden[:, -1:].contiguous()  # or the head's matrix would be copied for each row
        return self.network.head(last)[:, 0].float()

    def keep(self, rows: Sequence[int]) -> None:
        """Row i becomes what row ``rows[i]`` was; there may be fewer of them, or more."""
        self.cache.reorder(torch.tensor(rows, device=self.prompts.device))


def padded_left(rows: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of unequal length → ids (n, t), their last tokens in one column, and where each row starts (n,)."""
    longest = max(len(row) for row in rows)
    start = torch.tensor([longest - len(row) for row in rows])
    ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows])
    return ids.to(device), start.to(device)


def padded_right(rows: Sequence[Ids], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of unequal length → ids (n, t) and a mask (n, t), True = real token."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [0] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids.to(device), (torch.arange(longest) < lengths[:, None]).to(device)


def check(network: Network, rows: Sequence[Ids], room: int, kind: str = "prompt") -> None:
    """Refuse rows that are empty, that leave no ``room`` in the context, or whose ids are no tokens."""
    context, vocabulary = network.config.context, network.config.vocabulary
    for i, row in enumerate(rows):
        if len(row) == 0:
            raise UsageError(f"{kind} {i} is empty: give it a token at least, such as the tokenizer's bos")
        if len(row) > context - room:
            raise UsageError(
                f"{kind} {i} has {len(row)} tokens, and this model's context of {context} takes "
                f"{context - room} at most: shorten it"
            )
        if min(row) < 0 or max(row) >= vocabulary:
            wrong = min(row) if min(row) < 0 else max(row)
            raise UsageError(
                f"{kind} {i} holds the token {wrong}, and this model knows 0 to {vocabulary - 1}: "
                "encode it with the model's own tokenizer"
            )


def batches(
    prompts: Sequence[Ids], sources: Sequence[Ids] | None, size: int, *, equal: bool = False
) -> Iterator[list[int]]:
    """The rows' numbers in batches of at most ``size`` rows of like length, or of ``equal`` length.

    The targets of an encoder–decoder are not padded, so that theirs are equal always.
    """
    equal = equal or sources is not None

    def length(i: int) -> tuple[int, int]:
        return len(prompts[i]), len(sources[i]) if sources is not None else 0

    batch: list[int] = []
    for i in sorted(range(len(prompts)), key=length):
        if len(batch) == size or (equal and batch and len(prompts[i]) != len(prompts[batch[0]])):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Without dropout, whatever the network's mode before, which comes back."""
    modes = [(module, module.training) for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
