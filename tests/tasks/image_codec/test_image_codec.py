"""A codec of images: what it learns, that tokens are the same in any batch, that runs go on bit for bit."""

import copy
import json

import numpy as np
import pytest
import torch
from rectangles import SETTINGS, rectangles
from safetensors.torch import load_file

import luoxia
from luoxia.core.errors import UsageError
from luoxia.metrics.reconstruction import psnr
from luoxia.provenance.label import Label
from luoxia.tasks.image_codec.model import ImageCodec
from luoxia.tasks.image_codec.networks import CodecConfig, Discriminator, ImageAutoencoder
from luoxia.tasks.image_codec.recipes import ImageCodecRecipe
from luoxia.tasks.image_codec.rules import RULES
from luoxia.training.doctor import Doctor


def fresh(channels=3, shape=(16, 16), **sizes):
    torch.manual_seed(0)
    network = ImageAutoencoder(CodecConfig(channels, (8, 16), 1, **{"levels": (8, 5, 5)} | sizes))
    for p in network.parameters():
        torch.nn.init.normal_(p, 0, 0.2)
    return ImageCodec(network, shape=(*shape, channels), details=Label(run="x"))


def scores_of(run):
    return {s["name"]: s for line in run.records("score") if line.get("final") for s in line["scores"]}


# ------------------------------------------------------------------ what is learned


def test_it_learns(run, codec):
    scores = scores_of(run)
    quick = [line["scores"][0] for line in run.records("score") if not line.get("final")]
    assert [score["name"] for score in quick] == ["PSNR"] * len(quick)
    assert scores["PSNR"]["value"] > 17.5 and scores["PSNR"]["value"] > quick[0]["value"]
    assert set(scores) == {"PSNR", "PSNR over nearest", "book use", "perplexity"}
    assert all(
        s["reference"] is not None and s["meaning"] and s["signature"]["reference"] for s in scores.values()
    )
    assert scores["PSNR over nearest"]["value"] > 3
    unseen = rectangles(40, seed=9)
    flat = np.broadcast_to(unseen.mean((1, 2), keepdims=True), unseen.shape)
    made = codec.decode(codec.encode(unseen))
    assert psnr(made, unseen).mean() > psnr(flat, unseen).mean() + 2
    logs = run.records("log")
    told = [line for line in logs if "heldout_psnr" in line["statistics"]][-1]["statistics"]
    assert told["heldout_psnr"] > 17 and told["tokens_per_code"] == pytest.approx(108 * 16 / 200)
    assert told["entered"] == 1 and 0 < told["book_use"] <= 1


def test_measuring_again_tells_the_same_and_more(run):
    measured = luoxia.measure(run, device="cpu", extractor="self", quiet=True)
    assert {s.name for s in measured.scores} >= {"rFD", "pFD"}
    assert {s.heading for s in measured.scores} == {"authenticity", "plausibility", "creativity"}
    before = scores_of(run)["PSNR"]
    assert measured["PSNR"].value == pytest.approx(before["value"])
    assert measured["PSNR"].signature["real"] == before["signature"]["real"]
    assert measured["pFD"].value > measured["rFD"].value
    assert "reconstructions" in (run.path / "report.html").read_text().lower()


def test_the_preview_shows_the_same_images(run):
    grids = sorted((run.path / "samples").glob("step_*.png"))
    assert len(grids) >= 2
    from PIL import Image

    first, last = (np.asarray(Image.open(grid)) for grid in (grids[0], grids[-1]))
    tile = 58  # 56 pixels and the gap
    assert np.array_equal(first[:tile, : tile - 1], last[:tile, : tile - 1]), "originals"
    assert not np.array_equal(first[:tile, tile : 2 * tile], last[:tile, tile : 2 * tile]), "reconstructions"


