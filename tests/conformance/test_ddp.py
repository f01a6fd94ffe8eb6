"""Two processes against one: with the same global batch every network must move alike.

One spawn of two gloo processes runs every case; each rank draws what one process would and keeps its rows.
"""

import dataclasses
import itertools
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from luoxia.adversarial.joint_r1_r2 import OnePass
from luoxia.adversarial.losses import LOSSES
from luoxia.adversarial.objective import Adversarial
from luoxia.adversarial.penalties import PENALTIES, ZeroCentered
from luoxia.media.image.images import ImageSpec
from luoxia.nn.layers import spectrally_normalized
from luoxia.tasks.image_generation.networks import dcgan, mlp, r3gan, transformer_gan
from luoxia.tasks.image_translation.objective import UnpairedBatch
from luoxia.tasks.image_translation.recipes import CUT, CycleGAN
from luoxia.training import objective_state
from luoxia.training.distributed import World, join_world, leave_world
from luoxia.training.objective import Batch, Objective, Rng, hashed
from luoxia.training.recipe import Recipe
from luoxia.training.trainer import Trainer
from pairs import a_discriminator, a_generator
from processes import every, spawned, torchrun

SHAPE = (1, 8, 8)
LATENT = 4
GLOBAL = 8  # samples of one batch over all processes
STEPS = 4


class Rows(Rng):
    """Draws for the global batch and keeps one rank's rows."""

    def __init__(self, seed, world):
        super().__init__(seed)
        self.world = world

    def _mine(self, draw, n, *rest):
        return draw(n * self.world.size, *rest)[self.world.rank * n :][:n]

    def normal(self, *shape):
        return self._mine(super().normal, *shape)

    def uniform(self, *shape):
        return self._mine(super().uniform, *shape)


class Even:
    """An adversarial objective, its randomness cut into rows; ``only`` picks and orders its phases."""

    def __init__(self, world, only, *args, **settings):
        super().__init__(*args, **settings)
        self.world = world
        self.only = only

    def phases(self):
        phases = {phase.name: phase for phase in super().phases()}
        for name in self.only or phases:
            yield dataclasses.replace(phases[name], losses=self.cut(phases[name]))

    def cut(self, phase):
        calls = itertools.count()
        return lambda batch, rng: phase.losses(
            batch, Rows(hashed("draw", phase.name, next(calls)), self.world)
        )


class EvenAdversarial(Even, Adversarial):
    """Penalties by passes of their own."""


class EvenOnePass(Even, OnePass):
    """R1 and R2 of the pass for the loss, as ``r3gan`` and ``transformer-gan`` train."""


@dataclasses.dataclass(frozen=True)
class Case:
    loss: str = "nonsaturating"
    penalty: str = "none"
    every: int = 1
    only: tuple[str, ...] = ()
    accumulate: int = 1
    d_steps: int = 1
    convolutions: bool = False
    family: str = "mlp"
    classes: int = 0
    clip: float = 0.0
    bad_rank: int | None = None
    gamma: float = 10.0
    tolerance: float = 2e-6
    kind: type[Even] = EvenAdversarial
    g_update: str = "fresh"


RELATIVISTIC = Case(loss="relativistic", penalty="r1+r2", classes=3, gamma=0.5, tolerance=1e-5)
CASES = {
    "D(real) + D(fake), one backward": Case(only=("discriminator",)),
    "loss + R1, one backward": Case(penalty="r1"),
    "loss + GP, one backward": Case(loss="wasserstein", penalty="gp"),
    "lazy R1 alone": Case(penalty="r1", every=2, only=("penalty",)),
    "lazy R1 + R2 in a GAN": Case(penalty="r1+r2", every=2),
    "G through a frozen D, then D": Case(only=("generator", "discriminator")),
    "accumulation + R1": Case(penalty="r1", accumulate=2),
    "accumulation + lazy GP": Case(penalty="gp", every=2, accumulate=3),
    "relativistic": Case(loss="relativistic", penalty="r1+r2"),
    "r3gan, penalties apart": dataclasses.replace(RELATIVISTIC, family="r3gan"),
    "r3gan": dataclasses.replace(RELATIVISTIC, family="r3gan", kind=EvenOnePass),
    "transformer-gan": dataclasses.replace(
        RELATIVISTIC, family="transformer", kind=EvenOnePass, g_update="shared"
    ),
    "three D steps": Case(d_steps=3),
    "clipped gradients": Case(penalty="r1", clip=0.05),
    "convolutions, spectral norm": Case(penalty="r1", every=2, convolutions=True, tolerance=1e-5),
    "labels": Case(penalty="r1", every=2, classes=3),
    "one rank is not finite": Case(bad_rank=1),
}


