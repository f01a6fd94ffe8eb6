"""One test for each bug that public GAN code repeats, against ours."""

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import nn

from luoxia.adversarial.losses import LOSSES
from luoxia.adversarial.objective import Adversarial
from luoxia.adversarial.penalties import PENALTIES, UnitNorm, ZeroCentered
from luoxia.core.order import Order
from luoxia.media.image.extractors.pixels import resize
from luoxia.media.image.images import ImageSpec
from luoxia.media.text.spec import TextSpec
from luoxia.media.text.tokens import IGNORED
from luoxia.tasks.image_generation.networks import dcgan, mlp, resnet
from luoxia.tasks.image_generation.recipes.gan import DCGAN, GAN, ImageGAN
from luoxia.tasks.language_modeling.objective import TokenBatch
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.menu import RECIPES
from luoxia.training import checkpoint
from luoxia.training.distributed import World
from luoxia.training.ema import EMA
from luoxia.training.objective import Batch, Rng
from luoxia.training.optimizers import make_optimizer
from luoxia.training.trainer import Trainer
from pairs import a_discriminator, a_generator

WORLD = World(0, 1, torch.device("cpu"))
SHAPE = (1, 8, 8)
POOL = torch.rand(64, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Pool:
    """Batches of a fixed pool, in the package's own order; remembers what was asked for."""

    def __init__(self, batch):
        self.batch = batch
        self.rows = []

    def __call__(self, phase, index):
        rows = Order(len(POOL), seed=1).indices(index * self.batch, self.batch)
        self.rows.append((phase.name, index, rows.tolist()))
        return Batch(POOL[rows])


def make_trainer(folder, **settings):
    recipe = DCGAN(**{"width": 4, "batch": 8, "latent": 6, "steps": 100, "penalty_every": 2, **settings})
    torch.manual_seed(recipe.seed)
    spec = ImageSpec(8, 8, 1, 0)
    recipe = recipe.model_copy(update=recipe.settled(spec))
    objective = recipe.build(spec)
    return Trainer(objective, recipe, Pool(recipe.batch), WORLD, folder, torch.float32)


def all_networks():
    for family in (mlp, dcgan, resnet):
        size = (8, 8) if family is mlp else 8
        yield a_generator(family, 6, (3, 32, 32), size)
        yield a_discriminator(family, (3, 32, 32), size)
    for family in (dcgan, resnet):
        yield a_discriminator(family, (3, 32, 32), 8, norm="batch")


# ---------------------------------------------------------------------- penalties


def test_one_alpha_for_the_whole_batch():
    points = UnitNorm(1.0).points(torch.ones(32, *SHAPE), torch.zeros(32, *SHAPE), Rng(0))
    alphas = points.flatten(1)
    assert (alphas == alphas[:, :1]).all(), "one α for all pixels of a sample"
    assert len(alphas[:, 0].unique()) == 32, "another α for each sample"


def test_gradient_norm_not_flattened():
    """A norm over one axis of (n, c, h, w) instead of over all of a sample: √12 here must not become 2, √3 or √2."""

    def critic(x, labels):
        return x.sum((1, 2, 3))

    images = torch.zeros(5, 3, 2, 2)
    assert UnitNorm(1.0)(critic, images, images, None, Rng(0)).item() == pytest.approx((12**0.5 - 1) ** 2)
    assert ZeroCentered(2.0)(critic, images, None, None, Rng(0)).item() == pytest.approx(12)


@pytest.mark.parametrize("penalty", [name for name in PENALTIES if name != "none"])
@pytest.mark.parametrize("recipe", [r for r in RECIPES.values() if "d_norm" in r.model_fields])
def test_batch_norm_in_the_critic_under_a_penalty_is_refused(recipe, penalty):
    with pytest.raises(ValidationError, match="d_norm=layer"):
        recipe(penalty=penalty, d_norm="batch")
    assert recipe(network="dcgan", penalty=penalty, d_norm="layer").d_norm == "layer"
    assert recipe(network="dcgan", penalty="none", d_norm="batch").d_norm == "batch"
    with pytest.raises(ValidationError, match="is for network=dcgan or resnet"):
        recipe(network="mlp", penalty="none", d_norm="layer")


def test_no_recipe_mixes_samples_in_a_penalized_critic():
    for recipe in (r for r in RECIPES.values() if issubclass(r, ImageGAN)):
        config = recipe()
        network = config.build_discriminator(ImageSpec(32, 32, 3, 10))
        mixes = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules())
        assert config.penalty == "none" or not mixes, config.name


def test_layer_norm_treats_samples_one_by_one():
    torch.manual_seed(0)
    critic = DCGAN(width=4, d_norm="layer").build_discriminator(ImageSpec(16, 16, 1, 0))
    images = torch.randn(4, 1, 16, 16)
    torch.testing.assert_close(critic(images)[:1], critic(images[:1]))


