"""Translation of Multi30k's captions: ``translate`` against JoeyNMT, in the same time on the same machine.

The peer is JoeyNMT's own program (``--joey``, a Python that has it) with the settings of its IWSLT14 configuration, the
smallest of a real language pair that it comes with (6 + 6 layers, width 256, 4 heads, feed-forward 1024, dropout 0.3,
4,096 tokens a batch, AdamW 3e-4, smoothing 0.1), cased as ours is, and about as many pieces in its vocabulary as ours.
It is stopped when its time is up; its best checkpoint translates, by its own beam search of 5. Ours is ``luoxia train
translate`` with ``budget=``, and what else is on the command line. Both are scored by sacreBLEU on the same lines.

With ``--together`` the two run at the same time, each on its own half of the processors: half the wait.
"""

from __future__ import annotations

import concurrent.futures
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import arguments, header, progress, table

MERGES = 4000
START = """
import runpy
from torch.optim import lr_scheduler

class ReduceLROnPlateau(lr_scheduler.ReduceLROnPlateau):
    def __init__(self, *given, verbose=False, **named):  # torch dropped verbose, JoeyNMT 2.3 still gives it
        super().__init__(*given, **named)

lr_scheduler.ReduceLROnPlateau = ReduceLROnPlateau
runpy.run_module("joeynmt", run_name="__main__")
"""
"""Starts JoeyNMT with the torch of today."""

JOEY = """
name: peer
joeynmt_version: "2.3.0"
model_dir: {folder}/model
use_cuda: False
fp16: False
random_seed: 42
data:
  train: {folder}/train
  dev: {folder}/dev
  dataset_type: plain
  sample_dev_subset: 200
  src: &side
    lang: {source}
    max_length: 100
    level: bpe
    voc_file: {folder}/vocabulary.txt
    tokenizer_type: subword-nmt
    tokenizer_cfg: {{num_merges: {merges}, codes: {folder}/codes, pretokenizer: none}}
  trg:
    <<: *side
    lang: {target}
  special_symbols:
    {{unk_token: <unk>, unk_id: 0, pad_token: <pad>, pad_id: 1, bos_token: <s>, bos_id: 2, eos_token: </s>, eos_id: 3}}
testing:
  {{n_best: 1, beam_size: 5, beam_alpha: 1.0, batch_size: 1024, batch_type: token, max_output_length: 100,
    eval_metrics: [bleu], sacrebleu_cfg: {{tokenize: 13a}}}}
training:
  {{optimizer: adamw, normalization: tokens, adam_betas: [0.9, 0.999], scheduling: plateau, patience: 5,
    decrease_factor: 0.7, loss: crossentropy, learning_rate: 0.0003, learning_rate_min: 0.00000001, weight_decay: 0.0,
    label_smoothing: 0.1, batch_size: 4096, batch_type: token, early_stopping_metric: bleu, epochs: 1000,
    validation_freq: {validate}, logging_freq: {log}, shuffle: True, print_valid_sents: [0], keep_best_ckpts: 1}}
model:
  initializer: xavier_uniform
  embed_initializer: xavier_uniform
  tied_embeddings: True
  tied_softmax: True
  encoder: &stack
    {{type: transformer, num_layers: 6, num_heads: 4, embeddings: {{embedding_dim: 256, scale: True, dropout: 0.}},
      hidden_size: 256, ff_size: 1024, dropout: 0.3, layer_norm: pre, activation: relu}}
  decoder:
    <<: *stack
"""


