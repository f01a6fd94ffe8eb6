"""What trained models of text share."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from luoxia.core.errors import UsageError
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.provenance.label import Label

NetworkT = TypeVar("NetworkT", bound=nn.Module)


class TokenModel(Generic[NetworkT]):
    """A network and its tokenizer. ``details`` says where it comes from: recipe, run, step, fingerprint of the data.

    ``dtype`` and ``quantize`` shorten the weights, of models that can be. No call changes a model, so that several
    threads may use one.
    """

    def __init__(
        self,
        network: NetworkT,
        tokenizer: Tokenizer | None,
        *,
        details: Label,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        quantize: str | None = None,
    ) -> None:
        network = network.to(device).eval().requires_grad_(False)
        self.network: NetworkT = self.lightened(network, dtype, quantize) if dtype or quantize else network
        self._tokenizer = tokenizer
        self.details = details
        self.device = torch.device(device)

    @staticmethod
    def lightened(network: Any, dtype: torch.dtype | None, quantize: str | None) -> Any:
        """The network with weights of another type, in place; ``UsageError`` where that is not done."""
        if dtype in (None, torch.float32) and quantize is None:
            return network
        raise UsageError("dtype= and quantize= are for models that write text: leave them out")

    @property
    def tokenizer(self) -> Tokenizer:
        """Text ↔ token ids; ``UsageError`` where another toolkit's folder came without."""
        if self._tokenizer is None:
            raise UsageError(
                "this model's folder has no tokenizer.json, so it knows token ids and no text: "
                "save its tokenizer there with save_pretrained"
            )
        return self._tokenizer

    def rows_of(self, ids: Any) -> Tensor:
        """Token ids (batch, length), a tensor or lists, checked and on the network's device."""
        try:
            rows = torch.as_tensor(ids, device=self.device)
        except (ValueError, TypeError, RuntimeError) as error:
            raise UsageError("token ids must be rows of whole numbers, all of one length") from error
        if rows.dim() != 2 or not rows.numel() or rows.is_floating_point() or rows.is_complex():
            shape = tuple(rows.shape)
            raise UsageError(
                f"token ids must be whole numbers of the shape (batch, length), not {rows.dtype} {shape}"
            )
        vocabulary: int = self.network.config.vocabulary  # type: ignore[assignment,union-attr]
        if rows.min() < 0 or rows.max() >= vocabulary:
            wrong = int(rows.min() if rows.min() < 0 else rows.max())
            raise UsageError(
                f"the token {wrong} is outside this model's vocabulary, 0 to {vocabulary - 1}: "
                "encode text with the model's own tokenizer"
            )
        return rows.long()
