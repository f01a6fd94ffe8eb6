"""The doctor's rules on synthetic logs: each illness is named, and nothing else; health is left alone."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from luoxia.media.image.images import ImageSpec
from luoxia.registry import task_of
from luoxia.runs.reported import PATIENCE, YOUNG
from luoxia.tasks.menu import RECIPES, find
from luoxia.training.doctor import Chart, Doctor, Finding, Rule, Watched
from luoxia.training.recipe import Illness, Optimizer
from luoxia.training.rules import RULES

GROWN = 800
"""A step by which no rule waits any more."""

HEALTHY = {
    "real_logit": 0.8,
    "fake_logit": -0.7,
    "real_sign": 0.5,
    "fake_sign": -0.5,
    "train_logit": 0.8,
    "heldout_logit": 0.7,
    "diversity": 0.95,
}


def log(
    gradients: dict[str, float] | None = None, skipped: float = 0.0, **statistics: float
) -> dict[str, Any]:
    return {
        "gradients": gradients or {"discriminator": 1.0, "generator": 1.0},
        "skipped": skipped,
        "statistics": HEALTHY | statistics,
    }


def hear(doctor: Doctor, *logs: dict[str, Any], start: int = GROWN) -> list[str]:
    found = []
    for number, line in enumerate(logs):
        found += [finding.name for finding in doctor.observe_log(start + 50 * number, line)]
    return found


def doctor_of(recipe: Any, roles: dict[str, Any] | None = None) -> Doctor:
    """The one who looks after a run of the recipe."""
    return Doctor(recipe, [*RULES, *task_of(recipe).rules], roles)


def doctor(**settings: Any) -> Doctor:
    return doctor_of(find("dcgan").from_settings({"gamma": 0.1, "lr": 2.5e-3, **settings}))


def scored(
    patient: Doctor, step: int, distance: float, reference: float, classes: Any, *name: str
) -> list[Finding]:
    return patient.observe_score(Watched(step, distance, reference, classes, *name))


def test_health_is_left_alone() -> None:
    assert hear(doctor(), *[log()] * 40) == []


@pytest.mark.parametrize(
    ("statistics", "name"),
    [
        ({"diversity": 0.2}, "mode collapse"),
        ({"real_sign": 0.999, "fake_sign": -0.999}, "strong discriminator"),
        ({"real_logit": -0.1, "fake_logit": 0.1, "train_logit": -0.1}, "weak discriminator"),
        ({"train_logit": 2.0, "heldout_logit": -0.5, "fake_logit": -1.0}, "overfitting"),
    ],
)
def test_each_illness_is_named_after_patience_and_once(statistics: dict[str, float], name: str) -> None:
    patient = doctor()
    assert hear(patient, *[log(**statistics)] * (PATIENCE - 1)) == []
    assert hear(patient, *[log(**statistics)] * 10) == [name]
    assert hear(patient, *[log()] * PATIENCE, *[log(**statistics)] * PATIENCE) == [name], "it came back"


@pytest.mark.parametrize(("factor", "name"), [(1e4, "exploding gradients"), (1e-5, "vanishing gradients")])
def test_gradients_are_judged_against_their_own_start(factor: float, name: str) -> None:
    patient = doctor()
    hear(patient, *[log({"discriminator": 1.0, "generator": 0.5})] * 6)
    later = log({"discriminator": 1.0, "generator": 0.5 * factor})
    assert hear(patient, *[later] * PATIENCE, start=1000) == [name]


def test_saturation_under_minimax_points_at_the_loss() -> None:
    patient = doctor(loss="minimax")
    hear(patient, *[log()] * 6)
    for step in range(PATIENCE):
        found = patient.observe_log(1000 + step, log({"discriminator": 1.0, "generator": 1e-6}))
    assert [(f.name, f.key) for f in found] == [("vanishing gradients", "loss")]
    assert "loss=nonsaturating" in found[0].advice


@pytest.mark.parametrize("name", ["stylegan2", "dcgan"])
def test_what_only_restrains_a_network_may_vanish(name: str) -> None:
    """By its role, whatever its name: the length of StyleGAN2's paths, a lazy penalty."""
    recipe = find(name).from_settings({"penalty": "r1", "penalty_every": 4, "lr": 1e-3})
    objective = recipe.build(ImageSpec(64, 64, 1, 0))
    roles = {phase.name: phase.role for phase in objective.phases()}
    assert set(roles.values()) == {"model", "critic", "regularizer"}
    for phase, role in roles.items():
        patient = doctor_of(recipe, roles)
        hear(patient, *[log(dict.fromkeys(roles, 1.0))] * 6)
        later = log(dict.fromkeys(roles, 1.0) | {phase: 1e-9})
        found = hear(patient, *[later] * PATIENCE, start=1000)
        assert found == ([] if role == "regularizer" else ["vanishing gradients"])


