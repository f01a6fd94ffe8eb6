"""Processes to kill: trainings started from a server that has imported torch once, and what is watched on their disk.

A trial costs a fork instead of seconds of imports. The server (the standard library's ``forkserver``) never computes,
so its children may.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 300.0
"""Seconds after which a trial that makes no progress counts as failed."""

LEARNING = ("extractor=none", "sample_every=0", "score_every=0", "device=cpu")
"""Settings of trainings that do nothing but train and save."""

Prepare = Callable[..., None]


@dataclass
class Outcome:
    """How a command ended: exit code (negative: the signal that killed it) and what it said on standard error."""

    code: int | None
    said: str

    @property
    def sentence(self) -> str:
        """Its last words."""
        lines = self.said.strip().splitlines()
        return lines[-1] if lines else ""


class Command:
    """``luoxia VERB TARGET key=value …`` in a process of its own, which begins at once.

    ``prepare(*arguments)`` runs in it first: a function of a module, to replace parts by failing ones.
    """

    def __init__(
        self, words: Sequence[object], said: Path, prepare: Prepare | None = None, *given: Any
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["luoxia.cli.main", "luoxia.verbs.course", "luoxia.verbs.ask", "torch._dynamo"]
        )
        self.said = said
        self.process = context.Process(
            target=_speak,
            args=([str(word) for word in words], str(said), dict(os.environ), prepare, given),
            daemon=True,
        )
        self.process.start()

    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.is_alive()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, by default the one that nothing survives."""
        os.kill(self.process.pid or 0, number)

    def wait(self, patience: float = PATIENCE) -> Outcome:
        """Wait for its end; ``TimeoutError`` (and its end by force) when that does not come."""
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"no end after {patience:g} s: {self._words()}")
        return Outcome(self.process.exitcode, self._words())

    def until(self, happened: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Poll until ``happened()`` is true and return it; ``AssertionError`` when the command ends before that."""
        deadline = time.monotonic() + patience
        while not (found := happened()):
            if not self.running():
                raise AssertionError(f"it ended too early: {self._words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"waited {patience:g} s in vain: {self._words()}")
            time.sleep(0.0005)
        return found

    def _words(self) -> str:
        with contextlib.suppress(OSError):
            return self.said.read_text(errors="replace")
        return ""


def run(words: Sequence[object], said: Path, prepare: Prepare | None = None, *given: Any) -> Outcome:
    """Run a command to its end."""
    return Command(words, said, prepare, *given).wait()


def _speak(
    words: list[str], said: str, environment: dict[str, str], prepare: Prepare | None, given: tuple[Any, ...]
) -> None:
    """The child: its parent's environment (not the server's), output to a file, one thread, the command line."""
    os.environ.update(environment)
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    import torch

    from luoxia.cli import main as cli

    torch.set_num_threads(1)
    if prepare is not None:
        prepare(*given)
    sys.argv = ["luoxia", *words]
    cli.main()  # ends with SystemExit, whose code becomes the process's


# ------------------------------------------------------------------ what a run's folder tells


def saving(run_folder: Path) -> str | None:
    """The folder that a checkpoint is being written into, if one is."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(run_folder / "checkpoints"):
            if entry.name.startswith(".writing_"):
                return entry.name
    return None


def last_step(run_folder: Path) -> int:
    """The step of the last whole line of metrics.jsonl, −1 if there is none."""
    try:
        lines = (run_folder / "metrics.jsonl").read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return -1
    return json.loads(lines[-1])["step"] if lines else -1


def moment(run_folder: Path) -> str:
    """Where in a save its writer died, told by what it left; 'between saves' if it left nothing."""
    checkpoints = run_folder / "checkpoints"
    names = {entry.name for entry in os.scandir(checkpoints)}
    half = next((name for name in names if name.startswith(".writing_")), None)
    if half is not None:
        files = {entry.name for entry in os.scandir(checkpoints / half)}
        if "manifest.json" in files:
            return "flushing to disk"
        return "hashing" if "state.json" in files else "writing tensors"
    steps = sorted(int(name[5:]) for name in names if name.startswith("step_") and name[5:].isdecimal())
    latest = int((checkpoints / "LATEST").read_text().strip()[5:])
    if steps[-1] > latest or any(name.startswith(".LATEST.") for name in names):
        return "renamed, not yet named in LATEST"
    if len(steps) > 2:
        return "removing the oldest"
    model = run_folder / "model"
    if model.is_dir() and any(entry.name.endswith(".tmp") for entry in os.scandir(model)):
        return "exporting the model"
    if json.loads((model / "config.json").read_text())["step"] < latest:
        return "exporting the model"
    return "between saves"


