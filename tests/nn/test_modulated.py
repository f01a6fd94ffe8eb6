"""Blocks whose norms a style shifts and scales, against the figure in plain operations."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from by_hand import TINY, built, close

from luoxia.core.errors import UsageError
from luoxia.nn.conditioning import Condition
from luoxia.nn.embedding import Embedding
from luoxia.nn.stack import ModulatedBlock
from luoxia.nn.transformer import Decoder, Encoder

CONFIG = replace(TINY, vocabulary=0, positions="none", norm="layer", bias=True)


def network(kind=Encoder, **options):
    return kind(CONFIG, Embedding(CONFIG, torch.nn.Identity()), block=ModulatedBlock, **options)


def some(*size):
    return torch.randn(*size, 24, dtype=torch.float64)


def test_a_layer_is_the_figure():
    ours, x, style = built(lambda c: network(), CONFIG).double(), some(2, 5), some(2)
    block, inside = ours.stack.layers[0], {}
    for name in ("attention", "feed_forward"):
        getattr(block, name).register_forward_hook(
            lambda m, i, o, name=name: inside.update({name: (i[0], o)})
        )
    with torch.no_grad():
        ours(x, style=style)
        y = x
        parts = (F.silu(style) @ block.modulation.weight.T + block.modulation.bias).split(24, 1)
        for name, (shift, scale, gate) in (("attention", (1, 0, 2)), ("feed_forward", (4, 3, 5))):
            normed = F.layer_norm(y, (24,), eps=1e-5) * (1 + parts[scale][:, None]) + parts[shift][:, None]
            close(inside[name][0], normed, 1e-9)
            y = y + parts[gate][:, None] * inside[name][1]
        block.register_forward_hook(lambda m, i, o: inside.update(out=o))
        ours(x, style=style)
        close(inside["out"], y, 1e-9)


def test_each_starts_as_the_identity_and_learns():
    ours, x, style = network().double(), some(2, 5), some(2)
    with torch.no_grad():
        close(ours(x, style=style), F.layer_norm(x, (24,), eps=1e-5), 1e-9)
    ours(x, style=style)[:, :, 0].sum().backward()
    assert all(layer.modulation.weight.grad.abs().sum() > 0 for layer in ours.stack.layers)


@pytest.mark.parametrize("cross", [False, True])
def test_the_cache_knows_the_style(cross):
    ours = built(lambda c: network(Decoder, cross=cross), CONFIG).double()
    x, style, memory = some(2, 6), some(2), Condition(some(2, 3))
    options = {"memory": memory} if cross else {}
    with torch.no_grad():
        cache = ours.make_cache(2, 6, **options)
        cached = torch.cat([ours(part, cache=cache, style=style) for part in x.split([3, 1, 2], 1)], 1)
        full = ours(x, style=style, **options)
        close(cached, full, 1e-9)
        assert not torch.allclose(ours(x, style=style.flip(0), **options), full)
        if cross:
            assert not torch.allclose(ours(x, style=style, memory=Condition(some(2, 3))), full)


def test_norms_that_stand_last_are_refused():
    with pytest.raises(UsageError, match="set norm_first=True"):
        ModulatedBlock(replace(CONFIG, norm_first=False))
