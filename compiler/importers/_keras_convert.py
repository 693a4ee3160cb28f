# SPDX-License-Identifier: Apache-2.0
"""Converts a Keras file or a SavedModel to float32 `.tflite`. A script for an interpreter that has TensorFlow; tinyc never imports it.

    python _keras_convert.py SOURCE RESULT.tflite ERROR.json

On failure ERROR.json has kind ("model", "tool"), found, expected, hint. Lines on stdout that begin with "tinyc: " are progress.
It runs on Python 3.9 and later, which is why it does not import tinyc.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

#: What a model may need while it is converted, in bytes: a file can ask for any size.
MEMORY = 12 << 30
#: What the parts of a .keras file may have together, unpacked, in bytes.
UNPACKED = 2 << 30
#: How much of a configuration is searched: nodes of its JSON tree.
NODES = 1_000_000

EXTRA = "pip install 'tinyc[tensorflow]'"
AS_SAVED_MODEL = "where the model is defined, export it and give that folder: model.export('folder')"


class Problem(Exception):
    """What goes into ERROR.json."""

    def __init__(self, kind: str, found: str, expected: str = "", hint: str = "") -> None:
        super().__init__(found)
        self.fields = {"kind": kind, "found": found, "expected": expected, "hint": hint}


def main(source: Path, result: Path, error: Path) -> int:
    try:
        result.write_bytes(convert(source))
        return 0
    except Problem as problem:
        fields = problem.fields
    except MemoryError:
        found = f"needs more than {MEMORY >> 30} GiB of memory to be converted"
        fields = Problem("model", found, hint="no microcontroller holds such a model").fields
    error.write_text(json.dumps(fields), encoding="utf-8")
    return 1


def convert(source: Path) -> bytes:
    _require("tensorflow")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["CUDA_VISIBLE_DEVICES"] = (
        ""  # Converting takes no time, and a graphics card may compute other constants.
    )
    if source.is_dir():
        _say("loading the SavedModel")
        return _to_tflite(_saved_function(source))
    version, configuration = _keras_zip(source) if _is_zip(source) else _keras_hdf5(source)
    _refuse_code(configuration)
    _refuse_modules(configuration)
    return _to_tflite(_keras_function(_load_keras(source, version, configuration)))


def _say(text: str) -> None:
    print(f"tinyc: {text}", flush=True)


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise Problem("tool", f"{package} is not installed for {sys.executable}", hint=f"install it: {EXTRA}")


def _fail(found: str, expected: str = "", hint: str = "") -> NoReturn:
    raise Problem("model", found, expected, hint)


# --- what is in a Keras file, read without running anything ------------------------------------------------------------


def _is_zip(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _keras_zip(source: Path) -> tuple[str, Any]:
    """The Keras version and the configuration in a .keras file."""
    expected = "a model as model.save('name.keras') writes it"
    try:
        with zipfile.ZipFile(source) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > UNPACKED:
                _fail(f"{size / 1e6:,.0f} MB when unpacked", f"at most {UNPACKED >> 20} MiB")
            names = archive.namelist()
            missing = [name for name in ("config.json", "metadata.json") if name not in names]
            if missing:
                _fail(f"a zip archive without {' and '.join(missing)}", expected, "check which file was meant")
            metadata, configuration = (json.loads(archive.read(name)) for name in ("metadata.json", "config.json"))
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, RecursionError) as problem:
        _fail(f"a damaged .keras file: {problem}", expected, "copy, download or save the model again")
    version = metadata.get("keras_version", "") if isinstance(metadata, dict) else ""
    return str(version), configuration


def _keras_hdf5(source: Path) -> tuple[str, Any]:
    """The Keras version and the configuration in an .h5 file."""
    expected = "a model as model.save('name.h5') writes it"
    again = "copy, download or save the model again"
    _require("h5py")
    h5py: Any = importlib.import_module("h5py")
    try:
        with h5py.File(source, "r") as file:
            found = {name: file.attrs.get(name) for name in ("keras_version", "model_config")}
            names = sorted(file)[:6]
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        _fail(f"a damaged HDF5 file: {problem}", expected, again)
    version, configuration = (value.decode() if isinstance(value, bytes) else value for value in found.values())
    if not configuration:
        what = "only the weights of a model" if names and version else f"HDF5 data without a model ({', '.join(names)})"
        _fail(what, expected, "save the whole model, not only its weights: model.save('name.keras')")
    try:
        return str(version or ""), json.loads(configuration)
    except (ValueError, TypeError, RecursionError) as problem:
        _fail(f"a damaged HDF5 file: its model_config is no JSON: {problem}", expected, again)


def _objects(configuration: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in the configuration that has a class_name, in the file's order."""
    queue, seen = [configuration], 0
    while queue:
        seen += 1
        if seen > NODES:
            _fail(f"a configuration of more than {NODES:,} entries")
        node = queue.pop()
        if isinstance(node, dict):
            if isinstance(node.get("class_name"), str):
                yield node
            queue += reversed(list(node.values()))
        elif isinstance(node, list):
            queue += reversed(node)


