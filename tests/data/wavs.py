# SPDX-License-Identifier: Apache-2.0
"""WAV files of every kind for the tests."""

import struct
from pathlib import Path

import numpy as np


def wav_bytes(samples: np.ndarray, rate: int = 16000, kind: str = "s16", extensible: bool = False) -> bytes:
    """A file of samples [n] or [n, channels], -1 to 1; kinds are u8, s16, s24, s32, f32 and f64."""
    samples = np.asarray(samples, np.float64)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    bits = int(kind[1:])
    tag = 3 if kind[0] == "f" else 1
    form = struct.pack(
        "<HHIIHH",
        0xFFFE if extensible else tag,
        channels,
        rate,
        rate * channels * bits // 8,
        channels * bits // 8,
        bits,
    )
    if extensible:
        form += (
            struct.pack("<HHI", 22, bits, 0) + struct.pack("<H", tag) + bytes.fromhex("000000001000800000aa00389b71")
        )
    data = _encode(samples.reshape(-1), kind, bits)
    chunks = [(b"fmt ", form), (b"LIST", b"odd"), (b"data", data)]
    body = b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def _encode(samples: np.ndarray, kind: str, bits: int) -> bytes:
    if kind[0] == "f":
        return samples.astype(f"<f{bits // 8}").tobytes()
    if kind == "u8":
        return np.clip(np.rint(samples * 128) + 128, 0, 255).astype(np.uint8).tobytes()
    whole = np.clip(np.rint(samples * 2.0 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).astype("<i4")
    return whole.reshape(-1, 1).view(np.uint8)[:, : bits // 8].tobytes()


def save(path: Path, samples: np.ndarray, rate: int = 16000, kind: str = "s16", extensible: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav_bytes(samples, rate, kind, extensible))
