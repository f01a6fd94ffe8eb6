"""Files are read again only where they changed, and no more of them at once than the memory holds."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from luoxia.core.parallel import ByteBudget, in_order
from luoxia.media.files import Files, FolderFiles, OneFile
from luoxia.media.image.convert import Conversion, Header, decoded_bytes
from luoxia.media.image.images import open_images
from pictures import encode, noise, write

Photos = Callable[..., Path]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read whole, as they are."""
    names: list[str] = []
    for kind in (FolderFiles, OneFile):
        whole = kind.read

        def noted(self: Files, name: str, whole: Callable[..., bytes] = whole) -> bytes:
            names.append(name)
            return whole(self, name)

        monkeypatch.setattr(kind, "read", noted)
    monkeypatch.setattr("luoxia.media.looks.FRESH_NANOSECONDS", -1)
    return names


def test_only_files_that_changed_are_read_again(photos: Photos, read: list[str]) -> None:
    folder = photos("a", "b")
    write(folder / "a" / "deep.png", encode(Image.fromarray(np.full((20, 20), 300, np.uint16))))
    write(folder / "a" / "bad.png", b"bad")
    first = open_images(folder)
    read.clear()
    assert open_images(folder).fingerprint == first.fingerprint
    assert read == []
    write(folder / "a" / "0.png", encode(noise(20, 20, seed=9)))
    changed = open_images(folder)
    assert changed.fingerprint != first.fingerprint
    assert set(read) >= {"a/0.png"}
    assert [skip.reason for skip in changed.skipped] == [skip.reason for skip in first.skipped]


def test_a_file_that_is_as_long_and_as_old_is_read_again(photos: Photos, read: list[str]) -> None:
    import os

    folder = photos(".")
    first = open_images(folder, size=8)
    path = folder / "0.png"
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert open_images(folder, size=8).fingerprint != first.fingerprint


def test_what_is_remembered_may_be_damaged(photos: Photos, cache: Path, read: list[str]) -> None:
    folder = photos(".")
    first = open_images(folder)
    (entry,) = (cache / "looks").iterdir()
    for damage in (b"", b"{}", b'{"version": 1}', b"[]", (entry / "looks.json").read_bytes()[:-3]):
        (entry / "looks.json").write_bytes(damage)
        assert open_images(folder).fingerprint == first.fingerprint


def test_a_file_that_is_fresh_is_not_trusted(photos: Photos, cache: Path) -> None:
    open_images(photos("."))
    (entry,) = (cache / "looks").iterdir()
    assert '"files": {}' in (entry / "looks.json").read_text()


def test_threads_wait_for_bytes() -> None:
    budget, running, most = ByteBudget(10), [0], [0]
    lock = threading.Lock()

    def work(indices: Sequence[int]) -> None:
        with budget.hold(4 if indices[0] else 99):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            for _ in range(200):
                threading.Event().wait(0)
            with lock:
                running[0] -= 1

    list(in_order(work, 40, 1, workers=8))
    assert most[0] <= 2


def test_large_images_are_decoded_one_by_one(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    from luoxia.media.image import images

    alone = threading.Lock()

    def convert(*arguments: object) -> object:
        assert alone.acquire(blocking=False)
        try:
            return original(*arguments)  # type: ignore[arg-type]
        finally:
            alone.release()

    original = images.convert
    monkeypatch.setattr(images, "convert", convert)
    monkeypatch.setattr(images, "MEMORY", ByteBudget(1))
    monkeypatch.setattr(images, "CHUNK_BYTES", 1)
    assert len(open_images(photos("a", "b", size=(80, 80)), size=64)) == 6


def test_a_jpeg_that_is_made_small_takes_less() -> None:
    header, to = Header(4000, 6000, "RGB", False), Conversion(64, 64, 3, "center")
    assert decoded_bytes(header, "a.png", to) == 8 * 4000 * 6000
    assert decoded_bytes(header, "a.JPG", to) == 8 * 4000 * 6000 // 64
    assert decoded_bytes(header, "a.JPG", Conversion(1024, 1024, 3, "center")) == 8 * 4000 * 6000
