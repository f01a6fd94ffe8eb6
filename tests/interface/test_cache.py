"""``luoxia cache`` lists what the cache holds, and removes what was not used for longest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from luoxia.cli.main import app
from luoxia.core.cache import TAG_TEXT, entries, evict, publish, read_entry
from luoxia.core.errors import UsageError
from luoxia.verbs.cache import manage


def name(number: int) -> str:
    """What an entry may be called."""
    return f"{number:032x}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three entries of 1,000 bytes, used at 100, 200 and 300 seconds."""
    monkeypatch.setenv("LUOXIA_CACHE", str(tmp_path))
    for number, kind in enumerate(("images", "texts", "images"), 1):
        entry = tmp_path / kind / name(number)
        publish(entry, lambda folder: (folder / "content").write_bytes(bytes(1000 - len(TAG_TEXT))) and None)
        os.utime(entry, (100 * number, 100 * number))
    return tmp_path


def names() -> list[str]:
    return [entry.path.name for entry in entries()]


def test_the_least_recently_used_go_first(cache: Path) -> None:
    assert [entry.path.name for entry in evict(1500)] == [name(1), name(2)]
    assert names() == [name(3)]


def test_reading_an_entry_is_using_it(cache: Path) -> None:
    assert read_entry(cache / "images" / name(1), lambda entry: (entry / "content").is_file())
    evict(1000)
    assert names() == [name(1)]


def test_what_is_being_built_is_spared(cache: Path) -> None:
    building = cache / "images" / ".building-x"
    building.mkdir()
    manage("clear")
    assert building.is_dir()
    assert names() == []


def test_what_is_not_the_caches_is_never_removed(cache: Path) -> None:
    """A person may give any folder as the cache."""
    kept = [cache / "photos" / "holiday", cache / "images" / "holiday", cache / "thesis" / name(1)]
    for folder in kept:
        folder.mkdir(parents=True)
    (cache / "images" / name(9)).symlink_to(kept[0])
    manage("clear")
    assert all(folder.is_dir() for folder in kept)
    assert names() == []


def test_a_kind_of_entry_need_not_be_known_here(cache: Path) -> None:
    publish(cache / "spectra" / name(7), lambda folder: None)
    assert name(7) in names() and manage()["spectra"] == f"1 entry, {len(TAG_TEXT)} B"


def test_the_facts(cache: Path) -> None:
    assert manage() == {
        "folder": str(cache), "images": "2 entries, 2.0 KiB", "texts": "1 entry, 1000 B", "total": "3 entries, 2.9 KiB",
    }  # fmt: skip
    assert manage(limit="2K")["removed"] == "1 entry, 1000 B"


def test_no_cache_is_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUOXIA_CACHE", str(tmp_path / "none"))
    assert manage("clear")["removed"] == "0 entries, 0 B"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("clean",), "luoxia cache clean"),
        (("clear", "limit=1G"), "leave limit= out"),
        (("limit=big",), "limit=big"),
    ],
)
def test_nonsense_is_refused(cache: Path, words: tuple[str, ...], sentence: str) -> None:
    result = CliRunner().invoke(app, ["cache", *words])
    assert (result.exit_code, len(names())) == (2, 3)
    assert sentence in result.output


def test_the_command_line(cache: Path) -> None:
    result = CliRunner().invoke(app, ["cache", "limit=0", "--json"])
    assert json.loads(result.stdout)["total"] == "0 entries, 0 B"


def test_python_takes_bytes(cache: Path) -> None:
    assert manage(limit=10**6)["removed"] == "0 entries, 0 B"
    with pytest.raises(UsageError, match="limit=-1"):
        manage(limit=-1)
