"""Accuracy, F1 and calibration against scikit-learn and loops, over fresh random predictions."""

import json

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.classification import f1, macro, measure_classification

sklearn = pytest.importorskip("sklearn.metrics")


@pytest.fixture
def predictions():
    """Probabilities (400, 5), classes drawn from them; the fifth class never occurs."""
    rng = np.random.default_rng()
    probabilities = rng.dirichlet([0.6] * 4, 400)
    true = np.array([rng.choice(4, p=row) for row in probabilities])
    probabilities = np.concatenate([probabilities, np.zeros((400, 1))], axis=1)
    return probabilities.argmax(1), true, probabilities


NAMES = ("a", "b", "c", "d", "never")


def test_values_are_scikit_learns(predictions):
    predicted, true, probabilities = predictions
    found = measure_classification(predicted, true, classes=NAMES, probabilities=probabilities)
    assert found["accuracy"].value == pytest.approx(sklearn.accuracy_score(true, predicted))
    assert found["macro F1"].value == pytest.approx(sklearn.f1_score(true, predicted, average="macro"))
    each = sklearn.f1_score(true, predicted, average=None, labels=range(4))
    assert [found[f"F1 {name}"].value for name in NAMES[:4]] == pytest.approx(list(each))
    np.testing.assert_array_equal(found.confusion, sklearn.confusion_matrix(true, predicted, labels=range(5)))
    assert not any(score.name == "F1 never" for score in found.scores)
    assert all(score.low <= score.value <= score.high for score in found.scores)
    assert json.loads(json.dumps(found.as_dict()))["classes"] == list(NAMES)


def test_floors_are_those_of_a_constant_answer(predictions):
    _, true, _ = predictions
    found = measure_classification(true, true, classes=NAMES)
    commonest = np.full(len(true), np.bincount(true).argmax())
    constant = measure_classification(commonest, true, classes=NAMES)
    assert found["accuracy"].reference == constant["accuracy"].value
    assert found["macro F1"].reference == pytest.approx(sklearn.f1_score(true, commonest, average="macro"))
    always = sklearn.f1_score(true == 2, np.ones(len(true)))
    assert found["F1 c"].reference == pytest.approx(always)


def test_calibration_error_by_a_loop(predictions):
    predicted, true, probabilities = predictions
    sure = probabilities.max(1)
    expected = 0.0
    for m in range(15):
        inside = [i for i in range(400) if m / 15 < sure[i] <= (m + 1) / 15]
        if inside:
            right = np.mean([predicted[i] == true[i] for i in inside])
            expected += len(inside) / 400 * abs(right - np.mean([sure[i] for i in inside]))
    found = measure_classification(predicted, true, classes=NAMES, probabilities=probabilities)
    error = found["calibration error"]
    assert error.value == pytest.approx(expected)
    # these probabilities are calibrated by construction, so the error is about its floor
    assert error.value < 3 * error.reference


def test_the_interval_of_macro_f1_is_as_wide_as_fresh_items_vary():
    rng = np.random.default_rng(2)

    def draw():
        true = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
        predicted = np.where(rng.random(300) < 0.7, true, rng.integers(3, size=300))
        return measure_classification(predicted, true, classes="abc", draws=200)["macro F1"]

    found = [draw() for _ in range(150)]
    spread = np.std([score.value for score in found])
    assert np.mean([(s.high - s.low) / 2 / 1.96 for s in found]) == pytest.approx(spread, rel=0.25)


def test_f1_of_many_matrices_at_once():
    matrices = np.random.default_rng().integers(0, 5, (6, 3, 3))
    matrices[:, 1, :] = matrices[:, :, 1] = 0
    assert np.isnan(f1(matrices)[:, 1]).all()
    np.testing.assert_allclose(macro(f1(matrices)), [float(macro(f1(m))) for m in matrices])


def test_bad_input_is_named(predictions):
    predicted, true, probabilities = predictions
    cases = [
        ((predicted[1:], true), {}, "399 predictions do not pair with 400"),
        (([], []), {}, "no predictions"),
        (([5], [0]), {}, "prediction 5 is not a class"),
        (([0], [-1]), {}, "label -1 is not a class"),
        ((predicted, true), {"probabilities": probabilities[:, :4]}, "give a row an item"),
        ((predicted, true), {"probabilities": probabilities * 2}, "sum to 1"),
        ((predicted, true), {"probabilities": probabilities * np.nan}, "sum to 1"),
    ]
    for labels, more, message in cases:
        with pytest.raises(LuoxiaError, match=message):
            measure_classification(*labels, classes=NAMES, **more)
