"""Packed matrices: the products of plain bfloat16 ones, and whole networks that decode with them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from luoxia.decoding.loop import Decoding, generate
from luoxia.nn.packed import PackedLinear, pack, packable
from luoxia.nn.transformer import Decoder, TransformerConfig
from luoxia.tasks.language_modeling.model import lighten

pytestmark = pytest.mark.skipif(not packable(torch.device("cpu")), reason="this CPU has no bfloat16 units")


def decoder(**changes) -> Decoder:
    torch.manual_seed(0)
    return (
        Decoder(TransformerConfig(96, width=64, layers=2, heads=4, context=64, **changes))
        .eval()
        .requires_grad_(False)
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (5, 3), (64, 1), (0, 4)])
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 96), (70, 33), (3, 5)])
def test_products(inputs, outputs, shape, bias):
    torch.manual_seed(inputs)
    linear = nn.Linear(inputs, outputs, bias=bias)
    x = torch.randn(*shape, inputs).bfloat16()
    y = PackedLinear(linear.weight, linear.bias)(x)
    assert y.dtype == torch.bfloat16 and y.shape == (*shape, outputs)
    weight = linear.weight.detach().bfloat16().double()
    exact = x.double() @ weight.T + (linear.bias.detach().bfloat16().double() if bias else 0)
    room = 2**-7 * (x.double().abs() @ weight.abs().T + 1)
    assert ((y.double() - exact).abs() <= room).all()


def test_inputs_of_any_layout():
    layer = PackedLinear(torch.randn(32, 64), torch.randn(32))
    x = torch.randn(64, 5).bfloat16().T
    assert torch.equal(layer(x), layer(x.contiguous()))


@pytest.mark.parametrize("activation", ["gelu_tanh", "gelu", "relu2", "swiglu"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_packed_network_is_its_bfloat16_self(tied, activation):
    model = decoder(tied=tied, softcap=15.0, bias=True, init="gpt2", activation=activation)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    plain, packed = copy.deepcopy(model).bfloat16(), pack(copy.deepcopy(model))
    assert not any(isinstance(m, nn.Linear) for m in packed.modules())
    ids = torch.randint(0, 96, (3, 20), generator=torch.Generator().manual_seed(1))
    exact, ours, theirs = (network(ids).float() for network in (model, packed, plain))
    assert (ours - exact).abs().max() <= 2 * (theirs - exact).abs().max()  # rounding alike, no more
    assert 0 < (ours - exact).std() < 0.05 * exact.std()


def test_it_decodes_with_a_cache():
    model = lighten(decoder(init="gpt2"), bf16=True)
    assert any(isinstance(m, PackedLinear) for m in model.modules())
    prompts = [[1, 2, 3], [4, 5], [6]]
    together = generate(model, prompts, Decoding(max_tokens=12, temperature=0))
    assert [len(row) for row in together] == [12, 12, 12]
    whole = model(torch.tensor([prompts[0] + together[0]]))[0, 2:-1].float()
    taken = whole.gather(1, torch.tensor(together[0])[:, None])[:, 0]
    assert (whole.amax(1) - taken).max() < 0.05 * whole.std()  # what was taken is likeliest, up to rounding


def test_both_ways_of_shortening():
    layers = {type(m).__name__ for m in lighten(decoder(), bf16=True, int8=True).modules()}
    assert "Int8Linear" in layers and "PackedLinear" not in layers and "Linear" not in layers
