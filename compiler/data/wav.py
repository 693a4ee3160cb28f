# SPDX-License-Identifier: Apache-2.0
"""WAV files: PCM of 8, 16, 24 and 32 bits and floats of 32 and 64 bits, any number of channels.

Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" (RIFF WAVE), with WAVE_FORMAT_EXTENSIBLE.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import ModelError
from ..graph import Array
from .preprocessing import MAX_RATE

MAX_FILE_BYTES: Final = 1 << 29
MAX_CHANNELS: Final = 64

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_EXPECTED: Final = "a WAV file of 8, 16, 24 or 32-bit PCM or float samples"


@dataclass(frozen=True)
class _Format:
    tag: int
    channels: int
    rate: int
    bits: int


def read_wav(path: Path) -> tuple[int, Array]:
    """Sample rate in Hz and the samples of all channels' mean, float64 in -1 to 1 (floats may exceed it).

    Raises ModelError when the file is damaged, cut short or compressed.
    """
    where = str(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelError(
            where, f"{path.stat().st_size} bytes", expected=f"at most {MAX_FILE_BYTES >> 20} MiB", hint="split it"
        )
    data = path.read_bytes()
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ModelError(where, "not a WAV file", expected=_EXPECTED, hint="convert it, or remove it from the folder")
    form: _Format | None = None
    for name, start, size in _chunks(data):
        if name == b"fmt ":
            form = _format(where, data[start : start + size])
        elif name == b"data":
            if form is None:
                raise ModelError(where, "has no format before its samples", expected=_EXPECTED)
            return form.rate, _samples(where, form, data, start, size)
    raise ModelError(where, "has no samples: the 'data' chunk is missing", expected=_EXPECTED, hint="is it cut short?")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, size) of each chunk; sizes are the file's own claim."""
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        yield name, position + 8, size
        position += 8 + size + (size & 1)


def _format(where: str, chunk: bytes) -> _Format:
    if len(chunk) < 16:
        raise ModelError(where, "its format is cut short", expected=_EXPECTED)
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = struct.unpack_from("<H", chunk, 24)[0]
    if tag not in (_PCM, _FLOAT) or bits not in ((8, 16, 24, 32) if tag == _PCM else (32, 64)):
        hint = "convert it to 16-bit PCM, such as with `ffmpeg -i in.wav -c:a pcm_s16le out.wav`"
        raise ModelError(where, f"format {tag} with {bits} bits", expected=_EXPECTED, hint=hint)
    if not 1 <= channels <= MAX_CHANNELS or block != channels * bits // 8:
        raise ModelError(where, f"{channels} channels in blocks of {block} bytes", expected=_EXPECTED)
    if not 1 <= rate <= MAX_RATE:
        raise ModelError(where, f"a sample rate of {rate} Hz", expected=f"1 to {MAX_RATE} Hz")
    return _Format(tag, channels, rate, bits)


def _samples(where: str, form: _Format, data: bytes, start: int, size: int) -> Array:
    there = len(data) - start
    if size == 0xFFFFFFFF or (size == 0 and there > 0):  # programs that write to a pipe do not know the size
        size = there
    if size > there:
        raise ModelError(
            where, f"is cut short: {there} bytes of samples", expected=f"{size}", hint="record or copy it again"
        )
    width = form.bits // 8
    count = size // (width * form.channels)
    raw = np.frombuffer(data, np.uint8, count * width * form.channels, start)
    values: Array = _real(form, raw).reshape(count, form.channels).mean(axis=1)
    if not np.isfinite(values).all():
        raise ModelError(
            where, "has samples that are not finite", expected="numbers", hint="record or convert it again"
        )
    return values


def _real(form: _Format, raw: Array) -> Array:
    """Bytes to float64 in -1 to 1."""
    if form.tag == _FLOAT:
        real: Array = raw.view("<f4" if form.bits == 32 else "<f8")
        return real.astype(np.float64)
    if form.bits == 8:
        return np.asarray(raw.astype(np.float64) - 128) / 128
    if form.bits == 24:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        whole: Array = wide.view("<i4").reshape(-1)
        return whole.astype(np.float64) / 2.0**31
    whole = raw.view("<i2" if form.bits == 16 else "<i4")
    return whole.astype(np.float64) / 2.0 ** (form.bits - 1)
