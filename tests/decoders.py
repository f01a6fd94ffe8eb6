"""Tiny networks with decided opinions, for the tests of decoding."""

import torch
from torch import nn

from luoxia.nn.transformer import Decoder, EncoderDecoder, TransformerConfig


def opinionated(network: nn.Module, seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        noise = torch.randn(weight.shape, generator=generator) * spread
        weight.data = noise if weight.dim() > 1 else weight.data + 0.3 * noise
    network.eval()


def decoder(seed: int = 0, vocabulary: int = 23, spread: float = 0.5, **shape: object) -> Decoder:
    changes = {"width": 16, "layers": 2, "heads": 2, "context": 48} | shape
    network = Decoder(TransformerConfig(vocabulary, **changes))
    opinionated(network, seed, spread)
    return network


def translator(seed: int = 0, vocabulary: int = 19, spread: float = 0.5, **shape: object) -> EncoderDecoder:
    changes = {"width": 16, "layers": 2, "heads": 2, "context": 48} | shape
    network = EncoderDecoder(TransformerConfig(vocabulary, **changes))
    opinionated(network, seed, spread)
    return network


def random_rows(seed: int, lengths: list[int], vocabulary: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, vocabulary, (n,), generator=generator).tolist() for n in lengths]


@torch.no_grad()
def uncached(
    network: Decoder | EncoderDecoder, row: list[int], source: list[int] | None = None
) -> torch.Tensor:
    """The logits after a row, all of it computed anew."""
    ids = torch.tensor([row])
    if source is None:
        return network(ids)[0, -1]
    return network(torch.tensor([source]), None, ids)[0, -1]
