"""Deterministic kernels: asked for while a GPU trains, by recipe, and put back afterwards."""

import json
import os

import numpy as np
import pytest
import torch

import luoxia
from luoxia.core.errors import LuoxiaError
from luoxia.tasks.image_generation.recipes.gan import DCGAN
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.training.determinism import WORKSPACE, deterministic, wants_determinism

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def state():
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        os.environ.get(WORKSPACE),
    )


@pytest.mark.parametrize(
    ("recipe", "device", "wanted"),
    [
        (DCGAN(), GPU, True),
        (GPT(), GPU, False),
        (DCGAN(deterministic="off"), GPU, False),
        (GPT(deterministic="on"), GPU, True),
        (DCGAN(deterministic="off"), CPU, True),  # where every kernel is
        (type("Mine", (DCGAN,), {})(), GPU, True),
    ],
)
def test_what_is_wanted(recipe, device, wanted):
    assert wants_determinism(recipe, device) is wanted


@pytest.mark.parametrize(("setting", "warns"), [("auto", True), ("on", False)])
def test_a_gpu_is_asked_and_all_is_put_back(setting, warns, monkeypatch):
    monkeypatch.delenv(WORKSPACE, raising=False)
    before = state()
    with deterministic(DCGAN(deterministic=setting), GPU):
        assert state() == (True, warns, False, True, False, ":4096:8")
    assert state() == before
    with pytest.raises(ZeroDivisionError), deterministic(DCGAN(), GPU):
        raise ZeroDivisionError
    assert state() == before


@pytest.mark.parametrize(
    ("recipe", "device"), [(DCGAN(), CPU), (DCGAN(deterministic="off"), GPU), (GPT(), GPU)]
)
def test_nothing_is_touched_where_nothing_is_wanted(recipe, device):
    before = state()
    with deterministic(recipe, device):
        assert state() == before


def test_an_operation_without_such_a_kernel_is_named():
    told = r"^deterministic=on: reflection_pad2d_backward_cuda has no deterministic form on this device; use "
    with pytest.raises(LuoxiaError, match=told), deterministic(DCGAN(deterministic="on"), GPU):
        raise RuntimeError(
            "reflection_pad2d_backward_cuda does not have a deterministic implementation, but you set …"
        )
    with pytest.raises(RuntimeError, match="another"), deterministic(DCGAN(deterministic="on"), GPU):
        raise RuntimeError("another")


def test_training_leaves_torch_as_it_was(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((8, 8, 8, 3), np.uint8))
    torch.manual_seed(7)
    drawn, before = torch.get_rng_state(), state()
    settings = {"width": 2, "latent": 4, "extractor": "none", "device": "cpu", "steps": 2, "quiet": True}
    run = luoxia.train("gan", data=tmp_path / "a.npz", out=tmp_path / "run", **settings)
    assert torch.equal(torch.get_rng_state(), drawn) and state() == before
    assert json.loads((run.path / "run.json").read_text())["hardware"]["deterministic"] is True
