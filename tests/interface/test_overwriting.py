"""What the verbs write over, and what they never touch."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import luoxia
from luoxia.formats.registry import is_ours, read_label

Command = Callable[..., Result]
Refusal = Callable[..., str]
NOT_OURS = "has no label of ours, or was changed since; overwrite=true replaces only what Luoxia made"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_photos_that_are_named_as_samples_are_are_not_touched(
    refused: Refusal, finished: Path, photographed: Callable[..., Path], here: Path
) -> None:
    folder = photographed(here / "numbered", 12)
    for path in folder.iterdir():
        path.rename(folder / f"{int(path.stem):06d}.png")
    before = contents(folder)
    for out in ("numbered", "numbered/"):
        assert NOT_OURS in refused(2, "sample", finished, "n=4", f"out={out}", "overwrite=true")
        assert "already exists" in refused(2, "sample", finished, "n=4", f"out={out}")
    assert contents(folder) == before


def test_a_shorter_writing_removes_its_own_images_alone(
    luoxia_command: Command, refused: Refusal, finished: Path
) -> None:
    assert luoxia_command("sample", finished, "n=5", "out=many/").exit_code == 0
    assert luoxia_command("sample", finished, "n=1", "out=many/sheet.png").exit_code == 0
    assert luoxia_command("sample", finished, "n=2", "out=many/", "overwrite=true").exit_code == 0
    assert sorted(path.name for path in Path("many").iterdir()) == ["000000.png", "000001.png", "sheet.png"]
    Image.fromarray(np.zeros((3, 3), np.uint8)).save("many/000009.png")
    assert "holds 000009.png" in refused(2, "sample", finished, "n=2", "out=many/", "overwrite=true")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("sample", "n=2"), "a.png"),
        (("sample", "n=2"), "a.npz"),
        (("sample", "n=2", "interpolate=2"), "a.gif"),
        (("interpolate", "seeds=1,2", "frames=2"), "a.gif"),
        (("interpolate", "seeds=1,2", "frames=2"), "a.mp4"),
        (("directions", "n=1"), "a.npz"),
    ],
)
def test_every_verb_of_images_replaces_only_its_own(
    luoxia_command: Command, refused: Refusal, finished: Path, words: tuple[str, ...], name: str
) -> None:
    if name.endswith("mp4"):
        pytest.importorskip("av")
    verb, *keys = words
    Path(name).write_text("mine")
    assert NOT_OURS in refused(2, verb, finished, *keys, f"out={name}", "overwrite=true")
    assert Path(name).read_text() == "mine"
    Path(name).unlink()
    assert luoxia_command(verb, finished, *keys, f"out={name}").exit_code == 0
    assert is_ours(Path(name))
    assert luoxia_command(verb, finished, *keys, f"out={name}", "overwrite=true").exit_code == 0


@pytest.mark.parametrize("verb", ["project", "directions"])
def test_the_picture_beside_is_no_exception(
    refused: Refusal, finished: Path, photos: Path, verb: str
) -> None:
    photo = (photos / "000.png").rename("photo.png")
    before = photo.read_bytes()
    words = (verb, finished, *([photo] if verb == "project" else []), "out=photo.npz")
    told = "is what is read" if verb == "project" else "already exists"
    assert told in refused(2, *words)
    assert ("is what is read" if verb == "project" else NOT_OURS) in refused(2, *words, "overwrite=true")
    assert photo.read_bytes() == before and not Path("photo.npz").exists()


def test_a_number_is_free_where_no_file_has_it(luoxia_command: Command, run: Path) -> None:
    assert luoxia_command("sample", run, "n=2").exit_code == 0
    sheet = (run / "generated" / "001.png").read_bytes()
    assert luoxia_command("directions", run, "n=1").exit_code == 0
    assert (run / "generated" / "001.png").read_bytes() == sheet
    assert {path.name for path in (run / "generated").iterdir()} == {"001.png", "002.npz", "002.png"}


def test_a_runs_own_files_are_not_written_over(refused: Refusal, run: Path) -> None:
    before = contents(run)
    for out in (
        run,
        run / "samples",
        run / "checkpoints",
        run / "model",
        run / "samples" / "step_000020.png",
    ):
        for more in ((), ("overwrite=true",)):
            assert "belongs to the run run" in refused(2, "sample", run, "n=2", f"out={out}", *more)
    assert contents(run) == before


def test_where_nothing_can_be_written_is_one_sentence(refused: Refusal, finished: Path, here: Path) -> None:
    (here / "gone.png").symlink_to("nowhere.png")
    assert "is a link to what is not there" in refused(2, "sample", finished, "out=gone.png")
    assert "File name too long" in refused(1, "sample", finished, f"out={'x' * 300}.png")
    assert sorted(path.name for path in here.iterdir()) == ["gone.png"]


def test_a_sheet_that_nothing_could_read_is_refused(refused: Refusal, finished: Path) -> None:
    told = refused(2, "sample", finished, "n=1_000_000", "out=a.png")
    assert "a sheet of 1,000,000 images of 8 × 8 would have" in told and "out=FOLDER/" in told


def test_the_need_of_many_images_is_told_before_they_are_made(
    luoxia_command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luoxia.tasks.image_generation.sample.LARGE", 1000)
    few, many = (luoxia_command("sample", finished, f"n={n}", f"out={n}.npz") for n in (2, 70))
    assert "images of 8 × 8 × 3: 0.0 GiB before they are packed" in many.stderr
    assert few.stderr == ""
    with np.load("70.npz") as file:
        assert np.array_equal(file["images"], luoxia.load(finished, device="cpu").sample(70))


# ------------------------------------------------------------------ text


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("letters")
    (folder / "a.txt").write_text("abc " * 400)
    keys = {"width": 8, "layers": 1, "heads": 1, "context": 16, "batch": 2, "score_samples": 0}
    settings = {**keys, "tokenizer": "character", "device": "cpu", "quiet": True}
    luoxia.train("gpt", data=str(folder / "a.txt"), out=str(folder / "run"), steps=2, **settings)
    return folder / "run"


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_text_is_labeled_and_replaced_only_while_nobody_changed_it(
    luoxia_command: Command, refused: Refusal, letters: Path, name: str
) -> None:
    words = ("sample", letters, "n=2", "max_tokens=4", f"out={name}")
    Path(name).write_text("mine\n")
    assert NOT_OURS in refused(2, *words, "overwrite=true")
    Path(name).unlink()
    assert luoxia_command(*words).exit_code == 0
    assert "already exists" in refused(2, *words)
    assert luoxia_command(*words, "overwrite=true").exit_code == 0
    if name == "a.txt":
        label = read_label(Path("a.txt.label.json"))
        assert label is not None and label.recipe == "gpt" and label.seed == 0
    else:
        assert json.loads(Path(name).read_text().splitlines()[0])["luoxia"]["system"] == "Luoxia"
    with Path(name).open("a") as file:
        file.write("a line of one's own\n")
    before = Path(name).read_text()
    assert NOT_OURS in refused(2, *words, "overwrite=true")
    assert Path(name).read_text() == before


def test_a_text_comes_in_pieces_not_in_characters(letters: Path) -> None:
    from luoxia.verbs.ask import ask

    assert len(ask("sample", str(letters), n=3, max_tokens=4)) == 3


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A translator, a classifier and an embedder of text, hardly trained."""
    folder = tmp_path_factory.mktemp("answering")
    (folder / "a.tsv").write_text("".join(f"one {i}\teins {i}\n" for i in range(40)))
    rows = ({"text": f"word {i}", "label": "ab"[i % 2]} for i in range(40))
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {"layers": 1, "heads": 1, "width": 16, "vocabulary": 270, "sample_every": 0, "steps": 1}
    settings = {**keys, "precision": "fp32", "device": "cpu", "quiet": True}
    for recipe, data in (("translate", "a.tsv"), ("classify-text", "a.jsonl"), ("embed-text", "a.tsv")):
        own = {"embed-text": {"batch": 8}, "classify-text": {"label": "label"}}.get(recipe, {})
        luoxia.train(recipe, data=str(folder / data), out=str(folder / recipe), **settings, **own)
    names = {"translate": "translate", "classify": "classify-text", "embed": "embed-text"}
    return {verb: folder / recipe for verb, recipe in names.items()}


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("translate", "made.de"), ("translate", "made"), ("classify", "made.csv"), ("classify", "made.jsonl"),
        ("embed", "made.npy"), ("embed", "made.npz"),
    ],
)  # fmt: skip
def test_every_verb_of_text_replaces_only_its_own(
    luoxia_command: Command, refused: Refusal, answering: dict[str, Path], verb: str, name: str
) -> None:
    Path("lines.txt").write_text("one 2\nword 3\n")
    words = (verb, answering[verb], "lines.txt", f"out={name}")
    Path(name).write_text("mine\n")
    assert NOT_OURS in refused(2, *words, "overwrite=true")
    assert Path(name).read_text() == "mine\n"
    Path(name).unlink()
    result = luoxia_command(*words)
    assert result.exit_code == 0, result.stderr
    assert is_ours(Path(name))
    assert luoxia_command(*words, "overwrite=true").exit_code == 0
    told = refused(2, verb, answering[verb], "lines.txt", "out=lines.txt", "overwrite=true")
    assert "is what is read" in told or "must be FILE" in told


