"""Runs of a synthesizer: their scores beside null models, their report, a frozen text encoder that travels along."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import luoxia
from colored_shapes import write_shapes
from luoxia.core.errors import UsageError
from luoxia.training.own import named

PAINTER = f"{Path(__file__).parent / 'painter.py'}:Painter"
QUICK = {"quiet": True, "sample_every": 0, "score_every": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all scores, of enough held-out images for each."""
    place = tmp_path_factory.mktemp("scored")
    data = write_shapes(place / "shapes", 72)
    settings = {**QUICK, "holdout": 0.3, "guidance": 1.2, "score_samples": 60, "steps": 150}
    return luoxia.train(PAINTER, data=str(data), out=str(place / "run"), **settings).path


def final_scores(run: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (scores,) = (line["scores"] for line in lines if line["kind"] == "score" and line.get("final"))
    return {score["name"]: score for score in scores}


def test_every_score_stands_beside_what_it_is_judged_against(scored: Path) -> None:
    scores = final_scores(scored)
    judged = {
        "style accuracy": "held-out images",
        "CAS of style": "as many real images",
        "caption retrieval": "swapped captions",
        "inpainting error": ("mean fill", "nearest training half", "edge column"),
        "inpainting error of the mean": ("mean fill", "nearest training half", "edge column"),
    }
    for name, by in judged.items():
        score = scores[name]
        assert score["signature"]["reference"] in by and score["reference"] is not None, name
        assert score["heading"] == "plausibility" and score["meaning"], name
    assert scores["style accuracy"]["signature"]["null value"] < 0.6
    assert scores["copy rate without guidance"]["heading"] == "creativity"
    assert {score["heading"] for score in scores.values()} == {"authenticity", "plausibility", "creativity"}


def test_a_sample_of_a_caption_is_found_and_one_of_another_is_not(scored: Path) -> None:
    retrieval = final_scores(scored)["caption retrieval"]
    assert retrieval["value"] > 2 * retrieval["reference"]
    assert retrieval["signature"]["candidates"] == 22 and retrieval["signature"]["within"] == 2


def test_measuring_again_gives_the_same_scores(scored: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(scored, run)
    measured, before = luoxia.measure(run, quiet=True), final_scores(scored)
    assert {score.name: score.value for score in measured.scores} == pytest.approx(
        {name: score["value"] for name, score in before.items()}
    )


def test_other_data_without_the_fields_can_be_measured_on(
    scored: Path, class_data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(scored, run)
    names = [score.name for score in luoxia.measure(run, data=str(class_data), n=20, quiet=True).scores]
    assert "FD-self" in names and "style accuracy" not in names


@pytest.fixture
def class_data(classed: Path) -> Path:
    return classed


def test_the_report_shows_what_was_asked_for(scored: Path) -> None:
    page = (scored / "report.html").read_text()
    prompts = json.loads((scored / "run.json").read_text())["data"]["prompts"]
    assert prompts and all(f"<q>{prompt}</q>" in page for prompt in prompts)
    assert "nearest training images" in page and "Captions" in page


def test_guidance_that_copies_is_named() -> None:
    luoxia.use(PAINTER.rpartition(":")[0])
    kind: Any = named("Painter")
    from luoxia.registry import task_of
    from luoxia.training.doctor import Doctor

    def heard(guided: float, free: float) -> list[str]:
        doctor = Doctor(kind(guidance=3.0), task_of(kind).rules)
        values = {"copy rate": guided, "copy rate without guidance": free}
        return [finding.name for finding in doctor.observe_result(values)]

    assert heard(0.4, 0.05) == ["guidance that copies"]
    assert heard(0.4, 0.3) == heard(0.08, 0.0) == []


def test_a_run_is_resumed_bit_for_bit(shapes: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "data": str(shapes), "extractor": "none", "checkpoint_every": 10}
    whole = luoxia.train(PAINTER, out=str(tmp_path / "whole"), steps=40, **settings).path
    part = luoxia.train(PAINTER, out=str(tmp_path / "part"), steps=20, **settings).path
    luoxia.resume(part, steps=40, quiet=True)
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (whole, part)]
    assert weights[0] == weights[1]


def test_a_condition_of_which_the_data_says_nothing_is_refused(classed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"condition=text needs captions, and .* has none"):
        luoxia.train(PAINTER, data=str(classed), out=str(tmp_path / "run"), condition="text", **QUICK)
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ a frozen text encoder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from interface.foreign import save_model

    folder = tmp_path_factory.mktemp("bert")
    save_model(folder, "Bert")
    return folder


@pytest.fixture(scope="module")
def encoded(bert: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoded") / "run"
    settings = {
        **QUICK,
        "text_encoder": str(bert),
        "extractor": "none",
        "steps": 300,
        "checkpoint_every": 150,
    }
    return luoxia.train(PAINTER, data=str(shapes), out=str(out), **settings).path


def test_a_frozen_encoder_lies_in_the_model_and_reads_every_word(encoded: Path, tmp_path: Path) -> None:
    model = tmp_path / "alone"
    shutil.copytree(encoded / "model", model)
    config = json.loads((model / "config.json").read_text())["condition"]
    assert config["text"] == "encoder" and config["words"] == [] and config["encoder_width"] == 32
    drawn = luoxia.load(model, device="cpu")
    red, blue = (drawn.sample(1, text=f"a {color} circle")[0, 6, 6].astype(int) for color in ("red", "blue"))
    assert red[0] > red[2] + 60 and blue[2] > blue[0] + 60
    drawn.sample(1, text="a purple dragon")  # no warning: an encoder knows all words


def test_a_frozen_encoder_is_no_part_of_the_weights(encoded: Path) -> None:
    from safetensors.torch import load_file

    names = load_file(encoded / "model" / "model.safetensors").keys()
    assert "conditioner.text.content.tokens.weight" in names and len(names) < 12


def test_a_run_with_an_encoder_goes_on_without_its_folder(
    bert: Path, shapes: Path, encoded: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "bert"
    shutil.copytree(bert, moved)
    settings = {**QUICK, "text_encoder": str(moved), "extractor": "none", "checkpoint_every": 150}
    run = luoxia.train(PAINTER, data=str(shapes), out=str(tmp_path / "run"), steps=150, **settings).path
    shutil.rmtree(moved)
    luoxia.resume(run, steps=300, quiet=True)
    weights = [(path / "model" / "model.safetensors").read_bytes() for path in (run, encoded)]
    assert weights[0] == weights[1]


def test_vectors_do_not_depend_on_what_is_read_beside_them(bert: Path) -> None:
    from luoxia.tasks.image_synthesis.encoder import FolderEncoder

    encoder = FolderEncoder(bert, 6)
    texts = [f"the cat sat on mat {number}" for number in range(70)]
    together, alone = encoder.read(texts), encoder.read(texts[65:66])
    assert np.array_equal(together[65], alone[0]) and together[0].shape == (6, 32)


def test_a_folder_that_is_no_text_encoder_is_refused(painter: Path, shapes: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "data": str(shapes), "out": str(tmp_path / "run")}
    with pytest.raises(UsageError, match="is an image synthesizer: give the folder of a BERT, or words"):
        luoxia.train(PAINTER, text_encoder=str(painter), **settings)
    with pytest.raises(UsageError, match="is not there"):
        luoxia.train(PAINTER, text_encoder=str(tmp_path / "gone"), **settings)
    assert not (tmp_path / "run").exists()
