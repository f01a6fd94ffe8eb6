"""Networks for sampling only: another layer in the place of every linear one, and of the head."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from luoxia.core.errors import UsageError
from luoxia.nn.head import finish
from luoxia.nn.lora import adapters, replace_module
from luoxia.nn.transformer import Transformer

Make = Callable[[Tensor, Tensor | None], nn.Module]
"""From a matrix (out, in) and a bias (out,) or None to the layer that multiplies by them."""


class OwnHead(nn.Module):
    """A new layer to the vocabulary; where it was tied, beside the embedding."""

    def __init__(self, linear: nn.Module, softcap: float, codebooks: int | None) -> None:
        super().__init__()
        self.linear = linear
        self.softcap, self.codebooks = softcap, codebooks

    def forward(self, hidden: Tensor, embedding_weight: Tensor | None) -> Tensor:
        """Hidden (n, t, width) → logits (n, t, [codebooks,] vocabulary); the embedding's matrix is not used."""
        return finish(self.linear(hidden), self.softcap, self.codebooks)


def replace_linear(network: nn.Module, make: Make, *, head: bool) -> None:
    """Put what ``make`` makes in the place of every linear layer; ``head``: of the layer to the vocabulary too.

    ``UsageError`` for a network with LoRA adapters, whose layers would lose them.
    """
    if any(True for _ in adapters(network)):
        raise UsageError("the network has LoRA adapters: fold them into its weights before making it lighter")
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    replacements = {name: make(layer.weight, layer.bias) for name, layer in layers.items()}
    for name, layer in replacements.items():
        replace_module(network, name, layer)
    if head and isinstance(network, Transformer) and network.output is not None:
        output = network.output
        linear = make(output.matrix(network.embedding_weight), None)
        replace_module(network, "output", OwnHead(linear, output.softcap, output.codebooks))
