"""What the READMEs and the documentation tell people to type is understood, and what they point at is there."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

import luoxia
from luoxia.cli.table import VERBS
from luoxia.core.settings import parse_settings
from luoxia.tasks.menu import find
from luoxia.verbs.request import RESUMABLE

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = sorted((ROOT / "docs").glob("*.md"))
FIRST = "pip install -c constraints.txt . && luoxia train dcgan"
SECOND = "pip install -c constraints.txt -e '.[test]' && pytest"


def blocks(page):
    return re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands():
    """Every command line of Luoxia's in a bash block, as words without the program's name."""
    for page in [*READMES, *PAGES]:
        for line in "".join(blocks(page)).splitlines():
            for command in re.split(r"&&|(?<=\s)\|(?=\s)|;", line):
                words = shlex.split(command, comments=True)
                if "luoxia" in words[:6]:
                    yield pytest.param(
                        words[words.index("luoxia") + 1 :], id=f"{page.name}: {command.strip()}"
                    )


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_first_two_blocks_are_what_ci_runs(page):
    assert [block.strip() for block in blocks(page)[:2]] == [FIRST, SECOND]


def assert_taken(verb, settings):
    """Some task, or the verb itself, has all these keys."""
    classes = next(known for known in VERBS if known.name == verb).key_classes()
    problems = []
    for keys in classes:
        try:
            keys.from_settings(settings)
        except luoxia.UsageError as error:
            problems.append(str(error))
    assert len(problems) < len(classes), problems


@pytest.mark.parametrize("words", list(commands()))
def test_command_is_understood(words):
    verb, *rest = [word for word in words if not word.startswith("--")]
    targets = [word for word in rest if "=" not in word]
    given = [word for word in rest if "=" in word and not word.startswith("config=")]
    settings = parse_settings(given)
    if used := settings.pop("use", None):
        assert luoxia.use(ROOT / used)
    if verb == "train":
        recipe = targets.pop(0)
        config = find(str(ROOT / recipe) if ".py" in recipe else recipe).from_settings(settings)
        config.model_dump()
    elif verb == "resume":
        assert len(targets) == 1
        targets.clear()
        assert set(settings) <= set(RESUMABLE)
        find("dcgan").from_settings(settings)
    elif verb == "finetune":
        model = targets.pop()
        images = "many" in model or "gan" in model
        find("dcgan" if images else "gpt").from_settings({**settings, "init": model})
    elif verb == "inspect":
        assert len(targets) == 1 and not settings
        targets.clear()
    elif verb == "recipes":
        if targets:
            name = targets.pop()
            find(str(ROOT / name) if ".py" in name else name)
    else:
        fields = {"form", "author", "style"}  # of the data that the examples speak of
        assert_taken(verb, {key: value for key, value in settings.items() if key not in fields})
        targets = targets[
            2 if verb in ("translate", "classify", "embed", "project", "encode", "decode", "edit") else 1 :
        ]
    assert not targets


def test_both_readmes_give_the_same_commands():
    english, chinese = (
        [re.sub(r"\s*#.*", "", line) for block in blocks(page) for line in block.splitlines()]
        for page in READMES
    )
    assert english == chinese


@pytest.mark.parametrize("page", [*READMES, ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name)
def test_what_is_linked_is_there(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http", "#")):
            assert (page.parent / target.partition("#")[0]).is_file(), f"{page.name} links to {target}"


def test_every_page_is_in_the_navigation():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        return [p for value in (entry.values() if isinstance(entry, dict) else entry) for p in pages(value)]

    assert sorted(pages(site["nav"])) == [page.name for page in PAGES]


def test_recipes_are_all_told_of():
    from luoxia.tasks.menu import RECIPES

    for page in [*READMES, ROOT / "docs" / "recipes.md"]:
        assert all(f"`{name}`" in page.read_text(encoding="utf-8") for name in RECIPES), page.name


def test_losses_penalties_and_findings_are_all_told_of():
    from luoxia.adversarial.losses import LOSSES
    from luoxia.adversarial.penalties import PENALTIES

    recipes = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in recipes for name in [*LOSSES, *PENALTIES])
    rules = [file.read_text(encoding="utf-8") for file in (ROOT / "src" / "luoxia").rglob("rules.py")]
    findings = {name for text in rules for name in re.findall(r'[fF]inding\(\s*"([^"]+)"', text)}
    report = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    assert len(findings) == 13
    assert all(f"| {name} |" in report for name in findings)


def test_the_published_configurations_are_those_of_the_recipes():
    section = (
        (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8").split("## Published configurations")[1]
    )
    lines = section.split("```")[1].removeprefix("bash").strip().splitlines()
    assert len(lines) >= 6
    for line in lines:
        name, *words = line.removeprefix("luoxia train ").split()
        assert words[-1].removeprefix("preset=") in find(name).presets, line