@pytest.mark.parametrize("name", [n for n in PENALTIES if n != "none"])
@pytest.mark.parametrize("network", ["mlp", "dcgan", "resnet"])
@pytest.mark.parametrize("spectral", [False, True])
def test_a_lazy_penalty_alone_reaches_every_parameter(name, network, spectral):
    """Under DDP a parameter without a gradient leaves its bucket unsynchronized, silently."""
    torch.manual_seed(0)
    recipe = GAN(network=network, width=4, penalty=name, penalty_every=4, latent=6, spectral_norm=spectral)
    objective = recipe.build(ImageSpec(8, 8, 1, 0))
    (phase,) = [p for p in objective.phases() if p.name == "penalty"]
    sum(phase.losses(Batch(POOL[:4]), Rng(0)).values()).backward()
    without = [n for n, p in objective.networks["discriminator"].named_parameters() if p.grad is None]
    assert without == []


def test_penalties_under_reduced_precision(tmp_path):
    """In a bf16 run every forward of a penalty is float32, and only there."""
    trainer = make_trainer(tmp_path, precision="bf16", augment=("color",), g_update="shared")
    trainer.dtype = torch.bfloat16
    seen = {}
    convolution = next(m for m in trainer.networks["discriminator"].modules() if isinstance(m, nn.Conv2d))
    phase = {"name": ""}
    for p in trainer.phases:
        object.__setattr__(p, "losses", lambda b, r, f=p.losses, n=p.name: (phase.update(name=n), f(b, r))[1])
    convolution.register_forward_hook(
        lambda module, inputs, output: seen.setdefault(phase["name"], set()).add(output.dtype)
    )
    trainer.step()
    assert seen == {
        "discriminator": {torch.bfloat16},
        "penalty": {torch.float32},
        "generator": {torch.bfloat16},
    }


def test_lazy_regularization_with_gain_and_rescaled_betas(tmp_path):
    settings = {"optimizer": {"betas": (0.5, 0.9)}, "schedule": {"warmup": 0}}
    lazy = make_trainer(tmp_path, penalty_every=4, lr=0.01, **settings)
    real = Batch(POOL[:8])
    once = lazy.objective.penalized(real, None, Rng(0))["r1"]
    torch.testing.assert_close(lazy.objective.lazy_penalties(real, Rng(0))["r1"], 4 * once)
    d, g = (lazy.optimizers[n].param_groups[0] for n in ("discriminator", "generator"))
    assert d["lr"] == pytest.approx(0.01 * 0.8) and d["betas"] == pytest.approx((0.5**0.8, 0.9**0.8))
    assert g["lr"] == 0.01 and tuple(g["betas"]) == (0.5, 0.9)
    lazy.step()
    assert d["lr"] == pytest.approx(0.01 * 0.8), "the schedule keeps the rescaled rate"


# ---------------------------------------------------------------------- networks


def test_batch_norm_settings():
    """BatchNorm(n, 0.8) sets eps, not momentum."""
    norms = [m for n in all_networks() for m in n.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) > 10
    assert {(m.eps, m.momentum) for m in norms} == {(1e-5, 0.1)}


# ---------------------------------------------------------------------- randomness


def test_generator_step_draws_fresh_latents(tmp_path):
    """No z serves twice: not D's in the G step, nor one D step's in the next, nor an earlier step's."""
    trainer = make_trainer(tmp_path, d_steps=2, accumulate=2, penalty="gp", penalty_every=2)
    drawn = []
    trainer.networks["generator"].register_forward_pre_hook(lambda m, inputs: drawn.append(inputs[0].clone()))
    for _ in range(3):
        trainer.step()
    assert len(drawn) == 3 * 2 * (2 + 1) + 2 * 2  # D twice and G each step, the penalty at steps 0 and 2
    latents = torch.cat(drawn)
    assert len(latents.unique(dim=0)) == len(latents)


def test_each_discriminator_step_sees_fresh_real_images(tmp_path):
    trainer = make_trainer(tmp_path, d_steps=2, accumulate=2)
    for _ in range(2):
        trainer.step()
    batches = {index: rows for name, index, rows in trainer.batches.rows if name == "discriminator"}
    shown = [
        row for rows in batches.values() for row in rows
    ]  # a part is drawn to be counted, and again in its turn
    assert len(shown) == 64 and len(set(shown)) == 64


# ---------------------------------------------------------------------- accumulation


def test_accumulated_gradients_are_those_of_the_joint_batch():
    """A mean of means weighs a token of a short text more than one of a long (Transformers until October 2024)."""
    torch.manual_seed(0)
    recipe = GPT(layers=1, heads=2, width=8, context=8, accumulate=2, optimizer={"name": "sgd"}, lr=1.0)
    objective = recipe.build(TextSpec(20))
    network = objective.networks["decoder"]
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    ids = torch.randint(0, 20, (2, 8))
    targets = ids.roll(-1, 1)
    targets[0, 1:] = IGNORED  # one token counts in the first row, eight in the second
    start = [p.detach().clone() for p in network.parameters()]
    joint = objective.losses(TokenBatch(ids, targets), Rng(0))["nll"]
    slopes = torch.autograd.grad(joint, list(network.parameters()))
    rows = [TokenBatch(ids[i : i + 1], targets[i : i + 1]) for i in range(2)]
    trainer = Trainer(objective, recipe, lambda phase, index: rows[index], WORLD, None, torch.float32)
    trainer.step()
    lr = trainer.optimizers["decoder"].param_groups[0]["lr"]
    for new, old, slope in zip(network.parameters(), start, slopes, strict=True):
        torch.testing.assert_close(new, old - lr * slope, rtol=1e-5, atol=1e-6)
    assert trainer.read_tally()["losses"]["prediction"]["nll"] == pytest.approx(joint.item(), rel=1e-5)


