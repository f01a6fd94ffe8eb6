"""Codes on a grid of 8 × 8, from a class and a caption: a network put together of Luoxia's parts."""

import torch
from torch import Tensor, nn

from luoxia.nn.conditioning import Condition, Conditioner, join
from luoxia.nn.positions import raster
from luoxia.nn.transformer import Decoder, TransformerConfig, initialize

ROWS, COLUMNS = 8, 8
ROOM = 16  # the most vectors of a prefix


class GridTokens(nn.Module):
    """p(code | codes before it, class, caption), either condition left out in a tenth of the training."""

    def __init__(self, vocabulary: int, classes: int, words: int, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        config = TransformerConfig(
            vocabulary,
            width=width,
            layers=layers,
            heads=4,
            context=ROOM + ROWS * COLUMNS,
            grid=(1 + ROWS, max(ROOM, COLUMNS)),  # a first row for the prefix
            qk_norm=True,
        )
        self.caption = Conditioner(nn.Embedding(words, width), width, dropout=0.1)
        self.kind = Conditioner(nn.Embedding(classes, width), width, dropout=0.1)
        self.decoder = Decoder(config)
        initialize(self, config)

    def prefix(self, kinds: Tensor, captions: Tensor, absent: Tensor | None = None) -> Condition:
        """Classes (n,), captions (n, s) with 0 = padding, absent (n,) bool = neither → s + 1 vectors a row."""
        return join([self.caption(captions, captions > 0, absent), self.kind(kinds, absent=absent)])

    def positions(self, prefix: Condition) -> Tensor:
        """Coordinates of a prefix in the first row, up to its end, and of the codes below: (p + 64, 2)."""
        first = torch.cartesian_prod(
            torch.zeros(1, dtype=torch.int64), torch.arange(ROOM - prefix.length, ROOM)
        )
        return torch.cat([first, raster((ROWS, COLUMNS)) + torch.tensor([1, 0])]).to(prefix.vectors.device)

    def forward(self, codes: Tensor, kinds: Tensor, captions: Tensor) -> Tensor:
        """Codes (n, 64) → logits (n, 64, vocabulary) of each from those before it."""
        prefix = self.prefix(kinds, captions)
        hidden = self.decoder.hidden(codes[:, :-1], prefix=prefix, positions=self.positions(prefix)[:-1])
        return self.decoder.head(hidden[:, prefix.length - 1 :])

    @torch.no_grad()
    def sample(self, kinds: Tensor, captions: Tensor, scale: float = 2.0) -> Tensor:
        """Codes (n, 64) by classifier-free guidance: a ``scale`` of 1 is the model's own distribution."""
        n = len(kinds)
        absent = torch.arange(2 * n, device=kinds.device) >= n
        prefix = self.prefix(kinds.repeat(2), captions.repeat(2, 1), absent)
        positions = self.positions(prefix)
        cache = self.decoder.make_cache(2 * n, len(positions))
        logits = self.decoder(None, cache=cache, prefix=prefix, positions=positions[: prefix.length])[:, -1]
        codes: list[Tensor] = []
        for position in positions[prefix.length :]:
            conditional, unconditional = logits.chunk(2)
            guided = unconditional + scale * (conditional - unconditional)
            codes.append(torch.multinomial(guided.softmax(-1), 1))
            logits = self.decoder(codes[-1].repeat(2, 1), cache=cache, positions=position[None])[:, -1]
        return torch.cat(codes, 1)
