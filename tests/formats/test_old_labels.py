"""Labels as they were written before there was one record: flat JSON, made here by hand."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from formats.carriers import FRAMES, IMAGE
from luoxia.core.files import to_json, write_file
from luoxia.formats.registry import checked_label, is_ours, read_label
from luoxia.media.ours import SAMPLE, SHEET, made_image
from luoxia.media.text.sources import read_texts
from luoxia.provenance.label import Label, Parent

OLD = {
    "recipe": "dcgan", "run": "dcgan-1", "step": 20, "data": "0123456789abcdef" * 2,
    "generator": "Luoxia 0.1.0", "seed": 3, "label": "4", "truncation": 0.7, "ema": True,
}  # fmt: skip
NEW = Label(
    recipe="dcgan", run="dcgan-1", step=20, data=OLD["data"], version="0.1.0", seed=3,
    controls={"label": "4", "truncation": 0.7, "ema": True},
)  # fmt: skip


def old_png(path: Path, record: object, image: np.ndarray = IMAGE) -> Path:
    info = PngInfo()
    info.add_text("Software", "Luoxia 0.1.0")
    info.add_itxt("luoxia", to_json(record))
    Image.fromarray(image).save(path, pnginfo=info)
    return path


def test_each_old_carrier_is_read(tmp_path: Path) -> None:
    pixels = hashlib.sha256(b"5 7 3 " + IMAGE.tobytes()).hexdigest()
    old_png(tmp_path / "plain.png", OLD)
    old_png(tmp_path / "digest.png", {**OLD, "sha256": pixels})
    Image.fromarray(FRAMES[0]).save(tmp_path / "a.gif", comment=json.dumps(OLD).encode())
    np.savez_compressed(tmp_path / "a.npz", images=FRAMES, parameters=np.array(to_json(OLD)))
    write_file(tmp_path / "a.txt", "one\n")
    digest = hashlib.sha256(b"one\n").hexdigest()
    write_file(tmp_path / "a.txt.label.json", to_json({**OLD, "sha256": digest}) + "\n")
    row = {**OLD, "text": "one"}
    write_file(tmp_path / "a.jsonl", (to_json({**row, "index": 0}) + "\n") * 2)
    for name in ("plain.png", "digest.png", "a.gif", "a.npz", "a.txt", "a.jsonl"):
        found = checked_label(tmp_path / name)
        assert found is not None and is_ours(tmp_path / name), name
        assert found.as_dict() | {"sha256": ""} == NEW.as_dict() | {"sha256": ""}, name
    old_png(tmp_path / "digest.png", {**OLD, "sha256": pixels}, IMAGE[::-1].copy())
    assert not is_ours(tmp_path / "digest.png")
    assert is_ours(old_png(tmp_path / "plain.png", OLD, IMAGE[::-1].copy()))  # it held no digest


def test_an_old_video_is_read(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w", format="mp4") as container:
        container.metadata["comment"] = to_json(OLD)
        stream = container.add_stream("mpeg4", rate=24)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for frame in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert read_label(tmp_path / "a.mp4") == NEW
    assert is_ours(tmp_path / "a.mp4")


def test_old_rows_have_one_digest(tmp_path: Path) -> None:
    rows = [
        {"text": text, "label": "cat", "probability": 0.5, "probabilities": {"cat": 0.5}, **OLD}
        for text in "ab"
    ]
    rows = [{**row, "label": "cat"} for row in rows]
    digest = hashlib.sha256("".join(map(to_json, rows)).encode()).hexdigest()
    path = write_file(
        tmp_path / "a.jsonl", "".join(to_json({**row, "sha256": digest}) + "\n" for row in rows)
    )
    found = checked_label(path)
    assert found is not None and found.sha256 == digest
    assert found.controls == {"truncation": 0.7, "ema": True}  # the class of a text is no control
    path.write_text(path.read_text().replace('"text": "a"', '"text": "c"'))
    assert not is_ours(path)


@pytest.mark.parametrize(
    ("more", "parents", "made"),
    [
        ({}, (), SHEET),
        ({"n": 4}, (), SHEET),
        ({"index": 3}, (), SAMPLE),
        ({"of": "a/x.jpg", "direction": "a2b"}, (Parent("a/x.jpg"),), SAMPLE),
        ({"image": "photo.jpg"}, (Parent("photo.jpg"),), SHEET),
        ({"latents": ["a.npz", "b.npz"]}, (Parent("a.npz"), Parent("b.npz")), SHEET),
    ],
)
def test_inputs_became_parents(more: dict, parents: tuple, made: str, tmp_path: Path) -> None:
    path = old_png(tmp_path / "a.png", {**OLD, **more})
    label = read_label(path)
    assert label is not None and label.parents == parents
    assert made_image(path.read_bytes()) == made


def test_the_oldest_images_are_known_by_the_name_of_the_field(tmp_path: Path) -> None:
    path = old_png(tmp_path / "neighbors.png", {"run": "dcgan-1"})
    label = read_label(path)
    assert label is not None and (label.run, label.recipe, label.version) == ("dcgan-1", "", "")
    assert is_ours(path)


TEXT_LABEL = {"text": "x", "prompt": "", "seed": 0, "index": 0}
OLD_RUN = {"recipe": "gpt", "run": "gpt-1", "step": 20, "data": "0123456789abcdef" * 2}
OLD_FOLDER = {"architecture": "LlamaForCausalLM", "folder": "llama"}


@pytest.mark.parametrize(
    ("row", "ours"),
    [
        ({**TEXT_LABEL, **OLD_RUN}, True),
        ({**TEXT_LABEL, **OLD_FOLDER}, True),
        ({"text": "x", "generator": "Luoxia 0.0.1"}, True),
        ({"text": "x", "recipe": "soup", "run": 3, "step": 1, "notes": "salt"}, False),
        ({"text": "x", "recipe": "soup", "run": "a", "step": 1, "data": "2024"}, False),
        ({**TEXT_LABEL, **OLD_RUN, "step": True}, False),
        ({**TEXT_LABEL, **OLD_RUN, "generator": "PipeOrgan 2"}, False),
        ({"text": "x", "architecture": "Gothic", "folder": "churches"}, False),
        ({"text": "x", "generator": "Luoxiang"}, False),
        ({"text": "x", "generator": ["Luoxia 1"]}, False),
        ({"text": "x", "luoxia": "0.1.0"}, False),
    ],
)
def test_rows_are_ours_by_a_whole_label_alone(tmp_path: Path, row: dict[str, object], ours: bool) -> None:
    rows = write_file(tmp_path / "a.jsonl", json.dumps(row) + "\n")
    assert is_ours(rows) == ours
    write_file(tmp_path / "b.txt", "one")
    assert [skip.name for skip in read_texts(tmp_path).skips.listed] == ["a.jsonl"] * ours
