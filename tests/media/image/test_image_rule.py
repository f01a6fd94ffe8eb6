import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from luoxia.core.skips import Unusable
from luoxia.media.image.convert import MAX_PIXELS, Conversion, Crop, Pixels, convert, read_header
from pictures import encode, noise, png_header_only


def run(
    content: bytes | Pixels, size: tuple[int, int] = (8, 8), channels: int = 3, crop: Crop = "center"
) -> Pixels:
    result = convert(content, "name", Conversion(*size, channels, crop))
    assert result.dtype == np.uint8
    assert result.shape == (*size, channels)
    return result


def flat(mode: str, color: object, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new(mode, size, color)  # type: ignore[arg-type]


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "TIFF", "PPM", "TGA"])
def test_an_image_of_the_right_size_keeps_its_pixels(file_format: str) -> None:
    image = noise(8, 8)
    options = {"lossless": True} if file_format == "WEBP" else {}
    assert (run(encode(image, file_format, **options)) == np.asarray(image)).all()


@pytest.mark.parametrize("crop", ["center", "pad", "random"])
def test_native_size_is_exact_for_every_crop(crop: Crop) -> None:
    image = noise(8, 12)
    assert (run(encode(image), (8, 12), crop=crop) == np.asarray(image)).all()


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    result = run(encode(Image.fromarray(ramp)), channels=1)[..., 0]
    assert np.abs(result.astype(float) - ramp / 257).max() <= 0.5
    assert result.max() == 255


def test_a_dark_sixteen_bit_image_stays_dark() -> None:
    assert (run(encode(Image.fromarray(np.full((8, 8), 200, np.uint16))), channels=1) == 1).all()


@pytest.mark.parametrize(("white", "expected"), [(1.0, 255), (255.0, 255), (0.5, 128)])
def test_floating_point_tiff(white: float, expected: int) -> None:
    values = np.zeros((8, 8), np.float32)
    values[0, 0] = white
    assert run(encode(Image.fromarray(values), "TIFF"), channels=1)[0, 0, 0] == expected


def test_palette_one_bit_and_cmyk() -> None:
    image = noise(8, 8).quantize(256)
    assert (run(encode(image)) == np.asarray(image.convert("RGB"))).all()
    bits = noise(8, 8, "L").convert("1")
    assert (run(encode(bits), channels=1)[..., 0] == np.asarray(bits) * 255).all()
    assert (run(encode(flat("CMYK", (0, 0, 0, 0)), "TIFF")) == 255).all()
    red = run(encode(flat("CMYK", (0, 255, 255, 0)), "JPEG", quality=100))[0, 0].astype(int)
    assert np.abs(red - [255, 0, 0]).max() < 20


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_transparency_is_kept_or_lies_on_white(channels: int) -> None:
    result = run(encode(flat("RGBA", (10, 20, 30, 0))), channels=channels)
    if channels in (1, 3):
        assert (result == 255).all()
    else:
        assert (result[..., -1] == 0).all()
    opaque = run(encode(flat("RGB", (50, 50, 50))), channels=channels)
    assert (opaque[..., 0] == 50).all()
    if channels in (2, 4):
        assert (opaque[..., -1] == 255).all()


def test_a_transparent_palette_entry_lies_on_white() -> None:
    image = flat("P", 0)
    image.putpalette([200, 0, 0, 0, 0, 200])
    assert (run(encode(image, transparency=0)) == 255).all()
    assert (run(encode(image, "GIF", transparency=0)) == 255).all()


def test_exif_rotation() -> None:
    image = noise(8, 12)
    exif = Image.Exif()
    exif[0x0112] = 6
    for file_format in ("PNG", "TIFF"):
        content = encode(image, file_format, exif=exif)
        assert (read_header(content).height, read_header(content).width) == (12, 8)
        assert (run(content, (12, 8)) == np.rot90(np.asarray(image), -1)).all()
    assert read_header(encode(image, "JPEG", exif=exif)).height == 12


