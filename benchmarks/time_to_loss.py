"""Validation loss over training time on the characters of tinyshakespeare: ``gpt`` against nanoGPT, on a CPU.

The peer is nanoGPT's own model file (``--nanogpt``, a checkout of it) in the CPU configuration of its README: 4 layers,
4 heads, width 128, context 64, batch 12, 2,000 iterations, AdamW 1e-3 to 1e-4, float32. Its loop is the README's,
without evaluations. Ours is ``luoxia train gpt`` on the same split: the first 90% trains. Both clocks leave out
evaluation, which is the same for both: all of the last 10%, in rows of 64 characters. Ours counts its log lines and its
checkpoints.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from common import arguments, header, open_session, progress, table

CONTEXT, BATCH, ITERATIONS = 64, 12, 2000


@dataclass
class Curve:
    """(seconds, steps, loss) of one side."""

    name: str
    points: list[tuple[float, int, float]] = field(default_factory=list)

    def reached(self, level: float) -> float | None:
        """Seconds until the loss was no higher, between two evaluations by a straight line."""
        before = None
        for seconds, _, loss in self.points:
            if loss <= level:
                if before is None:
                    return seconds
                share = (before[1] - level) / (before[1] - loss)
                return float(before[0] + share * (seconds - before[0]))
            before = (seconds, loss)
        return None


def follow(name: str, step: Callable[[], int], loss: Callable[[], float], every: int, last: int) -> Curve:
    """Step until ``last`` steps are done, evaluating every ``every``, outside the clock."""
    curve, clock = Curve(name), 0.0
    for _ in range(last):
        began = time.perf_counter()
        number = step()
        clock += time.perf_counter() - began
        if number % every == 0 or number == last:
            curve.points.append((clock, number, loss()))
            progress(f"{name}: step {number:,}, {clock:.1f} s, loss {curve.points[-1][2]:.4f}")
    return curve


class Peer:
    """nanoGPT's model, trained as its train.py does on a CPU."""

    def __init__(self, checkout: str, text: str) -> None:
        import torch

        spec = importlib.util.spec_from_file_location("nanogpt_model", Path(checkout) / "model.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["nanogpt_model"] = module
        spec.loader.exec_module(module)
        torch.manual_seed(1337)
        characters = sorted(set(text))
        number = {character: i for i, character in enumerate(characters)}
        ids = np.array([number[character] for character in text], np.int64)
        cut = int(0.9 * len(ids))
        self.train, self.heldout = torch.from_numpy(ids[:cut]), torch.from_numpy(ids[cut:])
        settings = module.GPTConfig(
            n_layer=4,
            n_head=4,
            n_embd=128,
            block_size=CONTEXT,
            bias=False,
            vocab_size=len(characters),
            dropout=0.0,
        )
        self.model = module.GPT(settings)
        self.optimizer = self.model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
        self.steps = 0

    def step(self) -> int:
        """One iteration."""
        import torch

        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        starts = torch.randint(len(self.train) - CONTEXT, (BATCH,))
        inputs = torch.stack([self.train[i : i + CONTEXT] for i in starts])
        targets = torch.stack([self.train[i + 1 : i + 1 + CONTEXT] for i in starts])
        _, loss = self.model(inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        return self.steps

    def learning_rate(self) -> float:
        """100 iterations of warm-up, then a cosine to a tenth."""
        if self.steps < 100:
            return 1e-3 * (self.steps + 1) / 101
        share = (self.steps - 100) / (ITERATIONS - 100)
        return 1e-4 + 0.5 * (1 + math.cos(math.pi * share)) * 9e-4

    def loss(self) -> float:
        """Nats a character of the held-out text."""
        import torch
        from torch.nn import functional

        count = (len(self.heldout) - 1) // CONTEXT
        inputs = self.heldout[: count * CONTEXT].view(count, CONTEXT)
        targets = self.heldout[1 : count * CONTEXT + 1].view(count, CONTEXT)
        self.model.eval()
        with torch.no_grad():
            nats = [
                functional.cross_entropy(
                    self.model(x, y)[0].flatten(0, 1), y.flatten(), reduction="sum"
                ).item()
                for x, y in zip(inputs.split(64), targets.split(64), strict=True)
            ]
        self.model.train()
        return sum(nats) / targets.numel()


class Ours:
    """What ``luoxia train gpt`` does, step by step."""

    def __init__(self, data: str, out: Path, words: list[str]) -> None:
        from luoxia.core.settings import parse_settings

        settings = {
            "data": data,
            "tokenizer": "character",
            "holdout": 0.1,
            "device": "cpu",
            "context": CONTEXT,
        }
        self.session: Any = open_session("gpt", {**settings, **parse_settings(words)}, out)
        self.steps = self.session.recipe.steps

    def step(self) -> int:
        """One step, and what the loop does beside it."""
        from luoxia.training.objective import Rng, hashed

        trainer, recipe = self.session.trainer, self.session.recipe
        trainer.step()
        number = int(trainer.progress.step)
        if number % recipe.log_every == 0:
            trainer.read_tally()
            rng = Rng(hashed(recipe.seed, "observe", number))
            trainer.objective.observe(*self.session.stage.observe(rng), rng)
            trainer.is_finite()
        if number % recipe.checkpoint_every == 0:
            trainer.save()
        return number

    def loss(self) -> float:
        """Nats a character of the held-out text."""
        from luoxia.tasks.language_modeling.scores import prediction_scores

        session = self.session
        network = session.context.eval_model("decoder")
        scores = prediction_scores(
            network, session.stage.heldout, session.data,
            context=CONTEXT, device=session.world.device, dtype=session.dtype, name="", seed=0,
        )  # fmt: skip
        return float(scores[0].value)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", required=True, help="tinyshakespeare.txt")
    parser.add_argument("--nanogpt", required=True, help="a checkout of nanoGPT")
    parser.add_argument("--levels", type=float, nargs="+", default=[2.4, 2.2, 2.0, 1.88])
    parser.add_argument("settings", nargs="*", help="key=value for ours")
    asked = parser.parse_args()
    iterations = 20 if asked.quick else ITERATIONS
    header("Time to loss, characters of tinyshakespeare", asked.quick)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        ours = Ours(asked.data, Path(folder) / "run", asked.settings)
        progress(f"ours set up in {time.perf_counter() - began:.1f} s")
        mine = follow("Luoxia", ours.step, ours.loss, 10 if asked.quick else 50, min(ours.steps, iterations))
    peer = Peer(asked.nanogpt, Path(asked.data).read_text(encoding="utf-8"))
    theirs = follow("nanoGPT", peer.step, peer.loss, 10 if asked.quick else 100, iterations)
    rows = []
    for level in asked.levels:
        a, b = mine.reached(level), theirs.reached(level)
        told = [f"{s:.1f} s" if s else "not reached" for s in (a, b)]
        rows.append((f"{level:g}", *told, f"{b / a:.1f} ×" if a and b else None))
    table(("validation loss", "Luoxia `gpt`", "nanoGPT", "Luoxia is faster by"), rows)
    table(
        ("training", "steps", "seconds", "validation loss"),
        [
            (c.name, f"{c.points[-1][1]:,}", f"{c.points[-1][0]:.0f}", f"{c.points[-1][2]:.3f}")
            for c in (mine, theirs)
        ],
    )


if __name__ == "__main__":
    main()
