# SPDX-License-Identifier: Apache-2.0
"""Quantizes float networks with tinyc and with its peers, and compares the int8 files; prints a Markdown table, writes JSON.

Networks: anomaly detection, image classification and visual wake words of MLPerf Tiny (`shared/models` beside the repository),
and two that are trained here on scikit-learn's handwritten digits. Peers: TensorFlow's converter and litert-quantizer with its
default recipe, each in a virtual environment of its own, which is made on the first run. All tools get the same calibration
samples; all files are run in TensorFlow Lite Micro, and in LiteRT's reference kernels for a second opinion.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from sklearn.datasets import load_digits, load_sample_images
from tflite_micro import runtime
from tinyc import reference
from tinyc.errors import ToolError
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import DTYPES, Array, Graph, Tensor
from tinyc.importers import keras
from tinyc.importers.tflite import from_bytes

ROOT = Path(__file__).resolve().parents[1]
DRIVERS = Path(__file__).parent / "peers"
SHARED = ROOT.parent / "shared" / "models"
MLPERF = SHARED / "mlperf_tiny"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tinyc" / "quantization-benchmark"

PACKAGES = {
    "tensorflow": ("tensorflow==2.21.*", "tf_keras==2.21.*"),
    "litert": ("litert-quantizer==0.11.*",),
}
ARENA_BYTES = 8 << 20
TIME_LIMIT = 1800
TITLES = {"tinyc": "tinyc", "tensorflow": "TensorFlow", "litert": "litert-quantizer", "shipped": "shipped int8"}


@dataclass(frozen=True)
class Case:
    """One network and its samples.

    Attributes:
        keras: the Keras file, for TensorFlow.
        real: the float32 `.tflite` file, for tinyc and litert-quantizer, and what every int8 output is compared with; None: the
            Keras file converted.
        calibration, evaluation: float32 arrays [n, *input shape without the batch].
        labels: the class of each evaluation sample, where the samples are what the network was trained for.
        classifies: whether the output is one score per class.
        origin: where the samples come from.
        shipped: an int8 file published with the network.
        seeded: whether the seed changes the network or the samples.
    """

    name: str
    keras: Path | None
    real: Path | None
    calibration: Array
    evaluation: Array
    origin: str
    labels: Array | None = None
    classifies: bool = True
    shipped: Path | None = None
    seeded: bool = True


@dataclass(frozen=True)
class Score:
    """One int8 file. SQNR in dB of the outputs against the float network's, in TensorFlow Lite Micro and in LiteRT; shares are 0 to 1.

    Attributes:
        moved: the file keeps weights outside of its flatbuffer, where TensorFlow Lite Micro reads garbage; they were moved inside.
        exact: on how many evaluation samples tinyc's reference gives TensorFlow Lite Micro's bytes.
        failure: why there is no file.
    """

    model: str
    tool: str
    seed: int
    calibration: int
    evaluation: int
    origin: str
    failure: str = ""
    version: str = ""
    sqnr: float | None = None
    sqnr_litert: float | None = None
    agreement: float | None = None
    accuracy: float | None = None
    float_accuracy: float | None = None
    bytes: int | None = None
    sha256: str = ""
    seconds: float | None = None
    peak_kib: int | None = None
    float_operators: int | None = None
    interface: str = ""
    moved: bool = False
    exact: int | None = None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensorflow-python", type=Path, help="an interpreter with tensorflow and tf_keras")
    parser.add_argument("--litert-python", type=Path, help="an interpreter with litert-quantizer")
    parser.add_argument("--cache", type=Path, default=CACHE, help="for virtual environments and trained networks")
    parser.add_argument(
        "--models", nargs="+", choices=("ad", "ad-file", "ic", "vww", "dcnn", "dmob"), help="default: all"
    )
    parser.add_argument("--tools", nargs="+", choices=tuple(TITLES), default=list(TITLES))
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[1], help="of the digits networks and of the crops that calibrate"
    )
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    tensorflow = options.tensorflow_python or environment("tensorflow", options.cache)
    os.environ[keras.PYTHON_VARIABLE] = str(tensorflow)
    tools: dict[str, Path] = {"tinyc": Path(sys.executable), "tensorflow": tensorflow}
    if "litert" in options.tools:
        tools["litert"] = options.litert_python or environment("litert", options.cache)
    scores: list[Score] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            for make in (anomaly_detection, image_classification, visual_wake_words, digits):
                for case in make(seed, tensorflow, options.cache):
                    wanted = options.models is None or case.name in options.models
                    if wanted and (case.seeded or seed == options.seeds[0]):
                        scores += compare(case, seed, options.tools, tools, Path(folder))
    print(report(scores))
    if options.json:
        options.json.write_text(json.dumps([asdict(score) for score in scores], indent=1) + "\n", encoding="utf-8")
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- networks and samples ---------------------------------------------------------------------------------------------


def anomaly_detection(seed: int, tensorflow: Path, cache: Path) -> list[Case]:
    """Overlapping windows of five spectra of one ToyCar recording: every other one calibrates, the rest evaluate.

    The published Keras file and the published float `.tflite` are not the same network (their outputs are 38 dB apart): `ad` is
    the Keras file, `ad-file` is the other, of which the published int8 file is made.
    """
    recording = SHARED / "data" / "toycar_normal_id_01_mel128.f32"
    keras_file, real = MLPERF / "ad.h5", MLPERF / "ad_float.tflite"
    if not present(recording, keras_file, real):
        return []
    spectra = np.fromfile(recording, np.float32).reshape(-1, 128)
    windows = np.stack([spectra[i : i + 5].reshape(-1) for i in range(len(spectra) - 4)])
    origin = "windows of one ToyCar recording, every other one"
    shipped = MLPERF / "ad.tflite"
    return [
        Case("ad", keras_file, None, windows[::2], windows[1::2], origin, classifies=False, seeded=False),
        Case("ad-file", None, real, windows[::2], windows[1::2], origin, None, False, shipped, seeded=False),
    ]


def image_classification(seed: int, tensorflow: Path, cache: Path) -> list[Case]:
    keras, real = MLPERF / "ic.h5", MLPERF / "ic_float.tflite"
    if not present(keras, real):
        return []
    calibration, evaluation = crops(32, 200, seed), crops(32, 400, 99)
    return [Case("ic", keras, real, calibration, evaluation, CROPS, shipped=MLPERF / "ic.tflite")]


def visual_wake_words(seed: int, tensorflow: Path, cache: Path) -> list[Case]:
    keras, real = MLPERF / "vww.h5", MLPERF / "vww_float.tflite"
    if not present(keras, real):
        return []
    calibration, evaluation = crops(96, 200, seed) / 255, crops(96, 150, 99) / 255
    return [Case("vww", keras, real, calibration, evaluation, CROPS, shipped=MLPERF / "vww.tflite")]


def digits(seed: int, tensorflow: Path, cache: Path) -> list[Case]:
    """A residual network and a MobileNet-like one, trained on 1200 of scikit-learn's 1797 digits; the other 597 evaluate."""
    data = load_digits()
    order = np.random.RandomState(0).permutation(len(data.images))
    images, labels = (data.images[order, :, :, None] / 16).astype(np.float32), data.target[order]
    folder = cache / f"digits-{seed}"
    if not (folder / "dmob.h5").is_file():
        say("training the digits networks")
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "digits.npz", train_x=images[:1200], train_y=labels[:1200])
        drive(tensorflow, "train_digits.py", folder / "digits.npz", folder, str(seed))
    origin = "scikit-learn's digits: the first of the training images; the held-out ones"
    return [
        Case(name, folder / f"{name}.h5", None, images[:200], images[1200:], origin, labels[1200:])
        for name in ("dcnn", "dmob")
    ]