# ---------------------------------------------------------------------- checkpoint and resume


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_checkpoint_holds_everything(tmp_path, momentum):
    trainer = make_trainer(tmp_path, optimizer={"betas": (momentum, 0.9)})
    for _ in range(3):
        trainer.step()
    trainer.save()
    tensors = checkpoint.load_latest(tmp_path).tensors
    assert set(tensors) == {
        "generator",
        "discriminator",
        "ema_generator",
        "optimizer_generator",
        "optimizer_discriminator",
    }
    assert set(tensors["ema_generator"]) == set(trainer.networks["generator"].state_dict())
    assert any("running_var" in name for name in tensors["ema_generator"])
    for name in ("generator", "discriminator"):
        count = len(list(trainer.networks[name].parameters()))
        kept = 3 if momentum else 2  # a step and two moments for each parameter; without momentum, one
        assert len(tensors[f"optimizer_{name}"]) == kept * count
        assert all(t.isfinite().all() for t in tensors[f"optimizer_{name}"].values())


def test_resume_goes_on_with_the_next_batch(tmp_path):
    """Not with epoch 0's order from its start."""
    whole = make_trainer(tmp_path / "whole")
    for _ in range(6):
        whole.step()
    first = make_trainer(tmp_path / "parts")
    for _ in range(3):
        first.step()
    first.save()
    second = make_trainer(tmp_path / "parts")
    second.restore(checkpoint.load_latest(tmp_path / "parts"))
    for _ in range(3):
        second.step()
    assert first.batches.rows + second.batches.rows == whole.batches.rows
    assert second.batches.rows[0] != whole.batches.rows[0]


# ---------------------------------------------------------------------- the average


def test_ema_follows_buffers():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    average = EMA(network, half_life=16, warmup_share=0)
    before = {name: b.clone() for name, b in average.module.named_buffers()}
    for step in range(20):
        network(torch.randn(16, 4) + 5)
        average.update(16, 16 * (step + 1))
    for name, buffer in average.module.named_buffers():
        assert not torch.equal(buffer, before[name]), name
    torch.testing.assert_close(average.module[1].running_mean, network[1].running_mean, rtol=0.2, atol=0.1)
    assert average.module[1].num_batches_tracked == network[1].num_batches_tracked == 20


def test_ema_stays_float32_and_finite(tmp_path):
    """An average beyond float16's largest value (65,504), in a bf16 run."""
    trainer = make_trainer(tmp_path, ema={"half_life": 32, "warmup_share": 0})
    trainer.dtype = torch.bfloat16
    with torch.no_grad():
        trainer.networks["generator"].project.weight.fill_(1e6)
    for _ in range(40):
        trainer.step()
    average = trainer.averages["generator"].module
    for name, value in average.state_dict().items():
        assert value.dtype in (torch.float32, torch.int64), name
        assert value.isfinite().all(), name
    assert average.project.weight.abs().max() > 65_504


def test_non_finite_gradients_do_not_poison_the_average(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.step()
    batches = trainer.batches
    trainer.batches = lambda phase, index: Batch(batches(phase, index).samples * float("nan"))
    trainer.step()
    trainer.batches = batches
    trainer.step()
    for network in (*trainer.networks.values(), trainer.averages["generator"].module):
        assert all(p.isfinite().all() for p in network.parameters())


def test_optimizers_do_not_share_parameters():
    """One optimizer for both networks, or D's parameters in G's optimizer."""
    objective = Adversarial(
        a_generator(mlp, 4, SHAPE, (8,)), a_discriminator(mlp, SHAPE, (8,)), LOSSES["nonsaturating"]()
    )
    seen = [
        {id(p) for g in make_optimizer(n, DCGAN().optimizer, 1e-3).param_groups for p in g["params"]}
        for n in objective.networks.values()
    ]
    assert seen[0].isdisjoint(seen[1])


# ---------------------------------------------------------------------- scores


@pytest.mark.parametrize("source, side", [(64, 16), (50, 17), (28, 32), (16, 48)])
def test_the_resizer_is_antialiased(source, side):
    """Equal to Pillow's bicubic on float images, shrinking and growing; far from a resizer without antialiasing."""
    pixels = np.random.default_rng(0).uniform(0, 255, (source, source)).astype(np.float32)
    ours = resize(torch.from_numpy(pixels)[None, None], side)[0, 0].numpy()
    resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    theirs = np.asarray(resized).clip(0, 255)
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    if side < source:
        aliased = nn.functional.interpolate(
            torch.from_numpy(pixels)[None, None], size=(side, side), mode="bicubic", align_corners=False
        )[0, 0].numpy()
        assert np.abs(ours - aliased).mean() > 10
