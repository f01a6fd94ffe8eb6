"""On a GPU: the pace of a language model, what deterministic kernels cost and give, and what the end of a run takes.

``language``: a GPT-2-shaped model (12 layers, width 768, context 1,024, 32 rows, vocabulary 8,192) on random tokens
through Luoxia's own batches and trainer, in rows of one document and of many, as written and compiled; with
``--nanogpt`` beside nanoGPT's own model file, trained as its train.py does. ``equal``: whether two
equal trainings of it end in equal bits. ``images``: 60 steps of three recipes at
64 pixels with deterministic kernels and without, in turn; whether equal runs end in equal bits, and a resumed one too.
``end``: what a run of 60 steps takes besides its steps. ``--out FOLDER`` gets the kernels of single steps, by time.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import arguments, header, median, open_session, progress, table

CONTEXT, ROWS, VOCABULARY, DOCUMENT = 1024, 32, 8192, 300
"""The language model's, and the mean length of a document, in tokens."""
STEPS = 60
"""Of a training on images."""
CHOICES = {"styles": ("gpt2", "modern"), "ways": ("written", "compiled"), "documents": ("one", "many")}
"""Of the language model: all are measured unless some are asked for."""
Step = Callable[[], Any]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts, in this order")
    parser.add_argument("--out", type=Path, help="folder for the kernels of single steps")
    parser.add_argument("--nanogpt", help="a checkout of nanoGPT")
    for key, ways in CHOICES.items():
        parser.add_argument(f"--{key}", nargs="+", choices=ways, default=ways)
    asked = parser.parse_args()
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
    import torch

    header("On a GPU", asked.quick)
    device = torch.device(asked.device)
    print(f"Device: {torch.cuda.get_device_name(device) if device.type == 'cuda' else device}.\n")
    for part in asked.only:
        try:
            PARTS[part](asked, device)
        except Exception:  # the other parts still say theirs
            progress(f"{part} failed:\n{traceback.format_exc(limit=-6)}")


# ------------------------------------------------------------------ time


def wait(device: Any) -> float:
    """The time when the device has done all that it was asked."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_of(step: Step, count: int, device: Any) -> float:
    """So many steps, to their end."""
    began = wait(device)
    for _ in range(count):
        step()
    return wait(device) - began


def write_profile(step: Step, path: Path | None, device: Any) -> tuple[int, float] | None:
    """How many kernels one step starts and the milliseconds that they take; by time, the first 25 go to ``path``."""
    if path is None or device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    wait(device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        seconds = seconds_of(step, 1, device)
    events = profiler.key_averages()
    kernels = [e for e in events if e.device_type.name == "CUDA" and e.self_device_time_total > 0]
    kernels.sort(key=lambda event: -event.self_device_time_total)
    total = sum(e.self_device_time_total for e in kernels) / 1000
    count = sum(e.count for e in kernels)
    lines = [f"{1000 * seconds:.1f} ms under the profiler, {count} kernels of {total:.1f} ms", ""]
    lines += [f"{e.self_device_time_total / 1000:9.2f} ms {e.count:6d} × {e.key[:150]}" for e in kernels[:25]]
    asking = [e for e in events if e.key.startswith(("cuda", "cu")) and e.self_cpu_time_total > 0]
    asking.sort(key=lambda event: -event.self_cpu_time_total)
    lines += ["", "on the host:"]
    lines += [f"{e.self_cpu_time_total / 1000:9.2f} ms {e.count:6d} × {e.key}" for e in asking[:8]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return count, total


# ------------------------------------------------------------------ a language model


class Tokens:
    """Random tokens, as rows of one document or of many."""

    def __init__(self, device: Any, context: int, rows: int) -> None:
        import numpy as np

        from luoxia.media.text.tokens import TokenBatches, TokenStream

        draw = np.random.default_rng(0)
        one = draw.integers(1, VOCABULARY, 64 * context * rows).astype(np.uint16)
        many = one.copy()
        many[np.cumsum(draw.geometric(1 / DOCUMENT, len(many) // DOCUMENT)) % len(many)] = 0
        spans = np.array([[0, len(one)]])
        self.kinds = {
            name: TokenBatches(TokenStream(tokens, spans, 0), rows, context, 0)
            for name, tokens in (("one", one), ("many", many))
        }
        self.device, self.kind = device, "one"

    def __call__(self, phase: Any, index: int) -> Any:
        """Batch number ``index`` on the device."""
        from luoxia.tasks.language_modeling.scores import to_batch

        return to_batch(self.kinds[self.kind](index), self.device)


def our_trainer(asked: Any, tokens: Tokens, style: str, compiled: bool, deterministic: str = "off") -> Any:
    """The recipe in Luoxia's trainer."""
    import torch

    from luoxia.media.text.spec import TextSpec
    from luoxia.tasks.menu import find
    from luoxia.training.distributed import World
    from luoxia.training.hardware import choose_precision
    from luoxia.training.trainer import Trainer

    sizes = {"layers": 2, "heads": 2, "width": 64} if asked.quick else {"size": "base"}
    own = {"style": style, "context": context_of(asked), "batch": ROWS, "deterministic": deterministic}
    recipe = find("gpt").from_settings({**own, **sizes})
    torch.manual_seed(0)
    dtype = choose_precision("auto" if tokens.device.type == "cuda" else "fp32", tokens.device)
    objective, world = recipe.build(TextSpec(VOCABULARY)), World(0, 1, tokens.device)
    return Trainer(objective, recipe, tokens, world, None, dtype, compiled=compiled)


