"""The trainer on tiny objectives: phases, accumulation, skipped updates, roll-backs, and resuming to the bit."""

from collections import Counter

import pytest
import torch
from torch import nn

from luoxia.core.errors import LuoxiaError
from luoxia.core.order import Order
from luoxia.media.image.images import ImageSpec
from luoxia.media.text.spec import TextSpec
from luoxia.tasks.image_generation.recipes.gan import DCGAN, GAN
from luoxia.tasks.image_generation.recipes.r3gan import R3GAN
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.image_generation.recipes.transformer_gan import TransformerGAN
from luoxia.tasks.image_translation.objective import UnpairedBatch
from luoxia.tasks.image_translation.recipes import CUT, CycleGAN
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.menu import RECIPES
from luoxia.tasks.shared.image_recipe import ImageRecipe
from luoxia.training import checkpoint
from luoxia.training import optimizers as optimizers
from luoxia.training.distributed import World
from luoxia.training.objective import Batch, Objective, Phase, hashed
from luoxia.training.recipe import Recipe
from luoxia.training.trainer import ROLLBACKS, Trainer

WORLD = World(0, 1, torch.device("cpu"))


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


class Pair(Objective):
    """Two networks that regress on the sum of their inputs; no images, no game."""

    averaged = ("one",)

    def __init__(self, *phases):
        """``phases``: (name, network, repeat, every)."""
        self.networks = {"one": network(), "two": network()}
        self.listed = phases or (("first", "one", 1, 1), ("second", "two", 1, 1))
        self.statistics = {}
        self.calls = []

    def phases(self):
        for name, updates, repeat, every in self.listed:
            yield Phase(name, self.losses(name, updates), updates, repeat=repeat, every=every)

    def losses(self, name, updates):
        def compute(batch, rng):
            self.calls.append(name)
            both = sum(net(batch.samples) for net in self.networks.values())  # each phase reaches both
            error = both.squeeze(1) - batch.samples.sum(1)
            return {
                "error": error.square().mean(),
                "size": 0.01 * self.networks[updates](batch.samples).mean(),
            }

        return compute


def points(batch):
    """Batches (n, 3) that depend on the phase and the index alone."""

    def make(phase, index):
        generator = torch.Generator().manual_seed(hashed("points", phase.name, index))
        return Batch(torch.randn(batch, 3, generator=generator))

    return make


def make_trainer(folder=None, phases=(), batches=None, seed=0, **settings):
    recipe = Recipe(**{"batch": 8, "steps": 100, "lr": 0.05, **settings})
    torch.manual_seed(seed)
    return Trainer(Pair(*phases), recipe, batches or points(recipe.batch), WORLD, folder, torch.float32)


def weights(trainer, name):
    return [p.detach().clone() for p in trainer.networks[name].parameters()]


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


# ---------------------------------------------------------------------- phases


def test_phases_run_as_often_as_they_say():
    phases = (("a", "one", 3, 1), ("b", "one", 1, 4), ("c", "two", 2, 2))
    seen = []
    inner = points(8)
    trainer = make_trainer(None, phases, lambda p, i: (seen.append((p.name, i)), inner(p, i))[1])
    for _ in range(9):
        trainer.step()
    assert Counter(trainer.objective.calls) == {"a": 27, "b": 3, "c": 10}
    assert trainer.objective.calls[:6] == ["a", "a", "a", "b", "c", "c"]
    for name, count in (("a", 27), ("b", 3), ("c", 10)):
        assert [index for phase, index in seen if phase == name] == list(range(count)), (
            "each batch once, in order"
        )
    assert trainer.progress.step == 9


def test_only_the_updated_network_changes():
    trainer = make_trainer(None, (("first", "one", 1, 1), ("second", "two", 1, 4)))
    for step in range(6):
        one, two = weights(trainer, "one"), weights(trainer, "two")
        trainer.step()
        assert not same(one, weights(trainer, "one"))
        assert same(two, weights(trainer, "two")) == (step % 4 != 0)


def test_a_phase_leaves_no_gradient_behind():
    """Gradients of one phase must not leak into the next through the network that it only reads."""
    trainer = make_trainer(None, (("first", "one", 1, 1),))
    trainer.step()
    assert all(p.grad is None for n in trainer.networks.values() for p in n.parameters())


