"""An autoencoder whose latents pass a quantizer: a codec, whatever its encoder and decoder are made for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from luoxia.nn.quantizers import Quantizer


class Coded(NamedTuple):
    """What an autoencoder made of samples: themselves again, their tokens, the latents before quantization."""

    samples: Tensor
    tokens: Tensor | None
    latents: Tensor
    commitment: Tensor


class Autoencoder(nn.Module):
    """Samples → latents → tokens → samples."""

    def __init__(self, encoder: nn.Module, quantizer: Quantizer, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder

    def forward(
        self, x: Tensor, share: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Coded:
        """Samples (n, …) → the same again.

        ``share`` (n,): of the tokens of each sample that become near ones, drawn by ``generator``, before they are
        decoded, so that the decoder bears the errors of what generates tokens (Qiu et al. 2025, arXiv:2503.08354).
        """
        latents = self.encoder(x)
        codes, tokens, commitment = self.quantizer(latents)
        if share is not None and tokens is not None:
            assert generator is not None
            moved = perturbed(self.quantizer, tokens, share, generator)
            codes = codes + (self.quantizer.codes_of(moved) - codes).detach()
        return Coded(self.decoder(codes), tokens, latents, commitment)

    def encode(self, x: Tensor) -> Tensor:
        """Samples (n, …) → tokens (n, *grid, codebooks)."""
        tokens: Tensor = self.quantizer(self.encoder(x)).tokens
        return tokens

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (n, *grid, codebooks) → samples (n, …)."""
        samples: Tensor = self.decoder(self.quantizer.codes_of(tokens))
        return samples


def perturbed(quantizer: Quantizer, tokens: Tensor, share: Tensor, generator: torch.Generator) -> Tensor:
    """Tokens (n, *grid, books), of which the ``share`` (n,) of each sample becomes near ones."""
    chance = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    chosen = chance < share.view(-1, *[1] * (tokens.dim() - 1))
    return torch.where(chosen, quantizer.near(tokens, generator), tokens)
