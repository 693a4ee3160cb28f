# SPDX-License-Identifier: Apache-2.0
"""Image files as samples. Pillow (the extra `images`) decodes all but .pgm and .ppm."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import ModelError, ToolError, UsageError
from ..graph import Array, Tensor
from .files import File
from .options import DataOptions, option
from .preprocessing import MAX_SIDE, ImageSteps, Preprocessing
from .resize import fit, gray
from .select import Sample
from .source import COMMON, Source, reject_options, value_preprocessing

#: Pixels of an image file.
MAX_PIXELS: Final = 1 << 26
MAX_FILE_BYTES: Final = 1 << 29

_NETPBM: Final = re.compile(
    rb"P([56])(?:\s+#[^\n]*)*\s+(\d{1,6})(?:\s+#[^\n]*)*\s+(\d{1,6})(?:\s+#[^\n]*)*\s+(\d{1,5})\s"
)


def open_images(folder: Path, files: Sequence[File], tensor: Tensor, options: DataOptions) -> Source:
    """A folder of images as a source. Raises ModelError when the model's input is no image."""
    reject_options(options, "a folder of images", COMMON | {"resize", "color"})
    steps = image_steps(tensor, options)
    value = replace(value_preprocessing((tensor,), options, (1, steps.channels)), image=steps)
    return Source(str(folder), _samples(files, tensor, value, steps), value)


def image_steps(tensor: Tensor, options: DataOptions) -> ImageSteps:
    """Height, width and colours of the model's input. Raises ModelError when it is no image."""
    shape = tensor.shape[1:]
    height, width, channels = (*shape, 1) if len(shape) == 2 else shape if len(shape) == 3 else (0, 0, 0)
    if channels not in (1, 3) or not 1 <= height <= MAX_SIDE or not 1 <= width <= MAX_SIDE:
        raise ModelError(
            f"input '{tensor.name}'",
            f"shape {list(tensor.shape)}, and images are given",
            expected=f"[1, height, width, 1 or 3], sides up to {MAX_SIDE}",
            hint="give the data as .npy",
        )
    color = options.color or ("gray" if channels == 1 else "rgb")
    if (color == "gray") != (channels == 1):
        raise UsageError(
            option("color"), f"{color} for an input of {channels} channels", expected="gray for 1, rgb or bgr for 3"
        )
    return ImageSteps(height, width, color, options.resize or "none")


def _samples(files: Sequence[File], tensor: Tensor, value: Preprocessing, steps: ImageSteps) -> Iterator[Sample]:
    for file in files:
        image = prepare(str(file.path), decode(file.path), steps)
        yield Sample(file.name, (value.values(image.reshape(tensor.shape[1:])),), file.label)


def prepare(where: str, image: Array, steps: ImageSteps) -> Array:
    """A decoded image as the model's: uint8 [height, width, channels]. Raises ModelError for another size without --resize."""
    height, width = image.shape[:2]
    if steps.resize == "none" and (height, width) != (steps.height, steps.width):
        raise ModelError(
            where,
            f"{width} x {height} pixels",
            expected=f"{steps.width} x {steps.height}, as the model's input",
            hint="--resize stretch, crop or pad brings every image to this size",
        )
    if max(height, width) > MAX_SIDE:
        raise ModelError(where, f"{width} x {height} pixels", expected=f"sides up to {MAX_SIDE}")
    if steps.color == "gray" and image.shape[2] == 3:
        image = gray(image)
    fitted = fit(image, steps)
    if steps.color == "gray":
        return fitted
    if fitted.shape[2] == 1:
        return np.repeat(fitted, 3, axis=2)
    return fitted[..., ::-1] if steps.color == "bgr" else fitted


def decode(path: Path) -> Array:
    """An image file as uint8 [height, width, 1 or 3]. Raises ModelError when it is damaged, too large or not 8 bits deep."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelError(
            str(path), f"{path.stat().st_size} bytes", expected=f"an image of at most {MAX_FILE_BYTES >> 20} MiB"
        )
    return _decode_netpbm(path) if path.suffix.lower() in (".pgm", ".ppm") else _decode_with_pillow(path)


def _decode_netpbm(path: Path) -> Array:
    data = path.read_bytes()
    header = _NETPBM.match(data)
    if header is None:
        raise ModelError(str(path), "not a binary PGM or PPM file", expected="a file that begins with P5 or P6")
    kind, width, height, deepest = (int(number) for number in header.groups())
    channels = 3 if kind == 6 else 1
    _check_size(path, width, height)
    if deepest != 255:
        raise ModelError(str(path), f"values up to {deepest}", expected="8 bits per channel, values up to 255")
    if len(data) - header.end() < width * height * channels:
        raise ModelError(str(path), "is cut short", expected=f"{width} x {height} pixels")
    pixels = np.frombuffer(data, np.uint8, width * height * channels, header.end())
    return pixels.reshape(height, width, channels)


def _decode_with_pillow(path: Path) -> Array:
    try:
        from PIL import Image
    except ImportError:
        raise ToolError(
            str(path),
            "Pillow is not installed, which decodes images",
            hint="pip install 'tinyc[images]', or give .ppm, .pgm or .npy files",
        ) from None
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # sizes and modes are checked here
            with Image.open(file) as image:
                _check_size(path, image.width, image.height)
                mode = image.mode
                if mode.startswith(("I", "F")):
                    raise ModelError(str(path), f"pixels of the kind {mode}", expected="8 bits per channel")
                # Pillow takes a palette's transparent colour only by way of RGBA.
                opaque = image.convert("RGBA") if mode == "P" and "transparency" in image.info else image
                pixels = np.asarray(opaque.convert("L" if mode in ("1", "L", "LA") else "RGB"), np.uint8)
    except ModelError:
        raise
    except Exception as error:  # Pillow's decoders raise many types for damaged files
        raise ModelError(
            str(path), f"cannot be decoded: {error}", expected="an image file", hint="remove or replace it"
        ) from None
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _check_size(path: Path, width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise ModelError(str(path), f"{width} x {height} pixels", expected=f"1 to {MAX_PIXELS >> 20} million pixels")
