# SPDX-License-Identifier: Apache-2.0
"""What a file is that is not a `.tflite` model, and how to get from it to one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ..errors import ModelError, suggestion
from .schema import FILE_IDENTIFIER

EXPECTED = "a .tflite file, which has the letters TFL3 at byte 4"

_KERAS = "make an int8 model of it: tinyc quantize FILE --calibrate DATA -o model.tflite"
_SAVED_MODEL = "make an int8 model of it: tinyc quantize FOLDER --calibrate DATA -o model.tflite"
_CHECKPOINT = "load the weights into the model and save it whole: model.save('model.keras')"
_PYTORCH = "convert it, for example with the litert-torch package (formerly ai-edge-torch)"
_ONNX = "convert it, for example with the onnx2tf package: onnx2tf -i model.onnx -oiqt"

#: How far into a file its kind is looked for.
_HEAD = 64 << 10


def explain_folder(path: Path) -> ModelError:
    """A folder was given."""
    if (path / "saved_model.pb").exists():
        return ModelError(str(path), "a TensorFlow SavedModel folder", expected=EXPECTED, hint=_SAVED_MODEL)
    inside = sorted(file.name for file in path.iterdir() if file.suffix in (".tflite", ".keras", ".h5", ".hdf5"))
    hint = f"give one of the files in it: {', '.join(inside[:8])}" if inside else "give the path of a .tflite file"
    if (path / "checkpoint").exists():
        return ModelError(
            str(path), "a TensorFlow checkpoint, which has weights only", expected=EXPECTED, hint=_CHECKPOINT
        )
    return ModelError(str(path), "a folder", expected=EXPECTED, hint=hint)


def explain_missing(path: Path) -> ModelError:
    """There is no file at `path`."""
    if not path.parent.is_dir():
        return ModelError(str(path), "no such file", hint=f"the folder {path.parent} does not exist either")
    models = [file.name for file in path.parent.iterdir() if file.suffix == ".tflite"]
    hint = suggestion(path.name, models) if models else f"there is no .tflite file in the folder {path.parent}"
    return ModelError(str(path), "no such file", expected=EXPECTED, hint=hint)


def explain_wrong_file(data: bytes, file_name: str) -> ModelError:
    """The content is not that of a `.tflite` file: what it looks like instead, and what to do."""
    for recognise in _KINDS:
        answer = recognise(data)
        if answer is not None:
            return ModelError(file_name, answer[0], expected=EXPECTED, hint=answer[1])
    begin = " ".join(f"{byte:02x}" for byte in data[:8])
    return ModelError(
        file_name, f"not a TFLite model; it begins with {begin}", expected=EXPECTED, hint="check which file was meant"
    )


#: Takes the content; gives (what it is, what to do), or None when it is something else.
_Kind = Callable[[bytes], tuple[str, str] | None]


def _starts(magic: bytes, what: str, hint: str) -> _Kind:
    return lambda data: (what, hint) if data.startswith(magic) else None


def _empty(data: bytes) -> tuple[str, str] | None:
    if data[:_HEAD].strip(b"\0 \r\n\t"):
        return None
    what = f"{len(data)} bytes that begin with zeros or blanks" if data else "an empty file"
    return what, "download, copy or convert the model again"


def _lfs_pointer(data: bytes) -> tuple[str, str] | None:
    if not data.startswith(b"version https://git-lfs.github.com/"):
        return None
    return "a git-lfs pointer, not the model itself", "run: git lfs pull"


def _old_tflite(data: bytes) -> tuple[str, str] | None:
    identifier = data[4:8]
    if not re.fullmatch(rb"TFL[0-9]", identifier):
        return None
    return f"a TFLite file of another schema, {identifier.decode()}", "convert the model with a recent TensorFlow"


def _shifted(data: bytes) -> tuple[str, str] | None:
    position = data.find(FILE_IDENTIFIER, 0, _HEAD) - 4
    if position <= 0 or not _binary(data[position : position + 8]):
        return None
    hint = f"remove them: tail -c +{position + 1} FILE > model.tflite"
    return f"a TFLite model with {position} other bytes in front", hint


def _binary(root: bytes) -> bool:
    """Whether this is a root offset and an identifier, not the word TFL3 in some text."""
    return int.from_bytes(root[:4], "little") < 1 << 16


def _c_array(data: bytes) -> tuple[str, str] | None:
    text = data[:_HEAD].decode("latin-1")
    match = re.search(r"\bchar\s+(?:\w+\s+)*?(\w+)\s*\[[^]]*\][^={;]*=\s*\{", text)
    if match is None:
        return None
    return (
        f"C source with the array {match.group(1)}, as xxd -i makes it",
        "turn it back into a file: "
        'python3 -c "import re,sys; s=open(sys.argv[1]).read(); '
        "open('model.tflite','wb').write(bytes(int(x,16) for x in re.findall(r'0x([0-9a-fA-F]{1,2})\\b',s)))\" FILE",
    )


def _zip(data: bytes) -> tuple[str, str] | None:
    if not data.startswith(b"PK\x03\x04"):
        return None
    names = data[:_HEAD] + data[-_HEAD:]
    if b"model.weights.h5" in names:
        return "a Keras model (.keras)", _KERAS
    if b"data.pkl" in names or b"constants.pkl" in names:
        return "a PyTorch model", _PYTORCH
    if b".npy" in names:
        return "a numpy archive (.npz)", "check which file was meant"
    if b".tflite" in names:
        return "a zip archive with a .tflite file in it", "unzip it and give the .tflite file"
    if b"saved_model.pb" in names:
        return "a zipped TensorFlow SavedModel", _SAVED_MODEL
    return "a zip archive", "unzip it and give the .tflite file, if there is one in it"


def _onnx(data: bytes) -> tuple[str, str] | None:
    """A protobuf ModelProto: ir_version (field 1, a small number), then the producer's name or the operator set."""
    if len(data) > 4 and data[0] == 0x08 and 1 <= data[1] <= 20 and data[2] in (0x12, 0x1A, 0x3A, 0x42):
        return "an ONNX model", _ONNX
    return None