def test_a_step_is_the_textbook_update():
    """One step of sgd: w − lr·∇(sum of the named losses)."""
    trainer = make_trainer(None, (("first", "one", 1, 1),), optimizer={"name": "sgd"})
    before = weights(trainer, "one")
    batch = points(8)(trainer.phases[0], 0)
    losses = trainer.phases[0].losses(batch, None)
    slopes = torch.autograd.grad(losses["error"] + losses["size"], list(trainer.networks["one"].parameters()))
    trainer.step()
    for old, slope, new in zip(before, slopes, weights(trainer, "one"), strict=True):
        torch.testing.assert_close(new, old - 0.05 * slope)
    log = trainer.read_tally()
    assert log["losses"]["first"] == pytest.approx({k: v.item() for k, v in losses.items()})
    norm = torch.cat([s.flatten() for s in slopes]).norm().item()
    assert log["gradients"]["first"] == pytest.approx(norm, rel=1e-5) and log["skipped"] == 0


def test_clipping_bounds_the_update_not_the_report():
    trainer = make_trainer(
        None, (("first", "one", 1, 1),), optimizer={"name": "sgd", "grad_clip": 1e-3}, lr=1.0
    )
    before = weights(trainer, "one")
    trainer.step()
    moved = torch.cat([(a - b).flatten() for a, b in zip(before, weights(trainer, "one"), strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)
    assert trainer.read_tally()["gradients"]["first"] > 0.01


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulation_equals_a_bigger_batch(parts):
    small, settings = points(8), {"optimizer": {"name": "sgd"}, "lr": 0.3}
    whole = make_trainer(
        None,
        batches=lambda p, i: Batch(torch.cat([small(p, i * parts + k).samples for k in range(parts)])),
        **{**settings, "batch": 8 * parts},
    )
    split = make_trainer(None, accumulate=parts, **settings)
    for _ in range(5):
        whole.step()
        split.step()
    for name in ("one", "two"):
        for a, b in zip(weights(whole, name), weights(split, name), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert whole.samples_per_step == split.samples_per_step == 8 * parts
    for a, b in zip(
        whole.averages["one"].module.parameters(), split.averages["one"].module.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_an_average_may_follow_every_few_steps():
    trainer = make_trainer(ema={"half_life": 30, "warmup_share": 0, "every": 3})
    start = [p.clone() for p in trainer.averages["one"].module.parameters()]
    for _ in range(2):
        trainer.step()
    assert all(map(torch.equal, start, trainer.averages["one"].module.parameters()))
    trainer.step()
    kept = 0.5 ** (trainer.samples_seen / 30)
    both = zip(start, trainer.networks["one"].parameters(), strict=True)
    expected = [kept * old + (1 - kept) * new.detach() for old, new in both]
    torch.testing.assert_close(list(trainer.averages["one"].module.parameters()), expected)


def test_an_average_that_has_not_moved_is_not_shown():
    """A run of fewer steps than ``ema.every`` is sampled from what it has learned, not from where it began."""
    trainer = make_trainer(ema={"half_life": 30, "every": 3})
    for step in range(4):
        shown = trainer.networks["one"] if step < 3 else trainer.averages["one"].module
        assert trainer.eval_model("one") is shown
        trainer.step()


class Rows(Batch):
    """Counted by something else than its length, as tokens are."""

    def __post_init__(self):
        super().__post_init__()
        self.seen = int(self.samples.abs().sum())


def test_what_was_seen_is_counted_and_survives_a_resume(tmp_path):
    """By the averages, the log and the schedule; as the batches are, not as ``batch`` says."""

    def make(folder):
        inner = points(8)
        settings = {"ema": {"half_life": 40, "every": 2}, "schedule": {"name": "cosine", "samples": 200}}
        return make_trainer(
            folder, batches=lambda p, i: Rows(inner(p, i).samples[: 2 + i % 5]), accumulate=2, **settings
        )

    trainer = make(tmp_path)
    sizes = [trainer.batches(trainer.phases[0], i).seen for i in range(6)]
    counted = [sum(sizes[i : i + 2]) for i in (0, 2, 4)]
    for _ in range(3):
        trainer.step()
    assert trainer.samples_seen == sum(counted) != 3 * trainer.samples_per_step
    assert trainer.progress.averaged == sum(counted[:2])
    assert trainer.read_tally()["seen"] == sum(counted)
    assert_resumes(tmp_path / "resumed", make, first=3)


def test_a_run_from_before_the_counting_goes_on_in_nominal_numbers(tmp_path):
    settings = {"ema": {"half_life": 40, "every": 2}, "batch": 8}
    trainer = make_trainer(tmp_path, **settings)
    for _ in range(3):
        trainer.step()
    trainer.progress.nominal = True
    trainer.save()
    assert "seen" not in checkpoint.load_latest(tmp_path).state
    inner = points(8)
    later = make_trainer(tmp_path, batches=lambda p, i: Rows(inner(p, i).samples), **settings)
    later.restore(checkpoint.load_latest(tmp_path))
    assert (later.samples_seen, later.progress.averaged) == (24, 16)
    trainer.step()
    later.step()
    assert later.samples_seen == 32
    assert same(trainer.averages["one"].module.parameters(), later.averages["one"].module.parameters())
    later.save()
    assert "seen" not in checkpoint.load_latest(tmp_path).state


def test_all_parts_of_an_update_are_in_the_log():
    inner = points(8)
    trainer = make_trainer(None, (("first", "one", 1, 1),), accumulate=2, optimizer={"name": "sgd"})
    trainer.objective.statistics = {}
    phase, losses = trainer.phases[0], []

    def heard(batch, rng):
        found = phase.losses(batch, rng)
        losses.append(found["error"].item())
        trainer.objective.statistics["error"] = found["error"].detach()
        return found

    trainer.phases = [Phase("first", heard, "one")]
    trainer.batches = inner
    trainer.step()
    log = trainer.read_tally()
    assert log["losses"]["first"]["error"] == log["statistics"]["error"] == pytest.approx(sum(losses) / 2)


def test_learning_rate_follows_the_schedule():
    trainer = make_trainer(None, steps=4, schedule={"name": "linear"})
    rates = []
    for _ in range(4):
        trainer.step()
        rates.append(trainer.optimizers["one"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.05, 0.0375, 0.025, 0.0125])


def test_the_schedule_may_be_shorter_than_the_run():
    trainer = make_trainer(None, steps=100, schedule={"name": "linear", "final": 0.5, "samples": 32})
    rates = []
    for _ in range(6):
        trainer.step()
        rates.append(trainer.optimizers["one"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.05, 0.04375, 0.0375, 0.03125, 0.025, 0.025])


def test_the_objective_hears_how_many_images_were_seen(tmp_path):
    """Before each step, by all processes together, and after a resume as if nothing had happened."""
    heard = []
    trainer = make_trainer(tmp_path, accumulate=2)
    trainer.world = World(0, 3, torch.device("cpu"))
    trainer.objective.advance = heard.append
    trainer.objective.phases = list
    trainer.phases = []
    for _ in range(3):
        trainer.step()
    assert heard == [0, 48, 96]
    saver = make_trainer(tmp_path)
    for _ in range(3):
        saver.step()
    saver.save()
    resumed = make_trainer(tmp_path)
    resumed.restore(checkpoint.load_latest(tmp_path))
    resumed.objective.advance = heard.append
    resumed.step()
    assert heard[3:] == [24]


def test_dropout_depends_on_seed_and_step_alone():
    """Random numbers drawn between two steps must change nothing."""
    results = []
    for disturb in (False, True):
        trainer = make_trainer(None)
        trainer.networks["one"].append(nn.Dropout(0.5))
        for _ in range(3):
            trainer.step()
            if disturb:
                torch.rand(17)
        results.append(weights(trainer, "one"))
    assert same(*results)


# ---------------------------------------------------------------------- what is not finite


def poisoned(batch, bad, value):
    inner = points(batch)

    def make(phase, index):
        data = inner(phase, index)
        return Batch(torch.full_like(data.samples, value)) if index in bad else data

    return make


OPTIMIZERS = [
    {"name": "adam"},
    {"name": "adamw", "weight_decay": 0.1},
    {"name": "rmsprop"},
    {"name": "rmsprop", "momentum": 0.9},
    {"name": "sgd"},
    {"name": "sgd", "momentum": 0.9},
]


def tag(settings):
    return " ".join(str(v) for v in settings.values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=tag)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_non_finite_gradients_skip_the_update(optimizer, value, clip):
    trainer = make_trainer(batches=poisoned(8, {2}, value), optimizer={**optimizer, "grad_clip": clip})
    for _ in range(2):
        trainer.step()
    before = weights(trainer, "one")
    state = {k: v.clone() for k, v in optimizer_state(trainer, "one").items()}
    trainer.step()
    assert same(before, weights(trainer, "one"))
    after = optimizer_state(trainer, "one")
    assert all(torch.equal(state[key], after[key]) for key in state), "nor may a moment change"
    assert trainer.read_tally()["skipped"] == pytest.approx(1 / 3)
    trainer.step()
    assert not same(before, weights(trainer, "one")) and trainer.is_finite()
    assert trainer.read_tally()["skipped"] == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=tag)
def test_a_skipped_first_update_leaves_no_garbage(optimizer):
    """The optimizer starts as if the bad batch had never been."""
    trainer = make_trainer(batches=poisoned(8, {0}, float("nan")), optimizer=optimizer)
    clean = make_trainer(batches=lambda p, i: points(8)(p, i + 1), optimizer=optimizer)
    for _ in range(4):
        trainer.step()
    for _ in range(3):
        clean.step()
    for a, b in zip(weights(trainer, "one"), weights(clean, "one"), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def optimizer_state(trainer, name):
    return optimizers.state_tensors(trainer.optimizers[name])


def test_is_finite_looks_at_weights_buffers_and_averages():
    for poison in (
        lambda t: t.networks["two"][0].weight.data.view(-1)[0].fill_(float("nan")),
        lambda t: t.averages["one"].module[2].bias.data.fill_(float("inf")),
        lambda t: t.networks["one"].register_buffer("b", torch.tensor([1.0, float("inf")])),
    ):
        trainer = make_trainer(None)
        assert trainer.is_finite()
        poison(trainer)
        assert not trainer.is_finite()


# ---------------------------------------------------------------------- rolling back


def test_roll_back_halves_the_learning_rate_and_gives_up(tmp_path):
    trainer = make_trainer(tmp_path)
    for _ in range(3):
        trainer.step()
    trainer.save()
    kept = weights(trainer, "one")
    for attempt in range(1, ROLLBACKS + 1):
        trainer.step()
        trainer.progress.seconds = 10.0 * attempt
        with torch.no_grad():
            trainer.networks["one"][0].weight.fill_(float("nan"))
        sentence = trainer.roll_back("not finite")
        assert "back to step 3" in sentence and same(kept, weights(trainer, "one")) and trainer.is_finite()
        assert trainer.progress.lr_scale == 0.5**attempt and trainer.progress.rollbacks == attempt
        assert trainer.progress.seconds == 10.0 * attempt, "lost time counts"
        trainer.step()
        assert trainer.optimizers["one"].param_groups[0]["lr"] == pytest.approx(0.05 * 0.5**attempt)
    with pytest.raises(LuoxiaError, match=r"not finite.*lower lr"):
        trainer.roll_back("not finite")


def test_a_language_model_that_breaks_down_is_not_told_of_penalties(tmp_path):
    recipe = GPT(layers=1, heads=2, width=8, context=8, precision="fp32")
    trainer = Trainer(recipe.build(TextSpec(20)), recipe, points(2), WORLD, tmp_path, torch.float32)
    trainer.progress.rollbacks = ROLLBACKS
    with pytest.raises(LuoxiaError) as caught:
        trainer.roll_back("not finite")
    assert str(caught.value).endswith("lower lr (now 0.02), or set optimizer.grad_clip=1")


def test_roll_backs_survive_a_resume(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.save()
    trainer.roll_back("not finite")
    trainer.step()
    trainer.save()
    resumed = make_trainer(tmp_path)
    resumed.restore(checkpoint.load_latest(tmp_path))
    assert (resumed.progress.rollbacks, resumed.progress.lr_scale) == (1, 0.5)


# ---------------------------------------------------------------------- going on


def everything(trainer):
    """All that training is: networks, averages, optimizers, the objective's own state."""
    state = {f"objective {k}": v for k, v in trainer.objective.state.items()}
    for name, net in trainer.networks.items():
        state |= {f"{name}.{k}": v for k, v in net.state_dict().items()}
        state |= {f"optimizer {name}.{k}": v for k, v in optimizer_state(trainer, name).items()}
    for name, average in trainer.averages.items():
        state |= {f"average {name}.{k}": v for k, v in average.module.state_dict().items()}
    return {key: value.clone() for key, value in state.items()}


def assert_resumes(folder, make, first=5, then=5):
    """``first + then`` steps at once equal ``first``, a restart, and ``then``: bit for bit."""
    whole = make(folder / "whole")
    for _ in range(first + then):
        whole.step()
    begun = make(folder)
    for _ in range(first):
        begun.step()
    begun.save()
    torch.rand(5)  # a new process draws other numbers
    resumed = make(folder)
    with torch.no_grad():
        for net in resumed.networks.values():
            for p in net.parameters():
                p.add_(1.0)
    resumed.restore(checkpoint.load_latest(folder))
    kept, back = everything(begun), everything(resumed)
    assert kept.keys() == back.keys() and all(torch.equal(kept[k], back[k]) for k in kept)
    for _ in range(then):
        resumed.step()
    expected, found = everything(whole), everything(resumed)
    assert expected.keys() == found.keys()
    different = [key for key in expected if not torch.equal(expected[key], found[key])]
    assert different == []
    assert resumed.progress.step == whole.progress.step


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=tag)
def test_resumes_bit_for_bit(tmp_path, optimizer):
    phases = (("first", "one", 2, 1), ("lazy", "one", 1, 3), ("second", "two", 1, 1))
    assert_resumes(tmp_path, lambda folder: make_trainer(folder, phases, optimizer=optimizer))


class Stateful(Pair):
    """Losses that depend on a running mean, a process's own pool and a count."""

    per_process = ("pool",)

    def __init__(self, *phases):
        super().__init__(*phases)
        self.state |= {
            "mean": torch.zeros(3),
            "pool": torch.zeros(2, 3),
            "count": torch.zeros((), dtype=torch.int64),
        }

    def losses(self, name, updates):
        inner = super().losses(name, updates)

        def compute(batch, rng):
            with torch.no_grad():
                self.state["mean"].lerp_(batch.samples.mean(0), 0.1)
                self.state["pool"][self.state["count"] % 2] = batch.samples[0]
                self.state["count"] += 1
            seen = self.networks[updates](self.state["mean"] + self.state["pool"])
            return inner(batch, rng) | {"seen": 0.3 * seen.square().mean()}

        return compute


def make_stateful(folder):
    torch.manual_seed(0)
    recipe = Recipe(batch=8, steps=100, lr=0.05)
    return Trainer(Stateful(), recipe, points(8), WORLD, folder, torch.float32)


def test_an_objective_with_a_state_resumes_bit_for_bit(tmp_path):
    assert_resumes(tmp_path, make_stateful)
    saved = checkpoint.load_latest(tmp_path).tensors["objective"]
    assert saved["count"] == 10 and saved["mean"].abs().min() > 0 and saved["pool"].shape == (1, 2, 3)


def test_a_roll_back_returns_to_the_state_too(tmp_path):
    trainer = make_stateful(tmp_path)
    trainer.step()
    trainer.save()
    kept = everything(trainer)
    trainer.step()
    trainer.objective.state["mean"][0] = float("nan")
    assert not trainer.is_finite()
    trainer.roll_back("not finite")
    back = everything(trainer)
    assert trainer.is_finite() and all(torch.equal(kept[key], back[key]) for key in kept)


def test_the_state_of_another_objective_is_refused(tmp_path):
    make_trainer(tmp_path, batch=8).save()
    with pytest.raises(LuoxiaError, match=r"does not fit.*count.*mean.*pool"):
        make_stateful(tmp_path).restore(checkpoint.load_latest(tmp_path))


IMAGES = torch.rand(40, 3, 12, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.arange(40) % 3


def image_batches(phase, index):
    rows = Order(40, seed=hashed(phase.name)).indices(index * 6, 6)
    return Batch(IMAGES[rows].contiguous(memory_format=torch.channels_last), LABELS[rows])


GANS = {
    "dcgan lazy r1": DCGAN(width=4, latent=5, batch=6, penalty_every=3),
    "dcgan batch norm": DCGAN(width=4, latent=5, batch=6, penalty="none", d_norm="batch"),
    "dcgan spectral norm, dropout": DCGAN(
        width=4, latent=5, batch=6, spectral_norm=True, dropout=0.3, g_dropout=0.2, condition="projection"
    ),
    "resnet gp rmsprop": DCGAN(
        network="resnet", width=4, latent=5, batch=6, penalty="gp", d_steps=2, optimizer={"name": "rmsprop"},
        augment=("color", "translation", "cutout", "mirror"),
    ),
    "mlp concat sgd": GAN(width=2, latent=5, batch=6, condition="concat", optimizer={"name": "sgd", "momentum": 0.9}),
    "dcgan adamw accumulate": DCGAN(
        width=4, latent=5, batch=6, accumulate=2, optimizer={"name": "adamw", "weight_decay": 0.1}
    ),
    "dcgan bf16": DCGAN(width=4, latent=5, batch=6, precision="bf16", penalty_every=2),
    "wgan clipping": DCGAN(width=4, latent=5, batch=6, penalty="none", loss="wasserstein", clip_weights=0.01),
    "everything annealed": DCGAN(
        width=4, latent=5, batch=6, gamma="2..0.2", penalty_every=2, optimizer={"betas": "0,0.9..0.99"},
        ema={"half_life": "0..50", "warmup_share": 0}, schedule={"name": "cosine", "final": 0.25, "samples": 35},
    ),
    "r3gan": R3GAN(
        width=4, max_channels=8, group=4, latent=5, batch=6, condition="projection",
        schedule={"name": "cosine", "final": 0.25, "samples": 35}, ema={"half_life": "0..50"},
    ),
    "transformer-gan": TransformerGAN(
        width=8, layers=1, heads=2, latent=5, batch=6, schedule={"samples": 35}, ema={"half_life": "0..50"},
    ),
    "relativistic r1+r2": DCGAN(width=4, latent=5, batch=6, penalty="r1+r2", penalty_every=1, loss="relativistic"),
    "stylegan2 with everything": StyleGAN2(
        width=4, max_channels=8, latent=5, styles=6, batch=6, minibatch_std_group=2, mixing=0.9, path_weight=2.0,
        path_every=2,
        penalty_every=3, condition="projection", augment=("ada",), ada_kimg=0.2, ada_target=-0.9,
    ),
    "adaptive augmentation of dcgan": DCGAN(
        width=4, latent=5, batch=6, augment=("ada", "cutout"), ada_pipe="bgcfnc", ada_kimg=0.2, ada_target=-0.9
    ),
}  # fmt: skip


def make_gan(recipe, folder):
    torch.manual_seed(recipe.seed)
    dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    spec = ImageSpec(12, 12, 3, 3)
    recipe = recipe.model_copy(update=recipe.settled(spec))
    return Trainer(recipe.build(spec), recipe, image_batches, WORLD, folder, dtype)


@pytest.mark.parametrize("recipe", GANS.values(), ids=GANS.keys())
def test_a_gan_resumes_bit_for_bit(tmp_path, recipe):
    assert_resumes(tmp_path, lambda folder: make_gan(recipe, folder), first=3, then=4)


def known_peak(trainer):
    """As if the device's peak were known."""
    trainer.flops.peak = 1e9
    return trainer


@pytest.mark.parametrize("recipe", GANS.values(), ids=GANS.keys())
def test_counting_operations_changes_nothing(tmp_path, recipe):
    """Every phase is counted, lazy ones too, at whatever step training stands."""
    plain, counting = (
        make_gan(recipe, tmp_path / "plain"),
        known_peak(make_gan(recipe, tmp_path / "counting")),
    )
    for trainer in (plain, counting):
        trainer.step()
        trainer.save()
    counting.flops.count(counting)
    assert counting.progress.step == 1
    assert counting.flops.per_weight.keys() == {phase.name for phase in counting.phases}
    for trainer in (plain, counting):
        for _ in range(2):
            trainer.step()
    expected, found = everything(plain), everything(counting)
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    assert plain.read_tally()["flops_share"] is None and counting.read_tally()["flops_share"] > 0


def test_convolutions_stay_channels_last(tmp_path):
    """Through construction, the average, a save and a restore: weights, averages and moments."""
    recipe = GANS["dcgan lazy r1"]
    trainer = make_gan(recipe, tmp_path)
    trainer.step()
    trainer.save()
    resumed = make_gan(recipe, tmp_path)
    resumed.restore(checkpoint.load_latest(tmp_path))
    for one in (trainer, resumed):
        state = everything(one)
        kernels = {k: v for k, v in state.items() if v.dim() == 4 and min(v.shape[1:]) > 1}
        assert len(kernels) >= 5, "a kernel, its average and a moment of G; a kernel and a moment of D"
        layouts = {k: v.is_contiguous(memory_format=torch.channels_last) for k, v in kernels.items()}
        assert all(layouts.values()), [k for k, ok in layouts.items() if not ok]


BUILT = [name for name, r in RECIPES.items() if issubclass(r, ImageRecipe) and r.build is not Recipe.build]


@pytest.mark.parametrize("name", BUILT)
def test_networks_say_how_their_weights_lie(name):
    """Channels last wherever there is a kernel; a network that says nothing is left as it is."""
    recipe = RECIPES[name]()
    objective = recipe.build(ImageSpec(32, 32, 3, 3))
    for network in objective.networks.values():
        kernels = any(p.dim() == 4 for p in network.parameters())
        assert getattr(network, "memory_format", None) == (torch.channels_last if kernels else None)
    plain = nn.Conv2d(3, 4, 3)
    objective.networks = {"one": plain}
    objective.phases = list
    Trainer(objective, Recipe(ema={"half_life": 0}), points(2), WORLD, None, torch.float32)
    assert plain.weight.is_contiguous()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    make_gan(GANS["dcgan lazy r1"], tmp_path).save()
    other = make_gan(DCGAN(width=8, latent=5, batch=6), tmp_path)
    with pytest.raises(LuoxiaError, match="does not fit"):
        other.restore(checkpoint.load_latest(tmp_path))


@pytest.mark.parametrize("recipe", [GANS["wgan clipping"]])
def test_weights_are_clipped_after_each_update(tmp_path, recipe):
    trainer = make_gan(recipe, tmp_path)
    trainer.step()
    largest = [p.abs().max().item() for p in trainer.networks["discriminator"].parameters()]
    assert max(largest) <= 0.01 + 1e-8 and max(largest) > 0.009
    assert max(p.abs().max().item() for p in trainer.networks["generator"].parameters()) > 0.05


def unpaired_batches(phase, index):
    rows = Order(40, seed=hashed(phase.name)).indices(index * 2, 2)
    return UnpairedBatch(IMAGES[rows], -IMAGES[rows])


SMALL = {"width": 4, "d_width": 4, "blocks": 1, "batch": 2}
TRANSLATORS = {
    "cyclegan, pool filled and swapped": CycleGAN(**SMALL, pool=6),
    "cyclegan relativistic bf16 accumulate": CycleGAN(
        **SMALL, pool=3, loss="relativistic", precision="bf16", accumulate=2, identity=0
    ),
    "cut": CUT(**SMALL, patches=5),
}


@pytest.mark.parametrize("recipe", TRANSLATORS.values(), ids=TRANSLATORS.keys())
def test_a_translator_resumes_bit_for_bit(tmp_path, recipe):
    def make(folder):
        torch.manual_seed(0)
        dtype = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
        return Trainer(recipe.build(ImageSpec(12, 12, 3)), recipe, unpaired_batches, WORLD, folder, dtype)

    assert_resumes(tmp_path, make)
    if recipe.name == "cyclegan":
        saved = checkpoint.load_latest(tmp_path).tensors["objective"]
        assert saved["pooled"] == 5 * recipe.batch * recipe.accumulate
        assert all(saved[f"pool_{side}"].flatten(1).norm(dim=1).min() > 0 for side in "ab")
