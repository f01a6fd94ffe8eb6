"""The sections of a report, each a function from the run's record to HTML."""

import json
import math
from collections.abc import Iterable
from itertools import groupby

from luoxia.core.regular import text_of
from luoxia.runs.report_images import Picture, embed, spread
from luoxia.runs.report_scores import history, interval, tiles
from luoxia.runs.report_source import Line, RunRecord, flatten, items, mapping, number
from luoxia.runs.report_words import count, duration, escape, family, spell

_STRIP = 24  # grids in the strip over time
_TEXTS, _CHARACTERS = 8, 8000  # samples of text, and characters of each
_SHOWN_SKIPPED = 200
_LABEL = 'AI-generated images <span lang="zh">(人工智能生成)</span>'
_ITEMS = {"classification": "Texts", "similarity": "Pairs", "translation": "Pairs"}
_ANSWERS = {
    "classification": "Held-out texts; → what the model says, and how sure it is; = what is right.",
    "similarity": "Held-out texts; → the nearest answer of all, with its cosine; = the right one, with its rank.",
}
_STATES = {"finished": "Finished", "stopped": "Stopped early"}


def state(record: RunRecord) -> str:
    """How the run ended, as far as its events tell."""
    told = [str(line.get("event")) for line in record.events]
    last = next((event for event in reversed(told) if event in (*_STATES, "started", "resumed")), "")
    return _STATES.get(last, "Unfinished")


def summary(record: RunRecord) -> str:
    """One sentence: what was trained on what, for how long, on which hardware."""
    data, hardware = mapping(record.facts.get("data")), mapping(record.facts.get("hardware"))
    parts = [f"<b>{escape(record.facts.get('recipe') or 'A model')}</b> trained"]
    if data.get("source"):
        parts.append(f" on <b>{escape(data['source'])}</b>")
    if duration(record.seconds):
        parts.append(f" for <b>{duration(record.seconds)}</b>")
    parts.append(f": {count(record.last_step, 'step')}")
    last = record.logs[-1] if record.logs else {}
    seen = number(last.get("seen", last.get("images")))  # as 0.1.0 called it
    if math.isfinite(seen):
        parts.append(f", {seen:,.0f} {escape(record.unit)} seen")
        if (size := number(data.get("count"))) > 0 and not record.is_text:
            parts.append(f" ({spell(seen / size, 3)} passes over {size:,.0f})")
    if machine := hardware.get("name") or hardware.get("device"):
        parts.append(f", on {escape(machine)}")
    if hardware.get("precision"):
        parts.append(f", in {escape(hardware['precision'])}")
    return f"{''.join(parts)}."


def verdict(record: RunRecord) -> str:
    """The key scores and the doctor's state, side by side."""
    shown = tiles(record) or (
        '<div class="tile"><p class="label">Scores</p><p class="big">none yet</p>'
        f"<p>Measure with <code>luoxia measure {escape(record.folder)}</code></p></div>"
    )
    return f'<div class="tiles">{shown}{_doctor_tile(record)}</div>'


def samples(record: RunRecord) -> str:
    """What the model made, over time: always of the same latents or seeds."""
    return _texts(record) if record.is_text else _grids(record)


def _texts(record: RunRecord) -> str:
    """The newest texts, and earlier ones folded away."""
    shown: list[str] = []
    for step, path in reversed(spread(record.texts, _TEXTS)):
        try:
            text = text_of(path, "replace")[:_CHARACTERS]
        except OSError:
            continue
        opened = "" if shown else " open"
        body = f'<pre class="text">{escape(text)}</pre>'
        shown.append(f"<details{opened}><summary>Step {step:,}</summary>{body}</details>")
    label = _ANSWERS.get(record.task, 'AI-generated text <span lang="zh">(人工智能生成)</span>')
    empty = "No sample yet. The first one comes after <code>sample_every</code> steps."
    return f"<p>{label}</p>{''.join(shown)}" if shown else _empty(empty)


def _grids(record: RunRecord) -> str:
    """The newest grid, large, and the same latents over time beside it."""
    latest = next(
        ((step, p) for step, path in reversed(record.samples) if (p := embed(path, 1024, 300_000))), None
    )
    if latest is None:
        return _empty("No sample grid yet. The first one comes after <code>sample_every</code> steps.")
    step, picture = latest
    strip = [(at, p) for at, path in spread(record.samples, _STRIP) if (p := embed(path, 560, 54_000))]
    large = _image(picture, f"Grid of images generated at step {step:,}", "grid")
    caption = f'Step <output id="shown">{step:,}</output> · {_LABEL}'
    figure = f"<figure>{large}<figcaption>{caption}</figcaption></figure>"
    fixed = (
        "The images are fixed: translated, and where the model knows the way back too."
        if record.task == "image translation"
        else "The latents are fixed: each cell is the same point at every step."
    )
    return f'<div class="viewer">{figure}{_strip(strip, len(record.samples), fixed)}</div>'


