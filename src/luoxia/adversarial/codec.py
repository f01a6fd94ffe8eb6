"""The objective of a codec: what is decoded should be what was encoded, to the eye of a discriminator too.

It knows neither what is encoded nor by which networks. The discriminator learns from the first step on; its weight on
the autoencoder grows from 0, so that it never enters blind (as where it is trained only from the step on that its loss
counts: CompVis/taming-transformers, issue 44).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.adversarial.losses import Loss, signs
from luoxia.adversarial.penalties import ZeroCentered
from luoxia.nn.autoencoder import Coded
from luoxia.training.gathering import gather_rows
from luoxia.training.objective import Batch, Losses, Objective, Phase, Rng, hashed

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""Decoded samples (n, …) against real ones → how unlike each pair is (n,)."""
PEAK = 2.0
"""Samples lie in [−1, 1]."""


@dataclass(frozen=True)
class Weights:
    """Of each loss in the sum that the autoencoder minimizes."""

    l1: float = 1.0
    l2: float = 1.0
    perceptual: float = 0.0
    """Of an extractor's features."""
    features: float = 0.0
    """Of the discriminator's features."""
    adversarial: float = 0.0
    commitment: float = 0.25


class CodecObjective(Objective):
    """L = λ₁ E|x − x̂| + λ₂ E(x − x̂)² + λ_p P(x, x̂) + r (λ_f F(x, x̂) + λ_a L_G) + β C.

    P are an extractor's features, F those of the discriminator's own layers (Larsen et al. 2016, arXiv:1512.09300,
    eq. 7; relative to their size as in Défossez et al. 2022, arXiv:2210.13438, eq. 2), L_G any adversarial loss, and C
    holds latents at their codes. r grows from 0 to 1 over the first ``ramp`` samples.

    The autoencoder comes first; the discriminator then learns from what it has just decoded, without another pass.
    Penalties are lazy: every ``penalty_every`` steps, times as many (Karras et al. 2020, arXiv:1912.04958, sec. 3.1).
    """

    averaged = ("autoencoder",)

    def __init__(
        self,
        autoencoder: nn.Module,
        weights: Weights,
        *,
        discriminator: nn.Module | None = None,
        loss: Loss | None = None,
        penalties: Sequence[tuple[str, ZeroCentered]] = (),
        penalty_every: int = 16,
        perceptual: Perceptual | None = None,
        ramp: int = 0,
        perturb: float = 0.0,
    ) -> None:
        """``autoencoder``: samples, share, generator → ``Coded``, with a ``quantizer``. ``discriminator``: samples →
        what its layers make of them, the logits (n, …) last. ``perturb``: the share of the samples of a batch in which
        some tokens become near ones.
        """
        self.networks = {"autoencoder": autoencoder}
        if discriminator is not None:
            self.networks["discriminator"] = discriminator
        self.weights, self.loss, self.perceptual = weights, loss, perceptual
        self.penalties = tuple(penalties) if discriminator is not None else ()
        self.penalty_every = penalty_every
        self.ramp, self.perturb = ramp, perturb
        self.entered = 0.0 if ramp else 1.0
        self.tokens_per_code: float | None = None
        """Tokens that the data has for each code, where the stage has set it."""
        self._made: list[tuple[Tensor, Tensor]] = []  # real and decoded samples, for the discriminator
        self._judged: list[tuple[Tensor, Tensor]] = []  # the same, for the penalties
        self._latents: list[tuple[Tensor, Tensor]] = []  # of the parts of an update, for the book
        self._seen = 0
        self.statistics = {}

    def phases(self) -> Iterator[Phase]:
        """The autoencoder, the discriminator, the penalties."""
        yield Phase("autoencoder", self.autoencoder_losses, "autoencoder")
        if "discriminator" in self.networks:
            yield Phase(
                "discriminator", self.discriminator_losses, "discriminator", batched=False, role="critic"
            )
        if self.penalties:
            yield Phase(
                "penalty",
                self.penalty_losses,
                "discriminator",
                every=self.penalty_every,
                twice=True,
                batched=False,
                role="regularizer",
            )

    def advance(self, samples_seen: int) -> None:
        """How far the discriminator has entered."""
        self._made.clear()
        self._judged.clear()
        self._seen = samples_seen
        if "discriminator" in self.networks:
            self.entered = min(1.0, samples_seen / self.ramp) if self.ramp else 1.0
            self.statistics["entered"] = torch.tensor(self.entered)

    # ------------------------------------------------------------------ the phases

    def autoencoder_losses(self, batch: Batch, rng: Rng) -> Losses:
        """What the autoencoder minimizes."""
        x, weights = batch.samples, self.weights
        coded: Coded = self.networks["autoencoder"](x, *self._perturbation(len(x), rng))
        made = coded.samples.float()
        if coded.tokens is not None:
            self._latents.append((coded.latents.detach(), coded.tokens))
        losses = {"l1": weights.l1 * F.l1_loss(made, x), "l2": weights.l2 * F.mse_loss(made, x)}
        if self.perceptual is not None:
            losses["perceptual"] = weights.perceptual * self.perceptual(made, x).mean()
        if "discriminator" in self.networks:
            losses |= self._judgement(x, made)
        losses["commitment"] = weights.commitment * coded.commitment
        return {name: value for name, value in losses.items() if name != "commitment" or value.requires_grad}

    def _perturbation(self, n: int, rng: Rng) -> tuple[Any, ...]:
        """In some samples a share of the tokens, uniform in [0, 1)."""
        if not self.perturb:
            return ()
        chosen, share = rng.uniform(n) < self.perturb, rng.uniform(n)
        return share * chosen, rng.generator

    def _judgement(self, x: Tensor, made: Tensor) -> Losses:
        """The discriminator's part; what it saw is kept for its own update."""
        assert self.loss is not None
        judge, weights = self.networks["discriminator"], self.weights
        with torch.no_grad():
            *wanted, real = judge(x)
        *found, fake = judge(made)
        self._made.append((x, made.detach()))
        losses = {}
        if weights.features:
            gaps = [_relative(f.float(), w.float()) for f, w in zip(found, wanted, strict=True)]
            losses["features"] = self.entered * weights.features * torch.stack(gaps).mean()
        if weights.adversarial:
            verdict = self.loss.generator(real.float(), fake.float())
            losses["adversarial"] = self.entered * weights.adversarial * verdict
        return losses

    def discriminator_losses(self, batch: None, rng: Rng) -> Losses:
        """Real samples against decoded ones."""
        assert self.loss is not None
        real, made = self._made.pop(0)
        self._judged.append((real, made))
        logits = self.networks["discriminator"](torch.cat([real, made]))[-1].float()
        on_real, on_made = logits.chunk(2)
        real_sign, made_sign = signs(self.loss, on_real.detach(), on_made.detach())
        self.statistics |= {
            "real_logit": on_real.detach().mean(), "fake_logit": on_made.detach().mean(),
            "real_sign": real_sign, "fake_sign": made_sign,
        }  # fmt: skip
        return {"adversarial": self.loss.discriminator(on_real, on_made)}

    def penalty_losses(self, batch: None, rng: Rng) -> Losses:
        """The penalties, times the updates that one of them stands for."""
        real, made = self._judged.pop(0)
        return {
            name: self.penalty_every * penalty(self._critic, real, made, None, rng)
            for name, penalty in self.penalties
        }

    def _critic(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """A logit a sample, of which a penalty bounds the slope: the sum over its p patches, divided by √p.

        Patches hardly overlap, so that the slope's square is then the mean of theirs, however many there are.
        """
        logits: Tensor = self.networks["discriminator"](x)[-1].float().flatten(1)
        slope: Tensor = logits.sum(1) / math.sqrt(logits.shape[1])
        return slope

    def after_update(self, network: str) -> None:
        """A book that learns by averages follows the latents of the whole update, of all processes alike."""
        if network != "autoencoder" or not self._latents:
            return
        latents, tokens = (torch.cat(parts) for parts in zip(*self._latents, strict=True))
        self._latents.clear()
        autoencoder: Any = self.networks["autoencoder"]
        quantizer = getattr(autoencoder, "module", autoencoder).quantizer
        rng = Rng(hashed("book", self._seen), latents.device)
        quantizer.learn(gather_rows(latents), gather_rows(tokens), rng.generator)

    # ------------------------------------------------------------------ what the doctor sees

    @torch.no_grad()
    def observe(self, train: Batch, heldout: Batch | None, rng: Rng) -> dict[str, Tensor]:
        """PSNR on both sides; the share of the book used, over that which as many uniform draws would use."""
        network: Any = self.networks["autoencoder"].eval()
        observed, tokens = {}, []
        for side, batch in (("train", train), ("heldout", heldout)):
            if batch is not None:
                coded: Coded = network(batch.samples)
                observed[f"{side}_psnr"] = psnr(coded.samples.float(), batch.samples).mean()
                tokens.append(coded.tokens)
        network.train()
        vocabulary = getattr(network, "module", network).quantizer.vocabulary
        if vocabulary:
            seen = torch.cat([t.flatten() for t in tokens if t is not None])
            reachable = vocabulary * (1 - (1 - 1 / vocabulary) ** len(seen))
            observed["book_use"] = torch.unique(seen).numel() / seen.new_tensor(
                reachable, dtype=torch.float32
            )
        if self.tokens_per_code is not None:
            observed["tokens_per_code"] = torch.tensor(self.tokens_per_code)
        return observed


def psnr(made: Tensor, real: Tensor) -> Tensor:
    """10 log₁₀(peak² / E(x̂ − x)²) of each sample (n, …) in [−1, 1] → decibels (n,); 100 at most."""
    error = (made - real).square().flatten(1).mean(1).clamp_min(PEAK**2 * 1e-10)
    return 10 * (PEAK**2 / error).log10()


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    """The mean difference of features, over their mean size."""
    return (found - wanted).abs().mean() / wanted.abs().mean().clamp_min(1e-6)
