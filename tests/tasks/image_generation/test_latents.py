"""Latents edited: walks, mixes, directions, projections; in z, and in w where a network has styles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import luoxia
from luoxia.core.errors import UsageError
from luoxia.media.image.perceptual import Perceptual
from luoxia.provenance.label import Label
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.tasks.image_generation.networks import dcgan, mlp, r3gan, resnet, stylegan2, transformer_gan
from luoxia.tasks.image_generation.projection import _Noise, project
from luoxia.tasks.image_generation.spaces import WSpace, factorized, space_of, walk
from luoxia.tasks.image_generation.styles import Controls, layers_of
from pairs import a_generator


@pytest.fixture(scope="module")
def styled() -> ImageGenerator:
    torch.manual_seed(1)
    network = a_generator(stylegan2, 6, (3, 16, 16), 4, max_channels=8, styles=8, mapping_layers=2)
    network.mean_w.normal_()
    return ImageGenerator(network, classes=(), details=Label())


@pytest.fixture(scope="module")
def plain_z() -> ImageGenerator:
    torch.manual_seed(2)
    network = a_generator(dcgan, 5, (1, 12, 8), 4).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.5)
        for _ in range(30):
            network(torch.randn(64, 5))
    return ImageGenerator(network, classes=(), details=Label())


# ------------------------------------------------------------------ walks


def test_a_closed_walk_passes_every_point_and_an_open_one_ends_at_the_last(plain_z: ImageGenerator) -> None:
    points, space = torch.randn(3, 5), plain_z.space
    closed, opened = walk(space, points, 4), walk(space, points, 4, closed=False)
    assert (len(closed), len(opened)) == (12, 9)
    for i in range(3):
        torch.testing.assert_close(closed[4 * i], points[i])
        torch.testing.assert_close(opened[4 * i], points[i])
    assert torch.equal(closed[:8], opened[:8])
    norms = closed.norm(dim=1)
    assert norms.min() > 0.9 * points.norm(dim=1).min()  # on the sphere, not through its middle


def test_a_walk_in_w_is_straight(styled: ImageGenerator) -> None:
    points = styled.points(styled.latents(2, 0), None)
    way = walk(styled.space, points, 4, closed=False)
    torch.testing.assert_close(way[1], 0.75 * points[0] + 0.25 * points[1])


@pytest.mark.parametrize("kind", ["styled", "plain_z"])
def test_frames_at_the_points_are_the_samples(kind: str, request: pytest.FixtureRequest) -> None:
    generator: ImageGenerator = request.getfixturevalue(kind)
    frames = generator.interpolate(3, 5, seed=4, truncation=0.6)
    samples = generator.sample(3, seed=4, truncation=0.6)
    assert np.abs(frames[::5].astype(int) - samples).max() <= 1
    assert len(frames) == 15


# ------------------------------------------------------------------ mixing


def test_the_grid_of_mixed_styles(styled: ImageGenerator) -> None:
    grid = styled.mix([1, 2], [3, 4, 5], "2-3")
    assert grid.shape == (12, 16, 16, 3)
    assert (grid[0] == 255).all()
    single = {seed: styled.sample(1, seed)[0] for seed in range(1, 6)}
    for place, seed in ((1, 3), (2, 4), (3, 5), (4, 1), (8, 2)):
        assert np.abs(grid[place].astype(int) - single[seed]).max() <= 1
    mixed = styled.sample(1, 2, mix=4, mix_layers="2-3")[0]  # the same thing by sample's controls
    assert np.abs(grid[10].astype(int) - mixed).max() <= 1
    assert np.array_equal(styled.mix([1], [3], "0-")[3], styled.mix([1], [3], "0-")[1])


def test_thirds_and_ranges() -> None:
    assert [range(8)[layers_of(name, 8)] for name in ("coarse", "middle", "fine")] == [
        range(3), range(3, 6), range(6, 8)
    ]  # fmt: skip
    assert range(8)[layers_of("-2", 8)] == range(3)
    with pytest.raises(UsageError, match=r"layers=9: must be coarse, middle, fine, or such as .* 0 to 7"):
        layers_of("9", 8, "layers")


def test_networks_without_styles_cannot_mix(plain_z: ImageGenerator) -> None:
    with pytest.raises(UsageError, match="mix needs a model with styles"):
        plain_z.mix([1], [2])


# ------------------------------------------------------------------ directions


def test_directions_are_eigenvectors_sorted_and_orthonormal() -> None:
    weights = torch.randn(30, 7)
    vectors, values = factorized(weights, 5)
    expected = np.linalg.svd(weights.double().numpy())[1] ** 2
    np.testing.assert_allclose(values, expected[:5], rtol=1e-5)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors @ weights.T @ weights, values[:, None] * vectors, atol=1e-3, rtol=1e-4)
    assert (vectors.gather(1, vectors.abs().argmax(1, keepdim=True)) > 0).all()


def test_the_first_direction_changes_the_first_layer_most(plain_z: ImageGenerator) -> None:
    found = plain_z.directions(5)
    changes = (plain_z.network.project.weight @ found.vectors.T).norm(dim=0)  # type: ignore[union-attr, operator]
    assert (changes[:-1] >= changes[1:]).all()
    torch.testing.assert_close(changes**2, found.eigenvalues, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (a_generator(mlp, 4, (1, 6, 8), (8, 8, 8), classes=3), 4),
        (a_generator(resnet, 4, (3, 16, 16), 4, classes=3), 4),
        (a_generator(dcgan, 4, (3, 16, 16), 4, classes=3), 4),
        (a_generator(r3gan, 4, (3, 16, 16), 8, max_channels=8, depth=1, group=4, classes=3), 4),
        (a_generator(transformer_gan, 4, (3, 8, 8), 8, layers=1, heads=2, classes=3), 4),
        (a_generator(stylegan2, 4, (3, 16, 16), 4, max_channels=8, styles=6, mapping_layers=1), 6),
    ],
)
def test_only_what_meets_the_latent_is_factorized(network: torch.nn.Module, inputs: int) -> None:
    assert space_of(network).weights().shape[1] == inputs


def test_images_along_a_direction(plain_z: ImageGenerator) -> None:
    assert np.array_equal(plain_z.along(1, 0.0, 3, seed=2), plain_z.sample(3, seed=2))
    vector = plain_z.directions(2).vectors[1]
    moved = plain_z.render(plain_z.latents(3, 2) + 2.5 * vector, None)
    assert np.array_equal(plain_z.along(1, 2.5, 3, seed=2), moved)
    with pytest.raises(UsageError, match="direction=5: this model has the directions 0 to 4"):
        plain_z.along(5, 1.0)


def test_a_strength_of_one_is_one_standard_deviation_of_w(styled: ImageGenerator) -> None:
    found = styled.directions(2)
    with torch.no_grad():
        w = styled.network.map(torch.randn(4000, 6))[:, 0]  # type: ignore[operator]
    torch.testing.assert_close((w @ found.vectors.T).std(0), found.spread, rtol=0.12, atol=0)


# ------------------------------------------------------------------ projection


def test_an_image_of_the_generators_own_is_found(plain_z: ImageGenerator) -> None:
    image = plain_z.sample(1, seed=77)[0]
    found = plain_z.project(image, steps=60, seed=1)
    others = plain_z.sample(256, seed=1).astype(float)
    nearest = np.sqrt(((others - image) ** 2).mean((1, 2, 3))).min()
    assert found.pixels < 0.5 * nearest
    assert found.point.shape == (1, 5)
    again = plain_z.images_at(found.point, None)[0]
    assert abs(np.sqrt(((again.astype(float) - image) ** 2).mean()) - found.pixels) < 1
    assert len(found.course) == 7


def test_the_class_is_found_too(classy: Path) -> None:
    generator = luoxia.load(classy)
    image = generator.sample(1, seed=3, label=4)[0]
    found = generator.project(image, steps=2)
    assert found.label in range(10)
    assert generator.project(image, steps=2, label="4").label == 4
    with pytest.raises(UsageError, match="label=40 is not a class"):
        generator.project(image, label=40)


def test_w_and_its_noise_are_found(styled: ImageGenerator) -> None:
    image = styled.sample(1, seed=5)[0]
    found = styled.project(image, steps=40)
    assert found.space == "w"
    assert found.point.shape == (1, styled.network.layers, 8)
    assert found.noise is not None and found.noise.shape == (1, styled.network.noise_size)
    mean = styled.images_at(styled.network.mean_w.expand(1, 6, -1), None)[0]  # type: ignore[operator]
    assert found.pixels < np.sqrt(((mean.astype(float) - image) ** 2).mean())


def test_noise_with_structure_is_penalized_and_kept_normal(styled: ImageGenerator) -> None:
    noise = _Noise(styled.network, torch.Generator().manual_seed(0))
    plain = float(noise.structure().detach())
    with torch.no_grad():
        for x in noise.maps:
            x.copy_(torch.linspace(-1, 1, x.shape[2])[:, None].expand(x.shape[2:]) * 3 + 1)
    assert float(noise.structure().detach()) > 20 * plain
    noise.normalize()
    for x in noise.maps:
        assert abs(float(x.detach().mean())) < 1e-4
        assert abs(float(x.detach().square().mean()) - 1) < 1e-3
    by_hand = 0.0
    for x in noise.maps:
        values = x.detach().double().numpy()[0, 0]
        while True:
            by_hand += sum((values * np.roll(values, 1, axis)).mean() ** 2 for axis in (0, 1))
            if min(values.shape) <= 8:
                break
            h, w = values.shape
            values = values.reshape(h // 2, 2, w // 2, 2).mean((1, 3)) * 2
    assert float(noise.structure().detach()) == pytest.approx(by_hand, rel=1e-4)


def test_the_same_seed_projects_alike(plain_z: ImageGenerator) -> None:
    target, distance = torch.zeros(1, 1, 12, 8), Perceptual(None)
    first, again, other = (
        project(plain_z.space, target, None, 5, distance, steps=4, seed=seed).point for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("bad", [np.zeros((12, 8, 3), np.uint8), np.zeros((12, 8, 1), np.float32)])
def test_images_of_another_shape_are_refused(plain_z: ImageGenerator, bad: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"project needs an image of uint8 \(12, 8, 1\)"):
        plain_z.project(bad)


# ------------------------------------------------------------------ what compares


class Steps:
    """An extractor whose maps are known."""

    def maps(self, images: Tensor) -> list[Tensor]:
        return [torch.cat([images, images.flip(2)], 1), torch.nn.functional.avg_pool2d(images, 2)]


def test_the_perceptual_distance_by_hand() -> None:
    images, target = torch.randn(3, 2, 4, 4), torch.randn(1, 2, 4, 4)
    found = Perceptual(Steps())(images, target)
    for i in range(3):
        total = float((images[i] - target[0]).square().mean())
        for a, b in zip(Steps().maps(images[i : i + 1]), Steps().maps(target), strict=True):
            a, b = a[0].double().numpy(), b[0].double().numpy()
            a, b = a / np.sqrt((a**2).sum(0)), b / np.sqrt((b**2).sum(0))
            total += ((a - b) ** 2).sum(0).mean()
        assert float(found[i]) == pytest.approx(total, rel=1e-4)


def test_points_and_images_are_the_two_halves_of_sampling(styled: ImageGenerator) -> None:
    points = styled.points(styled.latents(3, 9), None, Controls(truncation=0.5))
    assert isinstance(styled.space, WSpace)
    assert np.array_equal(styled.images_at(points, None), styled.sample(3, 9, truncation=0.5))


def test_points_may_be_arrays_of_the_right_width(plain_z: ImageGenerator, styled: ImageGenerator) -> None:
    z = plain_z.latents(2, 0)
    assert np.array_equal(plain_z.images_at(z.double().numpy(), None), plain_z.sample(2, 0))  # type: ignore[arg-type]
    assert np.array_equal(plain_z.render(z.numpy(), None), plain_z.sample(2, 0))
    assert np.array_equal(plain_z.walk(z.numpy(), 2), plain_z.walk(z, 2))
    shape = ", ".join(map(str, styled.space.shape()))
    for generator, bad, told in (
        (plain_z, np.zeros((1, 6), np.float32), r"points of z must be numbers \(n, 5\), not an array of float32"),
        (plain_z, torch.zeros(5), r"points of z must be numbers \(n, 5\)"),
        (plain_z, torch.zeros(0, 5), r"points of z must be numbers \(n, 5\)"),
        (plain_z, np.array([["a"] * 5]), r"points of z must be numbers \(n, 5\)"),
        (plain_z, "z.npz", r"points of z must be numbers \(n, 5\), not z.npz"),
        (styled, np.zeros((1, 6), np.float32), rf"points of w must be numbers \(n, {shape}\)"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=told):
            generator.images_at(bad, None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"latents must be numbers \(n, 5\)"):
        plain_z.points(np.zeros((1, 6)), None)


def test_an_image_to_project_may_be_a_file(plain_z: ImageGenerator, tmp_path: Path) -> None:
    image = plain_z.sample(1, seed=3)[0]
    Image.fromarray(image[..., 0]).save(tmp_path / "image.png")
    found = plain_z.project(tmp_path / "image.png", steps=2)
    assert torch.equal(found.point, plain_z.project(image, steps=2).point)
    for bad, told in (
        (str(tmp_path / "none.png"), "none.png cannot be read"),
        (None, "not None"),
        (7, "not 7"),
    ):
        with pytest.raises(UsageError, match=told):
            plain_z.project(bad)  # type: ignore[arg-type]
