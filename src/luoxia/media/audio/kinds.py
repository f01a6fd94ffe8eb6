"""Which files are sounds: by their endings, or by their first bytes."""

from __future__ import annotations

from luoxia.media.kinds import EXTENSIONS, OTHER, UNREAD, Kinds

_PLAIN = "wav wave flac ogg oga opus mp3 aif aiff aifc au snd caf w64 rf64"
PLAIN = frozenset(f".{ending}" for ending in _PLAIN.split())
"""What libsndfile reads."""
CONTAINERS = {
    ".wav": "wav", ".w64": "w64", ".ogg": "ogg", ".flac": "flac", ".mp3": "mp3", ".aiff": "aiff", ".caf": "caf",
    ".au": "au", ".m4a": "mov", ".aac": "aac", ".ac3": "ac3", ".amr": "amr", ".ape": "ape", ".wma": "asf",
    ".wv": "wv", ".tta": "tta", ".mka": "matroska", ".dsf": "dsf", ".g722": "g722",
}  # fmt: skip
"""Ending → the one format that FFmpeg may take such a file for. None of them names other files."""
_ENDINGS = "m4a m4b aac ac3 amr ape wma wv tta mka weba dsf g722"
SOUNDS = PLAIN | {f".{ending}" for ending in _ENDINGS.split()}
_UNREAD = {
    "a playlist, which is not read: give the files that it names": "m3u m3u8 pls cue xspf asx",
    "notes and no sound: render it as WAV": "mid midi",
    "of a kind that is not read: convert it to WAV or FLAC": "ra ram mpc spx gsm dff aa aax voc",
}
UNREAD_SOUNDS = {f".{ending}": reason for reason, endings in _UNREAD.items() for ending in endings.split()}
VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"})

_MAGIC = (
    (b"fLaC", ".flac"), (b"OggS", ".ogg"), (b"ID3", ".mp3"), (b"caff", ".caf"), (b".snd", ".au"), (b"MAC ", ".ape"),
    (b"riff\x2e\x91\xcf\x11", ".w64"), (b"#!AMR", ".amr"), (b"wvpk", ".wv"), (b"TTA1", ".tta"), (b"DSD ", ".dsf"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ".wma"), (b"\x0b\x77", ".ac3"), (b"\x1a\x45\xdf\xa3", ".mka"),
)  # fmt: skip


def sound_by_head(head: bytes) -> str:
    """The ending that a sound with these first bytes should have; "" where they are not those of a sound.

    >>> sound_by_head(b"fLaC"), sound_by_head(b"#EXTM3U")
    ('.flac', '')
    """
    for magic, ending in _MAGIC:
        if head.startswith(magic):
            return ending
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"FFIR") and head[8:12] == b"WAVE":
        return ".wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return ".aiff"
    if head[4:8] == b"ftyp":
        return ".m4a"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # a frame of MPEG
        layer, version = head[1] >> 1 & 3, head[1] >> 3 & 3
        if layer == 0:
            return ".aac" if head[1] & 0xF0 == 0xF0 else ""
        return ".mp3" if version != 1 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3 else ""
    return ""


def _unnamed(head: bytes) -> str:
    """The same for files whose name tells nothing: a film with sound is left to the medium of films."""
    ending = sound_by_head(head)
    video = ending in (".m4a", ".mka", ".wma") and head[8:11] != b"M4A"
    return "" if video else ending


KINDS = Kinds(
    "sound",
    SOUNDS,
    UNREAD_SOUNDS,
    (OTHER - SOUNDS - UNREAD_SOUNDS.keys()) | EXTENSIONS | UNREAD.keys() | VIDEOS,
    _unnamed,
)


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are text: a playlist, or whatever else is called like a sound."""
    head = head.removeprefix(b"\xef\xbb\xbf")
    return bool(head) and all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head) and _is_ascii_mostly(head)


def _is_ascii_mostly(head: bytes) -> bool:
    return sum(byte < 0x7F for byte in head) >= 0.9 * len(head)
