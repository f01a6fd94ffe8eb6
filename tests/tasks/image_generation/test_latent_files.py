"""Latents from files: nothing that a file says is believed, and classes are never dropped silently."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import luoxia
from luoxia.core.errors import UsageError
from luoxia.formats.registry import read_label
from luoxia.tasks.image_generation import latent_files
from luoxia.tasks.image_generation.latent_files import read_points
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.verbs.ask import ask


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def generator(plain: Path) -> ImageGenerator:
    return luoxia.load(plain, device="cpu")


def test_an_array_is_read_up_to_a_limit(
    generator: ImageGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "a.npz", {"z.npy": npy(np.zeros((2, 8), np.float32))})
    assert read_points(path, generator)[0].shape == (2, 8)
    monkeypatch.setattr(latent_files, "MOST", 100)
    with pytest.raises(UsageError, match=r"a\.npz cannot be read"):
        read_points(path, generator)


def test_what_is_not_asked_for_is_not_unpacked(generator: ImageGenerator, tmp_path: Path) -> None:
    members = {"z.npy": npy(np.zeros((2, 8), np.float32)), "noise.npy": b"not an array", "x/../y.npy": b""}
    assert len(read_points(pack(tmp_path / "a.npz", members), generator)[0]) == 2


@pytest.mark.parametrize("shape", ["(99999999999, 8)", "(99999999999999999999, 8)", "(-1, 8)"])
def test_a_header_that_promises_too_much_is_one_sentence(
    generator: ImageGenerator, tmp_path: Path, shape: str
) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(UsageError, match="cannot be read"):
        read_points(pack(tmp_path / "a.npz", {"z.npy": content}), generator)


def walked(run: Path, folder: Path, *labels: int | None, **settings: object) -> Path:
    paths = []
    for number, label in enumerate(labels):
        own = {} if label is None else {"labels": np.array([label])}
        paths.append(str(folder / f"{number}.npz"))
        np.savez(paths[-1], z=np.full((1, 8), number + 1, np.float32), **own)
    return ask(
        "interpolate", str(run), latents=",".join(paths), frames=2, out=str(folder / "a.gif"), **settings
    )


def test_a_walk_through_several_classes_is_refused_by_name(classy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="of the classes 3, 5, and a walk of this model keeps to one"):
        walked(classy, tmp_path, 3, 5)
    with pytest.raises(UsageError, match="of the classes 2, 3"):
        walked(classy, tmp_path, 3, None, seeds="1", label="2")
    walked(classy, tmp_path, 3, 3)
    walked(classy, tmp_path, 3, None, seeds="1", overwrite=True)  # the seed follows the file
    assert read_label(tmp_path / "a.gif").controls["label"] is None


def test_a_walk_keeps_the_class_of_its_files(classy: Path, tmp_path: Path) -> None:
    from luoxia.tasks.image_generation.latents import _points
    from luoxia.tasks.image_generation.settings import InterpolateSettings

    np.savez(tmp_path / "a.npz", z=np.ones((1, 8), np.float32), labels=np.array([3]))
    chosen = InterpolateSettings.from_settings({"latents": str(tmp_path / "a.npz"), "seeds": "1"})
    points, labels = _points(luoxia.load(classy, device="cpu"), chosen)
    assert len(points) == 2 and torch.equal(labels, torch.tensor([3]))
