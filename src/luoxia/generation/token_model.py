"""What trained models of text share."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch

from luoxia.data.text.tokeniser import Tokeniser
from luoxia.networks.transformer import Decoder, EncoderDecoder

NetworkT = TypeVar("NetworkT", Decoder, EncoderDecoder)


class TokenModel(Generic[NetworkT]):
    """A network and its tokeniser. ``details`` says where it comes from: recipe, run, step, fingerprint of the data."""

    def __init__(
        self,
        network: NetworkT,
        tokeniser: Tokeniser,
        *,
        details: dict[str, Any],
        device: str | torch.device = "cpu",
    ) -> None:
        self.network: NetworkT = network.to(device).eval().requires_grad_(False)
        self.tokenizer = tokeniser
        self.details = details
        self.device = torch.device(device)