def build(case):
    torch.manual_seed(0)
    if case.convolutions:
        discriminator = a_discriminator(dcgan, SHAPE, 4)
        return a_generator(mlp, LATENT, SHAPE, (16,)), spectrally_normalized(discriminator)
    settings = {"classes": case.classes}
    if case.family == "r3gan":
        settings |= {"max_channels": 8, "group": 4, "depth": 1}
        return a_generator(r3gan, LATENT, SHAPE, 4, **settings), a_discriminator(r3gan, SHAPE, 4, **settings)
    if case.family == "transformer":
        settings |= {"layers": 1, "heads": 2}
        return (
            a_generator(transformer_gan, LATENT, SHAPE, 8, **settings),
            a_discriminator(transformer_gan, SHAPE, 8, **settings),
        )
    return (
        a_generator(mlp, LATENT, SHAPE, (16,), **settings),
        a_discriminator(mlp, SHAPE, (16, 8), projection=bool(case.classes), **settings),
    )


def run_case(case, world):
    """A few steps; every weight, gradient norm and loss at the end."""
    objective = case.kind(
        world,
        case.only,
        *build(case),
        LOSSES[case.loss](),
        penalties=PENALTIES[case.penalty](case.gamma),
        penalty_every=case.every,
        d_steps=case.d_steps,
        g_update=case.g_update,
    )
    recipe = Recipe(
        batch=GLOBAL // world.size,
        accumulate=case.accumulate,
        lr=0.1,
        steps=100,
        optimizer={"name": "sgd", "grad_clip": case.clip},
    )

    def batches(phase, index):
        generator = torch.Generator().manual_seed(hashed("real", phase.name, index))
        images = torch.rand(GLOBAL, *SHAPE, generator=generator) * 2 - 1
        labels = torch.randint(0, case.classes, (GLOBAL,), generator=generator) if case.classes else None
        if case.bad_rank == world.rank and world.size > 1 and index == 1 and phase.name == "discriminator":
            images = images * float("nan")
        mine = slice(world.rank * recipe.batch, (world.rank + 1) * recipe.batch)
        return Batch(images[mine], None if labels is None else labels[mine])

    trainer = Trainer(objective, recipe, batches, world, None, torch.float32)
    for _ in range(STEPS):
        trainer.step()
    found = {
        f"{name}.{key}": value.clone()
        for name, network in trainer.networks.items()
        for key, value in network.state_dict().items()
    }
    log = trainer.read_tally()
    found |= {f"gradient {phase}": torch.tensor(norm) for phase, norm in log["gradients"].items()}
    for phase, losses in log["losses"].items():
        found |= {f"loss {phase} {name}": torch.tensor(value) for name, value in losses.items()}
    found["skipped"] = torch.tensor(log["skipped"])
    return found


# ---------------------------------------------------------------------- torch alone


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))


def images_of(world):
    images = torch.randn(GLOBAL, *SHAPE, generator=torch.Generator().manual_seed(1))
    n = GLOBAL // world.size
    return images[world.rank * n :][:n]


