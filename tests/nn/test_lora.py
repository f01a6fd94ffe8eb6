"""Low-rank adapters: the equation, what trains, merging."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from luoxia.core.errors import UsageError
from luoxia.nn.lora import LoRALinear, adapters, add_lora, fold, merged_state
from luoxia.nn.transformer import Decoder, EncoderDecoder, TransformerConfig

SHAPE = TransformerConfig(
    40, width=16, layers=2, heads=4, kv_heads=2, context=24, activation="swiglu", qkv_bias=True, tied=False
)


def network(seed: int = 0, **changes) -> Decoder:
    torch.manual_seed(seed)
    return Decoder(SHAPE)


def thin(model: nn.Module) -> list[torch.Tensor]:
    """A and B of each adapter."""
    return [tensor for _, layer in adapters(model) for tensor in (layer.a, layer.b)]


def trained(model: nn.Module, seed: int = 1) -> nn.Module:
    """Adapters away from their start."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in thin(model):
            tensor.add_(torch.randn(tensor.shape, generator=draw) * 0.3)
    return model


IDS = torch.randint(0, 40, (2, 9), generator=torch.Generator().manual_seed(2))


def test_the_start_changes_nothing():
    model = network()
    before = model(IDS)
    names = add_lora(model, rank=3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model(IDS), before)
    ends = {name.rpartition(".")[2] for name in names}
    assert ends == {"qkv", "output", "up", "down"} and len(names) == 8
    a = torch.cat([layer.a.flatten() for _, layer in adapters(model)])
    assert a.abs().max() <= 16**-0.5 and a.std() > 0.1  # U(±1/√in)


def test_equation_3():
    torch.manual_seed(4)
    linear = nn.Linear(7, 5)
    model = nn.Sequential(copy.deepcopy(linear))
    add_lora(model, rank=2, alpha=6.0)
    trained(model)
    x = torch.randn(3, 4, 7)
    layer = model[0]
    w, a, b = (t.detach().double() for t in (linear.weight, layer.a, layer.b))
    expected = x.double() @ (w + 6 / 2 * b @ a).T + linear.bias.double()
    torch.testing.assert_close(model(x).double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.weight.double(), w + 3 * b @ a, atol=1e-6, rtol=1e-6)


def test_only_adapters_train():
    model = network()
    frozen = copy.deepcopy(model.state_dict())
    add_lora(model, rank=2, targets=["qkv", "feed_forward.down"])
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {f"{name}.{x}" for name, _ in adapters(model) for x in "ab"} and len(learning) == 8
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1.0)
    for _ in range(2):
        model(IDS).square().mean().backward()
        optimizer.step()
    assert all(layer.b.abs().max() > 0 for _, layer in adapters(model))
    unchanged = {name.replace(".base.", "."): t for name, t in model.state_dict().items()}
    for name, tensor in frozen.items():
        assert torch.equal(unchanged[name], tensor), name


def test_adapters_of_short_weights_stay_in_float32():
    model = network().bfloat16()
    add_lora(model, rank=2)
    assert {t.dtype for t in thin(model)} == {torch.float32}
    assert model(IDS).dtype == torch.bfloat16


def test_fold_and_merged_state():
    model = network().eval()
    add_lora(model, rank=2)
    trained(model)
    with torch.no_grad():
        before = model(IDS)
    state = {name: tensor.clone() for name, tensor in merged_state(model).items()}
    plain = network(seed=9).eval()
    plain.load_state_dict(state)
    fold(model)
    assert not list(adapters(model)) and all(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        torch.testing.assert_close(plain(IDS), before, atol=1e-5, rtol=0)
        assert torch.equal(model(IDS), plain(IDS))


def test_dropout_is_of_the_adapter_and_only_in_training():
    model = nn.Sequential(nn.Linear(50, 20))
    add_lora(model, rank=2, dropout=0.5)
    trained(model)
    x = torch.randn(4, 50)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_encoder_decoder_too():
    torch.manual_seed(0)
    model = EncoderDecoder(TransformerConfig(30, width=8, layers=1, heads=2, bias=True))
    names = add_lora(model, rank=1, targets=["cross.query", "cross.kv"])
    assert len(names) == 2 and all(isinstance(model.get_submodule(n), LoRALinear) for n in names)
    source = IDS % 30
    model(source, None, source).sum().backward()


def test_mistakes_are_told():
    model = network()
    with pytest.raises(
        UsageError, match="no linear layer is called q_proj; LoRA can adapt: down, output, qkv, up"
    ):
        add_lora(model, targets=["qkv", "q_proj"])
    assert all(p.requires_grad for p in model.parameters())
    for rank, dropout in ((0, 0.0), (2, 1.0), (2, -0.1)):
        with pytest.raises(UsageError, match="rank"):
            add_lora(model, rank=rank, dropout=dropout)
    add_lora(model)
    with pytest.raises(UsageError, match="already"):
        add_lora(model)


def test_the_same_seed_gives_the_same_adapters():
    models = [network() for _ in range(2)]
    for model in models:
        torch.rand(7)  # other draws in between
        add_lora(model, generator=torch.Generator().manual_seed(11))
    assert all(torch.equal(a, b) for a, b in zip(*map(thin, models), strict=True))
