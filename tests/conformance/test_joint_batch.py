"""Parts of unequal weight, accumulated or on two processes, against the joint batch: the same update for every task.

In float64: what weighs parts alike is off by a tenth, what weighs them right by rounding.
"""

import functools
from functools import partial

import pytest
import torch

from luoxia.core.errors import UsageError
from luoxia.media.image.images import ImageSpec
from luoxia.media.text.spec import TextSpec
from luoxia.media.text.tokens import IGNORED
from luoxia.tasks.image_generation.recipes.gan import GAN
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.image_translation.objective import UnpairedBatch
from luoxia.tasks.image_translation.recipes import CUT, CycleGAN
from luoxia.tasks.language_modeling.objective import TokenBatch
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.text_classification.objective import LabeledTexts
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.tasks.text_embedding.objective import TextPairs
from luoxia.tasks.text_embedding.recipes import EmbedText
from luoxia.tasks.text_translation.objective import PairBatch
from luoxia.tasks.text_translation.recipes import Translate
from luoxia.training.distributed import World
from luoxia.training.objective import Batch, Rng, hashed
from luoxia.training.trainer import Trainer
from processes import every, spawned

ALONE = World(0, 1, torch.device("cpu"))
ROWS, WORDS = 12, 40
STEPS = 3
JOINT = ((ROWS,),)
ACCUMULATED = ((2, 6, 4),)
RANKS = ((2, 2), (4, 4))  # what either process accumulates
EVEN = ((2, 4), (4, 2))


