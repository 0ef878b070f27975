"""User data: a cloud-config for Debian 13, and its encoding for a launch template."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Final

from core.servers.configuration import ServerConfiguration

USER_DATA_LIMIT_BYTES: Final = 16384
"""EC2 accepts 16 KB of user data, counted before base64 (EC2 user guide, "Run commands at launch")."""


class UserDataTooLarge(ValueError):
    """The user data exceeds EC2's limit even when compressed."""


def render_user_data(server: ServerConfiguration) -> str:
    """Return the cloud-config of `server` as readable text (it may exceed EC2's limit uncompressed)."""
    return f"#cloud-config\nhostname: openerp-{server.role}\n"


def encode_user_data(text: str) -> bytes:
    """Return `text` as it goes to EC2: as it is when it fits into 16 KB, else gzip, which cloud-init reads.

    The gzip header is written by hand: no time stamp, so that the same text always gives the same bytes.
    Raises `UserDataTooLarge` when even the compressed form does not fit.
    """
    raw = text.encode()
    if len(raw) <= USER_DATA_LIMIT_BYTES:
        return raw
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    body = compressor.compress(raw) + compressor.flush()
    header = b"\x1f\x8b\x08\x00" + b"\x00" * 4 + b"\x02\xff"
    encoded = header + body + struct.pack("<II", zlib.crc32(raw), len(raw) & 0xFFFFFFFF)
    if len(encoded) > USER_DATA_LIMIT_BYTES:
        raise UserDataTooLarge(
            f"user data of {len(encoded)} bytes exceeds EC2's limit of {USER_DATA_LIMIT_BYTES} bytes"
        )
    return encoded


def user_data_base64(server: ServerConfiguration) -> str:
    """Return what `user_data` of a launch template takes: base64 of the encoded cloud-config."""
    return base64.b64encode(encode_user_data(render_user_data(server))).decode("ascii")