def context_of(asked: Any) -> int:
    """Tokens of a row."""
    return 64 if asked.quick else CONTEXT


def rated(name: str, asked: Any, seconds: float, count: int, ready: float | None, parameters: int) -> Any:
    """A row: tokens a second, and operations by nanoGPT's estimate."""
    context = context_of(asked)
    rate = count * ROWS * context / seconds
    operations = rate * (6 * parameters + 12 * 12 * 768 * context)
    progress(f"{name}: {rate:,.0f} tokens/s")
    return name, rate, None if asked.quick else f"{operations / 1e12:.0f}", ready and f"{ready:.0f} s"


def language(asked: Any, device: Any) -> None:
    """Tokens a second, ours and nanoGPT's, and the kernels of a step."""
    import torch

    tokens, rows = Tokens(device, context_of(asked), ROWS), []
    warm, count = (1, 1) if asked.quick else (5, 20)
    for style in asked.styles:
        for way in asked.ways:
            trainer = our_trainer(asked, tokens, style, way == "compiled")
            parameters = sum(p.numel() for p in trainer.networks["decoder"].parameters())
            for kind in asked.documents:
                tokens.kind = kind
                ready = seconds_of(trainer.step, warm, device)
                took = seconds_of(trainer.step, count, device)
                how = f"Luoxia {style}, {'as written' if way == 'written' else way}, {kind} to a row"
                rows.append(rated(how, asked, took, count, ready, parameters))
                name = f"kernels-{style}-{way}-{kind}.txt"
                write_profile(trainer.step, asked.out and asked.out / name, device)
            del trainer
            torch.compiler.reset()
    if asked.nanogpt:
        rows.append(nanogpt(asked, tokens, warm, count))
    table(("model, documents", "tokens a second", "TFLOP/s", "first steps"), rows)


def equal(asked: Any, device: Any) -> None:
    """Whether two equal trainings of the language model end in equal bits."""
    tokens = Tokens(device, context_of(asked), ROWS)
    table(("gpt2 as written", "tensors that differ", "ms a step"), gpt_twice(asked, tokens))


def gpt_twice(asked: Any, tokens: Tokens) -> Iterator[tuple[str, str, float]]:
    """Two equal trainings without deterministic kernels, and two with them; by kind of rows."""
    import torch

    from luoxia.training.determinism import deterministic

    for tokens.kind, setting in (("one", "off"), ("one", "on"), ("many", "off"), ("many", "on")):
        ended: list[dict[str, Any]] = []
        took = 0.0
        for _ in range(2):
            trainer = our_trainer(asked, tokens, "gpt2", False, setting)
            with deterministic(trainer.recipe, tokens.device):
                seconds_of(trainer.step, 3, tokens.device)
                took = seconds_of(trainer.step, 2 if asked.quick else 12, tokens.device)
            ended.append({k: v.cpu() for k, v in trainer.networks["decoder"].state_dict().items()})
            del trainer
        unlike = sum(not torch.equal(ended[0][key], ended[1][key]) for key in ended[0])
        yield (
            f"{tokens.kind} to a row, deterministic={setting}",
            f"{unlike} of {len(ended[0])}",
            1000 * took / (2 if asked.quick else 12),
        )


