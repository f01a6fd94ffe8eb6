"""A bare encoder, such as a BERT of another toolkit's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from luoxia.nn.transformer import Encoder
from luoxia.tasks.shared.token_model import TokenModel


class TextEncoder(TokenModel[Encoder]):
    """Says of each token what it is in its sentence."""

    @torch.inference_mode()
    def hidden(self, ids: Any, mask: Any = None) -> Tensor:
        """Ids (batch, length), mask (batch, length) with True = real token → (batch, length, width), float32.

        ``tokenizer.prefix`` and ``tokenizer.suffix`` belong around the ids of each text.
        """
        rows = self.rows_of(ids)
        real = None if mask is None else torch.as_tensor(mask, dtype=torch.bool, device=self.device)
        hidden: Tensor = self.network(rows, real)
        return hidden.float()
