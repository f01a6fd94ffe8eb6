"""``image-gpt``: codec and prior in one run, resumed bit for bit, with a codec of another run, trained further."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import luoxia
from compatibility.make_runs import weights_digest
from luoxia.core.order import holdout_split
from luoxia.runs.run import Run
from luoxia.tasks.image_synthesis import views
from luoxia.tasks.image_synthesis.conditions import ConditionData, request
from luoxia.tasks.image_synthesis.model import Known
from luoxia.tasks.record import ModelRecord
from luoxia.training.session import Session
from luoxia.training.trainer import Trainer

COLORS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 210)}
SETTINGS: dict[str, Any] = {
    "size": 16, "factor": 4, "levels": (4, 4, 3), "codec_width": 8, "codec_steps": 6, "steps": 8, "width": 16,
    "layers": 1, "heads": 2, "batch": 8, "views": 2, "shift": 1, "holdout": 0.2, "extractor": "none",
    "checkpoint_every": 3, "log_every": 4, "sample_every": 0, "score_every": 0, "device": "cpu", "quiet": True,
}  # fmt: skip


class Killed(BaseException):
    """In the place of a signal."""


def die(*_: Any, **__: Any) -> None:
    raise Killed


def draw(folder: Path, style: str = "flat", word: str = "square", n: int = 60) -> Path:
    """Squares of a color, left or right, with captions and a style."""
    folder.mkdir()
    rows = []
    for i in range(n):
        color, side = list(COLORS)[i % 3], ("left", "right")[i // 3 % 2]
        picture = np.full((16, 16, 3), 250, np.uint8)
        x = 1 if side == "left" else 9
        picture[5 + i % 2 : 11 + i % 2, x : x + 6] = COLORS[color]
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
        rows.append((f"{i:03d}.png", f"a {color} {word} {side}", (style, "other")[i % 5 == 0]))
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "text", "style"), *rows])
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("data") / "squares")


def train(data: Path, out: Path, **more: Any) -> Path:
    return luoxia.train("image-gpt", data=str(data), out=str(out), **{**SETTINGS, **more}).path


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never interrupted."""
    return train(data, tmp_path_factory.mktemp("runs") / "run")


# ------------------------------------------------------------------ the run and its model


def test_a_codec_comes_first_and_the_model_folder_needs_nothing_else(run: Path, tmp_path: Path) -> None:
    assert json.loads((run / "run.json").read_text())["stages"] == ["codec", "prior"]
    codec = luoxia.load(run / "stages/codec/left")
    config = json.loads((run / "model/config.json").read_text())
    assert config["codec"]["fingerprint"] == codec.fingerprint and config["codec"]["task"] == "image codec"
    assert {"prior", "autoencoder", "discriminator"} == set(
        json.loads((run / "run.json").read_text())["parameters"]
    )
    alone = shutil.copytree(run / "model", tmp_path / "alone")
    asked = {"seed": 5, "text": "a red square left", "style": "flat", "guidance": 2.0}
    np.testing.assert_array_equal(luoxia.load(alone).sample(3, **asked), luoxia.load(run).sample(3, **asked))
    assert luoxia.load(run, ema=False).sample(1).shape == (1, 16, 16, 3)


@pytest.mark.parametrize("asked", [{}, {"text": "a blue square right", "negative": "red", "guidance": 3.0}])
def test_an_image_is_the_same_at_batch_1_7_and_64(run: Path, asked: dict[str, Any]) -> None:
    model = luoxia.load(run)
    many = model.sample(64, seed=1, **asked)
    np.testing.assert_array_equal(model.sample(7, seed=1, **asked), many[:7])
    np.testing.assert_array_equal(model.sample(1, seed=1, **asked), many[:1])
    assert len({image.tobytes() for image in many}) > 32


def test_held_out_bits_stand_beside_a_histogram(run: Path) -> None:
    (score,) = bits(run)
    assert 0 < score["low"] <= score["value"] <= score["high"]
    assert 0 < score["signature"]["histogram at each place"] < score["reference"]


