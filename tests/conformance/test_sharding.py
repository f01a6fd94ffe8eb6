"""Sharded training (FSDP2) against one process: weights, averages, norms, and checkpoints for any number of them."""

import functools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.tensor import DTensor

import luoxia
from luoxia.core.errors import UsageError
from luoxia.core.settings import parse_settings
from luoxia.media.text.spec import TextSpec
from luoxia.tasks.image_generation.recipes.gan import GAN
from luoxia.tasks.language_modeling.objective import TokenBatch
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.training import checkpoint
from luoxia.training.distributed import World
from luoxia.training.objective import hashed
from luoxia.training.trainer import Trainer
from processes import every, spawned, torchrun

WORDS, LENGTH, ROWS = 19, 6, 8
TINY = {"layers": 2, "heads": 2, "width": 16, "context": LENGTH, "steps": 100, "lr": 0.01, "shard": True}
CASES = {
    "muon": {},
    "muon, decaying, clipped": {
        "optimizer": {"name": "muon", "weight_decay": 0.1, "grad_clip": 0.05, "adam_lr": 0.01}
    },
    "adamw, tied": {"style": "gpt2"},
    "average": {"ema": {"half_life": 20}, "optimizer": {"name": "adamw"}},
    "accumulated": {"accumulate": 2, "optimizer": {"name": "sgd", "momentum": 0.9}, "lr": 0.1},
    "recomputed": {"checkpoint_activations": True, "optimizer": {"name": "rmsprop"}, "lr": 1e-3},
    "averaged checkpoints": {"average_checkpoints": 2, "checkpoint_every": 2},
}
BEFORE, AFTER = 4, 2
ALONE = World(0, 1, torch.device("cpu"))


def trainer_of(case, world, folder, seed=0):
    recipe = GPT(batch=ROWS // world.size, **(TINY | CASES[case]))

    def batches(phase, index):
        generator = torch.Generator().manual_seed(hashed("rows", index))
        rows = torch.randint(0, WORDS, (ROWS, LENGTH + 1), generator=generator)
        mine = rows[world.rank * recipe.batch :][: recipe.batch]
        return TokenBatch(mine[:, :-1], mine[:, 1:])

    torch.manual_seed(seed)
    objective = recipe.build(TextSpec(WORDS))
    for parameter in objective.networks["decoder"].parameters():  # zeros have no gradient above them
        torch.nn.init.normal_(parameter, std=0.2)
    return Trainer(objective, recipe, batches, world, folder, torch.float32)


def advance(trainer, steps):
    """Steps; what the main process then has of the network, of what is sampled, and of the log."""
    for _ in range(steps):
        trainer.step()
        if trainer.progress.step % trainer.recipe.checkpoint_every == 0:
            trainer.save()
    trainer.save()
    trainer.gather()
    log = trainer.read_tally()
    assert trainer.is_finite()
    if not trainer.world.main:
        return {}
    saved = checkpoint.load_latest(trainer.folder)
    found = {f"{group}.{key}": value for group, d in saved.tensors.items() for key, value in d.items()}
    found |= {
        f"shown.{key}": value.clone() for key, value in trainer.eval_model("decoder").state_dict().items()
    }
    return found | {
        "norm": torch.tensor(log["gradients"]["prediction"]),
        "loss": torch.tensor(log["losses"]["prediction"]["nll"]),
    }


def run(case, world, folder):
    """Train, save, and go on in a trainer that was something else before."""
    trainer = trainer_of(case, world, folder)
    shards = sum(isinstance(p, DTensor) for p in trainer.parameters["decoder"])
    first = advance(trainer, BEFORE)
    again = trainer_of(case, world, folder, seed=1)
    again.restore(checkpoint.load_latest(folder))
    return {"first": first, "second": advance(again, AFTER), "shards": shards}


def every_case(folder, world):
    return every({case: functools.partial(run, case, folder=Path(folder) / case) for case in CASES}, world)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """The main process's results, and where its checkpoints are."""
    folder = tmp_path_factory.mktemp("sharded")
    ranks = spawned(functools.partial(every_case, str(folder)), tmp_path_factory.mktemp("ranks"))
    return ranks[0], folder


def compare(one, two, tolerance=2e-5):
    assert one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(
            value, two[key], rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}"
        )


@pytest.mark.parametrize("case", CASES)
def test_two_processes_with_shards_equal_one(sharded, tmp_path, case):
    result = sharded[0][case]
    assert not isinstance(result, str), result
    alone = run(case, ALONE, tmp_path)
    # Muon iterates in bfloat16, where a last bit of the gradient can move an update by 2⁻⁸ of itself.
    tolerance = 2e-3 if "optimizer" not in CASES[case] or "muon" in case else 2e-5
    compare(result["first"], alone["first"], tolerance)
    compare(result["second"], alone["second"], tolerance)
    assert result["shards"] > 8
    assert alone["shards"] == 0


@pytest.mark.parametrize("case", ["muon", "average"])
def test_one_process_goes_on_from_the_checkpoint_of_two(sharded, tmp_path, case):
    result, folder = sharded[0][case], sharded[1] / case
    trainer = trainer_of(case, ALONE, tmp_path, seed=1)
    trainer.restore(checkpoint.load(folder / f"step_{BEFORE:06d}"))
    compare(advance(trainer, AFTER), result["second"], 2e-3 if case == "muon" else 2e-5)


def test_two_networks_are_refused():
    recipe = GAN(shard=True, width=2)
    from luoxia.media.image.images import ImageSpec

    with pytest.raises(UsageError, match="single network"):
        Trainer(
            recipe.build(ImageSpec(8, 8, 1, 0)), recipe, None, World(0, 2, torch.device("cpu")), None, None
        )


def test_torchrun_shards_a_run_and_one_process_resumes_it(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("a rose is a rose is a rose. " * 200, encoding="utf-8")
    words = (
        "tokenizer=byte",
        "layers=2",
        "heads=2",
        "width=16",
        "context=16",
        "device=cpu",
        "precision=fp32",
    )
    words = (
        "data=text.txt",
        "optimizer=sgd",
        "lr=0.1",
        *words,
        "schedule=constant",
        "score_samples=0",
        "sample_every=3",
        "score_every=3",
    )
    cache = {"LUOXIA_CACHE": str(tmp_path / "cache")}
    two = torchrun(tmp_path, "train", "gpt", *words, "batch=4", "shard=true", "steps=6", "out=two", **cache)
    assert two.returncode == 0, two.stderr[-3000:]
    monkeypatch.chdir(tmp_path)
    luoxia.train("gpt", quiet=True, batch=8, steps=6, out="one", **parse_settings(words))
    models = [load_file(tmp_path / name / "model" / "model.safetensors") for name in ("two", "one")]
    compare(*models)
    luoxia.resume("two", steps=8, quiet=True)
    assert (tmp_path / "two" / "samples" / "step_000008.txt").exists()
