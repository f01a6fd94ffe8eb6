"""R1 and R2 of the images that D judges anyway."""

from __future__ import annotations

import torch
from torch import Tensor

from luoxia.adversarial.objective import Adversarial
from luoxia.adversarial.penalties import ZeroCentered, input_gradients
from luoxia.training.objective import Batch, Losses, Rng


class OnePass(Adversarial):
    """The adversarial objective whose logits and slopes come of one pass of D (Huang et al. 2024).

    Beside penalties in every step, the pass for the loss alone would be the third. What D sees is augmented once. The
    pass is in the precision of training, as in the authors' code: only the squares of the slopes are always float32.
    """

    _squares: tuple[Tensor, ...] = ()
    """‖∇D(x)‖² of the real and of the generated images (n,), of the pass that has just been."""

    def criticise(self, real: Batch, fake: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """D's logits of real and of generated images; the squares of its slopes there are kept for ``penalized``."""
        labels = None if real.labels is None else real.labels.repeat(2)
        images = torch.cat([real.images, fake.float()])
        slopes, logits = input_gradients(lambda x, y: self.critic(x, y, rng), images, labels, exact=False)
        self._squares = slopes.square().sum(1).chunk(2)
        real_logits, fake_logits = logits.chunk(2)
        return real_logits, fake_logits

    def penalized(self, real: Batch, fake: Tensor | None, rng: Rng) -> Losses:
        """γ/2 · E‖∇D(x)‖² by the penalty's name."""
        (on_real, on_fake), self._squares = self._squares, ()
        return {
            name: 0.5 * penalty.weight * (on_real if penalty.on_real else on_fake).mean()
            for name, penalty in self.penalties
            if isinstance(penalty, ZeroCentered)
        }
