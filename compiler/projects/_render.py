# SPDX-License-Identifier: Apache-2.0
"""Templates to bytes. A template does layout; what it shows is decided here and in the project files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..emit import environment
from ..resources import resource
from .info import Firmware, ProjectInfo, TensorInfo


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


def values(firmware: Firmware) -> dict[str, Any]:
    """What every template may use about the models and the board; where there is one model, all of `model_values` too."""
    models = [
        model_values(model.info) | context_values(model.info, firmware.several, firmware.share_arena)
        for model in firmware.models
    ]
    largest = max((model.info for model in firmware.models), key=lambda info: info.arena_bytes)
    sources = ["model_io.c", *(_binding(model.info) for model in firmware.models if firmware.several)]
    return models[0] | {
        "models": models,
        "several": firmware.several,
        "share_arena": firmware.share_arena,
        "project": firmware.name,
        "title": " and ".join(model.info.name for model in firmware.models),
        "model_file": " and ".join(model["model_file"] for model in models),
        "model_io": sources,
        "arena_bytes": largest.arena_bytes,
        "largest": largest,
    }


def _binding(info: ProjectInfo) -> str:
    """The file that binds one of several models to the console."""
    return f"model_io_{info.name}.c"


def context_values(info: ProjectInfo, several: bool, share_arena: bool) -> dict[str, str]:
    """How the model's context is written: in an application, and (`bound`) in the file that binds it to the console."""
    name = info.name
    if share_arena:
        known = {"header": "models.h", "context_type": "models_context", "variable": "memory"}
        known["section"] = "MODELS_CONTEXT_SECTION " if info.placement is not None else ""
        return known | {"place": f"memory.{name}", "bound": f"models_memory.{name}"}
    variable = f"{name}_memory" if several else "context"
    known = {"header": f"{name}.h", "context_type": f"{name}_context", "variable": variable}
    known["section"] = f"{name.upper()}_CONTEXT_SECTION " if info.placement is not None else ""
    return known | {"place": variable, "bound": "context"}


def shared_header(firmware: Firmware, folder: str) -> dict[str, bytes]:
    """`models.h`, the memory that all models share, in `folder` (with its `/`); nothing without --share-arena."""
    return {f"{folder}models.h": render("models.h.j2", **values(firmware))} if firmware.share_arena else {}


def model_values(info: ProjectInfo) -> dict[str, Any]:
    """What a template may use about one model and its board."""
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


def console_files(firmware: Firmware, folder: str) -> Mapping[str, bytes]:
    """The serial console and the models' binding to it, the same for every project that has a main."""
    known = values(firmware)
    if firmware.several:
        bindings = {
            f"{folder}/{_binding(model['info'])}": render("console/model_io.c.j2", **known | model)
            for model in known["models"]
        }
        bindings[f"{folder}/model_io.c"] = render("console/model_list.c.j2", **known)
    else:
        bindings = {f"{folder}/model_io.c": render("console/model_io.c.j2", **known)}
    return {
        **bindings,
        **shared_header(firmware, f"{folder}/"),
        f"{folder}/console.c": copy("console/console.c"),
        f"{folder}/console.h": copy("console/console.h"),
        f"{folder}/model_io.h": render("console/model_io.h.j2", **known),
    }
