"""The one tag of a TIFF that Pillow knows in few combinations only: whether 0 is white."""

import struct

PHOTOMETRIC = 262
_SHORT = 3


def with_black_as_zero(content: bytes) -> bytes | None:
    """The TIFF with its tag changed from "0 is white" to "0 is black"; None where it does not say that 0 is white."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, first)
        for at in range(first + 2, first + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}HHIH", content, at) == (PHOTOMETRIC, _SHORT, 1, 0):
                return content[: at + 8] + struct.pack(f"{order}H", 1) + content[at + 10 :]
    except struct.error:
        return None
    return None