@pytest.mark.parametrize("quantizer", ["fsq", "vq"])
def test_a_run_goes_on_bit_for_bit(folder, tmp_path, quantizer):
    settings = {
        **SETTINGS,
        "data": folder,
        "quantizer": quantizer,
        "codes": 32,
        "perturb": 0.5,
        "penalty_every": 3,
    }
    settings |= {"checkpoint_every": 4, "log_every": 4, "score_every": 0, "sample_every": 0}
    settings |= {"schedule.name": "constant"}
    straight = luoxia.train("image-codec", out=tmp_path / "straight", steps=7, **settings)
    part = luoxia.train("image-codec", out=tmp_path / "part", steps=4, **settings)
    luoxia.resume(part, steps=7, quiet=True)
    one, other = (load_file(r.path / "model" / "model.safetensors") for r in (straight, part))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_it_is_trained_further_on_other_images(run, tmp_path):
    from rectangles import write

    data = write(tmp_path / "others", rectangles(40, seed=5))
    finer = luoxia.finetune(
        run, data=data, out=tmp_path / "finer", steps=2, device="cpu", extractor="none", quiet=True
    )
    origin = finer.manifest["origin"]["networks"]
    assert all(facts["tensors"] == facts["of_tensors"] for facts in origin.values())
    assert set(origin) == {"autoencoder", "discriminator"}
    config = finer.manifest["config"]
    assert config["levels"] == [8, 5, 5] and config["factor"] == 4 and config["lr"] == pytest.approx(3e-3)
    assert luoxia.load(finer).fingerprint != luoxia.load(run).fingerprint


# ------------------------------------------------------------------ the model


@pytest.mark.parametrize("quantizer", ["fsq", "vq"])
def test_tokens_do_not_depend_on_the_batch(quantizer):
    model, images = fresh(quantizer=quantizer, codes=50), rectangles(64)
    tokens = model.encode(images)
    assert tokens.shape == (64, 4, 4, 1) and tokens.dtype == torch.int64 and len(tokens.unique()) > 4
    for many in (1, 7):
        parts = torch.cat([model.encode(images[i : i + many]) for i in range(0, 64, many)])
        assert torch.equal(parts, tokens)
    decoded = model.decode(tokens)
    assert decoded.dtype == np.uint8 and decoded.shape == images.shape
    assert np.array_equal(np.concatenate([model.decode(tokens[i : i + 7]) for i in range(0, 64, 7)]), decoded)
    assert np.array_equal(model.reconstruct(images), decoded)
    assert model.encode(images[:0]).shape == (0, 4, 4, 1) and model.decode(tokens[:0]).shape == (0, 16, 16, 3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("height", "width"), [(16, 24), (13, 22), (4, 5)])
