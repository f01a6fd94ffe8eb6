import json
import subprocess
import sys

import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.score import Score

SIGNATURE = {"extractor": "self", "fakes": 5000, "seed": 0}


def score(value=12.3, **changes):
    values = {"low": 11.8, "high": 12.9, "floor": 0.9, "heading": "authenticity", "signature": SIGNATURE}
    return Score(changes.pop("name", "FD-self"), value, **(values | changes))


def test_text_shows_interval_and_floor():
    assert str(score()) == "FD-self 12.3 [11.8, 12.9] (floor 0.9)"
    assert str(score(low=None, high=None, floor=None)) == "FD-self 12.3"


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
