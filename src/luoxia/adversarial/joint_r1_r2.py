"""R1 and R2 from the pass of D that its loss needs anyway."""

from __future__ import annotations

import torch
from torch import Tensor

from luoxia.adversarial.objective import Adversarial
from luoxia.adversarial.penalties import ZeroCentered, input_gradients
from luoxia.training.objective import Batch, Losses, Rng


class OnePass(Adversarial):
    """The adversarial objective whose logits and slopes come from one pass of D (Huang et al. 2024).

    Beside penalties in every step, the pass for the loss alone would be the third. What D sees is augmented once. The
    pass is in the precision of training, as in the authors' code: only the squares of the slopes are always float32.
    """

    _squares: tuple[Tensor, ...] = ()
    """‖∇D(x)‖² of the real and of the generated samples (n,), from the latest pass."""

    def criticize(self, real: Batch, fake: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """D's logits (n,) of real and of generated samples; keeps the squares of its slopes for ``penalized``."""
        labels = None if real.labels is None else real.labels.repeat(2)
        x = torch.cat([real.samples, fake.float()])
        slopes, logits = input_gradients(lambda x, y: self.critic(x, y, rng), x, labels, exact=False)
        self._squares = slopes.square().sum(1).chunk(2)
        real_logits, fake_logits = logits.chunk(2)
        return real_logits, fake_logits

    def penalized(self, real: Batch, fake: Tensor | None, rng: Rng) -> Losses:
        """γ/2 · E‖∇D(x)‖², a scalar, by the penalty's name."""
        (on_real, on_fake), self._squares = self._squares, ()
        return {
            name: 0.5 * penalty.weight * (on_real if penalty.on_real else on_fake).mean()
            for name, penalty in self.penalties
            if isinstance(penalty, ZeroCentered)
        }
