"""A medium and a task of one's own, in a file outside the package: points in the plane, by a GAN and then a refiner.

``luoxia train points.py:Points data=spiral.csv`` trains it. Nothing of the package is patched.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from luoxia.adversarial.losses import NonSaturating
from luoxia.core.config import Config
from luoxia.core.errors import UsageError
from luoxia.core.order import Order, holdout_split
from luoxia.core.values import Seed, Whole
from luoxia.media.base import Medium
from luoxia.metrics.score import Measurement, Score
from luoxia.tasks.base import Capability, Task
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Examples, Objective, Phase, Rng, hashed
from luoxia.training.recipe import Average, Recipe
from luoxia.training.stage import Stage

Array = NDArray[np.float32]


# ------------------------------------------------------------------ the medium


@dataclass(frozen=True)
class PointData:
    """Points ``values`` (n, 2), float32."""

    values: Array
    source: str
    fingerprint: str
    skipped: tuple[Any, ...] = ()
    spec: None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Array:
        return self.values[index]


class PointMedium(Medium):
    """Points in the plane: FILE.csv with the columns x and y."""

    name: ClassVar[str] = "points"
    unit: ClassVar[str] = "point"

    def accepts(self, source: Any) -> bool:
        path = Path(str(source))
        return path.suffix == ".csv" and path.is_file() and path.read_text().startswith("x,y\n")

    def open(self, source: str) -> PointData:
        if not self.accepts(source):
            raise UsageError(f"{source} is not a table of points: its first line must be x,y")
        with Path(source).open(newline="") as file:
            rows = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
        values = np.array(rows, np.float32)
        return PointData(values, str(source), hashlib.sha256(values.tobytes()).hexdigest()[:32])

    def describe(self, path: str | None, **settings: Any) -> dict[str, Any]:
        data = self.open(str(path))
        return {"source": data.source, "count": len(data), "fingerprint": data.fingerprint}

    def html(self, file: Path) -> str:
        dots = "".join(
            f'<circle cx="{x:.3f}" cy="{-y:.3f}" r="0.03"/>' for x, y in self.open(str(file)).values
        )
        return f'<svg viewBox="-3 -3 6 6" width="300">{dots}</svg>'


def write_points(out: Path, values: Array, label: Any) -> Path:
    from luoxia.formats import csv as table

    return table.write([("x", "y"), *((f"{x:.6g}", f"{y:.6g}") for x, y in values)], label, out)


MEDIUM = PointMedium()


# ------------------------------------------------------------------ the networks and the objectives


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


class Refined(nn.Module):
    """A generator, whose points a second network moves to where the data lies."""

    def __init__(self, latent: int, width: int) -> None:
        super().__init__()
        self.latent = latent
        self.generator = mlp(latent, width, width, 2)
        self.refiner = mlp(2, width, width, 2)

    def forward(self, z: Tensor) -> Tensor:
        """z (n, latent) → points (n, 2)."""
        x: Tensor = self.generator(z)
        moved: Tensor = x + self.refiner(x)
        return moved


@dataclass
class Batch(Examples):
    """Points (n, 2)."""

    points: Tensor

    def __len__(self) -> int:
        return len(self.points)


class Game(Objective):
    """min_G max_D, non-saturating (Goodfellow et al. 2014)."""

    averaged = ("generator",)

    def __init__(self, latent: int, width: int) -> None:
        self.latent = latent
        self.networks = {"generator": mlp(latent, width, width, 2), "discriminator": mlp(2, width, width, 1)}
        self.loss = NonSaturating()
        self.statistics = {}

    def phases(self) -> Iterator[Phase]:
        yield Phase("discriminator", self.judge, "discriminator", role="critic")
        yield Phase("generator", self.play, "generator", batched=False)

    def judge(self, batch: Batch, rng: Rng) -> dict[str, Tensor]:
        fake = self.networks["generator"](rng.normal(len(batch), self.latent)).detach()
        self._n = len(batch)
        judge = self.networks["discriminator"]
        return {"discriminator": self.loss.discriminator(judge(batch.points), judge(fake))}

    def play(self, batch: None, rng: Rng) -> dict[str, Tensor]:
        fake = self.networks["generator"](rng.normal(self._n, self.latent))
        return {"generator": self.loss.generator(None, self.networks["discriminator"](fake))}


class Denoising(Objective):
    """A point from a noisy copy of it: min ‖x − r(x + σε) − (x + σε)‖²."""

    averaged = ("model",)

    def __init__(self, model: Refined, sigma: float) -> None:
        model.generator.requires_grad_(False)
        self.networks = {"model": model}
        self.sigma = sigma
        self.statistics = {}

    def phases(self) -> Iterator[Phase]:
        yield Phase("denoising", self.losses, "model")

    def losses(self, batch: Batch, rng: Rng) -> dict[str, Tensor]:
        noisy = batch.points + self.sigma * rng.normal(len(batch), 2)
        model: Any = self.networks["model"]
        return {"mse": F.mse_loss(noisy + model.refiner(noisy), batch.points)}


# ------------------------------------------------------------------ the recipe, the stages and the task


class PointModel:
    """A trained generator of points."""

    def __init__(self, network: Refined, *, details: Any, device: Any = "cpu", **more: Any) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.details, self.device = details, torch.device(device)

    @torch.inference_mode()
    def sample(self, n: int, seed: int = 0) -> Array:
        """N points (n, 2), float32."""
        z = torch.stack([Rng(hashed(seed, i)).normal(self.network.latent) for i in range(n)])
        points: Array = self.network(z.to(self.device)).cpu().numpy()
        return points


class PointStage(Stage):
    """What both stages share: batches of points."""

    def prepare(self) -> None:
        self.train, self.heldout = holdout_split(len(self.data), 0.1, self.recipe.seed)
        self.order = Order(len(self.train), hashed(self.recipe.seed, "points"))

    def take(self, indices: Any) -> Batch:
        return Batch(torch.from_numpy(self.data.values[indices])).to(self.world.device)

    def batch(self, phase: Phase, index: int) -> Batch:
        start = (index * self.world.size + self.world.rank) * self.recipe.batch
        return self.take(self.train[self.order.indices(start, self.recipe.batch)])

    def observe(self, rng: Rng) -> tuple[Batch, Batch]:
        return self.take(self.train[:64]), self.take(self.heldout)

    def preview(self, out: Path) -> None:
        write_points(
            out.with_suffix(".csv"), self.model().sample(64, self.recipe.seed), self.context.details()
        )

    def quick_score(self) -> QuickScore:
        (score,) = distance_scores(self.model(), self.data.values[self.heldout], 200, 1)
        return QuickScore([score.as_dict()], score.value, 0.0, {}, score.name)

    def evaluate(self) -> list[dict[str, Any]]:
        n = self.recipe.score_samples
        scores = distance_scores(self.model(), self.data.values[self.heldout], n, self.recipe.seed + 1)
        return [score.as_dict() for score in scores]


class GameStage(PointStage):
    """First: a small GAN."""

    name: ClassVar[str] = "gan"
    network: ClassVar[str] = "generator"

    @classmethod
    def settings(cls, recipe: Any) -> dict[str, Any]:
        return {"steps": recipe.gan_steps}

    def objective(self) -> Objective:
        return Game(self.recipe.latent, self.recipe.width)

    def model(self) -> PointModel:
        network = Refined(self.recipe.latent, self.recipe.width)
        network.generator.load_state_dict(self.weights())
        nn.init.zeros_(network.refiner[-1].weight)
        nn.init.zeros_(network.refiner[-1].bias)
        return PointModel(network, details=self.context.details(), device=self.world.device)


class RefinerStage(PointStage):
    """Then: a refiner of its points, beside the generator that the first stage left."""

    name: ClassVar[str] = "refiner"
    network: ClassVar[str] = "model"
    from_earlier: ClassVar[tuple[str, ...]] = ("generator.",)

    def objective(self) -> Objective:
        from safetensors.torch import load_file

        model = Refined(self.recipe.latent, self.recipe.width)
        model.generator.load_state_dict(load_file(self.context.left["gan"] / "model.safetensors"))
        return Denoising(model, self.recipe.sigma)

    def model(self) -> PointModel:
        network = Refined(self.recipe.latent, self.recipe.width)
        network.load_state_dict(self.weights())
        return PointModel(network, details=self.context.details(), device=self.world.device)


def distance_scores(model: PointModel, real: Array, n: int, seed: int) -> list[Score]:
    """The energy distance between samples and real points (Székely & Rizzo 2013)."""
    fake = model.sample(n, seed)

    def mean(a: Array, b: Array) -> float:
        return float(np.linalg.norm(a[:, None] - b[None], axis=2).mean())

    value = 2 * mean(fake, real) - mean(fake, fake) - mean(real, real)
    signature = {"n": n, "real": len(real), "seed": seed}
    return [Score("energy distance", value, None, None, 0.0, "authenticity", signature)]


class SampleKeys(Config):
    """The keys of ``luoxia sample`` for points."""

    n: Whole = Field(16, ge=1, description="points")
    seed: Seed = Field(0, description="point i is a function of (seed, i)")
    out: str = Field("points.csv", description="FILE.csv")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda")
    use: str | None = Field(None, description="the file of the recipe")


class MeasureKeys(Config):
    """The keys of ``luoxia measure`` for points."""

    data: str | None = Field(None, description="other points")
    n: Whole = Field(500, ge=2, description="points")
    device: str = Field("auto", description="auto, cpu, cuda")
    use: str | None = Field(None, description="the file of the recipe")


class ExportKeys(Config):
    """The keys of ``luoxia export`` for points."""

    out: str = Field("weights.npz", description="FILE.npz; it must be new")
    use: str | None = Field(None, description="the file of the recipe")


def sample(record: Any, /, **settings: Any) -> Path:
    from luoxia.tasks.labeling import label_of
    from luoxia.tasks.loading import load_model
    from luoxia.tasks.outputs import claimed

    chosen: SampleKeys = SampleKeys.from_settings(settings)
    out = claimed(record, chosen.out, (".csv",), chosen.overwrite)
    model = load_model(record, device=chosen.device)
    label = label_of(model, record).asked({"n": chosen.n}, seed=chosen.seed)
    return write_points(out, model.sample(chosen.n, chosen.seed), label)


def measure(record: Any, /, *, quiet: bool = False, **settings: Any) -> Measurement:
    from luoxia.tasks.loading import load_model
    from luoxia.tasks.measuring import check_unchanged, keep_scores, run_of
    from luoxia.tasks.record import trained_config

    chosen: MeasureKeys = MeasureKeys.from_settings(settings)
    config = trained_config(run_of(record))
    data = record.task.open(
        config if chosen.data is None else config.model_copy(update={"data": chosen.data})
    )
    real = data.values
    if chosen.data is None:
        check_unchanged(record.run, data)
        real = real[holdout_split(len(data), 0.1, config.seed)[1]]
    model = load_model(record, device=chosen.device)
    measured = Measurement(distance_scores(model, real, chosen.n, config.seed + 1))
    if chosen.data is None:
        keep_scores(record, measured.scores)
    return measured


def export(record: Any, /, **settings: Any) -> Path:
    from luoxia.tasks.outputs import new_place

    chosen: ExportKeys = ExportKeys.from_settings(settings)
    out = new_place(record, chosen.out, "FILE.npz")
    np.savez(out, **{name: value.numpy() for name, value in record.weights().items()})
    return out


class PointGeneration(Task):
    """Points from nothing, in two stages."""

    name: ClassVar[str] = "point generation"
    kind: ClassVar[str] = "point generator"
    output: ClassVar[str] = "points"
    unit: ClassVar[str] = "points"
    media: ClassVar[dict[str, Medium]] = {"points": MEDIUM}
    capabilities: ClassVar[dict[str, Capability]] = {
        "sample": Capability(SampleKeys, sample, "luoxia sample RUN out=points.csv"),
        "measure": Capability(MeasureKeys, measure, "luoxia measure RUN"),
        "export": Capability(ExportKeys, export, "luoxia export RUN out=FILE.npz"),
    }

    def stages(self, recipe: Any) -> tuple[type[Stage], ...]:
        return (GameStage, RefinerStage)

    def open(self, recipe: Any, display: Any = None) -> PointData:
        if recipe.data is None:
            raise UsageError("Points needs data=FILE.csv with the columns x and y")
        return MEDIUM.open(recipe.data)

    def load(self, record: Any, weights: dict[str, Tensor], **common: Any) -> PointModel:
        network = Refined(record.recipe.latent, record.recipe.width)
        network.load_state_dict(weights)
        return PointModel(network, **common)


class Points(Recipe):
    """A small GAN on points, then a refiner."""

    task: ClassVar[Task] = PointGeneration()
    title: ClassVar[str] = "points in the plane"
    source: ClassVar[str] = "Goodfellow et al. 2014; Vincent 2011"

    latent: Whole = Field(2, ge=1, description="dimensions of z")
    width: Whole = Field(32, ge=1, description="hidden units")
    gan_steps: Whole = Field(
        200, ge=1, description="steps of the first stage; steps= are those of the refiner"
    )
    sigma: float = Field(0.2, gt=0, description="noise that the refiner learns to remove")
    score_samples: Whole = Field(500, ge=2, description="points of the final scores")
    steps: Whole = 200
    lr: float = 2e-3
    ema: Average = Average(half_life=1000)