@dataclass
class Outcome:
    """What one side made of its time."""

    name: str
    seconds: float
    steps: int
    lines: list[str]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", required=True, help="a folder with train.LANGUAGE.gz and val.LANGUAGE.gz")
    parser.add_argument("--source", default="en", help="the language that is read")
    parser.add_argument("--target", default="de", help="the language that is written")
    parser.add_argument("--minutes", type=float, default=30, help="of training, for each side")
    parser.add_argument("--joey", help="a Python interpreter with JoeyNMT 2.3; without it ours alone")
    parser.add_argument("--together", action="store_true", help="both at once, each on half of the CPUs")
    parser.add_argument("--validate", type=int, default=250, help="JoeyNMT's steps between two validations")
    parser.add_argument("--out", help="keep the translations in this folder")
    parser.add_argument("settings", nargs="*", help="of luoxia train translate, as in layers=3")
    asked = parser.parse_args()
    if asked.quick:
        asked.minutes, asked.validate = 0.5, 10
    header(f"Translation, {asked.source} → {asked.target}", asked.quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for split, name in (("train", "train"), ("val", "dev")):
            for language in (asked.source, asked.target):
                text = gzip.decompress((Path(asked.data) / f"{split}.{language}.gz").read_bytes())
                (folder / f"{name}.{language}").write_bytes(text)
        report(asked, run_both(asked, folder), folder)


def run_both(asked: Any, folder: Path) -> list[Outcome]:
    """Ours, and the peer if there is one: one after the other, or at once."""
    sides = [run_ours, *([run_joey] if asked.joey else [])]
    everything = sorted(os.sched_getaffinity(0))
    half = len(everything) // 2
    shares = [everything[:half], everything[half:]] if asked.together else [everything] * 2
    workers = len(sides) if asked.together else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        started = [pool.submit(side, asked, folder, cpus) for side, cpus in zip(sides, shares, strict=False)]
        return [future.result() for future in started]


def call(words: list[str], cpus: list[int], *, most: float | None = None, **options: Any) -> float:
    """Run a program on these processors, interrupted after ``most`` seconds; return its seconds."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(len(cpus))}
    began = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cpus)), *words], env=environment, **options
    )
    try:
        if process.wait(most):
            raise SystemExit(f"failed: {' '.join(words)}")
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait()
    return time.perf_counter() - began


def run_ours(asked: Any, folder: Path, cpus: list[int]) -> Outcome:
    """Train for the time, then translate the lines."""
    source, target = (str(folder / f"train.{language}") for language in (asked.source, asked.target))
    luoxia = [sys.executable, "-m", "luoxia.cli.main"]
    call(
        [*luoxia, "train", "translate", f"data={source}", f"against={target}", f"out={folder / 'run'}",
         f"budget={asked.minutes}m", "device=cpu", "sample_every=0", *asked.settings],
        cpus, stdout=sys.stderr,
    )  # fmt: skip
    call(
        [*luoxia, "translate", str(folder / "run"), str(folder / f"dev.{asked.source}"), f"out={folder / 'ours'}"],
        cpus, stdout=sys.stderr,
    )  # fmt: skip
    records = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    last = [record for record in records if record["kind"] == "log"][-1]
    lines = (folder / "ours").read_text(encoding="utf-8").splitlines()
    return Outcome("Luoxia `translate`", last["seconds"], last["step"], lines)


def run_joey(asked: Any, folder: Path, cpus: list[int]) -> Outcome:
    """Learn its pieces, train until the time is up, translate with the best checkpoint."""
    learn_pieces(asked, folder, cpus)
    config = folder / "joey.yaml"
    settings = {"folder": folder, "source": asked.source, "target": asked.target, "merges": MERGES}
    config.write_text(
        JOEY.format(**settings, validate=asked.validate, log=asked.validate // 5), encoding="utf-8"
    )
    joey, quiet = [asked.joey, "-c", START], {"stdout": sys.stderr, "stderr": sys.stderr}
    seconds = call([*joey, "train", str(config), "-t"], cpus, most=60 * asked.minutes, **quiet)
    log = (folder / "model" / "train.log").read_text(encoding="utf-8")
    steps = max((int(step) for step in re.findall(r"Step:\s+(\d+)", log)), default=0)
    with (folder / f"dev.{asked.source}").open() as lines:
        call([*joey, "translate", str(config), "-o", str(folder / "theirs")], cpus, stdin=lines, **quiet)
    return Outcome("JoeyNMT", seconds, steps, (folder / "theirs").read_text(encoding="utf-8").splitlines())


def learn_pieces(asked: Any, folder: Path, cpus: list[int]) -> None:
    """The codes and the joint vocabulary of subword-nmt, in JoeyNMT's format."""
    texts, counts = (
        [str(folder / f"{name}.{language}") for language in (asked.source, asked.target)]
        for name in ("train", "counts")
    )
    call(
        [asked.joey, "-c", "from subword_nmt.subword_nmt import main; main()",
         "learn-joint-bpe-and-vocab", "--input", *texts,
         "-s", str(MERGES), "-o", str(folder / "codes"), "--write-vocabulary", *counts],
        cpus, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    pieces: Counter[str] = Counter()
    for file in counts:
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            piece, number = line.split(" ")
            pieces[piece] += int(number)
    ordered = ["<unk>", "<pad>", "<s>", "</s>", *(piece for piece, _ in pieces.most_common())]
    (folder / "vocabulary.txt").write_text("\n".join(ordered) + "\n", encoding="utf-8")


def report(asked: Any, outcomes: list[Outcome], folder: Path) -> None:
    """BLEU and chrF with their signatures, and the first lines."""
    import sacrebleu

    references = (folder / f"dev.{asked.target}").read_text(encoding="utf-8").splitlines()
    sources = (folder / f"dev.{asked.source}").read_text(encoding="utf-8").splitlines()
    bleu, chrf = sacrebleu.BLEU(trg_lang=asked.target), sacrebleu.CHRF()
    rows = []
    for outcome in outcomes:
        scores = [metric.corpus_score(outcome.lines, [references]).score for metric in (bleu, chrf)]
        rows.append(
            (
                outcome.name,
                f"{outcome.seconds / 60:.1f} min",
                f"{outcome.steps:,}",
                *(f"{s:.1f}" for s in scores),
            )
        )
    share = "half of the CPUs each, at the same time" if asked.together else "all CPUs, one after the other"
    table((f"{len(references):,} lines ({share})", "trained in", "steps", "BLEU", "chrF"), rows)
    print(f"Signatures: `{bleu.get_signature()}`, `{chrf.get_signature()}`.\n")
    columns = ("source", "reference", *(outcome.name for outcome in outcomes))
    table(columns, [(sources[i], references[i], *(o.lines[i] for o in outcomes)) for i in range(5)])
    if asked.out:
        Path(asked.out).mkdir(parents=True, exist_ok=True)
        for outcome in outcomes:
            name = "joeynmt" if outcome.name == "JoeyNMT" else "luoxia"
            (Path(asked.out) / f"{name}.{asked.target}").write_text(
                "\n".join(outcome.lines) + "\n", encoding="utf-8"
            )
        if (folder / "run").is_dir():
            shutil.copytree(folder / "run", Path(asked.out) / "run", dirs_exist_ok=True)
    progress("done")


if __name__ == "__main__":
    main()
