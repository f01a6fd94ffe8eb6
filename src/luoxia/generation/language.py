"""A trained language model, ready to write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from luoxia.generation.text import Completion, Decoding, complete, stream_text
from luoxia.generation.token_model import TokenModel
from luoxia.networks.transformer import Decoder


class TextGenerator(TokenModel[Decoder]):
    """A decoder that writes."""

    @torch.inference_mode()
    def logits(self, ids: Any) -> Tensor:
        """Ids (batch, length), a tensor or lists → logits (batch, length, vocabulary), float32."""
        rows = torch.as_tensor(ids, dtype=torch.int64, device=self.device)
        logits: Tensor = self.network(rows)
        return logits.float()

    def sample(
        self, n: int = 1, seed: int = 0, *, prompt: str = "", decoding: Decoding | None = None
    ) -> list[str]:
        """N texts that go on from ``prompt``, which they leave out; text i is a function of (seed, i)."""
        return [completion.text for completion in self.completions(n, seed, prompt=prompt, decoding=decoding)]

    def completions(
        self, n: int = 1, seed: int = 0, *, prompt: str = "", decoding: Decoding | None = None
    ) -> list[Completion]:
        """The same, with the tokens and the reason why each ended."""
        settings = _seeded(decoding, seed)
        ids = self.prompt_ids(prompt)
        eos = self.tokenizer.eos
        return complete(self.network, [ids] * n, settings, eos=eos, decode=self.tokenizer.decode)

    def stream(self, prompt: str = "", seed: int = 0, *, decoding: Decoding | None = None) -> Iterator[str]:
        """The first of these texts, piece by piece as it is written."""
        eos, decode = self.tokenizer.eos, self.tokenizer.decode
        ids = self.prompt_ids(prompt)
        yield from stream_text(self.network, ids, _seeded(decoding, seed), eos=eos, decode=decode)

    def prompt_ids(self, prompt: str) -> list[int]:
        """The prompt's tokens; without a prompt the mark that ends a text, which is what a text begins after."""
        ids = self.tokenizer.encode(prompt)
        return ids or [self.tokenizer.eos or 0]


def _seeded(decoding: Decoding | None, seed: int) -> Decoding:
    return replace(decoding or Decoding(), seed=seed)
