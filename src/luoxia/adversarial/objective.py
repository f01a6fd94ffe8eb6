"""The adversarial objective: one generator, one discriminator, any loss, any penalty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from luoxia.adversarial.ada.adaptive import Ada
from luoxia.adversarial.augment import augment
from luoxia.adversarial.losses import Loss, signs
from luoxia.adversarial.penalties import Penalty
from luoxia.core.values import Annealed
from luoxia.nn.torch_private import each
from luoxia.training.objective import Batch, Losses, Objective, Phase, Rng

GUpdate = Literal["fresh", "shared", "joint"]


class Seen(NamedTuple):
    """What D's last update left for G's: samples ``generated`` with G's graph, as D saw them (``fake``), D's logits."""

    real: Batch
    generated: Tensor
    fake: Tensor
    real_logits: Tensor
    fake_logits: Tensor


class Adversarial(Objective):
    """min_G max_D V(D, G) (Goodfellow et al. 2014, eq. 1) and its relatives.

    A step is algorithm 1 of that paper: ``d_steps`` updates of D, each on fresh real and generated samples, then one of
    G, whose latents are ``fresh``. Or G's update takes what D's last has computed: the samples (``shared``, as in
    DCGAN's public code: a pass of G less), or D's pass of them too (``joint``: a pass of D less).

    Joint, both networks are updated from where the step finds them (Shen et al. 2021, arXiv:2103.00430, section 3.2):
    where D judges each sample by itself, the gradients of its loss and of G's by a sample x differ by a factor only,
    ∂L_G/∂x = (∂L_G/∂D(x) : ∂L_D/∂D(x)) · ∂L_D/∂x, and the latter is known. A D that mixes samples, and a loss whose
    divisor can be 0, make it ``shared``.

    A penalty with ``penalty_every`` = 1 joins D's loss; a lazy one is a phase of its own whose gain is the number of
    D's updates between two of its runs (Karras et al. 2020, arXiv:1912.04958, section 3.1). ``gamma`` anneals the
    weight of all penalties over the first ``course`` samples.
    """

    averaged = ("generator",)

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: Loss,
        *,
        penalties: Sequence[tuple[str, Penalty]] = (),
        penalty_every: int = 1,
        gamma: Annealed | None = None,
        course: int = 0,
        d_steps: int = 1,
        augmentations: tuple[str, ...] = (),
        ada: Callable[[dict[str, Tensor]], Ada] | None = None,
        clip_weights: float = 0.0,
        g_update: GUpdate = "fresh",
    ) -> None:
        self.networks = {"generator": generator, "discriminator": discriminator}
        self.latent: int = generator.latent  # type: ignore[assignment]
        self.loss = loss
        self.penalties = list(penalties)
        self.penalty_every = penalty_every
        self.gamma = gamma
        self.course = course
        self.d_steps = d_steps
        self.augmentations = augmentations
        self.ada = ada(self.state) if ada else None
        self.clip_weights = clip_weights
        self._seen: list[Seen] = []
        self._signs: list[Tensor] = []  # of the parts of an update, for ``ada``
        self.has_batch_statistics = any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) for m in discriminator.modules()
        )
        together = self.has_batch_statistics or any(mixes_samples(m) for m in discriminator.modules())
        divisible = not (together or loss.vanishes)
        self.g_update = "shared" if g_update == "joint" and not divisible else g_update
        self.statistics = {}

    def phases(self) -> Iterator[Phase]:
        """D (``d_steps`` times), the lazy penalties, G."""
        lazy = self.penalty_every > 1
        twice = bool(self.penalties) and not lazy
        fresh = self.g_update == "fresh"
        yield Phase(
            "discriminator",
            self.discriminator_losses,
            "discriminator",
            self.d_steps,
            twice=twice,
            traces=() if fresh else ("generator",),
            role="critic",
        )
        if lazy and self.penalties:
            yield Phase(
                "penalty",
                self.lazy_penalties,
                "discriminator",
                every=self.penalty_every,
                twice=True,
                role="regularizer",
            )
        yield Phase("generator", self.generator_losses, "generator", batched=fresh)

    def advance(self, samples_seen: int) -> None:
        """The penalties' weight at this point of its course, and the strength of adaptive augmentation."""
        if self.ada is not None:
            self.ada.advance(samples_seen)
            self.statistics["augment_p"] = self.ada.p.clone()
        if self.gamma is None:
            return
        weight = self.gamma.at(samples_seen / self.course)
        for _, penalty in self.penalties:
            penalty.weight = weight
        self.statistics["gamma"] = torch.tensor(weight)

    def discriminator_losses(self, real: Batch, rng: Rng) -> Losses:
        """D's loss on real and generated samples, with the penalties that run every step."""
        with torch.set_grad_enabled(self.g_update != "fresh"):
            generated = self.generate(real, rng)
        fake = generated.detach().requires_grad_(self.g_update == "joint")
        real_logits, fake_logits = self.criticize(real, fake, rng)
        real_sign, fake_sign = signs(self.loss, real_logits.detach(), fake_logits.detach())
        if self.ada is not None:
            self._signs.append(real_sign)
        if self.g_update != "fresh":
            self._seen = [Seen(real, generated, fake, real_logits.detach(), fake_logits.detach())]
        self.statistics |= {
            "real_logit": real_logits.detach().mean(),
            "fake_logit": fake_logits.detach().mean(),
            "real_sign": real_sign,
            "fake_sign": fake_sign,
        }
        losses = {"adversarial": self.loss.discriminator(real_logits, fake_logits)}
        if self.penalty_every == 1:
            losses |= self.penalized(real, fake.detach(), rng)
        return losses

    def lazy_penalties(self, real: Batch, rng: Rng) -> Losses:
        """The penalties alone, times the updates of D that one of them stands for."""
        needs_fake = any(penalty.needs_fake for _, penalty in self.penalties)
        with torch.no_grad():
            fake = self.generate(real, rng) if needs_fake else None
        gain = self.penalty_every * self.d_steps
        return {name: value * gain for name, value in self.penalized(real, fake, rng).items()}

    def generator_losses(self, batch: Batch | None, rng: Rng) -> Losses:
        """G's loss, on fresh latents or on what D has just seen; D's parameters take no part."""
        if self.g_update == "joint":
            return self.joint_losses(self._seen.pop())
        if batch is None:
            real, fake = self._seen.pop()[:2]
        else:
            real, fake = batch, self.generate(batch, rng)
        fake_logits = self.critic(fake, real.labels, rng)
        real_logits = None
        if self.loss.needs_real:
            with torch.no_grad():
                real_logits = self.critic(real.samples, real.labels, rng)
        return {"adversarial": self.loss.generator(real_logits, fake_logits)}

    def joint_losses(self, seen: Seen) -> Losses:
        """G's loss under D as it was: its value, and its gradient from that of D's loss by the samples."""
        logits = seen.fake_logits.requires_grad_()
        d_loss = self.loss.discriminator(seen.real_logits, logits)
        g_loss = self.loss.generator(seen.real_logits, logits)
        (by_d,), (by_g,) = (torch.autograd.grad(loss, logits) for loss in (d_loss, g_loss))
        factor = torch.where(by_d == 0, 0.0, by_g / by_d)  # 0 only where it underflows: beyond logits of ±80
        assert seen.fake.grad is not None
        direction = seen.fake.grad * factor.view(-1, *[1] * (seen.fake.dim() - 1))
        gradient = (seen.generated * direction).sum()
        return {"adversarial": g_loss.detach() + gradient - gradient.detach()}

    def generate(self, real: Batch, rng: Rng) -> Tensor:
        """As many generated samples (n, …) as real ones, with the labels of those."""
        fake: Tensor = self.networks["generator"](rng.normal(len(real), self.latent), real.labels)
        return fake

    def critic(self, x: Tensor, labels: Tensor | None, rng: Rng) -> Tensor:
        """D's logits (n,), float32, of samples (n, …) that are augmented first."""
        x = augment(x, self.augmentations, rng)
        if self.ada is not None:
            x = self.ada(x, rng)
        logits: Tensor = self.networks["discriminator"](x, labels)
        return logits.float()

    def criticize(self, real: Batch, fake: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """D's logits (n,) of real and of generated samples: in one pass, unless D has batch statistics."""
        if self.has_batch_statistics:
            return self.critic(real.samples, real.labels, rng), self.critic(fake, real.labels, rng)
        labels = None if real.labels is None else real.labels.repeat(2)
        real_logits, fake_logits = self.critic(torch.cat([real.samples, fake.float()]), labels, rng).chunk(2)
        return real_logits, fake_logits

    def penalized(self, real: Batch, fake: Tensor | None, rng: Rng) -> Losses:
        """Each penalty, a scalar, by its name."""
        fake = None if fake is None else fake.float()
        return {
            name: penalty(lambda x, y: self.critic(x, y, rng), real.samples, fake, real.labels, rng)
            for name, penalty in self.penalties
        }

    def after_update(self, network: str) -> None:
        """Adaptive augmentation counts the whole batch; WGAN's clipping (Arjovsky et al. 2017, algorithm 1, line 7)."""
        if self.ada is not None and self._signs:
            self.ada.hear(torch.stack(self._signs).mean())
            self._signs.clear()
        if self.clip_weights and network == "discriminator":
            parameters = [p.data for p in self.networks["discriminator"].parameters()]
            each("clamp_min_", parameters, -self.clip_weights)
            each("clamp_max_", parameters, self.clip_weights)

    @torch.no_grad()
    def observe(self, train: Batch, heldout: Batch | None, rng: Rng) -> dict[str, Tensor]:
        """D's mean logits of training and of held-out samples, and the spread of G's samples over that of real ones."""
        discriminator = self.networks[
            "discriminator"
        ].eval()  # leaves batch statistics and power iterations alone
        observed = {"train_logit": self.critic(train.samples, train.labels, rng).mean()}
        if heldout is not None:
            observed["heldout_logit"] = self.critic(heldout.samples, heldout.labels, rng).mean()
        discriminator.train()
        generator = self.networks["generator"].eval()
        fake = self.generate(train, rng)
        generator.train()
        return observed | {"diversity": spread(fake) / spread(train.samples).clamp_min(1e-12)}


def spread(samples: Tensor) -> Tensor:
    """The mean Euclidean distance between two samples (n, …) of a batch, a scalar."""
    x = samples.flatten(1).float()
    return torch.cdist(x, x).sum() / max(1, len(x) * (len(x) - 1))


def mixes_samples(module: nn.Module) -> bool:
    """Whether a layer lets the samples of a batch see each other, such as minibatch statistics."""
    return bool(getattr(module, "mixes_samples", False))