def test_what_was_written_may_be_read_but_not_over_itself(
    luoxia_command: Command, refused: Refusal, answering: dict[str, Path]
) -> None:
    run = answering["classify"]
    assert luoxia_command("classify", run, "a word", "out=a.jsonl").exit_code == 0
    before = Path("a.jsonl").read_bytes()
    assert "is what is read" in refused(2, "classify", run, "a.jsonl", "out=a.jsonl", "overwrite=true")
    assert Path("a.jsonl").read_bytes() == before


def test_a_word_that_is_also_a_file_is_never_guessed(
    luoxia_command: Command, refused: Refusal, answering: dict[str, Path]
) -> None:
    Path("hello").write_text("one 2\none 3\n")
    Path("hello.txt").write_text("one 2\none 3\n")
    run = answering["classify"]
    assert "write ./hello for the file, or 'hello ' with a space for the text" in refused(
        2, "classify", run, "hello"
    )
    Path("there/inner").mkdir(parents=True)
    for verb, folder in (("classify", "there"), ("embed", "there/inner"), ("translate", ".")):
        told = refused(2, verb, answering[verb], folder, *(["against=one"] if verb == "embed" else []))
        assert told == f"{folder} is a folder: give a file of texts, or '{folder} ' with a space for the text"
    count = {"there ": 1, "./hello": 2, "hello ": 1, "hello.txt": 2, "-hello": 1, "hello you": 1}
    for word, texts in count.items():
        result = luoxia_command("classify", "--json", "--", run, word)
        assert result.exit_code == 0, (word, result.stderr)
        assert len(json.loads(result.stdout)["items"]) == texts