def _refuse_code(configuration: Any) -> None:
    """Lambda layers are stored as Python code, which loading the file would run."""
    found = [entry for entry in _objects(configuration) if entry["class_name"] in ("Lambda", "__lambda__")]
    if found:
        names = [str(_inner(entry).get("name") or entry.get("name") or entry["class_name"]) for entry in found]
        _fail(
            f"has Lambda layers, which are Python code in the file: {_list(names)}",
            "layers without code: a model file from elsewhere must not run code here",
            f"replace them by ordinary layers, or {AS_SAVED_MODEL}",
        )


def _refuse_modules(configuration: Any) -> None:
    """A file may name any Python module, which loading it would import."""
    names = [
        f"{entry['module']}.{entry['class_name']}"
        for entry in _objects(configuration)
        if isinstance(entry.get("module"), str) and entry["module"].split(".")[0] not in _MODULES
    ]
    if names:
        _unknown(names)


def _unknown(names: Sequence[str]) -> NoReturn:
    _fail(f"uses classes that Keras does not know: {_list(names)}", "Keras's own layers alone", AS_SAVED_MODEL)


def _inner(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = entry.get("config")
    return inner if isinstance(inner, dict) else {}


def _list(names: Sequence[str]) -> str:
    different = list(dict.fromkeys(names))
    return ", ".join(different[:12]) + (f" and {len(different) - 12} more" if len(different) > 12 else "")


#: Where a configuration may take classes from.
_MODULES = ("keras", "tf_keras", "builtins")
#: Modules of Keras with classes that a configuration refers to, and names in one that are no classes.
_ROOMS = ("layers", "models", "initializers", "regularizers", "constraints", "optimizers", "losses", "metrics", "ops")
_NO_CLASSES = ("TensorShape", "DType", "DTypePolicy", "Policy", "KerasTensor", "function")


def _custom(configuration: Any, library: Any) -> list[str]:
    """Classes in the configuration that Keras does not have."""
    names = []
    for entry in _objects(configuration):
        name = entry["class_name"]
        if name.startswith("__") or name in ("Functional", "Model", "Sequential") or entry.get("module"):
            continue
        if "module" not in entry and not _has(library, name):
            names.append(name)
        elif "module" in entry and entry.get("registered_name"):
            names.append(str(entry["registered_name"]))
    return names


def _has(library: Any, name: str) -> bool:
    """Whether Keras itself has such a class."""
    return name in _NO_CLASSES or any(hasattr(getattr(library, room, None), name) for room in _ROOMS)


# --- loading ----------------------------------------------------------------------------------------------------------


def _load_keras(source: Path, version: str, configuration: Any) -> Any:
    """The model, by Keras 3 or, for old files, by tf_keras; when the first cannot, by the other."""
    order = ("keras", "tf_keras") if version.startswith("3") else ("tf_keras", "keras")
    failures: list[tuple[str, str]] = []
    libraries = []
    for name in order:
        if importlib.util.find_spec(name) is None:
            failures.append((name, "not installed"))
            continue
        library: Any = importlib.import_module(name)
        libraries.append(library)
        _say(f"loading with {name} {library.__version__}")
        named = source if source.suffix in _suffixes(source) else _renamed(source)
        try:
            return library.models.load_model(str(named), compile=False, safe_mode=True)
        except MemoryError:
            raise
        except Exception as problem:  # whatever a damaged file makes Keras raise
            failures.append((name, " ".join(str(problem).split()) or type(problem).__name__))
    custom = _custom(configuration, libraries[0]) if libraries else []
    if custom:
        _unknown(custom)
    by = f"saved by Keras {version}" if version else "saved by an unknown version of Keras"
    first, reason = failures[0]
    if reason == "not installed":
        raise Problem(
            "tool", f"was {by}, and {first} is not installed for {sys.executable}", hint=f"install it: {EXTRA}"
        )
    if "OOM when allocating" in reason:
        raise MemoryError
    _fail(f"{first} cannot load it ({by}): {_short(reason, 500)}", hint=f"save it again, or {AS_SAVED_MODEL}")


def _suffixes(source: Path) -> Sequence[str]:
    return (".keras",) if _is_zip(source) else (".h5", ".hdf5")


def _renamed(source: Path) -> Path:
    """Keras goes by the file's suffix: the file under another name in the current folder, which is temporary."""
    named = Path(f"model{_suffixes(source)[0]}")
    if not named.exists():
        named.write_bytes(source.read_bytes())
    return named


def _short(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


class Function(NamedTuple):
    """A TensorFlow function of one sample.

    `owner` has its variables where the converter can turn them into constants by itself: tf_keras models.
    """

    call: Any
    inputs: Sequence[str]
    outputs: Sequence[str]
    owner: Any = None


def _keras_function(model: Any) -> Function:
    tf: Any = importlib.import_module("tensorflow")
    if not getattr(model, "inputs", None):
        _fail("has no inputs of known shape: it was never built or called", hint=AS_SAVED_MODEL)
    names = _unique([_base_name(tensor.name) for tensor in model.inputs])
    specs = [
        tf.TensorSpec(_one_sample(name, list(tensor.shape)), tensor.dtype, name=name)
        for name, tensor in zip(names, model.inputs)  # noqa: B905 - Python 3.9
    ]

    keys: list[str] = []

    def run(*arrays: Any) -> Any:
        results = model(_like_inputs(model, arrays), training=False)
        if isinstance(results, Mapping):
            keys[:] = results
            results = [results[key] for key in keys]
        return [tf.identity(result) for result in tf.nest.flatten(results)]

    call = tf.function(run, autograph=False).get_concrete_function(*specs)
    count = len(call.outputs)
    outputs = [_base_name(name) for name in keys or getattr(model, "output_names", None) or [model.layers[-1].name]]
    owner = model if type(model).__module__.startswith("tf_keras") else None
    return Function(call, names, _unique(outputs if len(outputs) == count else ["output"] * count), owner)


def _like_inputs(model: Any, arrays: Sequence[Any]) -> Any:
    """The inputs in the structure that the model takes: one, a list, or a dictionary."""
    tf: Any = importlib.import_module("tensorflow")
    try:
        structure = model.input
    except AttributeError:  # A Sequential of Keras 3 has none; it takes one array.
        return arrays[0]
    return tf.nest.pack_sequence_as(structure, arrays)


def _saved_function(folder: Path) -> Function:
    """The inference signature of a SavedModel."""
    tf: Any = importlib.import_module("tensorflow")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as problem:  # whatever a damaged folder makes TensorFlow raise
        reason = _short(" ".join(str(problem).split()) or type(problem).__name__)
        _fail(f"cannot be loaded as a SavedModel: {reason}", hint="copy, download or export the model again")
    signatures = dict(loaded.signatures)
    name = "serving_default" if "serving_default" in signatures else next(iter(sorted(signatures)), None)
    if name is None or (len(signatures) > 1 and name != "serving_default"):
        found = f"its signatures are {_list(sorted(signatures))}" if signatures else "it has no signature"
        _fail(found, "one signature, or one called serving_default", "export the model with model.export('folder')")
    signature = signatures[name]
    inputs = signature.structured_input_signature[1]
    specs = {
        key: tf.TensorSpec(_one_sample(key, _extents(spec.shape)), spec.dtype, name=_base_name(key))
        for key, spec in sorted(inputs.items())
    }

    outputs = sorted(signature.structured_outputs)

    def run(*arrays: Any) -> Any:
        results = signature(**dict(zip(specs, arrays)))  # noqa: B905 - Python 3.9
        return [tf.identity(results[key]) for key in outputs]

    call = tf.function(run, autograph=False).get_concrete_function(*specs.values())
    call.loaded = loaded  # Its variables live as long as it does.
    return Function(call, _unique([*map(_base_name, specs)]), _unique([*map(_base_name, outputs)]))


def _extents(shape: Any) -> list[int | None]:
    if shape.rank is None:
        _fail("an input of unknown rank", "inputs of known shape", "export the model with an input_signature")
    return list(shape.as_list())


def _one_sample(name: str, shape: list[int | None]) -> list[int]:
    """The shape of one sample. Only the batch, which is the first dimension, may be open."""
    unknown = [str(index) for index, extent in enumerate(shape) if index and extent is None]
    if unknown:
        text = ", ".join("?" if extent is None else str(extent) for extent in shape)
        _fail(
            f"input '{name}' has shape [{text}]: dimension {' and '.join(unknown)} is not known",
            "a fixed size; only the batch, dimension 0, may be open",
            "build the same model with fixed sizes, for example keras.Input((96, 96, 3)), load the weights and save it",
        )
    if shape and shape[0] not in (None, 1):
        _fail(
            f"input '{name}' has a batch of {shape[0]}",
            "a batch of 1, or an open one",
            "save the model without batch_size",
        )
    return [1, *(extent for extent in shape[1:] if extent is not None)] if shape else []


def _base_name(name: str) -> str:
    """A name as TensorFlow takes it."""
    clean = re.sub(r"[^A-Za-z0-9_]", "_", name.split(":")[0].split("/")[-1])
    return clean if re.match("[A-Za-z]", clean) else f"x{clean}"


def _unique(names: list[str]) -> list[str]:
    """The names with a number where they repeat."""
    return [name if names.count(name) == 1 else f"{name}_{names[:k].count(name)}" for k, name in enumerate(names)]


# --- to .tflite -------------------------------------------------------------------------------------------------------


def _to_tflite(function: Function) -> bytes:
    """The float32 model of a function, with operators of TFLite alone."""
    tf: Any = importlib.import_module("tensorflow")
    constants: Any = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    _say("converting")
    if function.owner is not None:
        # This way recurrent layers become one operator; the other way, a loop.
        data = _convert(tf.lite.TFLiteConverter.from_concrete_functions([function.call], function.owner))
        if not _variables(data):
            return _signed(data, function)
    # Constants in place of variables: the converter keeps the variables of Keras 3 and of SavedModels.
    frozen = constants.convert_variables_to_constants_v2(function.call)
    data = _convert(tf.lite.TFLiteConverter.from_concrete_functions([frozen]))
    if _variables(data):
        _fail(
            "has variables that inference changes",
            "a model without a state of its own",
            "make the state an input and an output of the model",
        )
    return _signed(data, function)


def _convert(converter: Any) -> bytes:
    tf: Any = importlib.import_module("tensorflow")
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        return bytes(converter.convert())
    except MemoryError:
        raise
    except Exception as problem:  # ConverterError, and what else a model makes the converter raise
        _explain(str(problem))


def _variables(data: bytes) -> bool:
    """Whether the model reads variables."""
    tools: Any = importlib.import_module("tensorflow.lite.tools.flatbuffer_utils")
    schema: Any = importlib.import_module("tensorflow.lite.python.schema_py_generated")
    codes = tools.convert_bytearray_to_object(data).operatorCodes
    return any(code.builtinCode == schema.BuiltinOperator.VAR_HANDLE for code in codes)


def _signed(data: bytes, function: Function) -> bytes:
    """The model with its inputs and outputs in the function's order, and their names, which freezing loses."""
    tools: Any = importlib.import_module("tensorflow.lite.tools.flatbuffer_utils")
    schema: Any = importlib.import_module("tensorflow.lite.python.schema_py_generated")
    model = tools.convert_bytearray_to_object(data)
    graph = model.subgraphs[0]
    inputs, outputs = [*map(int, graph.inputs)], [*map(int, graph.outputs)]
    if model.signatureDefs:  # Made by the converter, with the inputs' names and output_0, output_1, ...
        given, results = (
            {entry.name.decode(): int(entry.tensorIndex) for entry in entries}
            for entries in (model.signatureDefs[0].inputs, model.signatureDefs[0].outputs)
        )
        inputs = [given[name] for name in function.inputs if name in given]
        outputs = [results[f"output_{index}"] for index in range(len(results))]
    graph.inputs, graph.outputs = inputs, outputs

    def entry(name: str, tensor: int) -> Any:
        result = schema.TensorMapT()
        result.name, result.tensorIndex = name.encode(), tensor
        return result

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs = list(map(entry, function.inputs, graph.inputs))
    signature.outputs = list(map(entry, function.outputs, graph.outputs))
    # An input that nothing reads may be gone: then the names are not those of the others.
    whole = len(function.inputs) == len(graph.inputs) and len(function.outputs) == len(graph.outputs)
    model.signatureDefs = [signature] if whole else []
    return bytes(tools.convert_object_to_bytearray(model))


def _explain(text: str) -> NoReturn:
    """Raises a Problem for a failed conversion."""
    operators = re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", text)
    operators += re.findall(r"^\s*tf\.(\w+)\s?\(", text, re.MULTILINE)
    operators += re.findall(r"'(?:tf|tfl)\.(\w+)' op requires", text)
    if any(name.startswith("TensorList") for name in operators):
        _fail(
            "has a recurrent layer that TensorFlow Lite cannot run with an open batch",
            hint="save it as model.save('name.keras'), or build the layer with unroll=True",
        )
    if operators:
        _fail(
            f"has operators that TensorFlow Lite does not: {_list(sorted(set(operators)))}",
            "operators of TensorFlow Lite alone; SELECT_TF_OPS needs TensorFlow on the device",
            "replace these layers, or move them out of the model into the code around it",
        )
    _fail(f"TensorFlow cannot convert it: {_short(' '.join(text.split()), 600)}", hint=AS_SAVED_MODEL)


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


if __name__ == "__main__":
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.realpath(path or os.getcwd()) != here]  # keras.py is there
    _limit_memory()
    sys.exit(main(*(Path(argument) for argument in sys.argv[1:4])))
