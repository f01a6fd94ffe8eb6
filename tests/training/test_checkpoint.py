"""Checkpoints: whole or not there, whenever the writer dies and whatever is damaged."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from luoxia.core.errors import LuoxiaError
from luoxia.training import checkpoint
from luoxia.training.checkpoint import load, load_latest, save, sweep


def tensors(step, size=4):
    """A checkpoint's content that says which step it is of."""
    return {"net": {"weight": torch.full((size, size), float(step)), "count": torch.tensor(step)}}


def write(folder, *steps, keep=10):
    for step in steps:
        save(folder, step, tensors(step), {"seconds": step / 2}, keep)


def steps(folder):
    return sorted(p.name for p in folder.glob("step_*"))


def test_what_was_saved_comes_back(tmp_path):
    content = {
        "generator": {"a.weight": torch.randn(3, 2), "b": torch.randn(2).bfloat16(), "n": torch.tensor(7)},
        "optimizer_generator": {"0.exp_avg": torch.randn(3, 2, 4, 4).to(memory_format=torch.channels_last)},
    }
    path = save(tmp_path, 12, content, {"seconds": 1.5, "lr_scale": 0.25})
    assert path == tmp_path / "step_000012"
    found = load_latest(tmp_path)
    assert found.step == 12 and found.state == {"step": 12, "seconds": 1.5, "lr_scale": 0.25}
    assert found.tensors.keys() == content.keys()
    for name, group in content.items():
        assert found.tensors[name].keys() == group.keys()
        for key, value in group.items():
            assert found.tensors[name][key].dtype == value.dtype
            assert torch.equal(found.tensors[name][key], value)


def test_manifest_is_the_sha256_of_every_file(tmp_path):
    path = save(tmp_path, 3, tensors(3), {})
    manifest = json.loads((path / "manifest.json").read_text())
    assert (
        set(manifest)
        == {"net.safetensors", "state.json"}
        == {p.name for p in path.iterdir()} - {"manifest.json"}
    )
    for name, digest in manifest.items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest
    assert (tmp_path / "LATEST").read_text() == "step_000003\n"


def test_no_pickle(tmp_path):
    path = save(tmp_path, 1, tensors(1), {})
    assert {p.suffix for p in path.iterdir()} == {".safetensors", ".json"}


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_keeps_the_newest(tmp_path, keep):
    write(tmp_path, 1, 5, 10, 100, keep=keep)
    assert steps(tmp_path) == ["step_000001", "step_000005", "step_000010", "step_000100"][-keep:]


def test_order_is_by_number_not_by_name(tmp_path):
    write(tmp_path, 999_999, 1_000_000, 1_000_001, keep=2)
    assert set(steps(tmp_path)) == {"step_1000000", "step_1000001"}
    (tmp_path / "LATEST").unlink()
    assert load_latest(tmp_path).step == 1_000_001


@pytest.mark.parametrize("name", ["net.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("how", ["cut", "flip", "empty", "gone"])
def test_a_damaged_newest_gives_way_to_the_one_before(tmp_path, name, how):
    write(tmp_path, 10, 20)
    file = tmp_path / "step_000020" / name
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    if how == "gone":
        file.unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 0x40]) + content[middle + 1 :]
        file.write_bytes({"cut": content[:middle], "flip": flipped, "empty": b""}[how])
    assert load_latest(tmp_path).step == 10
    with pytest.raises((ValueError, OSError)):
        load(tmp_path / "step_000020")


def test_all_damaged_is_one_sentence(tmp_path):
    write(tmp_path, 10, 20)
    for path in tmp_path.glob("step_*/net.safetensors"):
        path.write_bytes(b"x")
    with pytest.raises(LuoxiaError, match=r"no usable checkpoint.*step_000020.*damaged.*step_000010"):
        load_latest(tmp_path)


@pytest.mark.parametrize("make", [lambda f: None, lambda f: f.mkdir()])
def test_none_at_all(tmp_path, make):
    make(tmp_path / "checkpoints")
    with pytest.raises(LuoxiaError, match="no usable checkpoint"):
        load_latest(tmp_path / "checkpoints")


@pytest.mark.parametrize(
    "content", [None, b"", b"step_000099\n", b"\x00\x00", b"\xff\xfe", b"../elsewhere\n"]
)
def test_a_bad_latest_does_not_matter(tmp_path, content):
    write(tmp_path, 10, 20)
    (tmp_path / "LATEST").unlink()
    if content is not None:
        (tmp_path / "LATEST").write_bytes(content)
    assert load_latest(tmp_path).step == 20