def test_python_says_which_it_is(answering: dict[str, Path]) -> None:
    from luoxia.verbs.ask import classify, embed, translate

    Path("hello.txt").write_text("one 2\none 3\n")
    run, embedder = str(answering["classify"]), str(answering["embed"])
    assert [row["text"] for row in classify(run, text="hello.txt")] == ["hello.txt"]
    assert len(classify(run, file="hello.txt")) == len(classify(run, file=Path("hello.txt"))) == 2
    assert len(embed(embedder, file="hello.txt", against_file="hello.txt")) == 2
    (row,) = embed(embedder, text="/etc/passwd", against="/etc/passwd")
    assert row == {"pair": ["/etc/passwd", "/etc/passwd"], "cosine": pytest.approx(1.0, abs=1e-5)}
    assert isinstance(translate(str(answering["translate"]), text="hello.txt", max_tokens=2), str)
    for call in (classify, embed, translate):
        for both in ({}, {"text": "a", "file": "hello.txt"}):
            with pytest.raises(luoxia.UsageError, match="one of them"):
                call(run, **both)


# ------------------------------------------------------------------ images, translated under their names


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sides")
    rng = np.random.default_rng(0)
    for side in ("a", "b"):
        (folder / side).mkdir()
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / side / f"{i}.png")
    keys = {
        "width": 4,
        "d_width": 4,
        "blocks": 1,
        "batch": 2,
        "extractor": "none",
        "device": "cpu",
        "holdout": 0,
    }
    sides = {"data": str(folder / "a"), "against": str(folder / "b")}
    luoxia.train("cut", **sides, out=str(folder / "run"), steps=1, sample_every=0, quiet=True, **keys)
    return folder / "run"


