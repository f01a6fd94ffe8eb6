"""What trained models of text share."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from luoxia.data.text.tokeniser import Tokeniser
from luoxia.errors import UsageError

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class TokenModel(Generic[NetworkT]):
    """A network and its tokeniser. ``details`` says where it comes from: recipe, run, step, fingerprint of the data."""

    def __init__(
        self,
        network: NetworkT,
        tokeniser: Tokeniser | None,
        *,
        details: dict[str, Any],
        device: str | torch.device = "cpu",
    ) -> None:
        self.network: NetworkT = network.to(device).eval().requires_grad_(False)
        self._tokeniser = tokeniser
        self.details = details
        self.device = torch.device(device)

    @property
    def tokenizer(self) -> Tokeniser:
        """Text ↔ token ids; ``UsageError`` where another toolkit's folder came without."""
        if self._tokeniser is None:
            raise UsageError(
                "this model's folder has no tokenizer.json, so it knows token ids and no text: "
                "save its tokeniser there with save_pretrained"
            )
        return self._tokeniser

    def rows_of(self, ids: Any) -> Tensor:
        """Token ids (batch, length), a tensor or lists, checked and on the network's device."""
        try:
            rows = torch.as_tensor(ids, device=self.device)
        except (ValueError, TypeError, RuntimeError):
            raise UsageError("token ids must be rows of whole numbers, all of one length") from None
        if rows.dim() != 2 or not rows.numel() or rows.is_floating_point() or rows.is_complex():
            shape = tuple(rows.shape)
            raise UsageError(
                f"token ids must be whole numbers of the shape (batch, length), not {rows.dtype} {shape}"
            )
        vocabulary: int = self.network.shape.vocabulary  # type: ignore[assignment,union-attr]
        if rows.min() < 0 or rows.max() >= vocabulary:
            wrong = int(rows.min() if rows.min() < 0 else rows.max())
            raise UsageError(
                f"the token {wrong} is outside this model's vocabulary, 0 to {vocabulary - 1}: "
                "encode text with the model's own tokeniser"
            )
        return rows.long()
