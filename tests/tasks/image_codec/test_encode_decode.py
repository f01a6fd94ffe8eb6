"""``luoxia encode`` and ``decode``: into tokens, and back under the files' names."""

import json

import numpy as np
import pytest
from PIL import Image
from rectangles import rectangles, write

import luoxia
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.formats import tok, tokens
from luoxia.formats.registry import checked_label
from luoxia.formats.tok import TokenGrid
from luoxia.formats.tokens import TokenFile
from luoxia.provenance.label import Label
from luoxia.verbs.ask import ask


@pytest.fixture
def photos(tmp_path):
    folder = write(tmp_path / "photos" / "inner", rectangles(5, seed=3)).parent
    Image.fromarray(rectangles(1, 20, 30)[0]).save(folder / "large.webp", lossless=True)
    Image.fromarray(rectangles(1, channels=4)[0]).save(folder / "alpha.png")
    (folder / "broken.png").write_bytes(b"\x89PNG no more")
    return folder


def shown(path):
    return np.asarray(Image.open(path))


def test_a_file_of_tokens_comes_back_under_the_names(run, codec, photos, tmp_path):
    made = ask("encode", run.path, photos, out=tmp_path / "t.npz", device="cpu")
    assert made["encoded"] == 7 and [s["name"] for s in made["skipped"]] == ["broken.png"]
    content = tokens.read(tmp_path / "t.npz")
    assert content.fingerprint == codec.fingerprint and content.media["size"] == [16, 16]
    assert checked_label(tmp_path / "t.npz").recipe == "image-codec"
    back = ask("decode", run.path, tmp_path / "t.npz", out=tmp_path / "back", device="cpu")
    assert back == {"out": str(tmp_path / "back"), "decoded": 7, "skipped": []}
    files = sorted(p.relative_to(tmp_path / "back").as_posix() for p in (tmp_path / "back").rglob("*.png"))
    assert files == ["alpha.png", *[f"inner/{i:03d}.png" for i in range(5)], "large.png"]
    expected = codec.reconstruct(rectangles(5, seed=3))
    for number in range(5):
        assert np.array_equal(shown(tmp_path / "back" / "inner" / f"{number:03d}.png"), expected[number])
    label = checked_label(tmp_path / "back" / "large.png")
    assert label.run == "codec" and label.parents[0].name == "t.npz"


def test_a_folder_of_tokens_keeps_each_image_s_own_size(run, codec, photos, tmp_path):
    made = ask("encode", run.path, photos, out=f"{tmp_path}/toks/", size="own", device="cpu")
    assert made["encoded"] == 7
    assert (tmp_path / "toks" / "large.tok").stat().st_size == 26 + 40 * 8 // 8 + 4
    assert checked_label(tmp_path / "toks" / "inner" / "003.tok").parents[0].name == "inner/003.png"
    (tmp_path / "toks" / "bad.tok").write_bytes(b"LXTK")
    back = ask("decode", run.path, tmp_path / "toks", out=tmp_path / "back", device="cpu")
    assert back["decoded"] == 7 and back["skipped"][0]["name"] == "bad.tok"
    large = shown(tmp_path / "back" / "large.png")
    assert large.shape == (20, 30, 3)
    assert np.array_equal(large, codec.reconstruct(rectangles(1, 20, 30))[0])
    one = ask("decode", run.path, tmp_path / "toks" / "large.tok", out=tmp_path / "one", device="cpu")
    assert one["decoded"] == 1 and np.array_equal(shown(tmp_path / "one" / "large.png"), large)
    with pytest.raises(UsageError, match="already exists; choose another path or pass overwrite=true"):
        ask("decode", run.path, tmp_path / "toks", out=tmp_path / "back", device="cpu")
    ask("decode", run.path, tmp_path / "toks", out=tmp_path / "back", overwrite=True, device="cpu")


def test_unequal_sizes_in_one_file(run, photos, tmp_path):
    ask("encode", run.path, photos, out=tmp_path / "t.npz", size="own", device="cpu")
    ask("decode", run.path, tmp_path / "t.npz", out=tmp_path / "back", device="cpu")
    assert shown(tmp_path / "back" / "large.png").shape == (20, 30, 3)
    assert shown(tmp_path / "back" / "inner" / "001.png").shape == (16, 16, 3)