def findings(record: RunRecord) -> str:
    """What the doctor found: the evidence, the advice, and the key to change."""
    if not record.findings and not record.logs:
        return _empty("Nothing to examine yet.")
    if not record.findings:
        return (
            '<p class="calm">The doctor has no findings: no sign of collapse, overfitting or divergence.</p>'
        )
    named: dict[str, list[Line]] = {}
    for line in record.findings:
        named.setdefault(str(line.get("name") or "finding"), []).append(line)
    return "".join(_finding(name, lines) for name, lines in named.items())


def neighbors(record: RunRecord) -> str:
    """Samples beside the training images nearest to them."""
    picture = embed(record.folder / "scores" / "neighbors.png", 1024, 240_000)
    if picture is None:
        return _empty(f"No picture yet. Make it with <code>luoxia measure {escape(record.folder)}</code>")
    told = [scores[-1] for name, scores in history(record).items() if family(name) == "copy"]
    rate = "".join(
        f" Here the score <b>{escape(s.name)}</b> is {spell(s.value, 3)}"
        f"{f' ({interval(s)})' if interval(s) != '–' else ''}"
        f"{f'; real images against real ones give {spell(s.floor, 3)}' if math.isfinite(s.floor) else ''}."
        for s in told
    )
    image = _image(picture, "Generated samples, each beside the training images nearest to it")
    return (
        f"<figure>{image}<figcaption>{_LABEL} beside the nearest training images.</figcaption></figure>"
        "<p>A sample that equals its neighbor in every detail was memorized, not generated. "
        f"A likeness in class and style only is what learning looks like.{rate}</p>"
    )


def data_card(record: RunRecord) -> str:
    """Where the images came from, how many there are, and which could not be used."""
    data = mapping(record.facts.get("data"))
    if not data and not record.skipped:
        return _empty("This run has no record of its data.")
    shape = [str(data[key]) for key in ("width", "height", "channels") if data.get(key) is not None]
    classes = items(data.get("classes")) or ("unlabeled" if data.get("labeled") is False else None)
    size = number(data.get("count"))
    skipped = "row" if record.is_text else "file"
    rows = {
        "Source": data.get("source"),
        "Path": data.get("path"),
        "Against": data.get("against"),
        _ITEMS.get(record.task, "Documents" if record.is_text else "Images"): f"{size:,.0f}"
        if math.isfinite(size)
        else data.get("count"),
        "Width × height × channels": " × ".join(shape),
        "Classes": f"{len(classes)}: {', '.join(map(str, classes))}"
        if isinstance(classes, list)
        else classes,
        "Tokens": f"{data.get('tokenizer')}, {data.get('vocabulary')} in all" if record.is_text else None,
        "Fingerprint": data.get("fingerprint"),
        f"Skipped {skipped}s": max(
            len(record.skipped), int(max(0.0, min(1e15, number(data.get("skipped")) or 0)))
        ),
    }
    return pairs((key, value) for key, value in rows.items() if value not in (None, "")) + _skipped(
        record.skipped, f"skipped {skipped}"
    )


def config(record: RunRecord) -> str:
    """The resolved configuration, folded away."""
    leaves = list(flatten(record.facts.get("config")))
    if not leaves:
        return _empty("This run has no record of its configuration.")
    return f"<details><summary>{count(len(leaves), 'key')}</summary>{pairs(leaves)}</details>"


def setting(record: RunRecord) -> str:
    """Versions, hardware and sizes of the networks."""
    facts = record.facts
    rows = [("started", facts.get("started")), ("seed", facts.get("seed")), ("luoxia", facts.get("luoxia"))]
    rows += flatten(facts.get("versions"))
    rows += [(f"hardware: {key}", value) for key, value in flatten(facts.get("hardware"))]
    for network, size in flatten(facts.get("parameters")):
        spelled = f"{number(size):,.0f}" if math.isfinite(number(size)) else size
        rows.append((f"parameters: {network}", spelled))
    known = [(key, value) for key, value in rows if value not in (None, "")]
    return pairs(known) if known else _empty("This run has no record of its versions and hardware.")


def command(record: RunRecord) -> str:
    """The command that reproduces the run, ready to copy."""
    said = record.facts.get("command")
    said = " ".join(map(str, said)) if isinstance(said, list) else said
    if not said:
        return _empty("This run has no record of its command.")
    return (
        f'<div class="command"><pre><code id="command">{escape(said)}</code></pre>'
        '<button type="button" id="copy">Copy</button></div>'
    )