def test_what_was_damaged_is_reported(tmp_path):
    write(tmp_path, 10, 20)
    (tmp_path / "step_000020" / "state.json").write_text("{}")
    saved = load_latest(tmp_path)
    assert saved.step == 10 and [problem[:12] for problem in saved.damaged] == ["step_000020:"]


def test_latest_rules_over_a_higher_number(tmp_path):
    """A checkpoint that was never named is not in force: its writer died before the end."""
    write(tmp_path, 10, 20)
    (tmp_path / "LATEST").write_text("step_000010\n")
    assert load_latest(tmp_path).step == 10


def test_the_same_step_again_replaces_it(tmp_path):
    write(tmp_path, 10)
    save(tmp_path, 10, tensors(77), {"seconds": 9}, keep=1)
    found = load_latest(tmp_path)
    assert found.tensors["net"]["count"] == 77 and found.state["seconds"] == 9
    assert steps(tmp_path) == ["step_000010"]


def test_the_one_just_written_is_never_the_one_removed(tmp_path):
    """After going on from an earlier checkpoint, higher steps are leftovers of a course that was given up."""
    write(tmp_path, 10, 20)
    (tmp_path / "step_000020" / "net.safetensors").write_bytes(b"x")
    assert load_latest(tmp_path).step == 10
    write(tmp_path, 13, keep=1)
    assert load_latest(tmp_path).step == 13 and steps(tmp_path) == ["step_000013"]


def test_earlier_ones_are_kept_before_leftovers(tmp_path):
    write(tmp_path, 10, 20)
    write(tmp_path, 13, keep=2)
    assert steps(tmp_path) == ["step_000010", "step_000013"]


def test_other_folders_are_left_alone(tmp_path):
    write(tmp_path, 10)
    for name in ("step_000010 copy", "step_best", "step_000010_old", "notes"):
        (tmp_path / name).mkdir()
    write(tmp_path, 20, 30, keep=1)
    assert load_latest(tmp_path).step == 30
    assert (tmp_path / "step_best").is_dir() and (tmp_path / "step_000010_old").is_dir()
    assert not (tmp_path / "step_000020").exists()


def test_a_copy_of_a_checkpoint_stays(tmp_path):
    """step_N.old is the most natural name for one, and what a link leads to is not ours."""
    write(tmp_path, 10)
    shutil.copytree(tmp_path / "step_000010", tmp_path / "step_000010.old")
    shutil.copytree(tmp_path / "step_000010", tmp_path / "elsewhere" / "step")
    (tmp_path / "step_000005").symlink_to(tmp_path / "elsewhere" / "step")
    (tmp_path / ".step_000004.0123456789abcdef.old").symlink_to(tmp_path / "elsewhere")
    write(tmp_path, 10, 20, 30, keep=1)
    assert (tmp_path / "step_000010.old" / "net.safetensors").is_file()
    assert (tmp_path / "elsewhere" / "step" / "net.safetensors").is_file()
    assert not (tmp_path / "step_000010").exists()


def test_one_that_an_earlier_version_put_aside_is_read(tmp_path):
    write(tmp_path, 10)
    (tmp_path / "step_000010").rename(tmp_path / "step_000010.old")
    assert load_latest(tmp_path).step == 10


def test_sweep_removes_leftovers_only(tmp_path):
    write(tmp_path, 10)
    (tmp_path / ".writing_step_000020_123").mkdir()
    (tmp_path / ".writing_step_000020_123" / "net.safetensors").write_bytes(b"half")
    (tmp_path / ".LATEST.123.tmp").write_text("step_")
    sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"step_000010", "LATEST"}


def test_a_save_sweeps_first(tmp_path):
    (tmp_path / ".writing_step_000001_99").mkdir()
    write(tmp_path, 10)
    assert {p.name for p in tmp_path.iterdir()} == {"step_000010", "LATEST"}


def test_a_failing_write_keeps_what_was_there(tmp_path, monkeypatch):
    """A disk that fills up: one sentence, nothing half-written, the last checkpoint in force."""
    write(tmp_path, 10)

    def full(*args):
        raise OSError(28, "No space left on device")

    for name in ("save_file", "flush"):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, name, full)
            with pytest.raises(
                LuoxiaError, match=r"cannot write checkpoint .*step_000020: No space left on device"
            ):
                save(tmp_path, 20, tensors(20), {}, keep=1)
        assert {p.name for p in tmp_path.iterdir()} == {"step_000010", "LATEST"}
        assert load_latest(tmp_path).step == 10


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LuoxiaError, match="cannot write checkpoint"):
        save(tmp_path / "file" / "checkpoints", 1, tensors(1), {})


