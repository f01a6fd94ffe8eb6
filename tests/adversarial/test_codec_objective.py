"""The objective of codecs, on waves in one dimension: it knows no medium."""

import pytest
import torch
from torch import nn

from luoxia.adversarial.codec import CodecObjective, Weights, psnr
from luoxia.adversarial.losses import Hinge, Relativistic
from luoxia.adversarial.penalties import ZeroCentered
from luoxia.nn.autoencoder import Autoencoder
from luoxia.nn.quantizers import FSQ, VQ, Continuous
from luoxia.training.objective import Batch, Rng


class Waves(nn.Module):
    """Judges stretches of a wave (n, 1, t), and shows one layer."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv1d(1, 6, 4, stride=4), nn.Conv1d(6, 1, 1)

    def forward(self, x):
        features = torch.nn.functional.leaky_relu(self.first(x), 0.2)
        return [features, self.last(features)]


def waves(n=32, t=32, seed=0):
    rng = torch.Generator().manual_seed(seed)
    phase, pace = torch.rand(2, n, 1, 1, generator=rng)
    return torch.sin(6 * phase + (0.2 + 0.3 * pace) * torch.arange(t))


def autoencoder(quantizer=None):
    torch.manual_seed(0)
    quantizer = quantizer or FSQ((8, 5))
    width = quantizer.width
    encoder = nn.Sequential(nn.Conv1d(1, 16, 4, stride=4), nn.SiLU(), nn.Conv1d(16, width, 1))
    decoder = nn.Sequential(
        nn.Conv1d(width, 16, 3, padding=1), nn.SiLU(), nn.ConvTranspose1d(16, 1, 4, stride=4)
    )
    return Autoencoder(encoder, quantizer, decoder)


def objective(quantizer=None, weights=None, **settings):
    settings = {"discriminator": Waves(), "loss": Relativistic(), "ramp": 100} | settings
    return CodecObjective(
        autoencoder(quantizer), weights or Weights(features=0.5, adversarial=0.1), **settings
    )


def step(game, optimizers, number, batch=None):
    """What the trainer does in a step, without penalties that are not due."""
    batch = Batch(waves(seed=number)) if batch is None else batch
    game.advance(number * len(batch))
    told = {}
    for phase in game.phases():
        if number % phase.every:
            continue
        for name, network in game.networks.items():
            network.requires_grad_(name == phase.updates)
        losses = phase.losses(batch if phase.batched else None, Rng(number))
        sum(losses.values()).backward()
        optimizers[phase.updates].step()
        optimizers[phase.updates].zero_grad()
        game.after_update(phase.updates)
        told[phase.name] = {name: float(value.detach()) for name, value in losses.items()}
    return told


def trained(game, steps):
    optimizers = {
        name: torch.optim.Adam(network.parameters(), 3e-3) for name, network in game.networks.items()
    }
    return [step(game, optimizers, number) for number in range(steps)]


def test_it_learns_and_the_discriminator_enters_by_its_ramp():
    game = objective(
        penalties=[("r1", ZeroCentered(1.0)), ("r2", ZeroCentered(1.0, on_real=False))], penalty_every=4
    )
    before = game.observe(Batch(waves(seed=900)), Batch(waves(seed=901)), Rng(0))
    told = trained(game, 60)
    after = game.observe(Batch(waves(seed=900)), Batch(waves(seed=901)), Rng(0))
    assert after["heldout_psnr"] > before["heldout_psnr"] + 4
    assert set(after) == {"train_psnr", "heldout_psnr", "book_use"} and 0 < after["book_use"] <= 1
    assert [set(losses) for losses in told[:2]] == [
        {"autoencoder", "discriminator", "penalty"}, {"autoencoder", "discriminator"}
    ]  # fmt: skip
    assert told[0]["autoencoder"]["adversarial"] == told[0]["autoencoder"]["features"] == 0
    shares = [losses["autoencoder"]["adversarial"] for losses in told[:4]]
    assert shares == sorted(set(shares))
    assert game.statistics["entered"] == 1


def test_the_discriminator_learns_before_it_counts():
    game = objective(ramp=10**9)
    before = game.networks["discriminator"].first.weight.clone()
    trained(game, 2)
    assert not torch.equal(before, game.networks["discriminator"].first.weight)


def test_without_weight_it_leaves_the_autoencoder_alone():
    alone = objective(discriminator=None, weights=Weights())
    entering = objective(ramp=10**12)
    trained(alone, 3), trained(entering, 3)
    for a, b in zip(
        alone.networks["autoencoder"].parameters(), entering.networks["autoencoder"].parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)
    assert [phase.name for phase in alone.phases()] == ["autoencoder"]


def test_features_are_compared_relative_to_their_size():
    game = objective(weights=Weights(l1=0, l2=0, features=2.0), ramp=0)
    x = waves()
    game.advance(0)
    losses = game.autoencoder_losses(Batch(x), Rng(0))
    assert set(losses) == {"l1", "l2", "features"}
    judge = game.networks["discriminator"]
    made = game.networks["autoencoder"](x).samples
    wanted, found = judge(x)[0], judge(made)[0]
    torch.testing.assert_close(losses["features"], 2 * (found - wanted).abs().mean() / wanted.abs().mean())


def test_the_penalty_bounds_the_slope_of_a_patch_however_many_there_are():
    """Of a linear judge of patches without overlap: γ/2 · the squared norm of its weights."""
    judge = Waves()
    judge.forward = lambda x: [judge.last(judge.first(x))]
    game = objective(
        discriminator=judge, penalties=[("r1", ZeroCentered(3.0))], penalty_every=8, loss=Hinge()
    )
    slope = (judge.last.weight[0, :, 0] @ judge.first.weight[:, 0]).square().sum()
    for t in (16, 64):
        game._judged = [(waves(t=t), waves(t=t, seed=1))]
        losses = game.penalty_losses(None, Rng(0))
        torch.testing.assert_close(losses["r1"], 8 * 1.5 * slope)


def test_near_tokens_are_decoded_where_asked():
    x = waves(64)
    network = autoencoder()
    plain = network(x)
    share = torch.zeros(64)
    share[::2] = 1.0
    other = network(x, share, torch.Generator().manual_seed(0))
    assert torch.equal(plain.tokens, other.tokens)
    gap = (plain.samples - other.samples).abs().amax((1, 2))
    assert (gap[::2] > 1e-4).all() and (gap[1::2] == 0).all()
    game = objective(perturb=0.5)
    shares, _ = game._perturbation(1000, Rng(0))
    assert 0.4 < (shares > 0).float().mean() < 0.6 and shares.max() < 1
    assert trained(game, 1)


def test_a_learned_book_follows_all_parts_of_an_update():
    game = objective(VQ(16, 3), weights=Weights())
    game.advance(0)
    parts = [game.autoencoder_losses(Batch(waves(8, seed=i)), Rng(i)) for i in range(2)]
    assert set(parts[0]) >= {"commitment"}
    assert not game.networks["autoencoder"].quantizer.begun
    game.after_update("discriminator")
    assert not game.networks["autoencoder"].quantizer.begun
    game.after_update("autoencoder")
    quantizer = game.networks["autoencoder"].quantizer
    assert quantizer.begun and not game._latents
    seen = torch.tensor(2 * 8 * 8.0)  # of both parts
    torch.testing.assert_close(quantizer.uses.sum(), (0.99 * quantizer.born + 0.01) * seen)


def test_without_tokens_it_trains_all_the_same():
    game = objective(Continuous(3))
    trained(game, 3)
    assert set(game.observe(Batch(waves()), None, Rng(0))) == {"train_psnr"}


def test_an_extractor_joins_the_sum():
    game = objective(
        weights=Weights(l1=0, l2=0, perceptual=3.0),
        discriminator=None,
        perceptual=lambda made, x: (made - x).square().mean((1, 2)),
    )
    game.advance(0)
    losses = game.autoencoder_losses(Batch(waves()), Rng(0))
    x = waves()
    wanted = 3 * (game.networks["autoencoder"](x).samples - x).square().mean()
    torch.testing.assert_close(losses["perceptual"], wanted)


def test_decibels():
    real = torch.zeros(2, 1, 4)
    made = torch.tensor([[[0.2, -0.2, 0.2, 0.2]], [[0.0, 0, 0, 0]]])
    assert psnr(made, real).tolist() == pytest.approx([20.0, 100.0], abs=1e-4)