@pytest.mark.parametrize("name", RECIPES)
def test_remedies_are_keys_of_the_recipe_that_are_not_set_already(name: str) -> None:
    recipe = find(name).from_settings({"lr": 1e-3})
    for one in (
        recipe,
        recipe.model_copy(update={"precision": "fp32", "optimizer": Optimizer(grad_clip=1.0)}),
    ):
        for illness in get_args(Illness):
            advice, key = one.remedy(illness)
            named = re.findall(r"\b([a-z_]+(?:\.[a-z_]+)?)=(\w+)", advice)
            assert key in type(one).model_fields
            for word, value in named:
                section, _, field = word.partition(".")
                assert section in type(one).model_fields, advice
                present = getattr(one, section)
                assert str(getattr(present, field) if field else present) not in (value, f"{value}.0"), advice


def test_scores_of_another_kind_are_not_compared() -> None:
    """Such as those of the first rows, which older versions took, with those of rows from everywhere."""
    patient = doctor()
    for step in range(6):
        assert scored(patient, 100 * step, 1.0 + step, 0.0, {}, "bits per byte")[1:] == []
    later = [
        scored(patient, 1000 + step, 9.0, 0.0, {}, "bits per byte of all held-out text") for step in range(8)
    ]
    assert later == [[]] * 8


def test_a_young_run_is_left_alone() -> None:
    assert hear(doctor(), *[log(diversity=0.1)] * PATIENCE, start=YOUNG - 200) == []


def test_a_generator_may_begin_with_images_that_are_alike() -> None:
    long, short = doctor(steps=6000), doctor(steps=1500)
    alike = [log(diversity=0.1)] * (PATIENCE + 4)
    assert hear(long, *alike, start=YOUNG) == [] and hear(short, *alike, start=YOUNG) == ["mode collapse"]
    assert hear(long, *alike, start=600) == ["mode collapse"]


def test_non_finite_gradients_are_named_at_once() -> None:
    assert hear(doctor(), log(skipped=0.1), start=1) == ["non-finite gradients"]


def test_unbounded_critics_are_not_judged_by_the_sign() -> None:
    patient = doctor_of(find("wgan").from_settings({}))
    assert hear(patient, *[log(real_sign=1.0, fake_sign=-1.0)] * 10) == []


