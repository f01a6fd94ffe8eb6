"""Which trained weights are loaded, and what FreezeD keeps as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from luoxia.core.errors import UsageError
from luoxia.nn.layers import spectrally_normalized
from luoxia.nn.pooling import ClassifierConfig, SentenceClassifier
from luoxia.nn.transfer import Classes, class_axes, freeze, load_matching
from luoxia.nn.transformer import TransformerConfig
from luoxia.tasks.image_generation.networks import dcgan, mlp, r3gan, resnet, stylegan2
from pairs import a_discriminator, a_generator

DISCRIMINATORS = {
    "dcgan": (lambda: a_discriminator(dcgan, (3, 32, 32), 4, norm="batch"), 3),
    "mlp": (lambda: a_discriminator(mlp, (1, 8, 8), (16, 8, 4)), 3),
    "resnet": (lambda: a_discriminator(resnet, (3, 16, 16), 4), 3),
    "spectral": (lambda: spectrally_normalized(a_discriminator(dcgan, (1, 16, 16), 4)), 2),
}


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_the_first_blocks_get_no_gradient_and_the_rest_do(kind: str) -> None:
    make, blocks = DISCRIMINATORS[kind]
    shape = {"mlp": (2, 1, 8, 8), "spectral": (2, 1, 16, 16)}.get(kind, (2, 3, 32, 32))
    if kind == "resnet":
        shape = (2, 3, 16, 16)
    for frozen in range(blocks + 1):
        network = make()
        freeze(network, frozen)
        lower = network.lower_layers()  # type: ignore[attr-defined]
        assert len(lower) == blocks
        network(torch.randn(shape)).sum().backward()
        for number, layer in enumerate(lower):
            weights = [p for p in layer.parameters() if p.dim() > 1]
            assert weights
            assert all((p.grad is None) == (number < frozen) for p in weights)
        assert all(p.grad is not None for p in network.critic.parameters())  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_blocks_are_in_the_order_of_the_image(kind: str) -> None:
    make, blocks = DISCRIMINATORS[kind]
    network = make()
    order: list[int] = []
    for number, layer in enumerate(network.lower_layers()):  # type: ignore[attr-defined]
        first = next(m for m in layer.modules() if isinstance(m, nn.Conv2d | nn.Linear))
        first.register_forward_hook(lambda *_, number=number: order.append(number))
    side = {"dcgan": 32, "mlp": 8, "resnet": 16, "spectral": 16}[kind]
    network(torch.randn(2, 3 if kind in ("dcgan", "resnet") else 1, side, side))
    assert order == list(range(blocks))


def test_more_blocks_than_there_are() -> None:
    with pytest.raises(UsageError, match="freeze_d=4: this discriminator has 3 blocks"):
        freeze(a_discriminator(mlp, (1, 8, 8), (16, 8, 4)), 4)


def test_a_discriminator_that_does_not_say() -> None:
    freeze(nn.Linear(2, 1), 0)
    with pytest.raises(UsageError, match="lower_layers"):
        freeze(nn.Linear(2, 1), 1)


def test_what_fits_is_loaded_and_nothing_else_changes() -> None:
    trained, gray = (
        a_generator(dcgan, 8, (3, 16, 16), 4, refine=True),
        a_generator(dcgan, 8, (1, 16, 16), 4, refine=True),
    )
    before = {name: value.clone() for name, value in gray.state_dict().items()}
    report = load_matching(gray, trained.state_dict())
    assert set(report.fresh) == {
        name for name, value in trained.state_dict().items() if value.shape != before[name].shape
    }
    assert len(report.fresh) == 2  # the last convolution's weight and bias
    for name, value in gray.state_dict().items():
        assert torch.equal(value, before[name] if name in report.fresh else trained.state_dict()[name])
    assert report.of == sum(value.numel() for value in before.values())
    assert report.values == report.of - sum(before[name].numel() for name in report.fresh)


def test_a_conditional_network_takes_an_unconditional_ones_layers() -> None:
    plain, conditional = (
        a_discriminator(mlp, (1, 8, 8)),
        a_discriminator(mlp, (1, 8, 8), classes=3, projection=True),
    )
    assert load_matching(conditional, plain.state_dict()).fresh == ("critic.projection.weight",)
    other = a_discriminator(mlp, (1, 8, 8), classes=4, projection=True)
    assert load_matching(other, conditional.state_dict()).fresh == ("critic.projection.weight",)


def test_a_classifiers_head_goes_by_the_names_of_its_classes() -> None:
    config = TransformerConfig(7, layers=1, heads=1, width=4, context=8)
    old, new = (SentenceClassifier(ClassifierConfig(config, classes)) for classes in (2, 3))
    for parameter in old.parameters():
        nn.init.normal_(parameter)
    report = load_matching(new, old.state_dict(), Classes(("cat", "dog"), ("ape", "dog", "eel")))
    assert report.fresh == ()
    for side in ("weight", "bias"):
        before, after = (getattr(network.head, side) for network in (old, new))
        assert torch.equal(after[1], before[1])
        assert not after[0].any() and not after[2].any(), "the head begins at 0"
    assert report.values == report.of - 2 * (4 + 1)


SHAPE = (1, 8, 8)
CONDITIONAL = {
    "joined": lambda n: a_generator(mlp, 4, SHAPE, (8,), classes=n),
    "plane": lambda n: a_discriminator(dcgan, SHAPE, 4, classes=n),
    "projection": lambda n: a_discriminator(mlp, SHAPE, (8,), classes=n, projection=True),
    "spectral": lambda n: spectrally_normalized(
        a_discriminator(mlp, SHAPE, (8,), classes=n, projection=True)
    ),
    "r3gan": lambda n: a_generator(r3gan, 4, SHAPE, 4, max_channels=8, group=4, depth=1, classes=n),
    "stylegan2": lambda n: a_generator(
        stylegan2, 4, SHAPE, classes=n, width=4, max_channels=6, styles=5, mapping_layers=1
    ),
}


@pytest.mark.parametrize("kind", CONDITIONAL)
@pytest.mark.parametrize("now", [("dog", "cat"), ("bird", "cat", "dog"), ("zebra", "dog"), ("bird", "zebra")])
def test_what_belongs_to_a_class_goes_by_its_name(kind: str, now: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    before = ("cat", "dog")
    old, new = CONDITIONAL[kind](len(before)), CONDITIONAL[kind](len(now))
    begun = {name: value.clone() for name, value in new.state_dict().items()}
    report = load_matching(new, old.state_dict(), Classes(before, now))
    axes = {name: axis for name, axis in class_axes(new).items() if name in begun}
    assert len(axes) == 1
    ((name, axis),) = axes.items()
    found, trained = new.state_dict()[name].movedim(axis, 0), old.state_dict()[name].movedim(axis, 0)
    for place, word in enumerate(now):
        expected = trained[before.index(word)] if word in before else begun[name].movedim(axis, 0)[place]
        assert torch.equal(found[place], expected), word
    assert (name in report.loaded) == any(word in before for word in now)
    kept = sum(found[0].numel() for word in now if word in before)
    others = sum(v.numel() for n, v in begun.items() if n in report.loaded and n != name)
    assert report.values == kept + others
