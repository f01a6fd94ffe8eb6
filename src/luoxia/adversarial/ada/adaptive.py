"""The strength of augmentation, adapted to how much D overfits (arXiv:2006.06676, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from luoxia.adversarial.ada import color as color
from luoxia.adversarial.ada import corruption, geometry
from luoxia.core.values import Annealed
from luoxia.training.objective import Rng

Transform = Callable[[Tensor, Tensor, Rng], Tensor]

GROUPS: dict[str, Transform] = {
    "blit": geometry.blit,
    "geometry": geometry.warp_at_random,
    "color": color.recolor,
    "filter": corruption.filter_bands,
    "noise": corruption.add_noise,
    "cutout": corruption.cut_out,
}
"""The groups of transforms in the order in which they are applied (the paper's figure 2 and appendix B)."""

BATCHES = 4
"""Batches of D between two changes of p."""


def groups_of(pipe: str) -> tuple[str, ...]:
    """The groups that a pipe names: one group by its name, or the first letters of some, as in ``bgc``."""
    if pipe in GROUPS:
        return (pipe,)
    return tuple(list(GROUPS)[: len(pipe)])


class Ada:
    """Transforms each image by each transform of ``pipe`` with probability p.

    p is ``fixed`` (perhaps annealed over the first ``course`` samples), or else it follows D: every 4 batches it moves
    by the samples seen since over ``samples``, up where E[sign D(real)] is above ``target``, else down. What it has to
    remember is in the objective's ``state``.
    """

    def __init__(
        self,
        pipe: str,
        state: dict[str, Tensor],
        *,
        target: float = 0.6,
        samples: float = 500_000,
        fixed: float | Annealed | None = None,
        course: int = 0,
    ) -> None:
        self.transforms = [GROUPS[name] for name in groups_of(pipe)]
        self.target = target
        self.samples = samples
        self.fixed = fixed
        self.course = course
        self.state = state
        self.state["augment_p"] = torch.tensor(fixed if isinstance(fixed, float) else 0.0)
        if fixed is None:
            self.state["ada_signs"] = torch.tensor(0.0)  # their sum
            self.state["ada_batches"] = torch.tensor(0)  # of that sum
            self.state["ada_changed"] = torch.tensor(0)  # samples seen when p last changed

    @property
    def p(self) -> Tensor:
        """The present probability, a scalar."""
        return self.state["augment_p"]

    def __call__(self, x: Tensor, rng: Rng) -> Tensor:
        """Images (n, c, h, w) in [−1, 1] → as many, differentiable twice; in float32 at least."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            if self.p.device.type == "cpu" and self.p == 0:  # a GPU would have to be waited for
                return x
            for transform in self.transforms:
                x = transform(x, self.p, rng)
        return x

    @torch.no_grad()
    def hear(self, real_sign: Tensor) -> None:
        """E[sign D(real)] of the augmented images of one update of D, a scalar."""
        if self.fixed is None:
            self.state["ada_signs"] += real_sign
            self.state["ada_batches"] += 1

    @torch.no_grad()
    def advance(self, samples_seen: int) -> None:
        """Before a step: change p if it is time."""
        if isinstance(self.fixed, Annealed):
            self.p.fill_(self.fixed.at(samples_seen / self.course))
        if self.fixed is not None:
            return
        signs, batches, changed = (self.state[f"ada_{name}"] for name in ("signs", "batches", "changed"))
        due = batches >= BATCHES
        direction = (signs / batches.clamp_min(1) - self.target).sign()
        moved = self.p + direction * (samples_seen - changed) / self.samples
        self.p.copy_(torch.where(due, moved.clamp(0, 1), self.p))
        changed.copy_(torch.where(due, torch.full_like(changed, samples_seen), changed))
        signs.mul_(~due)
        batches.mul_(~due)