def test_the_first_frame_of_an_animation() -> None:
    frames = [flat("RGB", (255, 0, 0)), flat("RGB", (0, 255, 0))]
    for file_format in ("GIF", "PNG", "WEBP"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        content = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
        assert (run(content) == [255, 0, 0]).all()


def test_center_crop_keeps_the_middle() -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200
    assert (run(encode(Image.fromarray(pixels))) == 200).all()


def test_random_crop_depends_on_the_name_only() -> None:
    content = encode(noise(8, 400))
    crops = {name: convert(content, name, Conversion(8, 8, 3, "random")).tobytes() for name in "abcd"}
    assert len(set(crops.values())) == 4
    assert convert(content, "a", Conversion(8, 8, 3, "random")).tobytes() == crops["a"]


def test_pad_fills_with_white() -> None:
    content = encode(flat("RGB", (0, 0, 0), (16, 8)))
    result = run(content, crop="pad")
    assert (result[2:6] == 0).all()
    assert (result[:2] == 255).all()
    assert (result[6:] == 255).all()
    assert (run(content, channels=4, crop="pad")[0] == [255, 255, 255, 0]).all()


def test_scaling_is_antialiased() -> None:
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 254
    result = run(encode(Image.fromarray(stripes)), channels=1)
    assert np.abs(result.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (7, 3)])
@pytest.mark.parametrize("crop", ["center", "random", "pad"])
def test_odd_sizes(size: tuple[int, int], crop: Crop) -> None:
    run(encode(noise(*size)), (16, 8), crop=crop)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_follow_the_same_rule(channels: int) -> None:
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    image = noise(20, 30, mode)
    pixels = np.asarray(image).reshape(20, 30, channels)
    assert (run(pixels, channels=3) == run(encode(image), channels=3)).all()


@pytest.mark.parametrize(
    ("content", "gray"),
    [
        (encode(noise(4, 4, "L")), True),
        (encode(noise(4, 4, "LA")), True),
        (encode(noise(4, 4)), False),
        (encode(noise(4, 4, "L"), "GIF"), True),
        (encode(noise(4, 4).quantize(8)), False),
        (encode(Image.fromarray(np.zeros((4, 4), np.uint16))), True),
    ],
)
def test_gray_is_told_from_the_header(content: bytes, gray: bool) -> None:
    assert read_header(content).gray is gray


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not an image"),
        (encode(noise(64, 64))[:2000], "cannot be decoded"),
        (encode(noise(64, 64), "JPEG")[:1500], "cannot be decoded"),
        (png_header_only(30_000, 30_000), "limit"),
        (png_header_only(10_000, MAX_PIXELS // 10_000 + 1), "limit"),
        (png_header_only(60, 60), "cannot be decoded"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_say_why(content: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        run(content)


def with_chunk(content: bytes, name: bytes, data: bytes, *, end: bool = False, right: bool = True) -> bytes:
    """A PNG with a chunk more, after the header or before the end."""
    at = len(content) - 12 if end else 33
    checksum = zlib.crc32(name + data) + (not right)
    return (
        content[:at] + struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum) + content[at:]
    )


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    ("name", "data", "right"),
    [
        (b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3_000_000)), True),
        (b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(3_000_000)), True),
        (b"iCCP", b"icc\0\0" + zlib.compress(bytes(2_000_000)), True),
        (b"iCCP", b"icc\0\1junk", True),
        (b"tEXt", b"workflow\0text", False),
        (b"eXIf", b"junk", False),
        (b"pHYs", b"", True),
    ],
)
def test_what_is_remarked_in_a_png_never_decides(name: bytes, data: bytes, right: bool, end: bool) -> None:
    image = noise(8, 8)
    content = with_chunk(encode(image), name, data, end=end, right=right)
    assert read_header(content).mode == "RGB"
    assert (run(content) == np.asarray(image)).all()


def test_transparency_and_rotation_outlast_damaged_remarks() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = noise(8, 12, "L").convert("P")
    content = encode(image, transparency=0, exif=exif)
    damaged = with_chunk(content, b"iCCP", b"icc\0\0" + zlib.compress(bytes(2_000_000)))
    assert (run(damaged, (12, 8), channels=4) == run(content, (12, 8), channels=4)).all()