CROPS = "crops of scikit-learn's two photos, which are not what the network was trained for"


def crops(side: int, count: int, seed: int) -> Array:
    """Square crops of scikit-learn's sample photos, shrunk by 1 to 4: float32 [count, side, side, 3], 0 to 255."""
    photos = load_sample_images().images
    random = np.random.RandomState(seed)
    result = []
    for _ in range(count):
        photo = photos[random.randint(len(photos))]
        factor = random.choice([1, 2, 3, 4])
        size = side * factor
        y = random.randint(photo.shape[0] - size + 1)
        x = random.randint(photo.shape[1] - size + 1)
        part = photo[y : y + size, x : x + size].astype(np.float32)
        result.append(part.reshape(side, factor, side, factor, 3).mean((1, 3)))
    return np.stack(result).astype(np.float32)


def present(*paths: Path) -> bool:
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        say(f"left out: {', '.join(missing)} of shared/models is not beside the repository")
    return not missing


# --- tools ------------------------------------------------------------------------------------------------------------


def environment(tool: str, cache: Path) -> Path:
    """The interpreter of a virtual environment with the tool's packages, made when it is not there."""
    folder = cache / f"venv-{tool}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "complete"
    if not done.is_file():
        say(f"installing {', '.join(PACKAGES[tool])}")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[tool]], check=True)
        done.touch()
    return python


