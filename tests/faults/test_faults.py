"""A training that is killed, starved of disk or fed with NaN is resumed, or says in one sentence why it cannot go on.

The same trials in numbers: ``benchmarks/faults.py``.
"""

import json
import random
import signal
from pathlib import Path

import pytest
from injections import fill_the_disk, poison_batches, sample_without_end, score_without_end

from harness import (
    LEARNING,
    Command,
    Outcome,
    SmallDisk,
    compare_interrupted,
    fill_disk,
    kill_while_saving,
    kill_while_training,
    resume_fault,
    run,
    train_words,
)
from luoxia.training.checkpoint import load_latest

Small = tuple[str, ...]
FULL = "No space left on device"


def records(folder: Path, kind: str) -> list[dict]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def is_one_sentence(outcome: Outcome) -> bool:
    return outcome.code == 1 and "Traceback" not in outcome.said and outcome.sentence.startswith("luoxia: ")


# ---------------------------------------------------------------------- killed


@pytest.mark.parametrize("number", range(4))
def test_killed_within_a_save(tmp_path: Path, small: Small, chance: random.Random, number: int) -> None:
    trial = kill_while_saving(tmp_path / "run", chance, *small)
    assert trial.fault == "", trial.moment


@pytest.mark.parametrize("number", range(2))
def test_killed_at_a_random_moment(tmp_path: Path, small: Small, chance: random.Random, number: int) -> None:
    trial = kill_while_training(tmp_path / "run", chance, *small, longest=0.5)
    assert trial.fault == "", trial.moment


@pytest.mark.parametrize(("recipe", "steps"), [("dcgan", 40), ("wgan-gp", 16)])
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(
    tmp_path: Path, small: Small, chance: random.Random, recipe: str, steps: int
) -> None:
    found = compare_interrupted(tmp_path, recipe, steps, 2, chance, *small)
    assert found.different == [], found.kills
    assert found.tensors > 30


# ---------------------------------------------------------------------- no room on the disk


def test_a_full_disk_keeps_the_earlier_checkpoint_and_room_lets_it_go_on(
    tmp_path: Path, small: Small
) -> None:
    if not SmallDisk.available(tmp_path):
        pytest.skip("mounting a small disk needs root")
    found = fill_disk(tmp_path / "disk", 0.75, *small)
    assert found.fault == ""
    assert found.sentence.startswith("luoxia: cannot write ") and FULL in found.sentence
    assert found.step >= 1


@pytest.mark.parametrize("after", [40, 47, 55])
def test_a_write_that_the_system_refuses(tmp_path: Path, small: Small, after: int) -> None:
    folder, said = tmp_path / "run", tmp_path / "said"
    words = train_words(folder, "dcgan", "checkpoint_every=1", *small)
    outcome = run(words, said, fill_the_disk, after)
    assert is_one_sentence(outcome), outcome.said
    assert outcome.sentence.startswith("luoxia: cannot write ") and FULL in outcome.sentence
    assert resume_fault(folder, 3) == ""


# ---------------------------------------------------------------------- not a number


def test_one_bad_batch_is_skipped_and_named(tmp_path: Path, small: Small) -> None:
    folder = tmp_path / "run"
    words = ["train", "dcgan", f"out={folder}", *LEARNING, *small, "steps=30", "log_every=10"]
    outcome = run(words, tmp_path / "said", poison_batches, 8, 8)
    assert outcome.code == 0, outcome.said
    assert records(folder, "finding")[0]["name"] == "non-finite gradients"
    assert not [line for line in records(folder, "event") if line["event"] == "rolled back"]
    tensors = [t for group in load_latest(folder / "checkpoints").tensors.values() for t in group.values()]
    assert all(t.isfinite().all() for t in tensors)


def test_damage_that_passes_is_rolled_back(tmp_path: Path, small: Small) -> None:
    """Batch norm takes the bad batch into its running statistics: skipping the update is not enough."""
    folder = tmp_path / "run"
    norm = ("penalty=none", "d_norm=batch", "log_every=10", "checkpoint_every=5", "steps=30")
    words = ["train", "dcgan", f"out={folder}", *LEARNING, *small, "size=16", *norm]
    outcome = run(words, tmp_path / "said", poison_batches, 8, 8)
    assert outcome.code == 0, outcome.said
    rolled = [line for line in records(folder, "event") if line["event"] == "rolled back"]
    assert len(rolled) == 1 and rolled[0]["detail"].endswith("back to step 5 with the learning rate × 0.5")
    saved = load_latest(folder / "checkpoints")
    assert saved.step == 30 and saved.state["rollbacks"] == 1
    assert all(t.isfinite().all() for group in saved.tensors.values() for t in group.values())


@pytest.mark.parametrize("how", ["data", "lr"])
def test_damage_that_stays_ends_training_with_the_reason(tmp_path: Path, small: Small, how: str) -> None:
    folder = tmp_path / "run"
    settings = ["steps=1000", "log_every=5", "checkpoint_every=5", *(["lr=1e30"] if how == "lr" else [])]
    words = ["train", "dcgan", f"out={folder}", *LEARNING, *small, *settings]
    prepare = (poison_batches, 21, 10**9) if how == "data" else ()
    outcome = run(words, tmp_path / "said", *prepare)
    assert is_one_sentence(outcome), outcome.said
    assert "no longer finite, again after 3 roll-backs; lower lr" in outcome.sentence
    assert len([line for line in records(folder, "event") if line["event"] == "rolled back"]) == 3
    tensors = [t for group in load_latest(folder / "checkpoints").tensors.values() for t in group.values()]
    assert all(t.isfinite().all() for t in tensors)


# ---------------------------------------------------------------------- asked to stop beside the training


@pytest.mark.parametrize("busy", [score_without_end, sample_without_end])
def test_a_signal_ends_scoring_and_sampling_at_once(tmp_path: Path, small: Small, busy) -> None:
    folder, marker = tmp_path / "run", tmp_path / "busy"
    beside = "score_every=6" if busy is score_without_end else "sample_every=6"
    only = [
        setting for setting in LEARNING if not beside.startswith(setting[:8]) and "extractor" not in setting
    ]
    words = ["train", "dcgan", f"out={folder}", *only, beside, "extractor=none", *small, "steps=1_000_000"]
    command = Command(words, tmp_path / "said", busy, str(marker))
    command.until(marker.exists)
    command.kill(signal.SIGTERM)
    outcome = command.wait()
    assert is_one_sentence(outcome), outcome.said
    assert (
        f"stopped by SIGTERM at step 6, everything is saved; to continue: luoxia resume {folder}"
        in outcome.sentence
    )
    assert records(folder, "event")[-1]["event"] == "stopped"
    assert load_latest(folder / "checkpoints").step == 6
    assert (folder / "report.html").exists()
    assert run(["resume", folder, "steps=9", "score_every=0", "sample_every=0"], tmp_path / "said").code == 0
