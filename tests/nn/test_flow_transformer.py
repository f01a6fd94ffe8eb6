"""The network of a flow: shapes, conditions, and that all of it learns."""

import pytest
import torch

from luoxia.nn.conditioning import Condition
from luoxia.nn.flow_transformer import FlowTransformer, mean
from luoxia.training.muon import hidden_matrices

SMALL = {"width": 16, "layers": 2, "heads": 2}


def network(sizes=(8, 12), channels=3, patch=None, **options):
    torch.manual_seed(0)
    return FlowTransformer(channels, sizes, patch or (4,) * len(sizes), **{**SMALL, **options})


def awake(ours):
    """With weights where it starts with zeros."""
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.abs().sum() == 0:
                parameter.normal_(0, 0.1)
    return ours


@pytest.mark.parametrize("sizes", [(16,), (8, 12), (7, 9), (4, 8, 8)])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("room", [0, 3])
def test_any_number_of_axes_and_channels(sizes, channels, room):
    ours = network(sizes, channels, room=room)
    z, t = torch.randn(2, channels, *sizes), torch.tensor([0.1, 0.8])
    condition = Condition(torch.randn(2, 2, 16)) if room else None
    assert ours(z, t, condition).shape == z.shape
    assert ours(z, t, condition).abs().max() == 0  # the mean of centered data, until it has learned


def test_every_weight_learns():
    ours = network(room=2)
    optimizer = torch.optim.Adam(ours.parameters(), 1e-3)
    x, condition = torch.randn(4, 3, 8, 12), Condition(torch.randn(4, 2, 16))
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    for _ in range(3):
        loss = (ours(torch.randn_like(x), torch.rand(4), condition) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert not [name for name, value in ours.state_dict().items() if torch.equal(value, before[name])]


def test_time_and_condition_and_its_mask_matter():
    ours = awake(network(room=3)).double()
    z, t = torch.randn(2, 3, 8, 12).double(), torch.full((2,), 0.3).double()
    vectors = torch.randn(2, 3, 16).double()
    mask = torch.tensor([[True, True, False]]).expand(2, -1)
    with torch.no_grad():
        base = ours(z, t, Condition(vectors, mask))
        assert not torch.allclose(ours(z, t + 0.3, Condition(vectors, mask)), base)
        assert not torch.allclose(ours(z, t, Condition(vectors + 1, mask)), base)
        other = vectors.clone()
        other[:, 2] = 9
        assert torch.allclose(ours(z, t, Condition(other, mask)), base)  # padding is not read
        assert torch.allclose(ours(z, t, Condition(vectors[:, :2])), base)  # nor is its length


def test_the_mean_is_of_real_vectors():
    vectors = torch.tensor([[[2.0], [4.0], [90.0]]])
    assert mean(Condition(vectors, torch.tensor([[True, True, False]]))).item() == 3
    assert mean(Condition(vectors)).item() == 32


def test_the_bottleneck_narrows_what_a_patch_says():
    wide, narrow = network(bottleneck=128), network(bottleneck=5)  # of 48 values, at a width of 16
    assert [p.shape for p in wide.encoder.embedding.tokens.parameters()] == [(6, 16), (16, 48), (16,)]
    shapes = [p.shape for p in narrow.encoder.embedding.tokens.parameters()]
    assert shapes == [(6, 16), (5, 48), (5,), (16, 5)]


def test_adamw_has_the_first_and_last_layers():
    ours = network(room=2, bottleneck=5)
    muon = {id(p) for p in hidden_matrices(ours)}
    own = {name for name, p in ours.named_parameters() if id(p) in muon}
    assert not any(name.startswith(("to_patches", "last_modulation")) for name in own)
    assert "encoder.embedding.tokens.narrow.weight" not in own
    assert "encoder.stack.layers.0.attention.qkv.weight" in own or len(own) > 6
