import numpy as np
import pytest
import torch
from scipy import stats
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from luoxia.decoding import distribution
from luoxia.decoding.loop import Decoding, draw


@pytest.fixture(params=range(3))
def logits(request: pytest.FixtureRequest) -> torch.Tensor:
    seed, spread = request.param, (0.5, 2.0, 6.0)[request.param]
    return torch.randn(7, 900, generator=torch.Generator().manual_seed(seed)) * spread


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9, 0.999])
def test_top_p_is_transformers(logits: torch.Tensor, p: float) -> None:
    assert torch.equal(distribution.keep_top_p(logits, p), TopPLogitsWarper(p)(None, logits.clone()))


def test_top_p_keeps_ties_and_the_best() -> None:
    kept = distribution.keep_top_p(torch.tensor([[0.0, 0.0, -9.0], [5.0, 0.0, 0.0]]), 0.3).isfinite()
    assert kept.tolist() == [[True, True, False], [True, False, False]]


@pytest.mark.parametrize("p", [1e-4, 0.05, 0.3, 1.0])
def test_min_p_is_transformers(logits: torch.Tensor, p: float) -> None:
    assert torch.equal(distribution.keep_min_p(logits, p), MinPLogitsWarper(p)(None, logits.clone()))


@pytest.mark.parametrize("k", [1, 5, 5000])
def test_top_k_is_transformers(logits: torch.Tensor, k: int) -> None:
    values, ids = distribution.keep_top_k(logits, k)
    mine = torch.full_like(logits, -torch.inf).scatter(1, ids, values)
    assert torch.equal(mine, TopKLogitsWarper(k)(None, logits.clone()))


@pytest.mark.parametrize("penalty", [0.7, 1.3])
def test_repetition_penalty_is_transformers(logits: torch.Tensor, penalty: float) -> None:
    ids = torch.randint(0, 900, (7, 40), generator=torch.Generator().manual_seed(3))
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, True)
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(ids, logits.clone())
    assert torch.equal(distribution.penalize_repetition(logits, seen, penalty), theirs)


def expected_frequencies(logits: torch.Tensor, settings: Decoding) -> torch.Tensor:
    scores = logits.clone()
    for warper in (
        TemperatureLogitsWarper(settings.temperature),
        TopKLogitsWarper(settings.top_k or 10_000),
        TopPLogitsWarper(settings.top_p),
        MinPLogitsWarper(settings.min_p),
    ):
        scores = warper(None, scores)
    return scores.double().softmax(-1)[0]


@pytest.mark.parametrize(
    "settings",
    [
        Decoding(),
        Decoding(temperature=0.6),
        Decoding(temperature=1.5, top_k=12),
        Decoding(top_p=0.8),
        Decoding(min_p=0.1),
        Decoding(temperature=1.2, top_k=20, top_p=0.9, min_p=0.05),
    ],
)
def test_tokens_come_as_often_as_they_are_probable(settings: Decoding) -> None:
    n = 40_000
    logits = torch.randn(1, 30, generator=torch.Generator().manual_seed(5)) * 1.5
    uniform = torch.from_numpy(np.random.default_rng(11).random(n))
    drawn = draw(logits.expand(n, -1), settings, uniform).bincount(minlength=30)
    expected = expected_frequencies(logits, settings)
    assert not drawn[expected == 0].any()
    possible = expected > 0
    assert stats.chisquare(drawn[possible].numpy(), (n * expected[possible]).numpy()).pvalue > 1e-3


def test_impossible_tokens_are_never_drawn_at_the_edges() -> None:
    inf = torch.inf
    logits = torch.tensor([[-inf, 0.0, -inf, 0.0, -inf]]).expand(4, -1)
    uniform = torch.tensor([0.0, 0.5 - 1e-12, 0.5, 1 - 2**-40], dtype=torch.float64)
    assert distribution.pick(logits, uniform).tolist() == [1, 1, 3, 3]


def test_rare_tokens_keep_their_share() -> None:
    """100,000 tokens of equal probability: single-precision sums would starve the last ones."""
    logits = torch.zeros(1, 100_000)
    uniform = (torch.arange(100_000, dtype=torch.float64)[None] + 0.5) / 100_000
    where = torch.searchsorted(logits.softmax(-1).cumsum(-1, dtype=torch.float64), uniform)[0]
    some = torch.tensor([0, 1, 49_999, 99_998, 99_999])
    picked = distribution.pick(logits.expand(5, -1), uniform[0, some])
    assert picked.tolist() == some.tolist() == where[some].tolist()


def test_noise_depends_on_seed_and_row_alone() -> None:
    assert torch.equal(distribution.noise(3, 5, 7), distribution.noise(3, 5, 100)[:7])
    assert not torch.equal(distribution.noise(3, 5, 7), distribution.noise(3, 6, 7))
    assert not torch.equal(distribution.noise(3, 5, 7), distribution.noise(4, 5, 7))
    many = torch.stack([distribution.noise(0, row, 50) for row in range(400)])
    assert stats.kstest(many.flatten().numpy(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(many[:-1].flatten(), many[1:].flatten())[0, 1]) < 0.03