class Rows(Rng):
    """Draws for all rows, and keeps those from ``first`` to ``last`` of them; of half as many, their half."""

    def __init__(self, seed, first, last):
        super().__init__(seed)
        self.first, self.last = first, last

    def _mine(self, draw, n, *rest):
        size = self.last - self.first
        if n % size and size % n:
            return draw(n, *rest)  # no rows: places
        all_rows = ROWS * n // size
        return draw(all_rows, *rest)[self.first * n // size :][:n].double()

    def normal(self, *shape):
        return self._mine(super().normal, *shape)

    def uniform(self, *shape):
        return self._mine(super().uniform, *shape)


def images(generator, count=1, side=8):
    return torch.rand(count, ROWS, 1, side, side, generator=generator).double() * 2 - 1


def lengths(generator, longest):
    """Rows of very unlike lengths: the first are short."""
    return (torch.arange(ROWS) // 2 + torch.randint(1, 4, (ROWS,), generator=generator)).clamp(max=longest)


def tokens(generator, longest=8):
    ids = torch.randint(5, WORDS, (ROWS, longest), generator=generator)
    return ids, torch.arange(longest) < lengths(generator, longest)[:, None]


def text(generator):
    ids, mask = tokens(generator)
    return ids, torch.roll(ids, -1, 1).where(mask, IGNORED)


def labeled(generator):
    return *tokens(generator), torch.randint(0, 3, (ROWS,), generator=generator)


TEXT = {"layers": 1, "heads": 2, "width": 8, "dropout": 0.0}
PLAIN = {"optimizer": {"name": "sgd"}, "schedule": {"name": "constant", "warmup": 0}, "steps": 100}
WORDS_SPEC, IMAGE = TextSpec(WORDS, classes=3), ImageSpec(8, 8, 1)
SMALL = {"width": 4, "latent": 4, "g_update": "fresh", **PLAIN}
STYLE = {
    "batch": 1,
    "g_update": "fresh",
    "width": 4,
    "mapping_layers": 1,
    "penalty_every": 2,
    "path_weight": 2.0,
    "path_every": 1,
}
SIDES = {"width": 4, "d_width": 4, "blocks": 1, "lr": 0.005, **PLAIN}
TASKS = {
    "gpt": (GPT(**TEXT, context=8, lr=0.3, **PLAIN), WORDS_SPEC, TokenBatch, text),
    "translate": (
        Translate(**TEXT, lr=0.3, average_checkpoints=0, **PLAIN), WORDS_SPEC, PairBatch,
        lambda g: (*tokens(g), *text(g)),
    ),
    "classify-text": (ClassifyText(**TEXT, lr=0.3, **PLAIN), WORDS_SPEC, LabeledTexts, labeled),
    "wgan-gp": (
        GAN(network="mlp", loss="wasserstein", penalty="gp", lr=0.02, **SMALL), IMAGE, Batch,
        lambda g: tuple(images(g)),
    ),
    "relativistic, lazy r1 and r2": (
        GAN(network="mlp", loss="relativistic", penalty="r1+r2", penalty_every=2, lr=0.02, **SMALL), IMAGE, Batch,
        lambda g: tuple(images(g)),
    ),
    "cyclegan": (CycleGAN(**SIDES, pool=0), ImageSpec(16, 16, 1), UnpairedBatch, partial(images, count=2, side=16)),
    "cut": (CUT(**SIDES, patches=256), ImageSpec(16, 16, 1), UnpairedBatch, partial(images, count=2, side=16)),
    "stylegan2": (StyleGAN2(**STYLE, lr=0.02, **PLAIN), IMAGE, Batch, lambda g: tuple(images(g))),
}  # fmt: skip
MIXING = (
    "stylegan2",
)  # its D compares the images of a part with each other: exact only for the path lengths


def cut(phase, given):
    """A phase whose randomness is that of the rows it is given, in their order."""

    def losses(batch, rng):
        first, end = given.pop(0)
        return phase.losses(batch, Rows(hashed("draw", phase.name), first, end))

    return type(phase)(**{**vars(phase), "losses": losses})


def train(name, parts, world):
    """Every weight after some updates, and the log; ``parts`` are the rows that each process accumulates."""
    recipe, spec, kind, make = TASKS[name]
    torch.manual_seed(0)
    recipe = recipe.model_copy(update={"accumulate": len(parts[0]), "batch": 1})
    objective = recipe.build(spec)
    for network in objective.networks.values():
        network.double()
        for parameter in network.parameters():
            if parameter.dim() > 1 and kind in (TokenBatch, PairBatch, LabeledTexts):
                torch.nn.init.normal_(parameter, std=0.3)
    for key, value in objective.state.items():
        objective.state[key] = value.double() if value.is_floating_point() else value
    rows, given = [], []
    edges = torch.tensor([0, *sum(parts, ())]).cumsum(0).tolist()
    for number in range(len(parts[0])):
        place = world.rank * len(parts[0]) + number
        rows.append((edges[place], edges[place + 1]))

    def batches(phase, index):
        update, part = divmod(index, len(parts[0]))
        generator = torch.Generator().manual_seed(hashed("batch", phase.name, update))
        first, end = rows[part]
        given.append((first, end))
        return kind(*(side[first:end] for side in make(generator)))

    phases = [phase for phase in objective.phases() if name not in MIXING or phase.name == "path length"]
    objective.phases = lambda: (
        cut(phase, given if phase.batched else list(rows) * STEPS) for phase in phases
    )
    trainer = Trainer(objective, recipe, batches, world, None, torch.float32)
    start = weights(trainer)
    for _ in range(STEPS):
        trainer.step()
    log = trainer.read_tally()
    losses = {f"{p} {n}": torch.tensor(v) for p, named in log["losses"].items() for n, v in named.items()}
    state = {key: value.clone() for key, value in objective.state.items()}
    return {"start": start, "end": weights(trainer) | state, "losses": losses, "seen": trainer.samples_seen}


def weights(trainer):
    """Of all networks; not the running means in their buffers, which move with every pass."""
    return {
        f"{n}.{k}": v.detach().clone()
        for n, net in trainer.networks.items()
        for k, v in net.named_parameters()
    }


def in_float64(job):
    """Run with losses that are float32 for safety in float64."""
    single, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double
    try:
        return job()
    finally:
        torch.Tensor.float = single


def ranks(world):
    """One of two processes: every task's result."""
    jobs = {
        name: lambda w, name=name: in_float64(partial(train, name, EVEN if name in MIXING else RANKS, w))
        for name in TASKS
    }
    return every(jobs, world)


@functools.cache
def joint(name):
    return in_float64(partial(train, name, JOINT, ALONE))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return spawned(ranks, tmp_path_factory.mktemp("ranks"))


def assert_the_same(found, name):
    assert not isinstance(found, str), found
    whole = joint(name)
    moved = max((whole["end"][key] - value).abs().max().item() for key, value in whole["start"].items())
    assert moved > 1e-3, "the comparison says something only if training moved"
    for key, value in whole["end"].items():
        torch.testing.assert_close(
            found["end"][key], value, rtol=1e-8, atol=1e-10, msg=lambda m, k=key: f"{k}: {m}"
        )
    for key, value in whole["losses"].items():
        torch.testing.assert_close(
            found["losses"][key], value, rtol=1e-5, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}"
        )
    assert found["seen"] == whole["seen"]


@pytest.mark.parametrize("name", TASKS)
def test_unequal_parts_are_one_batch(name):
    assert_the_same(in_float64(partial(train, name, ACCUMULATED, ALONE)), name)


@pytest.mark.parametrize("name", TASKS)
def test_unequal_parts_of_two_processes_are_one_batch(both, name):
    for found in both:
        assert_the_same(found[name], name)


def test_what_is_seen_is_counted_in_the_tasks_unit():
    generator = torch.Generator().manual_seed(0)
    ids, mask = tokens(generator)
    target = ids.where(mask, IGNORED)
    real = int(mask.sum())
    for batch, weight, seen in (
        (TokenBatch(ids, target), real, ROWS),
        (PairBatch(ids, mask, ids, target), real, real),
        (LabeledTexts(ids, mask, ids[:, 0]), ROWS, real),
        (TextPairs(ids, mask, ids, mask), ROWS, ROWS),
        (Batch(images(generator)[0]), ROWS, ROWS),
    ):
        moved = batch.to(torch.device("cpu"))
        assert (len(moved), moved.weight, moved.seen) == (ROWS, weight, seen)


def test_a_contrast_cannot_be_accumulated():
    recipe = EmbedText(**TEXT, batch=4)
    objective = recipe.build(WORDS_SPEC)
    Trainer(objective, recipe, lambda phase, index: None, ALONE, None, torch.float32)
    recipe = recipe.model_copy(update={"accumulate": 2})
    with pytest.raises(UsageError, match=r"accumulate=2 would change what is learned.*batch=8"):
        Trainer(objective, recipe, lambda phase, index: None, ALONE, None, torch.float32)
