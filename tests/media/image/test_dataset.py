import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luoxia.core.cache import cache_folder, publish, sweep
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.image.describe import describe
from luoxia.media.image.images import ImageDataset, open_images
from pictures import encode, noise, write

Photos = Callable[..., Path]


def entries(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "images").iterdir())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(20, 30)], (20, 30)),
        ([(128, 128)], (128, 128)),
        ([(129, 128)], (128, 128)),
        ([(3, 3)], (16, 16)),
        ([(60, 90), (70, 50), (65, 400)], (32, 32)),
        ([(500, 700), (600, 900)], (128, 128)),
        ([(10, 12), (9, 9)], (16, 16)),
    ],
)
def test_the_default_size(tmp_path: Path, sizes: list[tuple[int, int]], expected: tuple[int, int]) -> None:
    for index, size in enumerate(sizes):
        write(tmp_path / f"{index}.png", encode(noise(*size)))
    spec = open_images(tmp_path).spec
    assert (spec.height, spec.width) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (8, (8, 8)),
        (np.int64(8), (8, 8)),
        ((8, 16), (8, 16)),
        ("8", (8, 8)),
        ("8x16", (8, 16)),
        ("16X8", (16, 8)),
        (1024, (1024, 1024)),
    ],
)
def test_the_size_that_is_asked_for(photos: Photos, size: Any, expected: tuple[int, int]) -> None:
    assert open_images(photos(".", count=1), size=size).images.shape[1:3] == expected