def _saved_model(data: bytes) -> tuple[str, str] | None:
    """A protobuf SavedModel: schema version 1 (field 1), then MetaGraphDef (field 2)."""
    if data[:3] == b"\x08\x01\x12" and b"tag" in data[:_HEAD] + data[-_HEAD:] and b"ensorflow" in data:
        return "the saved_model.pb of a TensorFlow SavedModel", _SAVED_MODEL
    if data[:1] == b"\x0a" and (b"Placeholder" in data[:_HEAD] or b"Const" in data[:_HEAD]):
        return (
            "a frozen TensorFlow graph (.pb)",
            "convert it with tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(file)",
        )
    return None


def _text(data: bytes) -> tuple[str, str] | None:
    head = data[:_HEAD].lstrip(b"\xef\xbb\xbf \r\n\t")
    if head[:1] in (b"{", b"["):
        return "a JSON file", "if it was made by flatc: flatc --binary schema.fbs FILE makes a .tflite file of it"
    if re.match(rb"(?i)<(!doctype|html|\?xml|head)", head):
        return "a web page, not the model itself", "use the address of the raw file for the download"
    readable = sum(32 <= byte < 127 or byte in b"\t\n\r" for byte in head[:512])
    if head and readable > 0.9 * len(head[:512]):
        return "a text file", "check which file was meant"
    return None


_KINDS: tuple[_Kind, ...] = (
    _empty,
    _lfs_pointer,
    _old_tflite,
    _starts(b"\x89HDF\r\n\x1a\n", "a Keras model or weights (HDF5, .h5)", _KERAS),
    _zip,
    _starts(b"\x1f\x8b", "a gzip archive", "unpack it first: gunzip FILE, or tar -xzf FILE"),
    _starts(b"BZh", "a bzip2 archive", "unpack it first: bunzip2 FILE"),
    _starts(b"\xfd7zXZ", "an xz archive", "unpack it first: unxz FILE"),
    _starts(b"\x93NUMPY", "a numpy array (.npy)", "check which file was meant"),
    _starts(b"\x80\x02", "a Python pickle, perhaps a PyTorch model", _PYTORCH),
    _starts(b"\x7fELF", "an ELF executable or library", "check which file was meant"),
    _c_array,
    _saved_model,
    _onnx,
    _shifted,
    _text,
)