def timeline(record: RunRecord) -> str:
    """What happened when; runs of checkpoints are one entry."""
    if not record.events:
        return _empty("No events yet.")
    groups = groupby(record.events, key=lambda line: (str(line.get("event")), _stretch(line)))
    return f'<ol class="timeline">{"".join(_event(name, list(lines)) for (name, _), lines in groups)}</ol>'


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """A table of keys and values."""
    body = "".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(_plain(v))}</td></tr>' for k, v in rows)
    return f'<table class="pairs"><tbody>{body}</tbody></table>'


def _plain(value: object) -> str:
    """Text as it is, anything else as JSON spells it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _empty(sentence: str) -> str:
    return f'<p class="empty">{sentence}</p>'


def _image(picture: Picture, alt: str, identity: str = "") -> str:
    crisp = ' class="crisp"' if picture.width < 480 else ""
    name = f' id="{identity}"' if identity else ""
    return (
        f'<img{name}{crisp} src="{picture.source}" width="{picture.width}" height="{picture.height}" '
        f'alt="{escape(alt)}">'
    )


def _strip(strip: list[tuple[int, Picture]], total: int, fixed: str) -> str:
    if len(strip) < 2:
        return ""
    last = len(strip) - 1
    thumbs = "".join(
        f'<li><button type="button" data-step="{step:,}"{" aria-current=true" if i == last else ""}>'
        f"{_image(picture, f'Samples at step {step:,}')}<span>{step:,}</span></button></li>"
        for i, (step, picture) in enumerate(strip)
    )
    some = f" {len(strip)} of {total:,} grids, evenly spaced." if total > len(strip) else ""
    return (
        f'<div class="strip"><h3>Over time</h3><p class="quiet">{fixed}{some}</p>'
        '<div class="scrub"><button type="button" id="play" aria-label="Play">Play</button>'
        f'<input type="range" id="scrub" max="{last}" value="{last}" aria-label="Step of the samples">'
        f'</div><ol class="thumbs">{thumbs}</ol></div>'
    )


def _doctor_tile(record: RunRecord) -> str:
    names: dict[str, str] = {}
    for line in record.findings:
        name = str(line.get("name") or "finding")
        names[name] = "error" if "error" in (names.get(name), line.get("severity")) else "warning"
    if not names:
        return '<div class="tile good"><p class="label">Doctor</p><p class="big">no findings</p></div>'
    worst = "error" if "error" in names.values() else "warning"
    listed, found = ", ".join(escape(name) for name in names), count(len(names), "finding")
    return (
        f'<div class="tile {worst}"><p class="label">Doctor</p><p class="big">{found}</p>'
        f'<p>{listed}</p><p><a href="#doctor">Evidence and advice</a></p></div>'
    )


def _finding(name: str, lines: list[Line]) -> str:
    last = lines[-1]
    severity = "error" if any(line.get("severity") == "error" for line in lines) else "warning"
    when = f"step {last['step']:,.0f}"
    if len(lines) > 1:
        when = f"{len(lines)} times, steps {lines[0]['step']:,.0f} to {last['step']:,.0f}"
    told = [("Evidence", last.get("evidence")), ("Advice", last.get("advice"))]
    rows = "".join(f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in told if text)
    key = last.get("key")
    change = f"<dt>Key to change</dt><dd><code>{escape(key)}</code></dd>" if key else ""
    return (
        f'<article class="finding {severity}"><h3>{escape(name)}</h3>'
        f'<p class="quiet">{severity.capitalize()} · {when}</p><dl>{rows}{change}</dl></article>'
    )


def _skipped(lines: list[str], what: str) -> str:
    if not lines:
        return ""
    shown = "\n".join(lines[:_SHOWN_SKIPPED])
    more = (
        f"\n… and {len(lines) - _SHOWN_SKIPPED:,} more in skipped.txt" if len(lines) > _SHOWN_SKIPPED else ""
    )
    title = count(len(lines), what)
    return f"<details><summary>{title}</summary><pre>{escape(shown)}{more}</pre></details>"


def _stretch(line: Line) -> object:
    """Equal for neighboring checkpoints, different for all other events."""
    return None if line.get("event") == "checkpoint" else id(line)


def _event(name: str, lines: list[Line]) -> str:
    first, last = lines[0], lines[-1]
    at = duration(number(last.get("seconds")))
    where = f"step {last['step']:,.0f}"
    if len(lines) > 1:
        where = f"steps {first['step']:,.0f} to {last['step']:,.0f}"
        name = f"{len(lines)} {name}s"
    detail = last.get("detail") if len(lines) == 1 else ""
    note = f"<p>{escape(detail)}</p>" if detail else ""
    kind = escape(str(first.get("event")).replace(" ", "-"))
    return (
        f'<li data-event="{kind}"><b>{escape(name.capitalize())}</b> <span class="quiet">{where}'
        f"{f' · {at}' if at else ''}</span>{note}</li>"
    )
