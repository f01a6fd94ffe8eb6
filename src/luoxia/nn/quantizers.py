"""Quantizers: vectors on a grid ↔ tokens, whatever the grid is of.

Every quantizer takes latents (n, ``width``, *grid) and gives tokens (n, *grid, ``codebooks``), int64. It computes in
float32 and counts in int64, under autocast too: in bfloat16 neighboring codes fall together.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from luoxia.core.errors import UsageError

ROWS = 1024
"""Codes whose neighbors are looked for together: a large book has too many distances to hold."""
LARGEST_BOOK = 2**31
"""Codes of a book at most."""


class Quantized(NamedTuple):
    """What became of latents: the nearest codes, with the gradient of the latents; their tokens; a loss, a scalar."""

    codes: Tensor
    tokens: Tensor | None
    commitment: Tensor


class Quantizer(nn.Module):
    """Latents ↔ tokens."""

    codebooks: int = 1
    """Tokens at each place."""
    vocabulary: int
    """Values that a token can take."""
    width: int
    """Channels of the latents."""

    def forward(self, latents: Tensor) -> Quantized:
        """Latents (n, width, *grid) → codes of the same shape, tokens (n, *grid, codebooks)."""
        raise NotImplementedError

    def codes_of(self, tokens: Tensor) -> Tensor:
        """Tokens (n, *grid, codebooks) → codes (n, width, *grid), float32."""
        raise NotImplementedError

    def near(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """For each token one whose code lies next to its code, drawn by chance."""
        raise NotImplementedError

    def learn(self, latents: Tensor, tokens: Tensor, generator: torch.Generator) -> None:
        """Move the book by the latents of a step, where it does not learn by gradients."""


class FSQ(Quantizer):
    """Finite scalar quantization (Mentzer et al. 2023, arXiv:2309.15505): each channel is rounded to one of L levels.

    With y = tanh z, level i = ⌊L (y + 1) / 2⌋, and its code is the middle of its interval, (2i + 1) / L − 1. So all
    intervals are equally wide and the codes lie symmetrically around 0 for every L ≥ 2, even or odd. A token is the
    number whose digits are the levels. The gradient passes the rounding unchanged.

    >>> fsq = FSQ((8, 5, 5, 5))
    >>> fsq.vocabulary, fsq.width
    (1000, 4)
    """

    levels: Tensor
    places: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        if not levels or min(levels) < 2 or prod(levels) > LARGEST_BOOK:
            raise UsageError(
                f"levels={','.join(map(str, levels))}: give one number or more from 2 on, of a product up to 2^31"
            )
        self.vocabulary, self.width = prod(levels), len(levels)
        places = [prod(levels[:channel]) for channel in range(len(levels))]
        self.register_buffer("levels", torch.tensor(levels, dtype=torch.int64), persistent=False)
        self.register_buffer("places", torch.tensor(places, dtype=torch.int64), persistent=False)

    def forward(self, latents: Tensor) -> Quantized:
        """Nearest codes; there is no commitment, for the latents are bounded."""
        with torch.autocast(latents.device.type, enabled=False):
            y = torch.tanh(latents.float()).movedim(1, -1)  # (n, *grid, width)
            levels = self.levels.float()
            digits = ((y + 1) * (levels / 2)).floor().long()
            digits = torch.minimum(digits.clamp_min(0), self.levels - 1)
            codes = y + (self._middles(digits) - y).detach()
        tokens = (digits * self.places).sum(-1, keepdim=True)
        return Quantized(codes.movedim(-1, 1), tokens, codes.new_zeros(()))

    def codes_of(self, tokens: Tensor) -> Tensor:
        """The middles of the intervals that the digits name."""
        return self._middles(self._digits(tokens)).movedim(-1, 1)

    def near(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """One digit, drawn by chance, becomes one more or one less."""
        digits = self._digits(tokens)
        shape, device = tokens.shape[:-1], tokens.device
        channel = torch.randint(self.width, shape, generator=generator, device=device)
        step = 2 * torch.randint(2, shape, generator=generator, device=device) - 1
        digit = digits.gather(-1, channel[..., None]).squeeze(-1)
        moved = digit + step
        step = torch.where((moved < 0) | (moved >= self.levels[channel]), -step, step)
        return tokens + (step * self.places[channel])[..., None]

    def _digits(self, tokens: Tensor) -> Tensor:
        return tokens // self.places % self.levels  # (n, *grid, width)

    def _middles(self, digits: Tensor) -> Tensor:
        return (2 * digits + 1).float() / self.levels.float() - 1


class VQ(Quantizer):
    """Vector quantization with a book of moving averages (van den Oord et al. 2017, arXiv:1711.00937, appendix A.1).

    The book begins as the k-means of the first latents; a code that is hardly used any more becomes a latent of the
    present step (Dhariwal et al. 2020, arXiv:2005.00341, section 3.1).
    """

    decay = 0.99
    rare = 0.1
    """A code whose uses fall below this share of the mean is replaced."""
    born = 0.3
    """Uses that a new code is credited with, as a share of the mean."""
    book: Tensor
    uses: Tensor
    sums: Tensor
    begun: Tensor

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        if not 2 <= vocabulary <= 2**20:
            raise UsageError(f"codes={vocabulary}: a learned book has 2 to {2**20:,} codes")
        self.vocabulary, self.width = vocabulary, width
        self.register_buffer("book", torch.randn(vocabulary, width))
        self.register_buffer("uses", torch.zeros(vocabulary))
        self.register_buffer("sums", torch.zeros(vocabulary, width))
        self.register_buffer("begun", torch.zeros((), dtype=torch.int64))

    def forward(self, latents: Tensor) -> Quantized:
        """Nearest codes, and E‖z − sg(e)‖², which keeps the latents at them."""
        with torch.autocast(latents.device.type, enabled=False):
            z = latents.float().movedim(1, -1)  # (n, *grid, width)
            tokens = self._nearest(z)
            e = self.book[tokens]
            commitment = (z - e).square().sum(-1).mean()
            codes = z + (e - z).detach()
        return Quantized(codes.movedim(-1, 1), tokens[..., None], commitment)

    def codes_of(self, tokens: Tensor) -> Tensor:
        """Rows of the book."""
        return self.book[tokens.squeeze(-1)].movedim(-1, 1)

    def near(self, tokens: Tensor, generator: torch.Generator) -> Tensor:
        """One of the nearest hundredth of the other codes, ten of them at least."""
        many = min(self.vocabulary - 1, max(10, self.vocabulary // 100))
        seen, own = torch.unique(tokens, return_inverse=True)
        nearest = torch.cat([self._neighbors(part, many) for part in seen.split(ROWS)])
        choice = torch.randint(many, tokens.shape, generator=generator, device=tokens.device)
        found: Tensor = nearest[own.view(tokens.shape), choice]
        return found

    def _neighbors(self, tokens: Tensor, many: int) -> Tensor:
        """Tokens (t,) → the ``many`` others whose codes are nearest (t, many)."""
        distances = torch.cdist(self.book[tokens], self.book).scatter_(1, tokens[:, None], torch.inf)
        return distances.topk(many, largest=False).indices

    @torch.no_grad()
    def learn(self, latents: Tensor, tokens: Tensor, generator: torch.Generator) -> None:
        """m ← γm + (1 − γ)·Σz of each code, over those of its uses; rare codes are replaced."""
        z = latents.float().movedim(1, -1).flatten(0, -2)  # (t, width)
        if not self.begun:
            self.book.copy_(k_means(z, self.vocabulary, generator))
            tokens = self._nearest(z)
            self.begun.fill_(1)
            self.uses.fill_(self.born * len(z) / self.vocabulary)
            self.sums.copy_(self.book * self.uses[:, None])
        flat = tokens.flatten()
        uses = torch.zeros_like(self.uses).index_add_(0, flat, torch.ones_like(z[:, 0]))
        sums = torch.zeros_like(self.sums).index_add_(0, flat, z)
        mean = float(uses.sum()) / self.vocabulary
        self.uses.lerp_(uses, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self._replace(self.uses < self.rare * mean, z, self.born * mean, generator)
        self.book.copy_(self.sums / self.uses.clamp_min(1e-6)[:, None])

    def _replace(self, rare: Tensor, z: Tensor, uses: float, generator: torch.Generator) -> None:
        rows = torch.randint(len(z), (self.vocabulary,), generator=generator, device=z.device)
        self.uses.copy_(torch.where(rare, uses, self.uses))
        self.sums.copy_(torch.where(rare[:, None], z[rows] * uses, self.sums))

    def _nearest(self, z: Tensor) -> Tensor:
        """z (…, width) → the nearest code (…), int64: ‖z − e‖² but for ‖z‖²."""
        return (self.book.square().sum(1) - 2 * z @ self.book.T).argmin(-1)


class Continuous(Quantizer):
    """No quantization: what a codec could reach with codes without end. It has no tokens."""

    vocabulary = 0
    codebooks = 0

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, latents: Tensor) -> Quantized:
        """The latents themselves."""
        return Quantized(latents.float(), None, latents.new_zeros((), dtype=torch.float32))


def k_means(x: Tensor, k: int, generator: torch.Generator, rounds: int = 10) -> Tensor:
    """Lloyd's algorithm on x (t, d) → centers (k, d), from k-means++ (Arthur & Vassilvitskii 2007, section 2.2).

    Centers to which nothing falls stay; of fewer than k different rows some centers lie only a little apart.
    """
    row = torch.randint(len(x), (1,), generator=generator, device=x.device)
    rows, far = [row], (x - x[row]).square().sum(1)
    for _ in range(1, k):
        row = torch.multinomial(far + 1e-12, 1, generator=generator)
        rows.append(row)
        far = torch.minimum(far, (x - x[row]).square().sum(1))
    noise = torch.randn((k, x.shape[1]), generator=generator, device=x.device)
    centers = x[torch.cat(rows)] + 1e-4 * x.std() * noise
    for _ in range(rounds):
        own = (centers.square().sum(1) - 2 * x @ centers.T).argmin(1)
        many = torch.zeros(k, device=x.device).index_add_(0, own, torch.ones(len(x), device=x.device))
        sums = torch.zeros_like(centers).index_add_(0, own, x)
        centers = torch.where(many[:, None] > 0, sums / many.clamp_min(1)[:, None], centers)
    return centers
