"""StyleGAN2's objective in two processes and in one: the same global batch must move the networks alike."""

import torch
from test_ddp import GLOBAL, Rows, difference

from luoxia.adversarial.ada.adaptive import Ada
from luoxia.adversarial.losses import LOSSES
from luoxia.adversarial.penalties import PENALTIES
from luoxia.tasks.image_generation.networks import stylegan2
from luoxia.tasks.image_generation.style_objective import Style
from luoxia.training.distributed import World
from luoxia.training.objective import Batch, hashed
from luoxia.training.recipe import Recipe
from luoxia.training.trainer import Trainer
from pairs import a_discriminator, a_generator
from processes import spawned

SHAPE = (3, 8, 8)
STEPS = 6


class Halves(Rows):
    """D sees real and generated images at once: a rank's rows are some of either half."""

    def _mine(self, draw, n, *rest):
        own = GLOBAL // self.world.size
        if n != 2 * own:
            return super()._mine(draw, n, *rest)
        both = draw(2 * GLOBAL, *rest).unflatten(0, (2, GLOBAL))
        return both[:, self.world.rank * own :][:, :own].flatten(0, 1)


def everything(world):
    """Every phase of some steps (R1 and path lengths lazily, mixing, noise, ADA): weights, state, losses."""
    torch.manual_seed(0)
    sizes = {"width": 4, "max_channels": 6, "styles": 5, "mapping_layers": 2}
    generator, discriminator = (
        a_generator(stylegan2, 4, SHAPE, **sizes),
        a_discriminator(stylegan2, SHAPE, group=2, **sizes),
    )
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.3)
    objective = Style(
        generator,
        discriminator,
        LOSSES["nonsaturating"](),
        penalties=PENALTIES["r1"](1.0),
        penalty_every=3,
        path_every=2,
        g_update="shared",
        ada=lambda state: Ada("bgc", state, target=-0.2, samples=100),
    )
    calls = {}
    inner = list(objective.phases())

    def cut(phase):
        def losses(batch, rng):
            calls[phase.name] = calls.get(phase.name, 0) + 1
            return phase.losses(batch, Halves(hashed("draw", phase.name, calls[phase.name]), world))

        return type(phase)(**{**vars(phase), "losses": losses})

    objective.phases = lambda: iter([cut(phase) for phase in inner])
    recipe = Recipe(batch=GLOBAL // world.size, lr=0.02, steps=100, optimizer={"name": "sgd"})

    def batches(phase, index):
        images = torch.rand(
            GLOBAL, *SHAPE, generator=torch.Generator().manual_seed(hashed(phase.name, index))
        )
        mine = slice(world.rank * recipe.batch, (world.rank + 1) * recipe.batch)
        return Batch(images[mine] * 2 - 1)

    trainer = Trainer(objective, recipe, batches, world, None, torch.float32)
    start = weights(trainer)
    for _ in range(STEPS):
        trainer.step()
    log = trainer.read_tally()
    losses = {f"{p} {n}": torch.tensor(v) for p, named in log["losses"].items() for n, v in named.items()}
    return {
        "start": start,
        "end": weights(trainer) | losses | {k: v.clone() for k, v in objective.state.items()},
    }


def weights(trainer):
    """All but the mean of w: a buffer, each process's own."""
    return {
        f"{name}.{key}": value.clone()
        for name, network in trainer.networks.items()
        for key, value in network.state_dict().items()
        if key != "mean_w"
    }


def test_two_processes_equal_one(tmp_path):
    ranks = spawned(everything, tmp_path)
    alone = everything(World(0, 1, torch.device("cpu")))
    assert difference(ranks[0]["end"], ranks[1]["end"]) == 0
    assert {"path length path_length", "penalty r1", "augment_p", "path_length"} <= alone["end"].keys()
    assert all(value.isfinite().all() for value in alone["end"].values())
    assert alone["end"]["augment_p"] > 0 and alone["end"]["path_length"] > 0
    assert difference(ranks[0]["end"], alone["end"]) <= 2e-4
    moved = difference(alone["start"], {key: alone["end"][key] for key in alone["start"]})
    assert moved > 0.02, "the comparison says something only if training moved"