def lazy_penalty_gradients(world, ours):
    """R1 alone through DDP, by our penalty or by the bare formula."""
    network = small()
    critic = DistributedDataParallel(network) if world.size > 1 else network
    x = images_of(world).requires_grad_()
    if ours:
        value = ZeroCentered(2.0)(lambda x, labels: critic(x).squeeze(1), x, None, None, Rng(0))
    else:
        (slopes,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        value = slopes.square().sum((1, 2, 3)).mean()
    value.backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def sharded_gradients(world):
    """Loss + R1 through FSDP2, parameters kept gathered between the two differentiations."""
    network = small()
    if world.size > 1:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        fully_shard(network, mesh=init_device_mesh("cpu", (world.size,)), reshard_after_forward=False)
        network.set_reshard_after_backward(False)
    x = images_of(world)
    penalty = ZeroCentered(2.0)(lambda x, labels: network(x).squeeze(1), x, None, None, Rng(0))
    (nn.functional.softplus(-network(x)).mean() + penalty).backward()
    if world.size > 1:
        network.reshard()
    grads = {name: p.grad for name, p in network.named_parameters()}
    return {name: g.full_tensor() if hasattr(g, "full_tensor") else g for name, g in grads.items()}


def world_answers(world):
    """What the small collective calls say on this rank."""
    return {
        "any": [world.any(flag) for flag in (False, world.rank == 0, world.rank == 1, True)],
        "broadcast": world.broadcast(0.1 + world.rank),
        "mean": {
            k: v.item()
            for k, v in world.mean({"a": torch.tensor(1.0 + world.rank), "b": torch.tensor(4)}).items()
        },
        "empty": world.mean({}),
        "main": world.main,
        "place": (world.rank, world.size, world.device.type),
    }


def objective_state_answers(world):
    """An objective's state after both ranks moved it their own way, what a checkpoint keeps, and what comes back."""
    objective = Objective()
    objective.per_process = ("pool",)
    objective.state |= {
        "mean": torch.zeros(2),
        "pool": torch.full((3,), float(world.rank)),
        "count": torch.tensor(7),
    }
    objective.state["mean"].lerp_(torch.tensor([1.0, 3.0 + 2 * world.rank]), 0.5)
    objective_state.agree(objective, world)
    saved = {name: value.clone() for name, value in objective_state.collect(objective, world).items()}
    for value in objective.state.values():
        value.fill_(9)
    objective_state.restore(objective, saved, world)
    return {"saved": saved, "back": objective.state}


def translator_weights(world, recipe):
    """Two steps of a translator on the rows of one batch; in float64, for its norms blow rounding up."""
    torch.manual_seed(0)
    recipe = recipe.model_copy(update={"batch": 4 // world.size, "lr": 0.005})
    mine = slice(world.rank * recipe.batch, (world.rank + 1) * recipe.batch)

    def batches(phase, index):
        generator = torch.Generator().manual_seed(hashed("real", phase.name, index))
        return UnpairedBatch(*(torch.rand(2, 4, 3, 16, 16, generator=generator).double() * 2 - 1)[:, mine])

    objective = recipe.build(ImageSpec(16, 16, 3))
    for network in objective.networks.values():
        network.double()
    trainer = Trainer(objective, recipe, batches, world, None, torch.float32)
    start = {
        f"{n}.{k}": v.clone() for n, net in trainer.networks.items() for k, v in net.state_dict().items()
    }
    for _ in range(2):
        trainer.step()
    found = {f"{n}.{k}": v for n, net in trainer.networks.items() for k, v in net.state_dict().items()}
    assert world.size > 1 or difference(start, found) > 0.01
    return found


SMALL = {"width": 4, "d_width": 4, "blocks": 1, "optimizer": {"name": "sgd"}}
TRANSLATORS = {
    "cyclegan": CycleGAN(**SMALL, pool=0),
    "cut": CUT(**SMALL, patches=256),  # all places of a layer
}

EXTRAS = {
    **{name: partial(translator_weights, recipe=recipe) for name, recipe in TRANSLATORS.items()},
    "state": objective_state_answers,
    "our lazy penalty": lambda world: lazy_penalty_gradients(world, ours=True),
    "bare lazy penalty": lambda world: lazy_penalty_gradients(world, ours=False),
    "sharded": sharded_gradients,
    "world": world_answers,
}


def every_case(world):
    """One of two processes: every case's result."""
    return every({name: partial(run_case, case) for name, case in CASES.items()} | EXTRAS, world)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The results of both ranks."""
    return spawned(every_case, tmp_path_factory.mktemp("ranks"))


ALONE = World(0, 1, torch.device("cpu"))


def difference(one, two):
    """The largest difference, relative where a tensor's values exceed 1."""
    assert not isinstance(one, str), one
    assert not isinstance(two, str), two
    assert one.keys() == two.keys()
    gaps = {key: (one[key].double() - two[key].double()).abs().max().item() for key in one}
    return max(gap / max(1.0, one[key].abs().max().item()) for key, gap in gaps.items())


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.bad_rank is None])
def test_two_processes_equal_one(ranks, name):
    alone = run_case(CASES[name], ALONE)
    assert all(value.isfinite().all() for value in alone.values())
    assert difference(ranks[0][name], ranks[1][name]) == 0
    assert difference(ranks[0][name], alone) <= CASES[name].tolerance
    start = {
        f"{network}.{key}": value
        for network, module in zip(("generator", "discriminator"), build(CASES[name]), strict=True)
        for key, value in module.state_dict().items()
    }
    moved = difference(start, {key: alone[key] for key in start})
    assert moved > 100 * CASES[name].tolerance, "the comparison says something only if training moved"


def test_a_rank_that_is_not_finite_stops_the_update_everywhere(ranks):
    name = "one rank is not finite"
    weights = [{k: v for k, v in r[name].items() if not k.startswith(("loss", "gradient"))} for r in ranks]
    assert difference(*weights) == 0
    assert all(value.isfinite().all() for value in weights[0].values())
    assert weights[0]["skipped"].item() == pytest.approx(1 / STEPS)


def test_our_lazy_penalty_is_synchronized(ranks):
    found = [r["our lazy penalty"] for r in ranks]
    assert difference(*found) == 0
    alone = lazy_penalty_gradients(ALONE, ours=True)
    assert "3.bias" in alone and difference(found[0], alone) <= 1e-6


@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators_learn_from_all_ranks(ranks, name):
    alone = translator_weights(ALONE, TRANSLATORS[name])
    assert difference(ranks[0][name], ranks[1][name]) == 0
    assert difference(ranks[0][name], alone) <= 1e-6


def test_why_the_penalty_adds_zero_times_the_logits(ranks):
    """Torch alone leaves the gradients of the two ranks apart, without a word, when the last bias has none."""
    found = [r["bare lazy penalty"] for r in ranks]
    assert "3.bias" not in found[0]
    assert difference(*found) > 1e-3, "torch synchronizes this now: the penalty's 0 * logits may go"


def test_sharded_parameters_with_r1(ranks):
    """FSDP2 bears a gradient penalty if it does not free the parameters between the two differentiations."""
    alone = sharded_gradients(ALONE)
    assert difference(ranks[0]["sharded"], ranks[1]["sharded"]) == 0
    assert difference(ranks[0]["sharded"], alone) <= 1e-6


def test_world_calls(ranks):
    for rank, result in enumerate(ranks):
        assert result["world"] == {
            "any": [False, True, True, True],
            "broadcast": 0.1,
            "mean": {"a": 1.5, "b": 4.0},
            "empty": {},
            "main": rank == 0,
            "place": (rank, 2, "cpu"),
        }


def test_an_objectives_state_is_one_over_all_processes(ranks):
    for rank, result in enumerate(ranks):
        saved, back = result["state"]["saved"], result["state"]["back"]
        assert saved["mean"].tolist() == back["mean"].tolist() == [0.5, 2.0], "the mean of both batches"
        assert saved["pool"].tolist() == [[0.0] * 3, [1.0] * 3] and back["pool"].tolist() == [float(rank)] * 3
        assert saved["count"] == back["count"] == 7


def test_a_world_of_one_needs_no_processes(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = join_world("cpu")
    assert (world.rank, world.size, world.main) == (0, 1, True)
    network = small()
    assert world.wrap(network) is network
    assert world.any(True) is True and world.any(False) is False and world.broadcast(0.25) == 0.25
    assert world.mean({"a": torch.tensor(3.0)})["a"] == 3
    world.barrier()
    leave_world()


# ---------------------------------------------------------------------- the command

RECIPE = """
import os
from pathlib import Path
from safetensors.torch import save_file
from luoxia.tasks.image_generation.recipes.gan import GAN

class Told(GAN):
    name = "told"

    def build(self, data):
        objective = super().build(data)
        folder = Path(__file__).parent

        def tell(network):
            net = objective.networks[network]
            assert type(net).__name__ == "DistributedDataParallel"
            weights = {k: v.clone() for k, v in net.module.state_dict().items()}
            save_file(weights, folder / f"{network}-{os.environ['RANK']}.safetensors")

        objective.after_update = tell
        return objective
"""


def test_torchrun_trains_one_model(tmp_path):
    """``torchrun -m luoxia train``: one run folder, and the same weights on both ranks and in the checkpoint."""
    (tmp_path / "told.py").write_text(RECIPE)
    settings = [
        "steps=6",
        "extractor=none",
        "holdout=0",
        "batch=8",
        "width=4",
        "log_every=2",
        "device=cpu",
        "precision=fp32",
    ]
    done = torchrun(
        tmp_path,
        "train",
        tmp_path / "told.py",
        f"out={tmp_path / 'run'}",
        *settings,
        LUOXIA_CACHE=str(tmp_path / "cache"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "run"
    assert {"run.json", "metrics.jsonl", "report.html", "model", "checkpoints", "samples"} <= {
        p.name for p in run.iterdir()
    }
    assert [
        p.name for p in tmp_path.iterdir() if p.is_dir() and p.name not in ("run", "cache", "__pycache__")
    ] == []
    for network in ("generator", "discriminator"):
        first, second = (load_file(tmp_path / f"{network}-{rank}.safetensors") for rank in range(2))
        saved = load_file(run / "checkpoints" / "step_000006" / f"{network}.safetensors")
        for key, value in first.items():
            assert torch.equal(value, second[key]) and torch.equal(value, saved[key]), (network, key)