def nanogpt(asked: Any, tokens: Tokens, warm: int, count: int) -> Any:
    """nanoGPT's model in the loop of its train.py, compiled, each batch fetched while the one before is learned."""
    import torch

    device, context = tokens.device, context_of(asked)
    specification = importlib.util.spec_from_file_location("nanogpt_model", Path(asked.nanogpt) / "model.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["nanogpt_model"] = module
    specification.loader.exec_module(module)
    sizes = (2, 2, 64) if asked.quick else (12, 12, 768)
    names = ("n_layer", "n_head", "n_embd")
    settings = {**dict(zip(names, sizes, strict=True)), "block_size": context, "vocab_size": VOCABULARY}
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    model = module.GPT(module.GPTConfig(**settings, bias=False, dropout=0.0)).to(device)
    optimizer = model.configure_optimizers(0.1, 6e-4, (0.9, 0.95), device.type)
    compiled: Any = torch.compile(model)
    stream = torch.from_numpy(tokens.kinds["one"].stream.tokens.astype("int64"))

    def fetch() -> list[Any]:
        places = torch.randint(len(stream) - context - 1, (ROWS,))
        pair = [torch.stack([stream[i + s : i + s + context] for i in places]) for s in (0, 1)]
        pinned = [half.pin_memory() for half in pair] if device.type == "cuda" else pair
        return [half.to(device, non_blocking=True) for half in pinned]

    batch = fetch()

    def step() -> None:
        nonlocal batch
        with torch.autocast(device.type, torch.bfloat16):
            _, loss = compiled(*batch)
        batch = fetch()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    ready = seconds_of(step, warm, device)
    took = seconds_of(step, count, device)
    write_profile(step, asked.out and asked.out / "kernels-nanogpt.txt", device)
    torch.backends.cuda.matmul.allow_tf32 = before
    return rated("nanoGPT, compiled", asked, took, count, ready, model.get_num_params())


# ------------------------------------------------------------------ images


def images(asked: Any, device: Any) -> None:
    """What deterministic kernels cost, and whether equal runs are equal."""
    import numpy as np

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "noise.npz"
        noise = np.random.default_rng(0).integers(0, 256, (1024, 64, 64, 3), dtype=np.uint8)
        np.savez(data, images=noise[:, ::4, ::4] if asked.quick else noise)
        for recipe, batch in (("dcgan", 128), ("r3gan", 32), ("stylegan2", 16)):
            rows += two_ways(recipe, 8 if asked.quick else batch, data, Path(folder), asked, device)
    columns = ("recipe", "deterministic", "images a second", "ms a step", "tensors that differ in equal runs")
    table((*columns, "in a resumed run", "kernels of a step"), rows)


def two_ways(recipe: str, batch: int, data: Path, folder: Path, asked: Any, device: Any) -> Iterator[Any]:
    """Three runs each way, in turn, and one that is broken off and resumed."""
    import luoxia

    steps = 6 if asked.quick else STEPS
    common: dict[str, Any] = {
        "data": str(data), "batch": batch, "device": str(device), "extractor": "none", "sample_every": 0,
        "score_every": 0, "checkpoint_every": 10_000, "log_every": steps // 3, "quiet": True, "compile": "off",
    }  # fmt: skip
    common |= {"width": 8} if asked.quick else {}
    common |= {"augment": "ada"} if recipe == "stylegan2" else {}
    ways: dict[str, list[Any]] = {"on": [], "off": []}
    for turn in range(1 if asked.quick else 3):
        for way, runs in ways.items():
            out = folder / f"{recipe}-{way}-{turn}"
            runs.append(luoxia.train(recipe, **common, steps=steps, deterministic=way, out=str(out)))
            progress(f"{recipe}, deterministic={way}: {pace(runs[-1]):.0f} images/s")
    for way, runs in ways.items():
        half = folder / f"{recipe}-{way}-half"
        luoxia.train(recipe, **common, steps=steps // 2, deterministic=way, out=str(half))
        resumed = luoxia.resume(half, steps=steps, quiet=True)
        rate = median(map(pace, runs))
        kernels = profile_images(recipe, runs[0], way, asked, device)
        yield (
            recipe,
            way,
            rate,
            1000 * batch / rate,
            unlike(runs[0], runs[-1]),
            unlike(runs[0], resumed),
            kernels,
        )


def pace(run: Any) -> float:
    """Images a second of a run, its first log line left out."""
    rates = [record["rate"] for record in run.records("log")][1:]
    return len(rates) / sum(1 / rate for rate in rates)


def unlike(one: Any, other: Any) -> str:
    """How many tensors of two runs' last checkpoints differ."""
    import torch

    from luoxia.training.checkpoint import load_latest

    first, second = (
        {
            f"{group}/{name}": tensor
            for group, tensors in load_latest(run.checkpoints).tensors.items()
            for name, tensor in tensors.items()
        }
        for run in (one, other)
    )
    assert first.keys() == second.keys()
    return f"{sum(not torch.equal(first[key], second[key]) for key in first)} of {len(first)}"


def profile_images(recipe: str, run: Any, way: str, asked: Any, device: Any) -> str | None:
    """The kernels of one more step of a run."""
    if asked.out is None or device.type != "cuda":
        return None
    from luoxia.training.determinism import deterministic

    settings = {**run.manifest["config"], "deterministic": way, "device": str(device)}
    session = open_session(recipe, settings, f"{run.path}-profile")
    with deterministic(session.recipe, device):
        seconds_of(session.trainer.step, 10, device)  # warm, and past a lazy phase's first turn
        found = write_profile(session.trainer.step, asked.out / f"kernels-{recipe}-{way}.txt", device)
    return found and f"{found[0]:,} of {found[1]:.1f} ms"


# ------------------------------------------------------------------ the end of a run


@contextlib.contextmanager
def clocked(owner: Any, name: str, into: dict[str, float]) -> Iterator[None]:
    """Add up the seconds of all calls of ``owner.name``."""
    written = getattr(owner, name)

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return written(*arguments, **named)
        finally:
            into[name] = into.get(name, 0.0) + time.perf_counter() - began

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, written)


def end(asked: Any, device: Any) -> None:
    """A whole run of ``dcgan`` on the embedded digits, by what it does."""
    import luoxia
    from luoxia.tasks.shared.image_stage import ImageStage
    from luoxia.training import session

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, cached in (("first", False), ("second", True)):  # the extractor is learned once
            spent: dict[str, float] = {}
            began = time.perf_counter()
            with (
                clocked(ImageStage, "prepare_scores", spent),
                clocked(ImageStage, "evaluate", spent),
                clocked(session, "write_report", spent),
                fresh_cache(Path(folder)),
            ):
                common: dict[str, Any] = {"score_samples": 64} if asked.quick else {}
                out = str(Path(folder) / name)
                run = luoxia.train(
                    "dcgan",
                    steps=STEPS // 10 if asked.quick else STEPS,
                    device=str(device),
                    quiet=True,
                    out=out,
                    **common,
                )
            whole = time.perf_counter() - began
            trained = max(record["seconds"] for record in run.records("event"))
            known = [spent.get(key, math.nan) for key in ("prepare_scores", "evaluate", "write_report")]
            rows.append(
                (f"{name} run, extractor {'cached' if cached else 'learned'}", whole, trained, *known)
            )
    columns = ("dcgan, 60 steps", "all", "training", "real side of the scores", "scores", "report")
    table(columns, [(name, *(f"{value:.1f} s" for value in values)) for name, *values in rows])


@contextlib.contextmanager
def fresh_cache(folder: Path) -> Iterator[None]:
    """Luoxia's cache in ``folder``."""
    import os

    before = os.environ.get("LUOXIA_CACHE")
    os.environ["LUOXIA_CACHE"] = str(folder / "cache")
    try:
        yield
    finally:
        os.environ.pop("LUOXIA_CACHE")
        if before is not None:
            os.environ["LUOXIA_CACHE"] = before


PARTS: dict[str, Callable[[Any, Any], None]] = {
    "language": language,
    "equal": equal,
    "images": images,
    "end": end,
}

if __name__ == "__main__":
    main()
