"""The losses of understanding against formulas in float64 and against sklearn; networks that pool."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from luoxia.media.text.spec import TextSpec
from luoxia.tasks.text_classification.objective import LabeledTexts
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.tasks.text_embedding.objective import TextPairs, differing, info_nce
from luoxia.tasks.text_embedding.recipes import EmbedText
from luoxia.training.objective import Rng

SMALL = {"layers": 1, "heads": 2, "width": 16, "max_length": 12}


def unit(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    rows = rng.standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def texts(n: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 50, (n, length))
    return ids, torch.arange(length) < torch.randint(1, length + 1, (n, 1))


def by_hand(a: np.ndarray, b: np.ndarray, temperature: float, wrong: np.ndarray) -> float:
    """Equation 1 of Gao et al. 2021 in both directions, a term at a time."""
    total = 0.0
    for x, y, allowed in ((a, b, wrong), (b, a, wrong.T)):
        for i in range(len(a)):
            terms = [np.exp(x[i] @ y[j] / temperature) for j in range(len(a)) if j == i or allowed[i, j]]
            total -= np.log(np.exp(x[i] @ y[i] / temperature) / sum(terms))
    return total / (2 * len(a))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_info_nce_is_the_mean_of_both_directions(n: int) -> None:
    rng = np.random.default_rng()
    a, b, temperature = unit(rng, n, 5), unit(rng, n, 5), float(rng.uniform(0.05, 1))
    every = np.ones((n, n), bool)
    found = info_nce(torch.from_numpy(a), torch.from_numpy(b), temperature).item()
    assert found == pytest.approx(by_hand(a, b, temperature, every), rel=1e-4, abs=1e-6)
    wrong = np.triu(rng.random((n, n)) < 0.5)
    wrong |= wrong.T
    found = info_nce(torch.from_numpy(a), torch.from_numpy(b), temperature, torch.from_numpy(wrong)).item()
    assert found == pytest.approx(by_hand(a, b, temperature, wrong), rel=1e-4, abs=1e-6)


def test_info_nce_stays_exact_under_autocast() -> None:
    rng = np.random.default_rng()
    a, b = (torch.from_numpy(unit(rng, 9, 8)).float() for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = info_nce(a, b, 0.05)
    torch.testing.assert_close(found, info_nce(a, b, 0.05), rtol=0, atol=0)


def test_a_text_that_stands_twice_is_no_wrong_answer() -> None:
    ids = torch.tensor([[1, 2], [3, 4], [1, 2]])
    whole = torch.ones_like(ids, dtype=torch.bool)
    assert differing(ids, whole).tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    torch.manual_seed(0)
    objective = EmbedText.from_settings(SMALL).build(TextSpec(50))
    ids, mask = texts(1, 6)
    twice = TextPairs(*(torch.cat([side, side]) for side in (ids, mask, ids, mask)))
    assert objective.observe(twice, None, Rng(0))["train_nll"].item() == 0
    others = TextPairs(*texts(2, 6), *texts(2, 6))
    assert objective.observe(others, None, Rng(0))["train_nll"].item() > 0


def test_classification_is_sklearns_log_loss_and_smooths_only_in_training() -> None:
    torch.manual_seed(0)
    objective = ClassifyText.from_settings({**SMALL, "label_smoothing": 0.3, "dropout": 0.0}).build(
        TextSpec(50, 4)
    )
    network = objective.networks["classifier"]
    torch.nn.init.normal_(network.head.weight)
    ids, mask = texts(10, 8)
    labels = torch.randint(0, 4, (10,))
    batch = LabeledTexts(ids, mask, labels)
    shares = network(ids, mask).detach().double().softmax(1).numpy()
    wanted = log_loss(labels.numpy(), shares, labels=range(4))
    seen = objective.observe(batch, batch, Rng(0))
    assert seen["train_nll"].item() == seen["heldout_nll"].item() == pytest.approx(wanted, rel=1e-5)
    smoothed = 0.7 * wanted - 0.3 * np.log(shares).mean()
    assert objective.losses(batch, Rng(0))["nll"].item() == pytest.approx(smoothed, rel=1e-5)
    (phase,) = objective.phases()
    assert (phase.updates, network.training) == ("classifier", True)


@pytest.mark.parametrize(("recipe", "spec"), [(EmbedText, TextSpec(50)), (ClassifyText, TextSpec(50, 3))])
def test_what_is_padded_changes_nothing(recipe, spec) -> None:
    torch.manual_seed(0)
    network = recipe.from_settings(SMALL).build_generator(spec).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ids, mask = texts(5, 10)
    found = network(ids, mask)
    torch.testing.assert_close(network(ids.where(mask, 7), mask), found)
    for row, real, one in zip(ids, mask, found, strict=True):
        alone = network(row[real][None], torch.ones(1, int(real.sum()), dtype=torch.bool))[0]
        torch.testing.assert_close(alone, one, rtol=1e-4, atol=1e-5)
    if recipe is EmbedText:
        torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