def drive(python: Path, script: str, *arguments: Path | str) -> Mapping[str, Any]:
    """Runs a script of benchmarks/peers: what its last line says, as JSON. Raises ToolError with its log when it fails."""
    command = [str(python), str(DRIVERS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
    if done.returncode:
        raise ToolError(script, f"failed with exit code {done.returncode}", hint=done.stderr[-2000:])
    last = done.stdout.strip().splitlines()[-1:] or ["{}"]
    return dict(json.loads(last[0]))


def compare(case: Case, seed: int, names: Sequence[str], tools: Mapping[str, Path], folder: Path) -> list[Score]:
    """Quantizes one network with every tool and scores the files."""
    calibration, real = folder / "calibration.npy", folder / "float.tflite"
    np.save(calibration, np.ascontiguousarray(case.calibration, np.float32))
    if case.real is not None:
        real.write_bytes(case.real.read_bytes())
    else:
        assert case.keras is not None
        real.write_bytes(keras.convert(case.keras))
    expected = in_litert(real.read_bytes(), case.evaluation)
    scores = []
    for name in names:
        result = case.shipped if name == "shipped" else folder / f"{case.name}_{name}.tflite"
        source = case.keras if name == "tensorflow" else real
        if result is None or source is None:
            continue
        start = Score(case.name, name, seed, len(case.calibration), len(case.evaluation), case.origin)
        try:
            facts = {} if name == "shipped" else drive(tools[name], f"{name}_int8.py", source, calibration, result)
        except ToolError as error:
            scores.append(replace(start, failure=(error.hint.strip().splitlines() or ["failed"])[-1]))
            continue
        try:
            scores.append(score(start, case, result.read_bytes(), expected, facts))
            say(f"{case.name}, seed {seed}: {TITLES[name]}: {scores[-1].sqnr:.2f} dB")
        except RuntimeError as error:  # an interpreter does not take the file
            scores.append(replace(start, failure=f"the file does not run: {str(error).strip().splitlines()[-1]}"))
    return scores


# --- scores -----------------------------------------------------------------------------------------------------------


def score(start: Score, case: Case, data: bytes, expected: Array, facts: Mapping[str, Any]) -> Score:
    graph = from_bytes(data, start.tool)
    moved = outside(data)
    raw = in_tflm(to_bytes(graph) if moved else data, graph, case.evaluation)
    found = to_real(raw, graph.output_tensors[0])
    return replace(
        start,
        version=facts.get("version", ""),
        sqnr=sqnr(expected, found),
        sqnr_litert=sqnr(expected, in_litert(data, case.evaluation)),
        agreement=float(np.mean(classes(expected) == classes(found))) if case.classifies else None,
        accuracy=None if case.labels is None else float(np.mean(classes(found) == case.labels)),
        float_accuracy=None if case.labels is None else float(np.mean(classes(expected) == case.labels)),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=facts.get("seconds"),
        peak_kib=facts.get("peak_kib"),
        float_operators=float_operators(graph),
        interface="/".join(tensor.dtype for tensor in (graph.input_tensors[0], graph.output_tensors[0])),
        moved=moved,
        exact=same_bytes(graph, case.evaluation, raw) if start.tool == "tinyc" else None,
    )


def outside(data: bytes) -> bool:
    """Whether weights are after the flatbuffer, in place of in it."""
    model = schema.Model.GetRootAs(data, 0)
    return any(model.Buffers(index).Offset() > 1 for index in range(model.BuffersLength()))


def classes(scores: Array) -> Array:
    return np.asarray(scores.reshape(len(scores), -1).argmax(1))


def sqnr(expected: Array, found: Array) -> float:
    """Signal to quantization noise in dB: mean square of the float output to mean square of the difference."""
    signal = np.mean(np.square(expected, dtype=np.float64))
    noise = np.mean(np.square(expected.astype(np.float64) - found))
    return float(10 * np.log10(signal / max(noise, 1e-20)))


def to_integers(values: Array, tensor: Tensor) -> Array:
    """Float samples [n, ...] as the model's input takes them: the batch dimension first, one sample each."""
    if tensor.quantization is not None:
        limits = np.iinfo(DTYPES[tensor.dtype])
        values = np.clip(np.round(values / np.float32(tensor.scale)) + tensor.zero_point, limits.min, limits.max)
    return np.ascontiguousarray(values.reshape(len(values), *tensor.shape), DTYPES[tensor.dtype])


def to_real(values: Array, tensor: Tensor) -> Array:
    if tensor.quantization is None:
        return values.astype(np.float32)
    return ((values.astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)).astype(np.float32)


def in_tflm(data: bytes, graph: Graph, samples: Array) -> Array:
    """The output elements [n, ...] that TensorFlow Lite Micro computes."""
    interpreter = runtime.Interpreter.from_bytes(data, arena_size=ARENA_BYTES)
    results = []
    for sample in to_integers(samples, graph.input_tensors[0]):
        interpreter.set_input(sample, 0)
        interpreter.invoke()
        results.append(interpreter.get_output(0)[0].copy())
    return np.stack(results)


def in_litert(data: bytes, samples: Array) -> Array:
    """The outputs [n, ...] as real numbers that LiteRT's reference kernels compute."""
    graph = from_bytes(data, "model")
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    first, last = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    results = []
    for sample in to_integers(samples, graph.input_tensors[0]):
        interpreter.set_tensor(first, sample)
        interpreter.invoke()
        results.append(interpreter.get_tensor(last)[0].copy())
    return to_real(np.stack(results), graph.output_tensors[0])


def same_bytes(graph: Graph, samples: Array, expected: Array) -> int:
    """On how many samples tinyc's reference gives the same bytes as TensorFlow Lite Micro."""
    inputs = to_integers(samples, graph.input_tensors[0])
    return sum(
        reference.outputs(graph, [sample])[0][0].tobytes() == wanted.tobytes()
        for sample, wanted in zip(inputs, expected, strict=True)
    )


def float_operators(graph: Graph) -> int:
    """Operators that compute in floating point. QUANTIZE of an input and DEQUANTIZE to an output do not count."""
    ends = {*graph.inputs, *graph.outputs}
    count = 0
    for layer in graph.layers():
        floats = {
            i for i in (*layer.node.inputs, *layer.node.outputs) if i >= 0 and graph.tensors[i].dtype == "float32"
        }
        count += bool(floats - ends if layer.op in ("QUANTIZE", "DEQUANTIZE") else floats)
    return count


# --- table ------------------------------------------------------------------------------------------------------------

COLUMNS: Sequence[tuple[str, Callable[[Score], str]]] = (
    ("model", lambda s: s.model),
    ("seed", lambda s: str(s.seed)),
    ("tool", lambda s: f"{TITLES[s.tool]} {s.version}".strip()),
    ("SQNR dB", lambda s: number(s.sqnr, ".2f") + (" [^moved]" if s.moved else "")),
    ("in LiteRT", lambda s: number(s.sqnr_litert, ".2f")),
    ("agrees with float", lambda s: number(s.agreement, ".2%")),
    ("accuracy", lambda s: number(s.accuracy, ".2%")),
    ("of float", lambda s: number(s.float_accuracy, ".2%")),
    ("bytes", lambda s: number(s.bytes, ",")),
    ("seconds", lambda s: number(s.seconds, ".1f")),
    ("peak MiB", lambda s: number(s.peak_kib and s.peak_kib / 1024, ".0f")),
    ("float operators", lambda s: number(s.float_operators, "d") + (f"failed: {s.failure}" if s.failure else "")),
    ("input/output", lambda s: s.interface),
    ("reference = TFLM", lambda s: f"{s.exact} of {s.evaluation}" if s.exact is not None else ""),
)


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def report(scores: Sequence[Score]) -> str:
    """The samples, the table of all files, and the mean over the seeds where there are several."""
    lines = ["| model | calibration samples | evaluation samples | what they are |", f"|{' --- |' * 4}"]
    models = {score.model: score for score in scores}
    lines += [f"| {s.model} | {s.calibration} | {s.evaluation} | {s.origin} |" for s in models.values()]
    lines += ["", f"| {' | '.join(title for title, _ in COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(cell(score) for _, cell in COLUMNS)} |" for score in scores]
    if any(score.moved for score in scores):
        lines += ["", f"[^moved]: {MOVED}"]
    if len({score.seed for score in scores}) > 1:
        lines += ["", *means(scores)]
    return "\n".join(lines)


MOVED = (
    "The file keeps weights outside of its flatbuffer. TensorFlow Lite Micro does not read them there and computes garbage "
    "without an error; measured with the weights moved inside."
)


def means(scores: Sequence[Score]) -> list[str]:
    """Mean SQNR over the seeds, with the least and the largest, of each tool."""
    lines = ["| model | tool | seeds | mean SQNR dB | least | largest |", f"|{' --- |' * 6}"]
    for model, tool in dict.fromkeys((score.model, score.tool) for score in scores):
        values = [s.sqnr for s in scores if (s.model, s.tool) == (model, tool) and s.sqnr is not None]
        if values:
            mean = sum(values) / len(values)
            cells = [model, TITLES[tool], str(len(values)), f"{mean:.2f}", f"{min(values):.2f}", f"{max(values):.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
