"""What a file is: by its ending, or where that tells nothing, by its first bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

ENDINGS = "png apng jpg jpeg jpe jfif webp avif gif bmp dib tif tiff ppm pgm pbm pnm tga jp2 j2k qoi pcx"
EXTENSIONS = frozenset(f".{ending}" for ending in ENDINGS.split())
"""Of the images that are read."""

_TO_PIXELS = "convert it to PNG or JPEG"
_UNREAD = {
    "HEIC": ("heic heif heics heifs hif", _TO_PIXELS),
    "JPEG XL": ("jxl", _TO_PIXELS),
    "JPEG XR": ("jxr wdp hdp", _TO_PIXELS),
    "a camera's raw file": (
        "cr2 cr3 crw nef nrw arw srf sr2 dng orf rw2 raf pef srw x3f 3fr erf",
        _TO_PIXELS,
    ),
    "Photoshop's": ("psd psb", _TO_PIXELS),
    "GIMP's": ("xcf", _TO_PIXELS),
    "OpenEXR": ("exr", "convert it to PNG or TIFF"),
    "Radiance HDR": ("hdr", "convert it to PNG or TIFF"),
    "DICOM": ("dcm dicom", "convert it to PNG or TIFF"),
    "FITS": ("fits fit fts", "convert it to PNG or TIFF"),
    "DirectDraw Surface": ("dds", _TO_PIXELS),
    "an icon": ("ico icns cur", _TO_PIXELS),
    "SVG, a drawing without pixels": ("svg svgz", "export it as PNG"),
    "a video": ("mp4 m4v mov avi mkv webm mpg mpeg wmv", "save the frames that you want as images"),
}
UNREAD = {
    f".{ending}": f"{name}, which is not read: {advice}"
    for name, (endings, advice) in _UNREAD.items()
    for ending in endings.split()
}
"""Ending → why such an image is left out, and what to do."""
_OTHER = (
    "txt caption captions tags md rst html htm xml xmp aae json jsonl ndjson csv tsv yaml yml toml ini cfg log "
    "py ipynb sh js css zip gz tgz tar xz bz2 7z rar npy npz h5 hdf5 pkl pickle pt pth ckpt safetensors onnx bin "
    "parquet arrow feather db sqlite pdf doc docx xls xlsx ppt pptx wav mp3 flac ogg m4a mid lock tmp part mat"
)
OTHER = frozenset(f".{ending}" for ending in _OTHER.split())
"""Endings of files that are not images: they are not looked into."""
SPREADSHEETS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers"})

HEAD_BYTES = 256
"""How much of a file ``read_head`` wants."""
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"), (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"), (b"II+\0", ".tif"), (b"MM\0+", ".tif"), (b"\0\0\0\x0cjP  ", ".jp2"),
    (b"\xff\x4f\xff\x51", ".j2k"), (b"qoif", ".qoi"), (b"8BPS", ".psd"), (b"\xff\x0a", ".jxl"),
    (b"\0\0\0\x0cJXL ", ".jxl"), (b"II\xbc", ".jxr"), (b"v/1\x01", ".exr"), (b"#?RADIANCE", ".hdr"),
    (b"DDS ", ".dds"), (b"gimp xcf", ".xcf"), (b"SIMPLE  =", ".fits"), (b"\x1aE\xdf\xa3", ".mkv"),
)  # fmt: skip


def ending_of(name: str) -> str:
    """The ending of a name in lower case, with its dot; "" if there is none."""
    return PurePosixPath(name).suffix.lower()


def ending_by(head: bytes) -> str:
    """The ending that a file with these first bytes should have; "" where they are not those of an image."""
    for magic, ending in _MAGIC:
        if head.startswith(magic):
            return ending
    if head[:4] == b"RIFF":
        return {b"WEBP": ".webp", b"AVI ": ".avi"}.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        return _ending_by_brands(head)
    if head[:2] == b"BM" and head[14:18] in {
        bytes([size, 0, 0, 0]) for size in (12, 40, 52, 56, 64, 108, 124)
    }:
        return ".bmp"
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return ".ppm"
    if head[128:132] == b"DICM":
        return ".dcm"
    return ".svg" if b"<svg" in head.lower() else ""


def _ending_by_brands(head: bytes) -> str:
    """AVIF, HEIC, a raw file or a video: all begin with a box of brands, the main one first."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[at : at + 4] for at in range(8, size - 3, 4)}
    if brands & {b"avif", b"avis"}:
        return ".avif"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return ".heic"
    return ".cr3" if b"crx " in brands else ".mp4"


def why_unread(head: bytes) -> str | None:
    """What an image is that cannot be read, by its first bytes, and what to do with it; None where they do not tell."""
    ending = ending_by(head)
    return "TIFF of a kind that is not read: save it as PNG" if ending == ".tif" else UNREAD.get(ending)


@dataclass(frozen=True)
class Kinds:
    """Which files hold samples of a medium: by their endings, or by their first bytes where an ending tells nothing."""

    sample: str
    """What one sample is called: image."""
    read: frozenset[str]
    """Endings, each with its dot, of the files that are read."""
    unread: Mapping[str, str]
    """Ending → why such a file is left out, and what to do."""
    other: frozenset[str]
    """Endings of files that are none: they are not looked into."""
    by_head: Callable[[bytes], str]
    """The ending that a file with these first ``HEAD_BYTES`` should have; "" where it holds no sample."""

    @property
    def one(self) -> str:
        """A sample, with its article."""
        return f"{'an' if self.sample[0] in 'aeiou' else 'a'} {self.sample}"

    def tells(self, ending: str) -> bool:
        """Whether this ending is believed."""
        return ending in self.read or ending in self.unread or ending in self.other


IMAGES = Kinds("image", EXTENSIONS, UNREAD, OTHER, ending_by)
