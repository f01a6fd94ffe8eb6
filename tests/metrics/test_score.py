import json
import subprocess
import sys

import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.score import Measurement, Score

SIGNATURE = {"extractor": "self", "fakes": 5000, "seed": 0}


def score(value=12.3, **changes):
    values = {"low": 11.8, "high": 12.9, "reference": 0.9, "heading": "authenticity", "signature": SIGNATURE}
    return Score(changes.pop("name", "FD-self"), value, **(values | changes))


def test_text_shows_interval_and_reference():
    assert str(score()) == "FD-self 12.3 [11.8, 12.9] (reference 0.9)"
    assert str(score(low=None, high=None, reference=None)) == "FD-self 12.3"


def test_json_round_trip():
    assert Score.from_dict(json.loads(json.dumps(score().as_dict()))) == score()
    with pytest.raises(LuoxiaError, match="lacks 'value'"):
        Score.from_dict({"name": "x"})


def test_compare_gives_the_difference_and_refuses_unlike_signatures():
    assert score(12.5).compare(score(12.0)) == 0.5
    with pytest.raises(LuoxiaError, match=r"differ in fakes \(5000 and 2000\), seed"):
        score().compare(score(signature={"extractor": "self", "fakes": 2000}))
    with pytest.raises(LuoxiaError, match="different metrics"):
        score().compare(score(name="FID"))


def test_unknown_heading_is_refused():
    with pytest.raises(ValueError, match="heading"):
        score(heading="beauty")


def test_the_package_imports_neither_torch_nor_numpy():
    code = "import sys, luoxia.metrics; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_record_of_before_is_read_with_its_meaning():
    old = {
        "name": "neighbour ratio",
        "value": 1.0,
        "low": None,
        "high": None,
        "floor": 0.5,
        "heading": "creativity",
    }
    found = Score.from_dict(old | {"signature": {"floor": "chance"}})
    assert (found.name, found.reference, found.signature) == (
        "nn distance ratio",
        0.5,
        {"reference": "chance"},
    )
    assert "a copy" in found.meaning and found.better == ""
    assert Score.from_dict(old | {"name": "memorised", "signature": {}}).better == "lower"
    assert Score.from_dict(old | {"name": "something new", "signature": {}}).meaning == ""


def test_every_record_has_what_others_read():
    record = score(meaning="How far.", better="lower").as_dict()
    assert {"name", "value", "low", "high", "reference", "heading", "signature"} <= record.keys()
    assert (record["meaning"], record["better"]) == ("How far.", "lower")


def test_a_notebook_shows_scores_as_an_escaped_table():
    evil = "<script>alert(1)</script>'\""
    table = Measurement([score(name=evil, meaning=evil), score(low=None, reference=None)])._repr_html_()
    assert "<script>" not in table and table.count("&lt;script&gt;") == 2 and evil not in table
    assert "11.8 – 12.9" in table and score()._repr_html_().count("<tr>") == 2
