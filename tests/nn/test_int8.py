"""Matrices of 8 bits: the error of rounding, both ways of multiplying, whole networks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.nn.int8 import FEW, Int8Linear, quantize
from luoxia.nn.lora import add_lora
from luoxia.nn.transformer import Decoder, EncoderDecoder, TransformerConfig

SHAPE = TransformerConfig(96, width=64, layers=2, heads=4, context=64, activation="swiglu", tied=False)


def decoder(seed: int = 0, **changes) -> Decoder:
    torch.manual_seed(seed)
    return Decoder(TransformerConfig(**{**SHAPE.__dict__, **changes})).eval()


def weights_of(layer):
    """s·q (out, in), in float32."""
    return layer.weight * layer.scale.float()[:, None]


def test_each_weight_is_within_half_a_step():
    torch.manual_seed(1)
    weight = torch.randn(50, 70) * torch.logspace(-6, 4, 50)[:, None]
    weight[7] = 0
    layer = Int8Linear(weight)
    exact = weight.double().abs().amax(dim=1) / 127
    step = layer.scale.double()
    used = torch.arange(50) != 7
    assert layer.scale.dtype == torch.bfloat16
    assert ((step >= exact) & (step <= exact * (1 + 2**-7)))[used].all()  # the next bfloat16
    assert ((layer.weight.double() * step[:, None] - weight.double()).abs() <= step[:, None] * 0.50001).all()
    assert (layer.weight.abs().amax(dim=1)[used] >= 126).all()
    assert torch.equal(weights_of(layer)[7], torch.zeros(70))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, FEW, FEW + 1, 50])
@pytest.mark.parametrize(("inputs", "outputs"), [(128, 96), (64, 7), (70, 33), (3, 5)])
def test_products(dtype, rows, inputs, outputs):
    torch.manual_seed(rows)
    linear = nn.Linear(inputs, outputs).to(dtype)
    layer = Int8Linear(linear.weight, linear.bias)
    x = torch.randn(2, rows, inputs, dtype=dtype)[1]
    with torch.no_grad():
        y = layer(x)
    assert y.dtype == dtype and y.shape == (rows, outputs)
    exact = x.double() @ (layer.weight.double() * layer.scale.double()[:, None]).T
    bound = 2**-7 * (x.double().abs() @ weights_of(layer).double().abs().T).max()
    assert (y.double() - linear.bias.double() - exact).abs().max() < bound


def test_rows_of_any_layout():
    torch.manual_seed(0)
    layer = Int8Linear(torch.randn(32, 64))
    x = torch.randn(64, 5).T
    with torch.no_grad():
        assert torch.equal(layer(x), layer(x.contiguous()))
        assert layer(x[:0]).shape == (0, 32)
        assert layer(x.reshape(1, 5, 1, 64)).shape == (1, 5, 1, 32)
        assert torch.equal(layer(x.bfloat16()), layer(x.bfloat16().contiguous()))


def test_gradients_pass_through_to_the_input():
    layer = Int8Linear(torch.randn(32, 64))
    x = torch.randn(2, 64, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, weights_of(layer).sum(0).expand(2, -1))


def test_scales_stay_as_they_are_whatever_the_network_is_cast_to():
    layer = Int8Linear(torch.randn(9, 64), torch.randn(9))
    scale = layer.scale.clone()
    for network in (layer.bfloat16(), layer.float()):
        assert network.scale.dtype == torch.bfloat16 and torch.equal(network.scale, scale)
        assert network.weight.dtype == torch.int8
    assert layer.bfloat16().bias.dtype == torch.bfloat16


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_logits_stay_close(head, tied):
    model = decoder(tied=tied, softcap=15.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    ids = torch.randint(0, 96, (2, 12))
    with torch.no_grad():
        before = model(ids)
        after = quantize(copy.deepcopy(model), head=head)(ids)
        few = quantize(copy.deepcopy(model), head=head)(ids[:1, :5])
    for ours, exact in ((after, before), (few, before[:1, :5])):
        assert 0 < (ours - exact).std() < 0.03 * exact.std()


def test_a_quarter_of_the_memory():
    model = decoder(width=256, layers=1, vocabulary=16)
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    before = sum(m.weight.nbytes for m in linear)
    quantize(model)
    layers = [m for m in model.modules() if isinstance(m, Int8Linear)]
    after = sum(b.nbytes for m in layers for b in m.buffers())
    assert len(layers) == len(linear) and not any(isinstance(m, nn.Linear) for m in model.modules())
    assert after < before * 0.26


def test_cached_decoding_agrees():
    model = quantize(decoder(), head=True)
    ids = torch.randint(0, 96, (1, 30))
    cache = model.make_cache(1, 30)
    with torch.no_grad():
        whole = model(ids)
        steps = torch.cat([model(ids[:, i : i + 1], cache=cache) for i in range(30)], dim=1)
    assert (steps - whole).abs().max() < 0.03 * whole.std()


def test_states_are_saved_and_read():
    first, second = quantize(decoder(0), head=True), quantize(decoder(1), head=True)
    second.load_state_dict(first.state_dict())
    ids = torch.randint(0, 96, (1, 8))
    with torch.no_grad():
        assert torch.equal(first(ids), second(ids))


def test_encoder_decoder_too():
    torch.manual_seed(0)
    model = EncoderDecoder(TransformerConfig(30, width=64, layers=1, heads=2, bias=True)).eval()
    ids = torch.randint(0, 30, (2, 6))
    with torch.no_grad():
        before = model(ids, None, ids)
        assert (quantize(model, head=True)(ids, None, ids) - before).std() < 0.03 * before.std()


def test_mistakes_are_told():
    model = decoder()
    with torch.no_grad():
        model.stack.layers[1].feed_forward.up.weight[0, 0] = float("nan")
    with pytest.raises(LuoxiaError, match=r"stack\.layers\.1\.feed_forward\.up"):
        quantize(model)
    assert any(isinstance(m, nn.Linear) for m in model.modules())
    model = decoder()
    add_lora(model)
    with pytest.raises(UsageError, match="fold"):
        quantize(model)
