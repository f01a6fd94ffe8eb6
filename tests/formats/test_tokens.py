"""Tokens on the disk: what is written comes back, and what is damaged or hostile is refused in one sentence."""

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.formats import npz, tok, tokens
from luoxia.formats.registry import checked_label, is_ours
from luoxia.formats.tok import TokenGrid, bits_of, smallest
from luoxia.formats.tokens import TokenFile
from luoxia.provenance.label import Label

PRINT = "0123456789abcdef" * 2


def grid_of(*shape, vocabulary=1000, cut=None, seed=0):
    drawn = np.random.default_rng(seed).integers(vocabulary, size=(*shape, 1))
    return TokenGrid(drawn, cut or (0,) * len(shape))


@pytest.mark.parametrize("vocabulary", [2, 3, 256, 257, 1000, 2**16, 2**31])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)], ids=str)
def test_tok_gives_back_what_it_took(tmp_path, vocabulary, shape):
    own = grid_of(*shape, vocabulary=vocabulary, cut=tuple(range(len(shape))))
    path = tok.write(own, vocabulary, PRINT, Label(run="x"), tmp_path / "a.tok")
    found, bits, digest = tok.read(path)
    assert np.array_equal(found.tokens, own.tokens) and found.cut == own.cut
    assert bits == bits_of(vocabulary) and digest == PRINT[:16]
    assert is_ours(path) and checked_label(path).run == "x"


def test_tok_is_small():
    content = tok.pack(grid_of(8, 8), 1000, PRINT)
    assert len(content) == 26 + 80 + 4, "64 tokens of ten bits, a header of at most 32 bytes, a checksum"
    assert len(tok.pack(grid_of(1, 1, 1), 2, PRINT)) - 1 - 4 <= 32


def test_every_changed_byte_is_noticed():
    content = tok.pack(grid_of(3, 4), 1000, PRINT)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        with pytest.raises(ValueError):
            tok.unpack(bytes(changed))
    for length in range(len(content)):
        with pytest.raises(ValueError):
            tok.unpack(content[:length])


def with_checksum(content):
    return content + struct.pack("<I", zlib.crc32(content))


def test_a_header_of_any_size_allocates_nothing(tmp_path):
    head = struct.pack("<4s4B8s", b"LXTK", 1, 2, 1, 10, bytes(8)) + struct.pack(
        "<IBIB", 2**32 - 1, 0, 2**32 - 1, 0
    )
    (tmp_path / "a.tok").write_bytes(with_checksum(head + bytes(80)))
    with pytest.raises(LuoxiaError, match=r"a\.tok cannot be read: its size is not that of the grid"):
        tok.read(tmp_path / "a.tok")
    for content, told in (
        (b"", "not a file of tokens"),
        (b"LXTK" + bytes(40), "version 0, and this Luoxia reads 1"),
        (
            with_checksum(struct.pack("<4s4B8s", b"LXTK", 1, 9, 1, 10, bytes(8)) + bytes(60)),
            "header is damaged",
        ),
        (
            with_checksum(struct.pack("<4s4B8s", b"LXTK", 1, 2, 1, 10, bytes(8)) + bytes(10)),
            "size is not that",
        ),
    ):
        (tmp_path / "b.tok").write_bytes(content)
        with pytest.raises(LuoxiaError, match=told):
            tok.read(tmp_path / "b.tok")
    with pytest.raises(LuoxiaError, match="cannot be read: No such file"):
        tok.read(tmp_path / "none.tok")


def test_npz_of_equal_grids(tmp_path):
    grids = [grid_of(2, 3, seed=i) for i in range(4)]
    names = ["a.png", "b/ü.png", "c.png", "d.png"]
    path = tokens.write(
        TokenFile(names, grids, 1000, PRINT, {"size": [16, 24]}), Label(run="x"), tmp_path / "t.npz"
    )
    with np.load(path, allow_pickle=False) as archive:
        assert sorted(archive.files) == ["header", "names", "tokens"]
        assert archive["tokens"].shape == (4, 2, 3, 1) and archive["tokens"].dtype == np.uint16
        header = json.loads(str(archive["header"]))
    assert header["fingerprint"] == PRINT and header["vocabulary"] == 1000 and header["codebooks"] == 1
    found = tokens.read(path)
    assert list(found.names) == names and found.media == {"size": [16, 24]}
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(found.grids, grids, strict=True))
    assert checked_label(path).run == "x"