def test_missing_classes_and_a_stalled_score_are_named() -> None:
    even = {str(c): 0.1 for c in range(10)}
    collapsed = {str(c): 1.0 if c == 1 else 0.0 for c in range(10)}
    patient = doctor()
    assert scored(patient, 1000, 50.0, 0.1, collapsed) == [], "the first score may be poor"
    assert [f.name for f in scored(patient, 1500, 50.0, 0.1, collapsed)] == ["missing classes"]
    patient = doctor(steps=6000)
    young = [f for step in (500, 1000, 1500) for f in scored(patient, step, 50.0, 0.1, collapsed)]
    assert young == [] and scored(patient, 2000, 50.0, 0.1, collapsed)
    patient = doctor()
    distances = [9.0, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    found = [f.name for i, d in enumerate(distances) for f in scored(patient, 100 * i, d, 0.1, even)]
    assert found == ["stalled score"]
    patient = doctor()
    assert [f for i in range(20) for f in scored(patient, 100 * i, 20.0 / (i + 1), 0.1, even)] == []


def test_advice_does_not_ask_for_what_is_set() -> None:
    for settings, key in (({"penalty": "none"}, "penalty"), ({"penalty": "r1"}, "gamma")):
        patient = doctor(**settings)
        found = [f for n in range(PATIENCE) for f in patient.observe_log(GROWN + n, log(diversity=0.1))]
        assert [f.key for f in found] == [key]
        assert ("Add penalty=r1" in found[0].advice) == (key == "penalty")


@pytest.mark.parametrize("gamma", ["2", "2..0.2"])
def test_advice_names_gamma_as_it_was_set(gamma: str) -> None:
    patient = doctor(gamma=gamma, schedule={"samples": 1000})
    found = [f for n in range(PATIENCE) for f in patient.observe_log(GROWN + n, log(diversity=0.1))]
    assert f"Raise gamma (now {gamma})" in found[0].advice


def test_a_language_model_that_recites_is_named() -> None:
    def line(train: float, heldout: float) -> dict[str, Any]:
        return {
            "gradients": {"prediction": 1.0},
            "skipped": 0.0,
            "statistics": {"train_nll": train, "heldout_nll": heldout},
        }

    patient = doctor_of(find("gpt").from_settings({}))
    assert hear(patient, *[line(2.0 - 0.1 * n, 2.1 - 0.05 * n) for n in range(8)]) == []
    assert hear(patient, *[line(0.8, 2.4)] * 2 * PATIENCE, start=2000) == ["overfitting"]


def test_advice_to_a_language_model_is_not_of_discriminators() -> None:
    patient = doctor_of(find("gpt").from_settings({}))
    line = {"gradients": {"prediction": 1.0}, "skipped": 0.0, "statistics": {}}
    hear(patient, *[line] * 6)
    found = [
        f
        for n in range(PATIENCE)
        for f in patient.observe_log(1000 + n, line | {"gradients": {"prediction": 1e5}})
    ]
    assert [(f.name, f.key) for f in found] == [("exploding gradients", "lr")]
    assert "D:" not in found[0].advice


def test_a_model_of_text_overfits_when_what_is_held_out_costs_more_and_more() -> None:
    def judge(best: float, late: float, seen: float) -> list[str]:
        patient = doctor_of(find("classify-text").from_settings({}))
        early = [log({"classification": 1.0}, train_nll=best, heldout_nll=best)] * PATIENCE
        return hear(
            patient, *early, *[log({"classification": 1.0}, train_nll=seen, heldout_nll=late)] * PATIENCE
        )

    assert judge(best=0.4, late=0.6, seen=0.1) == ["overfitting"]
    assert judge(best=0.4, late=0.42, seen=0.1) == [], "a little"
    assert judge(best=0.01, late=0.03, seen=0.0) == [], "three times almost nothing"
    assert judge(best=0.4, late=0.6, seen=0.6) == [], "no worse than what it is trained on"


def test_a_flow_overfits_when_its_loss_on_held_out_images_rises() -> None:
    def judge(best: float, late: float, seen: float) -> list[str]:
        patient = doctor_of(find("flow").from_settings({}))
        early = [log({"flow": 1.0}, train_loss=best, heldout_loss=best)] * PATIENCE
        return hear(patient, *early, *[log({"flow": 1.0}, train_loss=seen, heldout_loss=late)] * PATIENCE)

    assert judge(best=0.20, late=0.21, seen=0.15) == ["overfitting"]
    assert judge(best=0.20, late=0.203, seen=0.15) == [], "a little"
    assert judge(best=0.20, late=0.21, seen=0.20) == [], "no worse than on what it is trained on"


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_advice_to_translators_names_their_own_keys(name):
    patient = doctor_of(find(name).from_settings({}))
    ill = {"real_logit": 1.0, "fake_logit": -1.0, "real_sign": 1.0, "fake_sign": -1.0, "diversity": 0.1}
    ill |= {"train_logit": 1.0, "heldout_logit": -1.0}
    weak = ill | {"real_logit": -2.0, "fake_logit": 2.0, "real_sign": 0.0, "fake_sign": 0.0}
    found = []
    for step, (statistics, norm) in enumerate([(ill, 1.0)] * 6 + [(ill, 1e4)] * 5 + [(weak, 1e-9)] * 5):
        log = {
            "gradients": {"generators": norm, "discriminators": norm},
            "statistics": statistics,
            "skipped": 0.0,
        }
        found += patient.observe_log(GROWN + 50 * step, log)
    found += scored(patient, 4000, 5.0, 1.0, {"x": 1.0, "y": 0.0}) + scored(
        patient, 4050, 5.0, 1.0, {"x": 1.0, "y": 0.0}
    )
    assert {f.name for f in found} >= {
        "mode collapse", "strong discriminator", "overfitting", "weak discriminator", "exploding gradients",
        "vanishing gradients", "missing classes",
    }  # fmt: skip
    keys = type(patient.chart.recipe).model_fields
    assert {f.key for f in found} <= keys.keys()
    assert not any(
        word in f.advice for f in found for word in ("penalty", "gamma", "dropout", "augment", "d_steps")
    )


def test_a_rule_of_ones_own_is_asked_like_all_others() -> None:
    class Bored(Rule):
        def __init__(self, chart: Chart) -> None:
            super().__init__(chart)
            self.looks = 0

        def judge_log(self) -> Iterator[Finding]:
            self.looks += 1
            if min(self.chart.recent("loops")) > 3:
                yield Finding("boredom", "warning", f"{self.looks} looks", "Go on", "steps")

    def line(loops: float) -> dict[str, Any]:
        return {"gradients": {}, "skipped": 0.0, "statistics": {"loops": loops}}

    recipe = find("dcgan").from_settings({})
    assert hear(Doctor(recipe, [Bored]), *[line(1.0)] * PATIENCE, *[line(5.0)] * PATIENCE) == ["boredom"]
    assert hear(Doctor(recipe), *[log(diversity=0.1)] * 8) == [], "no rules, no findings"
