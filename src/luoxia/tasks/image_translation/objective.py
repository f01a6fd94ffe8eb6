"""Translation between two sets of images of which no two belong together: CycleGAN, and CUT, which goes one way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.adversarial.losses import LeastSquares, Loss, signs
from luoxia.adversarial.objective import spread
from luoxia.tasks.image_translation.networks.cut import ContrastiveGenerator
from luoxia.tasks.image_translation.networks.cyclegan import ModuleGroup
from luoxia.training.objective import Examples, Losses, Objective, Phase, Rng

Judged = dict[str, tuple[Tensor, Tensor]]
"""Side → the real and the generated images (n, c, h, w) of it that the discriminator compares."""


@dataclass
class UnpairedBatch(Examples):
    """As many images of side A as of side B, (n, c, h, w) each, float32 in [−1, 1]; no two belong together."""

    a: Tensor
    b: Tensor

    def __len__(self) -> int:
        return len(self.a)


class Unpaired(Objective):
    """What both share: a discriminator a side, least squares or relativistic, D's loss halved (Zhu et al. 2017, 7.1).

    The generators come first; the discriminators then learn from what they have just made, without another pass.
    """

    averaged = ("generators",)

    def __init__(self, generators: nn.Module, discriminators: ModuleGroup, loss: Loss) -> None:
        self.networks = {"generators": generators, "discriminators": discriminators}
        self.loss = loss
        self.gain = 2.0 if isinstance(loss, LeastSquares) else 1.0
        """Zhu et al. write (D(x) − 1)² where Mao et al. halve it."""
        self.statistics = {}
        self._made: list[Judged] = []  # by the generators, for the discriminators of the same step

    def phases(self) -> Iterator[Phase]:
        """Generators, then discriminators."""
        yield Phase("generators", self.generator_losses, "generators")
        yield Phase(
            "discriminators", self.discriminator_losses, "discriminators", batched=False, role="critic"
        )

    def generator_losses(self, real: UnpairedBatch, rng: Rng) -> Losses:
        """What the generators minimize."""
        raise NotImplementedError

    def adversarial(self, judged: Judged) -> Tensor:
        """The generators' part against the discriminators, who are to judge the same images after."""
        discriminators = self.networks["discriminators"]
        fake = discriminators(*(fake for _, fake in judged.values()))
        real: tuple[Tensor | None, ...] = (None,) * len(fake)
        if self.loss.needs_real:
            with torch.no_grad():
                real = tuple(x.float() for x in discriminators(*(real for real, _ in judged.values())))
        self._made.append({side: (real, fake.detach().float()) for side, (real, fake) in judged.items()})
        losses = [self.loss.generator(r, f.float()) for r, f in zip(real, fake, strict=True)]
        return self.gain * torch.stack(losses).sum()

    def discriminator_losses(self, batch: None, rng: Rng) -> Losses:
        """Real against generated images, of each side."""
        judged = self.remembered(self._made.pop(0), rng)
        logits = self.networks["discriminators"](*(torch.cat(pair) for pair in judged.values()))
        pairs = [x.float().chunk(2) for x in logits]
        self._tell([(real.detach(), fake.detach()) for real, fake in pairs])
        losses = [self.loss.discriminator(real, fake) for real, fake in pairs]
        return {"adversarial": 0.5 * self.gain * torch.stack(losses).sum()}

    def _tell(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        """Means over the sides, each of which has a discriminator, and so a boundary, of its own."""
        judged = [signs(self.loss, real, fake) for real, fake in pairs]
        for name, logits, sign in zip(
            ("real", "fake"), zip(*pairs, strict=True), zip(*judged, strict=True), strict=True
        ):
            self.statistics[f"{name}_logit"] = torch.stack([x.mean() for x in logits]).mean()
            self.statistics[f"{name}_sign"] = torch.stack(sign).mean()

    def remembered(self, judged: Judged, rng: Rng) -> Judged:
        """What the discriminators are shown: the latest images, or some of before."""
        return judged

    def translations(self, real: UnpairedBatch) -> Judged:
        """Side → its real images and the translations to it."""
        raise NotImplementedError

    @torch.no_grad()
    def observe(self, train: UnpairedBatch, heldout: UnpairedBatch | None, rng: Rng) -> dict[str, Tensor]:
        """D on real images it has and has not been trained on, and how much translations differ from each other."""
        discriminators, generators = (self.networks[name].eval() for name in ("discriminators", "generators"))
        judged = self.translations(train)
        ratios = [spread(fake) / spread(real).clamp_min(1e-12) for real, fake in judged.values()]
        observed = {"diversity": torch.stack(ratios).min()}
        for name, batch in (("train_logit", train), ("heldout_logit", heldout)):
            if batch is not None:
                logits = discriminators(*(getattr(batch, side) for side in judged))
                observed[name] = torch.stack([x.float().mean() for x in logits]).mean()
        discriminators.train()
        generators.train()
        return observed


class CycleGAN(Unpaired):
    """There and back again is the image it was (Zhu et al. 2017, arXiv:1703.10593, eq. 1 to 3 and section 5.2).

    L = L_GAN(G, D_B) + L_GAN(F, D_A) + λ (‖F(G(a)) − a‖₁ + ‖G(F(b)) − b‖₁) + λ_id λ (‖G(b) − b‖₁ + ‖F(a) − a‖₁)
    """

    per_process = ("pool_a", "pool_b")

    def __init__(
        self,
        generators: ModuleGroup,
        discriminators: ModuleGroup,
        loss: Loss,
        shape: tuple[int, int, int],
        *,
        cycle: float = 10.0,
        identity: float = 0.5,
        pool: int = 50,
    ) -> None:
        """``generators`` are a2b and b2a, ``discriminators`` a and b; ``shape`` is that of an image."""
        super().__init__(generators, discriminators, loss)
        self.cycle = cycle
        self.identity = identity
        self.pool = pool
        if pool:
            self.state |= {f"pool_{side}": torch.zeros(pool, *shape) for side in "ab"}
            self.state["pooled"] = torch.zeros((), dtype=torch.int64)

    def generator_losses(self, real: UnpairedBatch, rng: Rng) -> Losses:
        """Both directions, both cycles, both identities."""
        generators, (a, b) = self.networks["generators"], (real.a, real.b)
        losses: Losses = {}
        if self.identity:  # one pass for both: instance norm keeps the images of a batch apart
            made_b, made_a = generators(torch.cat([a, b]), torch.cat([b, a]))
            (fake_b, same_b), (fake_a, same_a) = made_b.chunk(2), made_a.chunk(2)
            losses["identity"] = self.cycle * self.identity * (distance(same_a, a) + distance(same_b, b))
        else:
            fake_b, fake_a = generators(a, b)
        back_b, back_a = generators(fake_a, fake_b)
        losses["cycle"] = self.cycle * (distance(back_a, a) + distance(back_b, b))
        losses["adversarial"] = self.adversarial({"a": (a, fake_a), "b": (b, fake_b)})
        return losses

    def remembered(self, judged: Judged, rng: Rng) -> Judged:
        """Half of the images swapped for earlier ones (section 7.1, after Shrivastava et al. 2017, section 2.3)."""
        if self.pool == 0:
            return judged
        seen, swapped = self.state["pooled"], {}
        for side, (real, fake) in judged.items():
            swapped[side] = (real, swap(self.state[f"pool_{side}"], seen, fake, rng))
        seen += len(fake)
        return swapped

    def translations(self, real: UnpairedBatch) -> Judged:
        """Both directions."""
        fake_b, fake_a = self.networks["generators"](real.a, real.b)
        return {"a": (real.a, fake_a), "b": (real.b, fake_b)}


class CUT(Unpaired):
    """Each patch is to resemble the patch it was made of, more than others do (Park et al. 2020, arXiv:2007.15651).

    L = L_GAN(G, D) + λ_X L_PatchNCE(G, H, A) + λ_Y L_PatchNCE(G, H, B) (eq. 5); the last keeps what is of B already.
    """

    def __init__(
        self,
        generator: ContrastiveGenerator,
        discriminator: ModuleGroup,
        loss: Loss,
        *,
        nce: float = 1.0,
        identity: float = 1.0,
        temperature: float = 0.07,
        patches: int = 256,
    ) -> None:
        """``discriminator`` is the one of side b."""
        super().__init__(generator, discriminator, loss)
        self.nce = nce
        self.identity = identity
        self.temperature = temperature
        self.patches = patches

    def generator_losses(self, real: UnpairedBatch, rng: Rng) -> Losses:
        """One pass over both sides, and the encoder's over what was made."""
        n, sources = len(real), torch.cat([real.a, real.b]) if self.identity else real.a
        places = [self.places(pixels, rng) for pixels in ContrastiveGenerator.pixels(sources)]
        translated, queries, keys = self.networks["generators"](sources, places)
        losses = {"nce": self.nce * self.contrast([q[:n] for q in queries], [k[:n] for k in keys])}
        if self.identity:
            losses["identity"] = self.identity * self.contrast(
                [q[n:] for q in queries], [k[n:] for k in keys]
            )
        losses["adversarial"] = self.adversarial({"b": (real.b, translated[:n])})
        return losses

    def places(self, pixels: int, rng: Rng) -> Tensor:
        """Up to ``patches`` different places of a layer."""
        return rng.uniform(pixels).topk(min(self.patches, pixels)).indices

    def contrast(self, queries: list[Tensor], keys: list[Tensor]) -> Tensor:
        """The mean of the layers' losses (eq. 4)."""
        losses = [patch_nce(q, k, self.temperature) for q, k in zip(queries, keys, strict=True)]
        return torch.stack(losses).mean()

    def translations(self, real: UnpairedBatch) -> Judged:
        """A to B."""
        network: Any = self.networks["generators"]
        return {"b": (real.b, getattr(network, "module", network).a2b(real.a))}


def distance(one: Tensor, other: Tensor) -> Tensor:
    """The mean absolute difference, in float32."""
    return F.l1_loss(one.float(), other.float())


@torch.no_grad()
def swap(pool: Tensor, seen: Tensor, images: Tensor, rng: Rng) -> Tensor:
    """Put images (n, c, h, w) into a pool (size, c, h, w), in place, and return what the discriminator is shown.

    While the pool fills, the images themselves. From then on each with probability one half goes to a place drawn by
    chance, and what was there is shown instead. ``seen``, an int64 scalar, is how many images came before.
    """
    size, shown = len(pool), []
    for first, part in zip(range(0, len(images), size), torch.split(images, size), strict=True):
        before = seen + first
        turns = before + torch.arange(len(part), device=pool.device)
        filling = turns < size
        slots = torch.where(
            before < size, turns % size, rng.uniform(size).topk(len(part)).indices
        )  # all different
        exchanged = (before >= size) & (rng.uniform(len(part)) < 0.5)
        old = pool[slots]
        kept = (filling | exchanged)[:, None, None, None]
        pool[slots] = torch.where(kept, part, old)
        shown.append(torch.where(exchanged[:, None, None, None], old, part))
    return torch.cat(shown)


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """−log of the share of the own patch among all of the image (eq. 3), the mean over patches.

    Queries and keys are (n, p, d) of length 1; patch i of a translation belongs to patch i of its source.
    """
    with torch.autocast(queries.device.type, enabled=False):
        similarities = queries @ keys.transpose(1, 2) / temperature  # (n, p, p)
        own = torch.arange(queries.shape[1], device=queries.device).expand(len(queries), -1)
        return F.cross_entropy(similarities.flatten(0, 1), own.flatten())