def test_channels_by_default(tmp_path: Path) -> None:
    write(tmp_path / "a.png", encode(noise(8, 8, "L")))
    write(tmp_path / "b.png", encode(noise(8, 8, "LA")))
    assert open_images(tmp_path).spec.channels == 1
    write(tmp_path / "c.png", encode(noise(8, 8)))
    assert open_images(tmp_path).spec.channels == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 3}, "4 to 1024"),
        ({"size": 1025}, "4 to 1024"),
        ({"size": "64x2"}, "4 to 1024"),
        ({"size": "big"}, "not understood"),
        ({"size": -8}, "4 to 1024"),
        ({"size": (64, 2)}, "4 to 1024"),
        ({"size": 64.5}, "not understood"),
        ({"size": (64,)}, "not understood"),
        ({"crop": "centre"}, "did you mean center"),
        ({"crop": "?"}, "give center, random or pad"),
        ({"channels": 5}, "channels=5"),
        ({"channels": 0}, "channels=0"),
    ],
)
def test_arguments_are_checked_before_any_work(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_images("/there/is/nothing/here", **arguments)  # type: ignore[arg-type]


def test_the_second_opening_decodes_nothing(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos("a", "b")
    calls: list[tuple[int, int]] = []
    first = open_images(folder, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (6, 6)
    monkeypatch.setattr("luoxia.media.image.images.convert", None)
    second = open_images(folder)
    assert first.fingerprint == second.fingerprint
    assert first.names == second.names
    assert (first.images == second.images).all()


def test_the_fingerprint_follows_content_names_labels_and_conversion(photos: Photos) -> None:
    folder = photos("a", "b")
    seen = [open_images(folder).fingerprint, open_images(folder, size=8).fingerprint]
    seen.append(open_images(folder, size=8, crop="pad").fingerprint)
    seen.append(open_images(folder, channels=1).fingerprint)
    write(folder / "a" / "0.png", encode(noise(20, 20, seed=99)))
    seen.append(open_images(folder).fingerprint)
    (folder / "a" / "0.png").rename(folder / "a" / "7.png")
    seen.append(open_images(folder).fingerprint)
    assert len(set(seen)) == len(seen)
    assert open_images(folder, size=20, channels=3).fingerprint == seen[-1]  # what the default resolves to
    assert int(seen[0], 16) >= 0


def test_a_damaged_cache_entry_is_built_again(photos: Photos, cache: Path) -> None:
    folder = photos("a", "b")
    first = open_images(folder)
    expected = np.array(first.images)
    file = cache / "images" / first.fingerprint / "images.npy"
    for damage in (b"", file.read_bytes()[:500], None):
        file.unlink()
        if damage is not None:
            file.write_bytes(damage)
        assert (open_images(folder).images == expected).all()


def test_nothing_but_the_entry_is_left(photos: Photos, cache: Path) -> None:
    dataset = open_images(photos("."))
    assert entries(cache) == [dataset.fingerprint]


def _open_in_child(folder: str, barrier: object, results: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    dataset = open_images(folder)
    results.put((dataset.fingerprint, int(dataset.images.astype(np.int64).sum())))  # type: ignore[attr-defined]


def test_two_processes_build_at_once(photos: Photos, cache: Path) -> None:
    folder = photos("a", "b", count=40)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    children = [
        context.Process(target=_open_in_child, args=(str(folder), barrier, results)) for _ in range(2)
    ]
    for child in children:
        child.start()
    answers = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert answers[0] == answers[1]
    assert entries(cache) == [answers[0][0]]


KILLED = """
import os, signal, sys
from luoxia.media.image.images import open_images
open_images(sys.argv[1], size=64, progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_killed_build_leaves_nothing_broken(photos: Photos, cache: Path) -> None:
    folder = photos("a", "b", count=100)
    child = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert child.returncode == -signal.SIGKILL
    (stale,) = (cache / "images").iterdir()
    assert stale.name.startswith(".building-")
    assert len(open_images(folder, size=64)) == 200
    assert stale.exists()  # it might still be at work
    for path in (*stale.iterdir(), stale):
        os.utime(path, (0, 0))
    dataset = open_images(folder, size=32)
    assert not stale.exists()
    assert dataset.fingerprint in entries(cache)


def test_an_interrupted_build_cleans_up(photos: Photos, cache: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_images(photos("."), progress=interrupt)
    assert entries(cache) == []


def test_whoever_publishes_second_is_discarded(tmp_path: Path) -> None:
    final = tmp_path / "entry"

    def build(folder: Path) -> None:
        if not final.exists():
            publish(final, lambda other: (other / "who").write_text("first") and None)
        (folder / "who").write_text("second")

    publish(final, build)
    assert (final / "who").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_sweeping_spares_what_is_fresh(tmp_path: Path) -> None:
    (tmp_path / ".building-new").mkdir()
    (tmp_path / "entry").mkdir()
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cache_that_cannot_be_written(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file", b"")
    monkeypatch.setenv("LUOXIA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(LuoxiaError, match="set LUOXIA_CACHE"):
        open_images(photos("."))


def test_a_full_disk(photos: Photos, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LuoxiaError, match="No space left on device"):
        open_images(photos("."))
    assert entries(cache) == []


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == Path(os.environ["LUOXIA_CACHE"])
    monkeypatch.delenv("LUOXIA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "luoxia"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "luoxia"


def test_describe_tells_the_same_as_opening(photos: Photos) -> None:
    folder = photos("a", "b")
    write(folder / "a" / "odd.png", encode(noise(30, 40, "L")))
    write(folder / "a" / "bad.png", b"")
    before = describe(folder, size=16)
    dataset = open_images(folder, size=16)
    after = describe(folder, size=16)
    assert (before.cached, after.cached) == (False, True)
    assert before.fingerprint == after.fingerprint == dataset.fingerprint
    assert before.count == after.count == len(dataset) == 7
    assert before.sizes == {"20x20": 6, "30x40": 1}
    assert before.modes == {"RGB": 6, "L": 1}
    assert before.classes == {"a": 4, "b": 3}
    assert (before.kind, before.layout, before.size, before.channels) == (
        "folder",
        "class folders",
        "16x16",
        3,
    )
    assert json.loads(json.dumps(before.as_dict()))["skipped"] == [
        {"name": "a/bad.png", "reason": "an empty file"}
    ]


def test_importing_stays_light() -> None:
    code = "import sys, luoxia.media.image; print('torch' in sys.modules, 'mlxtend' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.split() == ["False", "False"]


def test_a_data_set_prints_briefly(photos: Photos) -> None:
    dataset = open_images(photos("."))
    assert isinstance(dataset, ImageDataset)
    assert len(repr(dataset)) < 500