def test_measured_again_it_predicts_as_it_did(run: Path) -> None:
    record = ModelRecord.open(run)
    data, model = record.task.open(record.recipe), luoxia.load(run)
    conditions = ConditionData(model.spec, data, 0, model.reader)
    sides = holdout_split(len(data), 0.2, 0)
    (score,) = model.generator.predict(data, *sides, conditions.whole)
    assert score.as_dict() == bits(run)[0]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda config: config.pop("codec"), "its config.json has no codec"),
        (lambda config: config.update(codec=[1]), "its config.json has no codec"),
        (lambda config: config["codec"].update(task="image synthesis"), "is damaged"),
        (lambda config: config["codec"].pop("run"), "config.json is damaged"),
        (lambda config: config["codec"]["network"]["sizes"].update(widths=[99, 99]), "holds no usable model"),
        (lambda config: config["spec"].update(height=2**30), "tells of another grid"),
        (lambda config: config["config"].update(width=24), "holds no usable model"),
    ],
)
def test_a_damaged_folder_is_one_sentence(run: Path, tmp_path: Path, damage: Any, told: str) -> None:
    folder = shutil.copytree(run / "model", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    damage(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(luoxia.LuoxiaError, match=told):
        luoxia.load(folder)


def test_it_learns_images_and_what_is_said_of_them(data: Path, tmp_path: Path) -> None:
    more = {
        "codec_steps": 40,
        "steps": 80,
        "width": 48,
        "heads": 4,
        "layers": 2,
        "batch": 24,
        "log_every": 50,
    }
    path = train(data, tmp_path / "run", **more, codec_width=16, checkpoint_every=1000)
    (score,) = bits(path)
    assert score["value"] < 0.75 * score["signature"]["histogram at each place"]
    model = luoxia.load(path)
    tokens = model.generator.codec.encode(luoxia.open_images(str(data), 16).images[:6]).flatten(1, 2)
    order = torch.arange(16).expand(6, -1)
    captions = [f"a {color} square {side}" for side in ("left", "right") for color in COLORS]

    def cost(texts: list[str]) -> float:
        conditions = request(model.spec, 6, text=texts, reader=model.reader)
        logits = model.generator.prior(tokens, order, conditions)
        return float(-logits.log_softmax(-1).gather(-1, tokens[..., None]).sum(1).mean())

    assert cost(captions) < 0.6 * min(cost(captions[1:] + captions[:1]), cost(captions[3:] + captions[:3]))


def bits(path: Path) -> list[dict[str, Any]]:
    """The scores of that name of a run's end."""
    scores = [score for record in Run.open(path).records("score") for score in record["scores"]]
    return [score for score in scores if score["name"] == "held-out bits"]


# ------------------------------------------------------------------ resumed bit for bit


@pytest.mark.parametrize("lost", ["codec", "prior"])
def test_each_stage_is_resumed(
    lost: str, run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def fall(trainer: Trainer) -> None:
        if ("prior" in trainer.networks) == (lost == "prior") and trainer.progress.step == 5:
            raise Killed
        step(trainer)

    monkeypatch.setattr(Trainer, "step", fall)
    with pytest.raises(Killed):
        train(data, tmp_path / "killed")
    monkeypatch.undo()
    assert weights_digest(train(data, tmp_path / "killed")) == weights_digest(run)


@pytest.mark.parametrize("lost", ["before it left", "after it left", "while tokens are cached"])
def test_it_is_resumed_at_the_seam(
    lost: str, run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUOXIA_CACHE", str(tmp_path / "cache"))
    if lost == "before it left":
        monkeypatch.setattr(Session, "_leave", die)
    elif lost == "after it left":
        enter: Callable[[Session], None] = Session._enter
        calls: list[int] = []
        monkeypatch.setattr(Session, "_enter", lambda s: die() if calls else (calls.append(1), enter(s)))
    else:
        monkeypatch.setattr(views.np, "save", die)
    with pytest.raises(Killed):
        train(data, tmp_path / "killed")
    monkeypatch.undo()
    luoxia.resume(tmp_path / "killed", quiet=True)
    assert weights_digest(tmp_path / "killed") == weights_digest(run)


# ------------------------------------------------------------------ codecs of other runs


def test_a_codec_of_another_run_is_kept(run: Path, data: Path, tmp_path: Path) -> None:
    codec = shutil.copytree(run / "stages/codec/left", tmp_path / "codec")
    one = train(data, tmp_path / "one", codec=str(codec))
    assert json.loads((one / "run.json").read_text())["stages"] == ["prior"]
    shutil.rmtree(codec)
    luoxia.resume(one, steps=10, quiet=True)
    assert luoxia.load(one).sample(2).shape == (2, 16, 16, 3)
    whole = train(data, tmp_path / "two", codec=str(run))  # a prior's own codec
    assert (
        load_file(whole / "model/model.safetensors").keys()
        == load_file(run / "model/model.safetensors").keys()
    )


def test_another_codec_in_its_place_is_refused(run: Path, data: Path, tmp_path: Path) -> None:
    one = train(data, tmp_path / "one", codec=str(run))
    weights = one / "stages/codec/left/model.safetensors"
    changed = {name: value + 0.01 for name, value in load_file(weights).items()}
    save_file(changed, weights)
    with pytest.raises(
        luoxia.LuoxiaError, match="holds another codec than the one whose tokens this run learns"
    ):
        luoxia.resume(one, steps=10, quiet=True)


def test_what_is_no_codec_of_these_images_is_refused(run: Path, data: Path, tmp_path: Path) -> None:
    other = luoxia.train(
        "gan", steps=2, batch=4, extractor="none", out=str(tmp_path / "gan"), quiet=True
    ).path
    with pytest.raises(luoxia.UsageError, match="contains an image generator, expected an image codec"):
        train(data, tmp_path / "one", codec=str(other))
    with pytest.raises(luoxia.UsageError, match="is of images with 3 channels, and these have 1"):
        train(data, tmp_path / "one", codec=str(run), channels=1)
    assert not (tmp_path / "one").exists()


def test_tokens_are_those_of_one_codec_and_one_data_set(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, images = luoxia.load(run / "stages/codec/left"), luoxia.open_images(str(data), 16).images
    made: list[str] = []

    def tokens(fingerprint: str = "a", **more: Any) -> Any:
        shape = {"views": 2, "shift": 2, **more}
        return views.token_views(codec, images, fingerprint, tell=made.append, **shape)

    first = tokens()
    np.testing.assert_array_equal(first[0], codec.encode(images).flatten(1, 2))
    assert (first[1] != first[0]).any() and first.shape == (2, 60, 16, 1) and len(made) == 1
    tokens()
    assert len(made) == 1
    tokens("b"), tokens(shift=1)
    assert len(made) == 3
    monkeypatch.setitem(codec.__dict__, "fingerprint", "0" * 32)
    tokens()
    assert len(made) == 4


def test_views_move_images_and_repeat_their_border() -> None:
    images = np.arange(2 * 5 * 6).reshape(2, 5, 6, 1).astype(np.uint8)
    moved = views.view(images, 1, 2, mirror=False)
    assert any(
        np.array_equal(moved[0], np.pad(images[0], ((2, 2), (2, 2), (0, 0)), "edge")[y : y + 5, x : x + 6])
        for y in range(5)
        for x in range(5)
    )
    np.testing.assert_array_equal(views.view(images[1:], 1, 2, False, 1), moved[1:])
    turned = [views.view(images, number, 0, mirror=True)[0] for number in range(1, 9)]
    assert {t.tobytes() for t in turned} == {images[0].tobytes(), images[0][:, ::-1].tobytes()}


# ------------------------------------------------------------------ trained further


@pytest.fixture(scope="module")
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("other") / "blocks", "new", "block", 40)


def test_it_is_trained_further_with_its_codec_and_its_words(
    run: Path, other_data: Path, tmp_path: Path
) -> None:
    tuned = luoxia.finetune(
        run,
        data=str(other_data),
        lr=1e-9,
        steps=1,
        **{"optimizer.adam_lr": 1e-9},
        out=str(tmp_path / "tuned"),
        quiet=True,
    )
    manifest = json.loads((tuned.path / "run.json").read_text())
    assert manifest["stages"] == ["prior"] and manifest["origin"]["networks"]["prior"]["fresh"] == []
    before, after = luoxia.load(run), luoxia.load(tuned)
    assert after.generator.codec.fingerprint == before.generator.codec.fingerprint
    assert {"square", "block"} <= set(after.spec.words) and after.spec.field_names == ("style",)
    tables = [model.generator.prior.conditioner for model in (before, after)]
    words = [{w: t.text.content.tokens.weight[i + 1] for i, w in enumerate(t.spec.words)} for t in tables]
    torch.testing.assert_close(words[0]["red"], words[1]["red"], rtol=0, atol=1e-4)
    values = [dict(zip(t.spec.fields[0][1], t.tables[0].content.weight, strict=True)) for t in tables]
    torch.testing.assert_close(values[0]["other"], values[1]["other"], rtol=0, atol=1e-4)
    shutil.move(run, tmp_path / "away")
    try:
        luoxia.resume(tuned, steps=2, quiet=True)  # without the model that it began with
    finally:
        shutil.move(tmp_path / "away", run)


def test_adapters_alone_learn_and_are_merged_in_the_model(
    run: Path, other_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"data": str(other_data), "lora": 2, "steps": 6, "quiet": True}
    tuned = luoxia.finetune(run, out=str(tmp_path / "tuned"), **settings)
    before, after = (load_file(path / "model/model.safetensors") for path in (run, tuned.path))
    assert before.keys() == after.keys()
    assert torch.equal(before["decoder.tokens.weight"], after["decoder.tokens.weight"])
    changed = {
        name
        for name in before
        if before[name].shape == after[name].shape and not torch.equal(before[name], after[name])
    }
    assert any("stack" in name for name in changed) and not any(name.startswith("codec.") for name in changed)
    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", lambda t: die() if t.progress.step == 4 else step(t))
    with pytest.raises(Killed):
        luoxia.finetune(run, out=str(tmp_path / "killed"), **settings)
    monkeypatch.undo()
    luoxia.resume(tmp_path / "killed", quiet=True)
    assert weights_digest(tmp_path / "killed") == weights_digest(tuned.path)
    merged, last = (luoxia.load(tuned, ema=ema).sample(2, text="a red block left") for ema in (True, False))
    np.testing.assert_array_equal(merged, last)


# ------------------------------------------------------------------ edited


def test_what_is_painted_is_not_seen_and_the_rest_stays(run: Path, data: Path) -> None:
    model, image = luoxia.load(run), luoxia.open_images(str(data), 16).images[0]
    mask = np.zeros((16, 16), bool)
    mask[:, 8:] = True
    edited = model.edit(image, mask, n=2, seed=3)
    np.testing.assert_array_equal(edited[:, :, :8], np.repeat(image[None, :, :8], 2, 0))
    assert (edited[0] != edited[1]).any()
    other = image.copy()
    other[:, 8:] = 77
    np.testing.assert_array_equal(model.edit(other, mask, n=2, seed=3), edited)


def test_a_variation_keeps_some_of_its_tokens(run: Path, data: Path) -> None:
    model, images = luoxia.load(run), luoxia.open_images(str(data), 16).images
    generator = model.generator
    known = Known(np.repeat(images[:1], 3, 0), np.ones((16, 16), bool))
    some = generator.known(known, 0, range(3), 0.25)
    assert some.wanted.sum(1).tolist() == [4, 4, 4] and len({tuple(r.tolist()) for r in some.wanted}) > 1
    np.testing.assert_array_equal(some.tokens, generator.codec.encode(known.image).flatten(1, 2))
    assert model.edit(images[0], strength=0.5).shape == (1, 16, 16, 3)


def test_a_raster_cannot_edit(run: Path, data: Path, tmp_path: Path) -> None:
    path = train(data, tmp_path / "raster", codec=str(run), order="raster")
    model, image = luoxia.load(path), luoxia.open_images(str(data), 16).images[0]
    with pytest.raises(luoxia.UsageError, match="order=random"):
        model.edit(image, np.ones((16, 16), bool))
    assert model.sample(2, text="a red square left").shape == (2, 16, 16, 3)


def test_without_conditions_guidance_has_nothing_to_do(data: Path, run: Path, tmp_path: Path) -> None:
    path = train(data, tmp_path / "plain", codec=str(run), condition="none")
    model = luoxia.load(path)
    np.testing.assert_array_equal(model.sample(2, guidance=3.0), model.sample(2, guidance=1.0))


def test_settings_that_exclude_each_other() -> None:
    for wrong, told in (
        ({"lora": 4}, "lora= adapts a trained model"),
        ({"init": "x", "codec": "y"}, "codec= is that of the model at init=x"),
        ({"init": "x", "lora_alpha": 2.0}, "lora_alpha= needs lora="),
    ):
        with pytest.raises(luoxia.UsageError, match=told):
            luoxia.train("image-gpt", **wrong)