def test_npz_of_unequal_grids(tmp_path):
    grids = [grid_of(2, 3, cut=(1, 0)), grid_of(4, 1, seed=1), grid_of(1, 1, seed=2)]
    path = tokens.write(TokenFile(list("abc"), grids, 200, PRINT), Label(), tmp_path / "t.npz")
    with np.load(path, allow_pickle=False) as archive:
        assert archive["tokens"].shape == (11, 1) and archive["tokens"].dtype == np.uint8
        assert archive["lengths"].tolist() == [6, 4, 1] and archive["grids"].tolist() == [
            [2, 3],
            [4, 1],
            [1, 1],
        ]
    found = tokens.read(path).grids
    wanted = [grid.tokens.astype(np.uint8) for grid in grids]
    assert all(np.array_equal(a.tokens, b) for a, b in zip(found, wanted, strict=True))
    assert [grid.cut for grid in found] == [(1, 0), (0, 0), (0, 0)]


def test_the_smallest_type():
    assert [smallest(v) for v in (2, 256, 257, 2**16, 2**16 + 1)] == ["u1", "u1", "u2", "u2", "u4"]


def npz_of(path, header=None, **arrays):
    facts = {"fingerprint": PRINT, "vocabulary": 10} if header is None else header
    np.savez(path, **arrays, header=np.array(json.dumps(facts)))
    return path


GOOD = {"tokens": np.zeros((2, 3, 3, 1), np.uint8), "names": np.array(["a", "b"])}
FLAT = {"tokens": np.zeros((5, 1), np.uint8), "names": np.array(["a", "b"])}


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"names": GOOD["names"]}, "holds no tokens of luoxia encode"),
        (GOOD | {"names": np.array(["a"])}, "one name for each grid"),
        (GOOD | {"names": np.array([1, 2])}, "one name for each grid"),
        (GOOD | {"tokens": np.zeros((2, 3, 3, 1))}, "no unsigned numbers"),
        (GOOD | {"tokens": np.zeros((0, 3, 3, 1), np.uint8)}, "no unsigned numbers"),
        (GOOD | {"tokens": np.full((2, 3, 3, 1), 2**63, np.uint64)}, "too large"),
        (GOOD | {"cuts": np.zeros((2, 3), np.uint8)}, "cuts do not fit"),
        (FLAT, "have no grid"),
        (FLAT | {"lengths": np.array([2, 3])}, "lengths and grids do not fit"),
        (FLAT | {"lengths": np.array([2, 3]), "grids": np.array([[2, 1], [4, 1]])}, "not those of its grids"),
        (FLAT | {"lengths": np.array([2, 4]), "grids": np.array([[2, 1], [4, 1]])}, "do not add up"),
        (FLAT | {"lengths": np.array([-2, 7]), "grids": np.array([[-2, 1], [7, 1]])}, "not those of its grids"),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(tmp_path, arrays, told):
    with pytest.raises(LuoxiaError, match=told):
        tokens.read(npz_of(tmp_path / "t.npz", **arrays))


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"fingerprint": 3},
        {"fingerprint": PRINT, "vocabulary": True},
        {"fingerprint": PRINT, "vocabulary": -1},
    ],
)
def test_headers_that_tell_nothing_are_refused(tmp_path, header):
    with pytest.raises(LuoxiaError, match=r"header|vocabulary"):
        tokens.read(npz_of(tmp_path / "t.npz", header, **GOOD))


def member(shape, dtype, content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (member((10**9, 10**9, 1), "|u1"), "claims 1,000,000,000,000,000,000 bytes"),
        (member((2, 3, 3, 1), "|O", b"cos\nsystem\n(S'true'\ntR."), "neither numbers nor texts"),
        (member((2, 3, 3, 1), "|u1", bytes(3)), "cut short"),
        (member((2, 3, 3, 1), "|u1", bytes(30)), "damaged"),
        (b"no array at all", "cannot be read"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 65535, "cannot be read"),
    ],
    ids=["giant", "pickled", "short", "long", "none", "nested"],
)
def test_hostile_arrays_are_refused(tmp_path, array, told):
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("tokens.npy", array)
    with pytest.raises(LuoxiaError, match=told) as caught:
        npz.read(tmp_path / "t.npz", ("tokens",))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_what_is_no_npz_is_refused(tmp_path):
    (tmp_path / "t.npz").write_text("no zip")
    with pytest.raises(LuoxiaError, match="cannot be read: File is not a zip file"):
        tokens.read(tmp_path / "t.npz")
