"""The contrast of text pairs over two processes against one with the whole batch: every other text is wrong."""

import functools

import torch

from luoxia.media.text.spec import TextSpec
from luoxia.tasks.text_embedding.objective import TextPairs, fingerprints
from luoxia.tasks.text_embedding.recipes import EmbedText
from luoxia.training.distributed import World
from luoxia.training.objective import Rng, hashed
from luoxia.training.trainer import Trainer
from processes import spawned

PAIRS, WORDS = 6, 30
SETTINGS = {
    "layers": 1, "heads": 2, "width": 16, "max_length": 12, "dropout": 0.0, "steps": 100, "lr": 0.1,
    "optimizer": {"name": "sgd"}, "schedule": {"name": "constant", "warmup": 0},
}  # fmt: skip


def side(world, generator):
    """One side of the batch, one text of it twice, and in two processes padded unlike."""
    ids = torch.randint(5, WORDS, (PAIRS, 8), generator=generator)
    mask = torch.arange(8) < torch.randint(2, 9, (PAIRS, 1), generator=generator)
    ids[-1], mask[-1] = ids[0], mask[0]
    mine = slice(world.rank * PAIRS // world.size, (world.rank + 1) * PAIRS // world.size)
    ids, mask = ids[mine], mask[mine]
    longest = int(mask.sum(1).max()) if world.size > 1 else 8
    return ids[:, :longest].where(mask[:, :longest], 0), mask[:, :longest]


def train(world):
    torch.manual_seed(0)
    recipe = EmbedText.from_settings({**SETTINGS, "batch": PAIRS // world.size})
    objective = recipe.build(TextSpec(WORDS))
    for parameter in objective.networks["encoder"].parameters():
        torch.nn.init.normal_(parameter, std=0.3)

    def batches(phase, index):
        generator = torch.Generator().manual_seed(hashed("pairs", index))
        return TextPairs(*side(world, generator), *side(world, generator))

    trainer = Trainer(objective, recipe, batches, world, None, torch.float32)
    for _ in range(3):
        trainer.step()
    log = trainer.read_tally()
    seen = objective.observe(batches(None, 9), None, Rng(0))["train_nll"]
    weights = {key: value.clone() for key, value in trainer.networks["encoder"].state_dict().items()}
    loss = torch.tensor(log["losses"]["contrast"]["nll"])
    return weights | {"loss": loss, "seen": world.mean({"seen": seen})["seen"]}


@functools.cache
def alone():
    return train(World(0, 1, torch.device("cpu")))


def test_two_processes_contrast_as_one(tmp_path):
    for rank, found in enumerate(spawned(train, tmp_path)):
        for key, value in alone().items():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=f"{key} of rank {rank}")


def test_a_fingerprint_is_of_the_text_alone():
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, WORDS, (500, 5), generator=generator)
    mask = torch.ones_like(ids, dtype=torch.bool)
    found = fingerprints(ids, mask)
    assert len(set(found.tolist())) == len({tuple(row) for row in ids.tolist()})
    padded = torch.cat([ids, torch.full((500, 3), 7)], dim=1)
    more = torch.cat([mask, torch.zeros(500, 3, dtype=torch.bool)], dim=1)
    assert torch.equal(fingerprints(padded, more), found)
    assert fingerprints(ids[:, :4], mask[:, :4]).tolist() != found.tolist()