# ---------------------------------------------------------------------- killed at any moment


def interrupted_save(folder, at, step, keep):
    """Save as far as the ``at``-th system call of any kind, then die without a chance to tidy up; False if it ended."""
    pid = os.fork()
    if pid == 0:
        calls = 0

        def guard(module, name):
            real = getattr(module, name)

            def counted(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls > at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **kwargs)

            setattr(module, name, counted)

        for name in ("mkdir", "rename", "replace", "fsync", "unlink", "rmdir"):
            guard(os, name)
        guard(shutil, "rmtree")
        guard(checkpoint, "save_file")
        guard(checkpoint.Path, "write_text")
        try:
            save(folder, step, tensors(step + 0.5 if step == 10 else step), {"seconds": 0.0}, keep)
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("step", [20, 10], ids=["next step", "same step"])
@pytest.mark.parametrize("keep", [1, 2])
def test_killed_between_any_two_calls(tmp_path, step, keep):
    """Whatever call is its last, the old or the new checkpoint is whole, and the next save repairs the rest."""
    kills = 0
    for at in range(100):
        folder = tmp_path / str(at)
        write(folder, 10, keep=keep)
        killed = interrupted_save(folder, at, step, keep)
        found = load_latest(folder)
        assert found.step in (10, step)
        assert found.tensors["net"]["weight"].unique().numel() == 1
        save(folder, 30, tensors(30), {}, keep)
        assert load_latest(folder).step == 30
        assert len(steps(folder)) <= keep and not list(folder.glob(".*"))
        if not killed:
            break
        kills += 1
    assert kills > 10 and not killed


WRITER = """
import sys, torch
from pathlib import Path
from luoxia.training.checkpoint import save
folder, first = Path(sys.argv[1]), int(sys.argv[2])
for step in range(first, first + 10_000):
    t = {n: {"w": torch.full((300, 300), float(step))} for n in ("a", "b", "ema_a")}
    save(folder, step // 2, t, {"seconds": 0.0}, keep=1)
    print(step, flush=True)
"""


def test_sigkill_at_random_moments(tmp_path):
    """A real process, killed a few times while it writes without pause; half of its saves replace the same step."""
    choose, step = random.Random(0), 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(step)], stdout=subprocess.PIPE, text=True
        )
        written = [process.stdout.readline() for _ in range(3)]
        time.sleep(choose.uniform(0.0, 0.05))
        process.kill()
        written += process.stdout.read().split()
        process.wait()
        last = int([w for w in written if w.strip()][-1])
        found = load_latest(tmp_path)
        values = {group["w"].unique().item() for group in found.tensors.values()}
        assert len(values) == 1 and found.tensors.keys() == {"a", "b", "ema_a"}
        assert values in ({last}, {last + 1}), "what was reported as saved, or the one after"
        step = last + 1


def test_what_is_frozen_lies_once_beside_all_steps(tmp_path):
    frozen = {"net": {"base": torch.randn(100, 100)}}
    content = {"net": {"adapter": torch.ones(2)}, "ema_net": {"adapter": torch.zeros(2)}, "optimizer_net": {}}
    for step in (1, 2):
        path = save(tmp_path, step, content, {}, frozen=frozen)
        assert sum(p.stat().st_size for p in path.iterdir()) < 2_000
    found = load_latest(tmp_path)
    assert found.step == 2 and found.tensors["optimizer_net"] == {}
    for name in ("net", "ema_net"):
        assert torch.equal(found.tensors[name]["base"], frozen["net"]["base"])
        assert torch.equal(found.tensors[name]["adapter"], content[name]["adapter"])
    (alone,) = checkpoint.load_network(tmp_path, [2], "net")
    assert set(alone) == {"base", "adapter"}


def test_damage_to_what_is_frozen_is_noticed(tmp_path):
    save(tmp_path, 1, {"net": {"a": torch.ones(2)}}, {}, frozen={"net": {"base": torch.ones(9)}})
    file = tmp_path / "frozen.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(LuoxiaError, match=r"frozen\.safetensors is damaged"):
        load_latest(tmp_path)


def test_a_writer_killed_before_the_digest_of_the_frozen_writes_both_again(tmp_path):
    tmp_path.joinpath("frozen.safetensors").write_bytes(b"half of it")
    save(tmp_path, 1, {"net": {"a": torch.ones(2)}}, {}, frozen={"net": {"base": torch.ones(9)}})
    assert torch.equal(load_latest(tmp_path).tensors["net"]["base"], torch.ones(9))
