# SPDX-License-Identifier: Apache-2.0
"""A record of preprocessing → C that does the same on a device: `<name>_preprocess.h` and `.c`, and the runtime they call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from .. import __version__
from ..data.dataset import QUANTIZED, to_input
from ..data.features import tables
from ..data.preprocessing import AudioSteps, FeatureSteps, ImageSteps, Preprocessing
from ..errors import ModelError
from ..graph import Array, Tensor
from ..program import Params, Table, Value
from ..resources import resource
from . import Port, environment
from .literals import array_definition, params_definition

_TYPES: Final = {"float32": 0, "int8": 1, "uint8": 2, "int16": 3}
_FITS: Final = {"none": 0, "stretch": 0, "crop": 1, "pad": 2}
_HEADERS: Final = ("preprocess/tinyc_preprocess.h", "preprocess/tinyc_preprocess_store.h", "internal/tinyc_float.h")


def preprocess_files(name: str, preprocessing: Preprocessing, inputs: Sequence[Tensor]) -> Mapping[str, bytes]:
    """The helper as a flat folder: file name → bytes. It goes beside the model's library, whose `tinyc_kernels.h` it includes.

    Args:
        name: the model's C prefix.
        preprocessing: what was done to the data.
        inputs: the compiled model's inputs (the integer ones after quantization).

    Raises ModelError when the record does not suit the inputs, which a record from a file may not.
    """
    _check(preprocessing, inputs)
    ports = [Port(i, t, "" if len(inputs) == 1 else f"_{i}", "", i) for i, t in enumerate(inputs)]
    image, audio = preprocessing.image, preprocessing.audio
    features = audio.features if audio is not None else None
    context = {
        "version": __version__,
        "name": name,
        "NAME": name.upper(),
        "record": preprocessing.text().split("; "),
        "inputs": ports,
        "image": image,
        "audio": audio,
        "features": features,
        "definitions": _definitions(f"{name}_preprocess", preprocessing, ports),
    }
    files = {
        f"{name}_preprocess.{kind}": environment().get_template(f"preprocess.{kind}.j2").render(context).encode()
        for kind in ("c", "h")
    }
    used = "image" if image else "frame" if features else "pcm" if audio else "values"
    for path in (*_HEADERS, f"preprocess/tinyc_preprocess_{used}.c"):
        file = resource("runtime_c") / path
        files[file.name] = file.read_bytes()
    if image is not None:  # in integers alone
        for path in _HEADERS[1:]:
            del files[path.split("/")[-1]]
    return dict(sorted(files.items()))


def _check(preprocessing: Preprocessing, inputs: Sequence[Tensor]) -> None:
    where = "preprocessing"
    for tensor in inputs:
        if tensor.dtype not in _TYPES or (tensor.dtype in QUANTIZED and tensor.quantization is None):
            raise ModelError(where, f"input '{tensor.name}' is {tensor.dtype}", expected=", ".join(_TYPES))
        if tensor.elements % len(preprocessing.mean):
            found = f"{len(preprocessing.mean)} means for the {tensor.elements} values of input '{tensor.name}'"
            raise ModelError(where, found, expected="one, one per channel, or one per value")
    image, audio = preprocessing.image, preprocessing.audio
    if image is None and audio is None:
        return
    if len(inputs) != 1:
        raise ModelError(where, f"images or sound for {len(inputs)} inputs", expected="one input")
    elements = inputs[0].elements
    wanted = _image_elements(preprocessing, image) if image is not None else _sound_elements(audio)
    if elements != wanted:
        raise ModelError(where, f"makes {wanted} values", expected=f"{elements}, as input '{inputs[0].name}' has")


def _image_elements(preprocessing: Preprocessing, image: ImageSteps) -> int:
    if len(preprocessing.mean) not in (1, image.channels):
        found = f"{len(preprocessing.mean)} means of an image"
        raise ModelError("preprocessing", found, expected=f"1 or {image.channels}")
    return image.height * image.width * image.channels


def _sound_elements(audio: AudioSteps | None) -> int:
    assert audio is not None
    return audio.window if audio.features is None else audio.features.frames * audio.features.coefficients


def _definitions(prefix: str, preprocessing: Preprocessing, ports: Sequence[Port]) -> list[str]:
    """The constant tables, and the parameters of what the helper calls."""
    arrays: dict[str, Array] = {}
    structs: dict[str, Params] = {}
    if preprocessing.image is not None:
        arrays["table"] = pixel_table(preprocessing, preprocessing.image, ports[0].tensor)
        structs["image_params"] = _image_params(preprocessing.image, arrays["table"])
    else:
        arrays["mean"] = np.array(preprocessing.mean, np.float32)
        arrays["std"] = np.array(preprocessing.std, np.float32)
        for port in ports:
            structs[f"params{port.suffix}"] = _values_params(preprocessing, port.tensor)
    audio = preprocessing.audio
    if audio is not None and audio.features is not None:
        arrays.update(_feature_arrays(audio.features, audio.sample_rate))
        structs["frame_params"] = _frame_params(audio.features)
    names = {key: f"{prefix}_{key}" for key in arrays} | {"none": "NULL"}
    texts = [array_definition(names[key], values) for key, values in arrays.items()]
    return texts + [params_definition(f"{prefix}_{key}", params, names) for key, params in structs.items()]


def pixel_table(preprocessing: Preprocessing, image: ImageSteps, tensor: Tensor) -> Array:
    """The number of the input for each value of a byte, [256], or [channels * 256] if channels differ."""
    count = len(set(zip(preprocessing.mean, preprocessing.std, strict=True)))
    period = len(preprocessing.mean) if count > 1 else 1
    raw = np.repeat(np.arange(256, dtype=np.float32)[:, None], len(preprocessing.mean), axis=1)
    table: Array = to_input(preprocessing.values(raw), tensor)[:, :period].T.reshape(-1)
    return table


def _image_params(image: ImageSteps, table: Array) -> Params:
    return Params(
        "tinyc_preprocess_image_params",
        {
            "width": image.width,
            "height": image.height,
            "channels": image.channels,
            "bgr": int(image.color == "bgr"),
            "fit": _FITS[image.resize],
            "element": table.dtype.itemsize,
            "channel_step": 256 if len(table) > 256 else 0,
            "table": Table("table"),
        },
    )


def _values_params(preprocessing: Preprocessing, tensor: Tensor) -> Params:
    quantized = tensor.dtype in QUANTIZED
    fields: dict[str, Value] = {
        "count": tensor.elements,
        "period": len(preprocessing.mean),
        "scale": float(preprocessing.scale),
        "mean": Table("mean"),
        "std": Table("std"),
        "type": _TYPES[tensor.dtype],
        "input_scale": tensor.scale if quantized else 1.0,
        "zero_point": tensor.zero_point if quantized else 0,
    }
    return Params("tinyc_preprocess_values_params", fields)


def _feature_arrays(features: FeatureSteps, sample_rate: int) -> dict[str, Array]:
    made = tables(features, sample_rate)
    arrays = {
        "window": made.window,
        "cosines": made.cosines,
        "first": made.first.astype(np.uint16),
        "counts": made.counts.astype(np.uint16),
        "weights": made.weights,
    }
    return arrays | ({"dct": made.dct} if features.kind == "mfcc" else {})


def _frame_params(features: FeatureSteps) -> Params:
    fields: dict[str, Value] = {
        "frame_length": features.frame_length,
        "fft": features.fft,
        "magnitude": int(features.spectrum == "magnitude"),
        "mels": features.mels,
        "coefficients": features.coefficients,
        **{name: Table(name) for name in ("window", "cosines", "first", "counts", "weights")},
        "dct": Table("dct" if features.kind == "mfcc" else "none"),
    }
    return Params("tinyc_preprocess_frame_params", fields)