# ------------------------------------------------------------------ trials


@dataclass
class Trial:
    """One killing: where it struck, and what resuming said; ``fault`` is empty when all went well."""

    moment: str
    fault: str = ""


def train_words(run_folder: Path, recipe: str, *settings: object) -> list[object]:
    """The words that start an endless training which only trains and saves."""
    return ["train", recipe, f"out={run_folder}", *LEARNING, "steps=1_000_000", *settings]


def kill_while_saving(run_folder: Path, chance: random.Random, *settings: object, more: int = 3) -> Trial:
    """Train with a checkpoint each step, kill within a save, resume for ``more`` steps.

    The first saves are timed; a later one is killed at a random point of its length.
    """
    words = train_words(run_folder, "dcgan", "checkpoint_every=1", *settings)
    command = Command(words, run_folder.with_suffix(".train"))
    durations = []
    for _ in range(chance.randint(2, 6)):
        command.until(lambda: saving(run_folder))
        began = time.perf_counter()
        command.until(lambda: not saving(run_folder))
        durations.append(time.perf_counter() - began)
    command.until(lambda: saving(run_folder))
    time.sleep(chance.uniform(0, 1.4 * statistics.median(durations)))
    command.kill()
    command.wait()
    return Trial(moment(run_folder), resume_fault(run_folder, more))


def kill_while_training(
    run_folder: Path, chance: random.Random, *settings: object, longest: float = 2.0, more: int = 3
) -> Trial:
    """Train with a checkpoint now and then, kill after a random time, resume for ``more`` steps."""
    words = train_words(run_folder, "dcgan", "checkpoint_every=20", "log_every=1", *settings)
    command = Command(words, run_folder.with_suffix(".train"))
    command.until(lambda: last_step(run_folder) > 0)
    time.sleep(chance.uniform(0, longest))
    command.kill()
    command.wait()
    return Trial(f"after step {last_step(run_folder):,}", resume_fault(run_folder, more))


def resume_fault(run_folder: Path, more: int) -> str:
    """Resume to ``more`` steps past the checkpoint in force; what is wrong, '' if nothing."""
    from luoxia.core.errors import LuoxiaError
    from luoxia.training.checkpoint import load_latest

    try:
        end = load_latest(run_folder / "checkpoints").step + more
        outcome = run(["resume", run_folder, f"steps={end}"], run_folder.with_suffix(".resume"))
        if outcome.code != 0:
            return f"resume exited with {outcome.code}: {outcome.sentence}"
        reached = load_latest(run_folder / "checkpoints").step
        if reached != end:
            return f"resume ended at step {reached}, not {end}"
    except (LuoxiaError, OSError, ValueError, TimeoutError) as error:
        return str(error)
    left = [path.name for path in (run_folder / "checkpoints").iterdir() if path.name.startswith(".")]
    return f"left behind: {', '.join(left)}" if left else ""


# ------------------------------------------------------------------ bit for bit


