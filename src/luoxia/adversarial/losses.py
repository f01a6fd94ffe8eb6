"""Adversarial losses: each a class with two methods, each method one equation, on logits.

D(x) = σ(logit) in the losses that speak of probabilities; the logit itself in the others.
Every method takes ``real`` and ``fake`` logits (n,) and returns a scalar to be minimized.
"""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class Loss(Protocol):
    """What the adversarial objective needs of a loss."""

    needs_real: bool
    """Whether the generator's loss reads the logits of real samples."""
    vanishes: bool
    """Whether D's gradient by the logit of a generated sample can be 0, which joint updates cannot divide by."""

    def boundary(self, real: Tensor, fake: Tensor) -> Tensor:
        """The logit, a scalar, above which D takes a sample for a real one."""
        ...

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The loss the discriminator minimizes."""
        ...

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """The loss the generator minimizes."""
        ...


def even_odds(real: Tensor, fake: Tensor) -> Tensor:
    """0, where D(x) = ½."""
    return real.new_zeros(())


def midpoint(real: Tensor, fake: Tensor) -> Tensor:
    """Half-way between the means, for losses that only compare logits: a constant may be added to them all."""
    return 0.5 * (real.mean() + fake.mean())


def signs(loss: Loss, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """E[sign D(x)], from −1 to 1, of real and of generated samples, counted from the loss's boundary: two scalars."""
    boundary = loss.boundary(real, fake)
    return (real - boundary).sign().mean(), (fake - boundary).sign().mean()


class Minimax:
    """min_G max_D V(D, G) = E[log D(x)] + E[log(1 − D(G(z)))] (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1)."""

    needs_real = False
    vanishes = False
    boundary = staticmethod(even_odds)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """−V(D, G); log σ(a) = −softplus(−a) and log(1 − σ(a)) = −softplus(a) never overflow."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """E[log(1 − D(G(z)))]: it saturates while D is confident."""
        return -F.softplus(fake).mean()


class NonSaturating(Minimax):
    """The same discriminator; G maximizes E[log D(G(z))] (Goodfellow et al. 2014, section 3)."""

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """−E[log D(G(z))]."""
        return F.softplus(-fake).mean()


class LeastSquares:
    """LSGAN with labels a = 0, b = c = 1 (Mao et al. 2017, arXiv:1611.04076, eq. 2 and 9)."""

    needs_real = False
    vanishes = True

    def boundary(self, real: Tensor, fake: Tensor) -> Tensor:
        """½, as far from 1 as from 0."""
        return real.new_full((), 0.5)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """½ E[(D(x) − 1)²] + ½ E[D(G(z))²]."""
        return 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """½ E[(D(G(z)) − 1)²]."""
        return 0.5 * (fake - 1).square().mean()


class Hinge:
    """The hinge loss (Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, eq. 16 and 17)."""

    needs_real = False
    vanishes = True
    boundary = staticmethod(even_odds)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[max(0, 1 − D(x))] + E[max(0, 1 + D(G(z)))]."""
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """−E[D(G(z))]."""
        return -fake.mean()


class Wasserstein:
    """The dual form of the Wasserstein-1 distance (Arjovsky et al. 2017, arXiv:1701.07875, eq. 2)."""

    needs_real = False
    vanishes = False
    boundary = staticmethod(midpoint)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[D(G(z))] − E[D(x)]."""
        return fake.mean() - real.mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """−E[D(G(z))]."""
        return -fake.mean()


class Relativistic:
    """Relativistic pairing (Jolicoeur-Martineau 2018, arXiv:1807.00734; Huang et al. 2024, arXiv:2501.05441, eq. 2)."""

    needs_real = True
    vanishes = False
    boundary = staticmethod(midpoint)

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E[softplus(−(D(x) − D(G(z))))]."""
        return F.softplus(fake - real).mean()

    def generator(self, real: Tensor | None, fake: Tensor) -> Tensor:
        """E[softplus(−(D(G(z)) − D(x)))]."""
        assert real is not None
        return F.softplus(real - fake).mean()


LOSSES: dict[str, type[Loss]] = {
    "minimax": Minimax,
    "nonsaturating": NonSaturating,
    "lsgan": LeastSquares,
    "hinge": Hinge,
    "wasserstein": Wasserstein,
    "relativistic": Relativistic,
}
