# SPDX-License-Identifier: Apache-2.0
"""Templates to bytes. A template does layout; what it shows is decided here and in the project files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..emit import environment
from ..resources import resource
from .info import ProjectInfo, TensorInfo


def render(template: str, **values: Any) -> bytes:
    """The template (a path below templates/) filled with `values`, UTF-8 with LF line ends."""
    return environment().get_template(template).render(**values).encode("utf-8")


def copy(path: str, kind: str = "templates") -> bytes:
    """A data file as it is, with LF line ends."""
    return (resource(kind) / path).read_bytes().replace(b"\r\n", b"\n")


def _comment_text(text: str) -> str:
    """A name from outside, made safe for a comment in C, INI, CMake or Markdown."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.replace("*/", "* /").replace("/*", "/ *").rstrip("\\")


def _tensor(info: ProjectInfo, direction: str, tensor: TensorInfo) -> dict[str, object]:
    return {
        "dtype": tensor.dtype,
        "bytes": tensor.bytes,
        "elements": tensor.elements,
        "real": int(tensor.dtype == "float"),
        "suffix": tensor.suffix,
        "accessor": f"{info.name}_{direction}{tensor.suffix}",
        "macro": f"{info.name}_{direction}{tensor.suffix}_SIZE".upper(),
        "scale_text": "–" if tensor.scale is None else repr(float(tensor.scale)),
        "zero_point_text": "–" if tensor.zero_point is None else str(tensor.zero_point),
    }


def _rows(data: bytes) -> list[str]:
    return [", ".join(f"0x{byte:02x}" for byte in data[i : i + 16]) + "," for i in range(0, len(data), 16)]


def values(info: ProjectInfo) -> dict[str, Any]:
    """What every template may use about the model and the board."""
    inputs = [_tensor(info, "input", tensor) for tensor in info.inputs]
    outputs = [_tensor(info, "output", tensor) for tensor in info.outputs]
    first = info.outputs[0]
    labelled = bool(info.labels) and first.dtype in ("int8_t", "uint8_t") and first.elements == len(info.labels)
    return {
        "info": info,
        "model_file": _comment_text(info.model_file),
        "board": info.board,
        "framework": info.framework,
        "inputs": inputs,
        "outputs": outputs,
        "tensors": inputs + outputs,
        "input_bytes": info.input_bytes,
        "output_bytes": info.output_bytes,
        "labelled": labelled,
        "label_text": ", ".join(_comment_text(label) for label in info.labels),
        "vectors": [{"input": _rows(v.input), "output": _rows(v.output), "seed": v.seed} for v in info.vectors],
    }


def console_files(info: ProjectInfo, folder: str) -> Mapping[str, bytes]:
    """The serial console and the model's binding to it, the same for every project that has a main."""
    known = values(info)
    return {
        f"{folder}/console.c": copy("console/console.c"),
        f"{folder}/console.h": copy("console/console.h"),
        f"{folder}/model_io.c": render("console/model_io.c.j2", **known),
        f"{folder}/model_io.h": render("console/model_io.h.j2", **known),
    }
