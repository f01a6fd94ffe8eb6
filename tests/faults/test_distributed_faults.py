"""Two processes fall ill together: they go back together, and give up together."""

import pytest
import typer

from luoxia.cli import main as cli
from luoxia.core.errors import ReportedByOtherRankError
from processes import torchrun

pytest.importorskip("torch.distributed")


def test_roll_back_in_two_processes_ends_with_the_reason(tmp_path):
    """Each process must find the checkpoint that the main one wrote, though only that one made the folder."""
    words = ("train", "gan", "lr=1e30", "steps=200", "log_every=5", "batch=8", "width=4", "extractor=none")
    done = torchrun(tmp_path, *words, "out=ill")
    assert done.returncode != 0
    assert "training stopped" in done.stderr, done.stderr[-2000:]
    assert "no usable checkpoint" not in done.stderr
    assert "rolled back" in (tmp_path / "ill" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("data=nowhere.txt",), "nowhere.txt"),
        (("data=text.txt", "context=100000"), "context"),
        (("data=text.txt", "out=text.txt"), "text.txt"),
    ],
)
def test_an_error_of_the_first_process_is_report_once_and_ends_both(tmp_path, words, sentence):
    (tmp_path / "text.txt").write_text("a text of some words. " * 50, encoding="utf-8")
    done = torchrun(
        tmp_path, "train", "gpt", "tokenizer=byte", "steps=2", *words, LUOXIA_CACHE=str(tmp_path / "cache")
    )
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("luoxia: ")]
    assert len(told) == 1 and sentence in told[0], done.stderr
    assert "exitcode  : 2" in done.stderr, done.stderr


def test_a_process_waits_before_it_ends_by_an_error_that_another_tells(monkeypatch):
    waited = []
    monkeypatch.setattr(cli.time, "sleep", waited.append)
    with pytest.raises(typer.Exit) as ended, cli._speaking(debug=False):
        raise ReportedByOtherRankError(2)
    assert ended.value.exit_code == 2 and waited == [cli.WAIT]