def test_an_entry_of_a_zip_never_leaves_the_folder(
    luoxia_command: Command, translator: Path, photos: Path, here: Path
) -> None:
    precious = here / "precious.png"
    content = (photos / "000.png").read_bytes()
    precious.write_bytes(content)
    names = (str(precious), "../precious.png", "a/../../precious.png", "ok.png", "way/ok.png")
    with zipfile.ZipFile("a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, (photos / "001.png").read_bytes())
    result = luoxia_command("translate", translator, "a.zip", "out=fresh/", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert precious.read_bytes() == content
    inside = {str(path.relative_to("fresh")) for path in Path("fresh").rglob("*.png")}
    assert {"ok.png", "way/ok.png"} <= inside
    assert told["translated"] == len(inside)
    assert len(told["skipped"]) == len(names) - len(inside) >= 1
    assert {p.name for p in here.iterdir()} == {"a.zip", "fresh", "photos", "precious.png"}


def test_names_that_differ_in_case_or_ending_alone_keep_their_images(
    luoxia_command: Command, translator: Path, photos: Path
) -> None:
    pixels = {}
    with zipfile.ZipFile("a.zip", "w") as archive:
        for i, name in enumerate(("a.png", "A.png", "b.png", "b.bmp")):
            content = (photos / f"{i:03d}.png").read_bytes()
            archive.writestr(name, content)
            pixels[name] = content
    assert luoxia_command("translate", translator, "a.zip", "out=made").exit_code == 0
    made = list(Path("made").iterdir())
    assert len({path.name.casefold() for path in made}) == 4
    assert {read_label(path).parents[0].name for path in made} == pixels.keys()


def test_images_are_never_translated_over_themselves(
    refused: Refusal, luoxia_command: Command, translator: Path, photos: Path
) -> None:
    before = contents(photos)
    for out in ("photos", "photos/", "photos/made/", "."):
        for more in ((), ("overwrite=true",)):
            told = refused(2, "translate", translator, "photos", f"out={out}", *more)
            assert "read" in told or "holds photos" in told
    one = photos / "000.png"
    assert "is what is read" in refused(2, "translate", translator, one, f"out={one}", "overwrite=true")
    assert contents(photos) == before
    assert luoxia_command("translate", translator, "photos", "out=made/").exit_code == 0
    assert luoxia_command("translate", translator, "photos", "out=made/", "overwrite=true").exit_code == 0
    (Path("made") / "001.png").write_bytes(before["001.png"])
    told = refused(2, "translate", translator, "photos", "out=made/", "overwrite=true")
    assert "holds 001.png" in told


def test_an_export_never_goes_through_a_link(refused: Refusal, finished: Path, here: Path) -> None:
    pytest.importorskip("onnx")
    Path("a.onnx").symlink_to(here / "nowhere.onnx")
    assert "already exists" in refused(2, "export", finished, "out=a.onnx")
    assert Path("a.onnx").is_symlink()