def record_next_batches(file: str) -> None:
    """Let the trainings of this process write the digest of each phase's next batch to ``file`` when they end."""
    import hashlib

    from luoxia.training.session import Session

    conclude = Session._conclude

    def recording(self: Session, finished: bool) -> None:
        step, digests = self.trainer.progress.step, {}
        for phase in self.trainer.phases:
            batch: Any = self.stage.batch(phase, -(-step // phase.every) * phase.repeat)
            digests[phase.name] = hashlib.sha256(batch.samples.contiguous().numpy().tobytes()).hexdigest()
        Path(file).write_text(json.dumps({"step": step, "next": digests}))
        conclude(self, finished)

    Session._conclude = recording  # type: ignore[method-assign]


@dataclass
class Comparison:
    """An interrupted and an uninterrupted run: kills, tensors compared, names of those that differ."""

    kills: list[int]
    tensors: int
    different: list[str]


def compare_interrupted(
    folder: Path, recipe: str, steps: int, kills: int, chance: random.Random, *settings: object
) -> Comparison:
    """Train ``steps`` at a stretch, and again with ``kills`` killings at random steps, each resumed."""
    common = [*LEARNING, f"steps={steps}", "log_every=1", "checkpoint_every=7", *settings]
    whole, broken = folder / f"{recipe}-whole", folder / f"{recipe}-broken"
    next_whole, next_broken = str(whole.with_suffix(".json")), str(broken.with_suffix(".json"))
    words = ["train", recipe, f"out={whole}", *common]
    outcome = run(words, whole.with_suffix(".said"), record_next_batches, next_whole)
    if outcome.code != 0:
        raise AssertionError(outcome.said)
    words, struck = ["train", recipe, f"out={broken}", *common], []
    for target in sorted(chance.sample(range(1, steps - 3), kills)):
        command = Command(words, broken.with_suffix(".said"))
        command.until(lambda target=target: last_step(broken) >= target)
        command.kill()
        command.wait()
        struck.append(last_step(broken))
        words = ["resume", broken]
    outcome = run(words, broken.with_suffix(".said"), record_next_batches, next_broken)
    if outcome.code != 0:
        raise AssertionError(outcome.said)
    tensors, different = differences(whole, broken)
    if json.loads(Path(next_whole).read_text()) != json.loads(Path(next_broken).read_text()):
        different.append("the next batches")
    return Comparison(struck, tensors, different)


def differences(a: Path, b: Path) -> tuple[int, list[str]]:
    """How many tensors the last checkpoints of two runs hold, and which of them differ by a bit."""
    from luoxia.training.checkpoint import load_latest

    first, second = load_latest(a / "checkpoints"), load_latest(b / "checkpoints")
    different = [] if first.step == second.step else [f"step {first.step} and {second.step}"]
    left, right = _flat(first.tensors), _flat(second.tensors)
    different += sorted(left.keys() ^ right.keys())
    for name in left.keys() & right.keys():
        one, other = left[name].contiguous(), right[name].contiguous()
        if one.dtype != other.dtype or one.shape != other.shape or _bits(one) != _bits(other):
            different.append(name)
    return len(left), different


def _flat(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{file}/{name}": value for file, tensors in files.items() for name, value in tensors.items()}


def _bits(tensor: Any) -> bytes:
    """Bytes, so that NaN equals NaN and 0 does not equal −0."""
    import torch

    return tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


# ------------------------------------------------------------------ a full disk


class SmallDisk:
    """A file system of ``megabytes`` in memory; ``available()`` says whether this process may mount one."""

    def __init__(self, folder: Path, megabytes: float) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        _mount("-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "luoxia-test", str(folder))

    def __enter__(self) -> SmallDisk:
        return self

    def __exit__(self, *error: object) -> None:
        import subprocess

        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)

    def enlarge(self, megabytes: float) -> None:
        """Make room."""
        _mount("-o", f"remount,size={int(megabytes * 1024)}k", str(self.folder))

    @staticmethod
    def available(scratch: Path) -> bool:
        """Try to mount one (Linux, as root)."""
        import subprocess

        try:
            with SmallDisk(scratch / "mount-test", 1):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def _mount(*words: str) -> None:
    import subprocess

    subprocess.run(["mount", *words], check=True, capture_output=True)


@dataclass
class FullDisk:
    """What was said, the step of the checkpoint that still loads (−1: none does), and what is wrong ('': nothing)."""

    sentence: str
    step: int
    fault: str


def fill_disk(folder: Path, megabytes: float, *settings: object, more: int = 3) -> FullDisk:
    """Keep every checkpoint until the disk is full, see that the earlier ones load, make room and resume."""
    from luoxia.core.errors import LuoxiaError
    from luoxia.training.checkpoint import load_latest

    with SmallDisk(folder, megabytes) as disk:
        run_folder, said = folder / "run", folder.with_suffix(".said")
        words = train_words(run_folder, "dcgan", "checkpoint_every=1", "keep_checkpoints=100000", *settings)
        outcome = run(words, said)
        step, fault = -1, ""
        if outcome.code != 1 or "Traceback" in outcome.said or "No space left" not in outcome.sentence:
            fault = f"exit {outcome.code}: {outcome.said.strip()[-300:]}"
        try:
            step = load_latest(run_folder / "checkpoints").step
            disk.enlarge(4 * megabytes)
            fault = fault or resume_fault_beside(run_folder, said, more)
        except (LuoxiaError, OSError) as error:
            fault = fault or str(error)
        return FullDisk(outcome.sentence.replace(f"{folder}/", ""), step, fault)


def resume_fault_beside(run_folder: Path, said: Path, more: int) -> str:
    """``resume_fault`` with its words written outside the run's own disk."""
    from luoxia.training.checkpoint import load_latest

    end = load_latest(run_folder / "checkpoints").step + more
    outcome = run(["resume", run_folder, f"steps={end}"], said)
    return "" if outcome.code == 0 else f"resume exited with {outcome.code}: {outcome.sentence}"
