"""Tokens a second of a GPT-2-shaped model: Luoxia against ``transformers.generate``, the same random weights in both.

Greedy, a prompt of 32 tokens. Of transformers its dynamic and its static cache are tried in float32 and bfloat16, and
the fastest is the one that is compared with; the two then take turns. Rates count the prompt's pass too. The floor
is what reading the weights once a token would take at the memory bandwidth measured in the same process.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers

from common import arguments, header, median, progress, ratio, table
from luoxia.decoding.loop import Decoding, generate
from luoxia.interchange.saving import save_folder
from luoxia.nn.transformer import Decoder, TransformerConfig
from luoxia.tasks.language_modeling.model import lighten

PROMPT = 32
MODELS = {"10M": (6, 6, 384, 4096), "124M": (12, 12, 768, 50257)}
"""Layers, heads, width, vocabulary."""
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
Write = Callable[[int], Any]


def network(size: str) -> Decoder:
    layers, heads, width, vocabulary = MODELS[size]
    torch.manual_seed(0)
    shape = TransformerConfig(
        vocabulary, layers=layers, heads=heads, width=width, context=1024, norm="layer", positions="learned",
        activation="gelu_tanh", bias=True,
    )  # fmt: skip
    return Decoder(shape).eval().requires_grad_(False)


def peers(made: Decoder) -> dict[str, Any]:
    """The same weights in transformers, in both types."""
    with tempfile.TemporaryDirectory() as folder:
        save_folder(made, f"{folder}/model", "gpt2")
        opened = transformers.GPT2LMHeadModel.from_pretrained
        return {name: opened(f"{folder}/model", dtype=dtype).eval() for name, dtype in TYPES.items()}


def writer(made: Decoder, prompts: torch.Tensor) -> Write:
    """Ours: n tokens after each prompt."""
    rows = prompts.tolist()
    return lambda n: generate(made, rows, Decoding(max_tokens=n, temperature=0), batch=len(rows))


def their_writer(model: Any, prompts: torch.Tensor, cache: str) -> Write:
    """Theirs."""
    asked = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "cache_implementation": cache}

    def write(n: int) -> Any:
        with torch.inference_mode():
            made = model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=n, **asked)
        return made[:, PROMPT:].tolist()

    return write


def seconds(write: Write, n: int) -> float:
    began = time.perf_counter()
    write(n)
    return time.perf_counter() - began


def bandwidth() -> float:
    """Bytes a second of reading memory that no cache holds."""
    x = torch.ones(256 * 2**20)
    return x.nbytes / min(seconds(lambda n: x.sum(), 0) for _ in range(5))


def best_peer(models: dict[str, Any], prompts: torch.Tensor, n: int) -> tuple[str, Write]:
    """The fastest of their settings, on fewer tokens."""
    found = {}
    for kind, model in models.items():
        for cache in ("dynamic", "static"):
            write = their_writer(model, prompts, cache)
            write(2)
            found[f"{kind}, {cache}"] = (min(seconds(write, n) for _ in range(2)), write)
    progress(", ".join(f"{name}: {len(prompts) * n / t:.0f}" for name, (t, _) in found.items()))
    name = min(found, key=lambda key: found[key][0])
    return name, found[name][1]


def compare(size: str, batch: int, n: int, rounds: int, speed: float) -> list[list[Any]]:
    """A row for each type of our weights."""
    made = network(size)
    models = peers(made)
    ids = torch.randint(1, MODELS[size][3], (batch, PROMPT), generator=torch.Generator().manual_seed(1))
    theirs_name, theirs = best_peer(models, ids, max(4, n // 4))
    light = {"fp32": made, "bf16": lighten(network(size), bf16=True)}
    if batch == 1:
        light["int8"] = lighten(network(size), bf16=True, int8=True)
    ours = {name: writer(one, ids) for name, one in light.items()}
    first = min(n, 16)
    alike = ours["fp32"](first) == their_writer(models["fp32"], ids, "dynamic")(first)
    for write in ours.values():
        write(4)
    times: dict[str, list[float]] = {name: [] for name in (*ours, "theirs")}
    for _ in range(rounds):
        for name, write in {**ours, "theirs": theirs}.items():
            times[name].append(seconds(write, n))
    rates = {name: [batch * n / t for t in taken] for name, taken in times.items()}
    rows = []
    weights = sum(p.numel() for key, p in made.named_parameters() if "embedding.positions" not in key)
    for name in light:
        floor = speed / (weights * BYTES[name]) if batch == 1 else None
        rows.append(
            [size, str(batch), str(n), name, median(rates[name]), floor, theirs_name, median(rates["theirs"]),
             ratio(rates[name], rates["theirs"]), "yes" if alike else "no"]
        )  # fmt: skip
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 32])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    header("Decoding", chosen.quick)
    speed = bandwidth()
    print(f"transformers {transformers.__version__}; memory read at {speed / 1e9:.1f} GB/s\n", flush=True)
    rows = []
    for size in chosen.models:
        for batch in chosen.batches:
            n, rounds = (8, 1) if chosen.quick else (chosen.tokens, chosen.rounds)
            rows += compare(size, batch, n, rounds, speed)
    columns = ("model", "batch", "tokens", "weights", "Luoxia tokens/s", "floor", "transformers' best",
               "transformers tokens/s", "ratio", "same text in fp32")  # fmt: skip
    table(columns, rows)


if __name__ == "__main__":
    main()