def held(codec, **changed):
    given = {
        "names": ["a.png"], "grids": [TokenGrid(np.zeros((4, 4, 1), np.int64), (0, 0))],
        "vocabulary": codec.vocabulary, "fingerprint": codec.fingerprint,
    }  # fmt: skip
    return TokenFile(**given | changed)


@pytest.mark.parametrize(
    ("changed", "kind", "told"),
    [
        ({"fingerprint": "ab" * 16}, UsageError, r"t\.npz holds tokens of another codec \(abababababababab\), or of"),
        ({"names": ["../../x.png"]}, UsageError, r"names \.\./\.\./x\.png, and its name leads out of out="),
        ({"names": ["/etc/x.png"]}, UsageError, "its name leads out of out="),
        ({"names": ["a\0b.png"]}, LuoxiaError, "t.npz"),
        (
            {"grids": [TokenGrid(np.full((4, 4, 1), 200), (0, 0))]},
            LuoxiaError,
            r"t\.npz, a\.png: token 200 is out of range, for the codec has 200",
        ),
        ({"grids": [TokenGrid(np.zeros((4, 4, 4, 1), np.int64), (0, 0, 0))]}, LuoxiaError, r"not \(rows, columns, 1\)"),
        ({"grids": [TokenGrid(np.zeros((4, 4, 1), np.int64), (4, 0))]}, LuoxiaError, "more than a cell is cut off"),
    ],
)  # fmt: skip
def test_tokens_that_are_not_this_codec_s_are_refused(run, codec, tmp_path, changed, kind, told):
    tokens.write(held(codec, **changed), Label(), tmp_path / "t.npz")
    with pytest.raises(kind, match=told) as caught:
        ask("decode", run.path, tmp_path / "t.npz", out=tmp_path / "back", device="cpu")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.png"))


def test_two_files_of_one_name_are_refused(run, codec, tmp_path):
    grid = TokenGrid(np.zeros((4, 4, 1), np.int64), (0, 0))
    tokens.write(held(codec, names=["a", "a"], grids=[grid, grid]), Label(), tmp_path / "t.npz")
    with pytest.raises(LuoxiaError, match="names a file twice"):
        ask("decode", run.path, tmp_path / "t.npz", out=tmp_path / "back", device="cpu")


def test_a_tok_of_another_codec_is_refused(run, tmp_path):
    own = TokenGrid(np.zeros((4, 4, 1), np.int64), (0, 0))
    tok.write(own, 200, "cd" * 16, Label(), tmp_path / "a.tok")
    with pytest.raises(UsageError, match="another codec"):
        ask("decode", run.path, tmp_path / "a.tok", out=tmp_path / "back", device="cpu")
    with pytest.raises(
        LuoxiaError, match=r"holds no tokens that can be decoded, such as a\.tok: .*another codec"
    ):
        ask("decode", run.path, tmp_path, out=tmp_path.parent / "elsewhere", device="cpu")


def test_what_cannot_be_asked(run, photos, tmp_path):
    for words, told in (
        (("encode", photos, {}), "encode needs out="),
        (("encode", tmp_path / "none", {"out": tmp_path / "t.npz"}), "there is nothing at"),
        (("encode", photos, {"out": tmp_path / "t.zip"}), r"must be FILE\.npz or FOLDER/"),
        (("encode", photos, {"out": photos / "t.npz"}), "which is read"),
        (("decode", tmp_path / "none", {"out": tmp_path / "x"}), "there is nothing at"),
        (("decode", photos, {}), "decode needs out=FOLDER/"),
    ):
        verb, path, settings = words
        with pytest.raises(UsageError, match=told):
            ask(verb, run.path, path, device="cpu", **settings)
    with pytest.raises(LuoxiaError, match="holds no tokens that can be decoded"):
        ask("decode", run.path, photos, out=tmp_path / "x", device="cpu")
    with pytest.raises(UsageError, match="is an image codec and cannot sample; use luoxia encode"):
        ask("sample", run.path, n=1)


def test_the_command_line_prints_one_object(run, photos, tmp_path):
    from typer.testing import CliRunner

    from luoxia.cli.main import app

    words = ["encode", str(run.path), str(photos), f"out={tmp_path / 't.npz'}", "device=cpu", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["encoded"] == 7 and told["label"]["recipe"] == "image-codec"
    assert (
        luoxia.load(run).fingerprint == json.loads(str(np.load(tmp_path / "t.npz")["header"]))["fingerprint"]
    )