def test_rectangles_of_any_size_and_channels(channels, height, width):
    model = fresh(channels, shape=(height, width))
    images = rectangles(3, height, width, channels)
    tokens = model.encode(images)
    assert tuple(tokens.shape[1:3]) == model.grid(height, width) == (-(-height // 4), -(-width // 4))
    assert model.decode(tokens).shape == images.shape
    other = rectangles(2, height + 5, width, channels)
    assert model.decode(model.encode(other), (height + 5, width)).shape == other.shape
    assert Discriminator(channels, 4)(torch.zeros(2, channels, height, width))[-1].shape[:2] == (2, 1)


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_a_token_stands_for_factor_squared_pixels(factor):
    recipe = ImageCodecRecipe(factor=factor, width=8)
    network = recipe.build_autoencoder(luoxia.open_images().spec)
    assert network.factor == factor
    assert network.encode(torch.zeros(1, 1, 28, 28)).shape == (1, -(-28 // factor), -(-28 // factor), 1)


def test_the_fingerprint_is_that_of_weights_and_quantizer(codec, run):
    assert len(codec.fingerprint) == 32 and int(codec.fingerprint, 16)
    assert luoxia.load(run).fingerprint == codec.fingerprint
    config = json.loads((run.path / "model" / "config.json").read_text())
    assert config["fingerprint"] == codec.fingerprint and config["vocabulary"] == 200
    assert config["network"]["class"] == "image-codec", "it is built without its recipe"
    one, other = fresh(), fresh(levels=(5, 8, 5))
    assert one.fingerprint == fresh().fingerprint != other.fingerprint, (
        "levels in another order are other codes"
    )
    moved = copy.deepcopy(one.network)
    next(moved.parameters()).data[0] += 1e-6
    assert ImageCodec(moved, shape=one.shape, details=Label()).fingerprint != one.fingerprint


def test_wrong_requests_are_one_sentence(codec):
    images = rectangles(2)
    tokens = codec.encode(images)
    with pytest.raises(UsageError, match=r"images are uint8 \(2, 16, 16, 1\): this codec takes uint8"):
        codec.encode(images[..., :1])
    with pytest.raises(UsageError, match="images are float32"):
        codec.encode(images.astype(np.float32))
    with pytest.raises(UsageError, match="tokens go from 0 to 200: this codec's go from 0 to 199"):
        codec.decode(torch.tensor([[[[0], [200]]]]))
    with pytest.raises(UsageError, match="tokens are int32"):
        codec.decode(tokens.int())
    with pytest.raises(UsageError, match="size=40x16 is not that of a grid of 4 × 4 tokens"):
        codec.decode(tokens, (40, 16))
    none = fresh(quantizer="none")
    assert none.reconstruct(images).shape == images.shape
    for call in (lambda: none.encode(images), lambda: none.decode(tokens)):
        with pytest.raises(UsageError, match="has no tokens: it was trained with quantizer=none"):
            call()


# ------------------------------------------------------------------ the recipe


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"factor": 6}, "factor=6: must be one of 2, 4, 8, 16"),
        ({"levels": "8,1"}, "levels"),
        ({"perceptual": "effnet", "extractor": "effnet-lite0"}, "extractor=effnet-lite0 cannot judge what perceptual"),
        ({"quantizer": "rvq"}, "quantizer=rvq"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(settings, told):
    with pytest.raises(UsageError, match=told):
        luoxia.plan("image-codec", **settings)


def test_nothing_asks_for_a_discriminator():
    spec = luoxia.open_images().spec
    recipe = ImageCodecRecipe(adversarial=0, perceptual="none", width=8)
    assert set(recipe.build(spec).networks) == {"autoencoder"}
    assert set(ImageCodecRecipe(adversarial=0, width=8).build(spec).networks) == {
        "autoencoder",
        "discriminator",
    }


def test_effnet_can_compare_what_is_decoded():
    pytest.importorskip("efficientnet_lite_pytorch")
    recipe = ImageCodecRecipe(perceptual="effnet", features=0.5, adversarial=0, width=8)
    game = recipe.build(luoxia.open_images().spec)
    from luoxia.training.objective import Batch, Rng

    losses = game.autoencoder_losses(Batch(torch.rand(2, 1, 28, 28)), Rng(0))
    losses["perceptual"].backward()
    assert losses["perceptual"] > 0
    assert any(
        p.grad.abs().max() > 0 for p in game.networks["autoencoder"].parameters() if p.grad is not None
    )


# ------------------------------------------------------------------ the doctor


def visits(lines, **settings):
    """The findings of a doctor who sees these statistics, a log line each."""
    doctor = Doctor(ImageCodecRecipe(**settings), RULES)
    found = []
    for number, statistics in enumerate(lines):
        log = {"gradients": {}, "skipped": 0, "statistics": statistics}
        found += [finding.name for finding in doctor.observe_log(200 + 50 * number, log)]
    return found


def test_the_doctor_names_what_ails():
    healthy = {
        "book_use": 0.9,
        "heldout_psnr": 20.0,
        "train_psnr": 21.0,
        "entered": 0.5,
        "tokens_per_code": 100.0,
    }
    assert visits([healthy] * 8) == []
    assert visits([healthy | {"book_use": 0.3}] * 8) == ["dead codes"]
    assert visits([healthy | {"tokens_per_code": 5.0}] * 8) == ["large book"]
    falling = [healthy] * 5 + [healthy | {"heldout_psnr": 19.0}] * 6
    assert visits(falling) == ["hard entry"]
    assert visits([line | {"entered": 0.0} for line in falling]) == [], "the discriminator did not count yet"
    assert visits([*[healthy] * 5, *[healthy | {"heldout_psnr": 19.7}] * 6]) == []
    assert visits(
        [*[healthy] * 5, *[healthy | {"heldout_psnr": 19.0, "train_psnr": 26.0, "entered": 0.0}] * 6]
    ) == ["overfitting"]
