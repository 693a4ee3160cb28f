# SPDX-License-Identifier: Apache-2.0
"""What int8 costs in accuracy: two networks, several trainings each, float32 against the compiled C.

    python benchmarks/digits_seeds.py --json digits_seeds.json

Each network is trained on scikit-learn's handwritten digits with several seeds, which choose the weights to start from and which
images train (1200), calibrate (200 of these) and are held out (597). It is quantized with tinyc's defaults; all held-out images run
through the compiled C, natively and on an emulated Arm Cortex-M4 (unicorn). Ends with an error when a network loses 0.5 percentage
points or more on the average, or when the two runs of the C differ in any byte.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # more threads add floats in another order: other networks

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from tinyc.data.dataset import to_input
from tinyc.emit import emit
from tinyc.exporters.tflite import to_bytes
from tinyc.graph import Graph
from tinyc.importers.tflite import from_bytes
from tinyc.lower import lower
from tinyc.memory import plan_memory
from tinyc.passes import run_passes
from tinyc.quantize import execute, quantize
from tinyc.targets.cpus import find_cpu
from tinyc.verification import run_image
from training.fit import fit, softmax_cross_entropy
from training.graph import to_graph
from training.layers import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    Layer,
    MaxPool2D,
    Relu,
    Relu6,
    Residual,
)

TRAINING, CALIBRATION, CLASSES = 1200, 200, 10

#: Percentage points that int8 may lose on the average of the seeds.
ALLOWED = 0.5


def residual(random: np.random.Generator) -> list[Layer]:
    """A CNN with one residual block."""
    return [
        *(Conv2D(random, (3, 3), 1, 16), BatchNorm(16), Relu()),
        *(Residual([Conv2D(random, (3, 3), 16, 16), BatchNorm(16)]), Relu()),
        *(MaxPool2D((2, 2)), Flatten()),
        *(Dense(random, 256, 32), Relu()),
        Dense(random, 32, CLASSES),
    ]


def mobile(random: np.random.Generator) -> list[Layer]:
    """Like MobileNet (Howard et al. 2017, arXiv 1704.04861): depthwise and 1×1 convolutions, each with ReLU6."""
    layers: list[Layer] = [Conv2D(random, (3, 3), 1, 12), BatchNorm(12), Relu6()]
    depth = 12
    for channels, stride in ((24, 1), (24, 2), (32, 1), (32, 2)):
        layers += [DepthwiseConv2D(random, (3, 3), depth, stride), BatchNorm(depth), Relu6()]
        layers += [Conv2D(random, (1, 1), depth, channels), BatchNorm(channels), Relu6()]
        depth = channels
    return [*layers, AveragePool2D((2, 2)), Flatten(), Dense(random, depth, CLASSES)]


#: Name → (the network, epochs of training).
NETWORKS: dict[str, tuple[Callable[[np.random.Generator], list[Layer]], int]] = {
    "residual": (residual, 30),
    "mobile": (mobile, 60),
}


@dataclass(frozen=True)
class Row:
    """One training: accuracies in percent of `samples` held-out images; `agree` of them get the same class in float and int8."""

    network: str
    seed: int
    samples: int
    float32: float
    host: float
    emulated: float
    agree: float

    @property
    def loss(self) -> float:
        """Percentage points that the compiled C loses."""
        return self.float32 - self.host


def measure(network: str, seed: int) -> Row:
    """Trains one network and runs it in every way."""
    random = np.random.default_rng(seed)
    digits = load_digits()
    order = random.permutation(len(digits.images))
    images, labels = (digits.images[order, :, :, None] / 16).astype(np.float32), digits.target[order]
    build, epochs = NETWORKS[network]
    layers = build(random)
    fit(
        layers,
        images[:TRAINING],
        labels[:TRAINING],
        softmax_cross_entropy,
        epochs=epochs,
        batch=32,
        rate=0.003,
        random=random,
        report=lambda epoch, loss: None,
    )
    real = to_graph(layers, images.shape[1:], softmax=True)
    held_out, truth = images[TRAINING:], labels[TRAINING:]
    (scores,) = execute.outputs(real, [held_out])
    compiled = from_bytes(to_bytes(quantize(real, [images[:CALIBRATION]]).graph), f"{network}.tflite")
    host, emulated = (classes(compiled, held_out, *where) for where in (("host", "host"), ("unicorn", "cortex-m4")))
    if not np.array_equal(host, emulated):
        raise SystemExit(f"{network}, seed {seed}: the emulated core computes something else than this computer")
    floats = scores.reshape(len(held_out), -1).argmax(axis=1)
    shares = (100 * float((found == truth).mean()) for found in (floats, host.argmax(axis=1), emulated.argmax(axis=1)))
    return Row(network, seed, len(held_out), *shares, 100 * float((floats == host.argmax(axis=1)).mean()))


def classes(graph: Graph, images: npt.NDArray[np.float32], emulator: str, core: str) -> npt.NDArray[np.int8]:
    """The int8 scores [count, classes] that the C compiled for `core` computes in `emulator`."""
    cpu = find_cpu(core)
    program = lower(run_passes(graph), cpu)
    inputs = to_input(images, graph.input_tensors[0])
    sets = [[image[None]] for image in inputs]
    output = run_image("digits", emit(program, plan_memory(program), "digits"), program.graph, sets, emulator, cpu)
    return np.frombuffer(output, np.int8).reshape(len(images), CLASSES)


def table(rows: Sequence[Row]) -> str:
    """Markdown, with the average of each network."""
    lines = [
        "| Network | Seed | float32 | int8, this computer | int8, Cortex-M4 emulated | loss, points | same class |",
        "|---|---|---|---|---|---|---|",
    ]
    for network in dict.fromkeys(row.network for row in rows):
        own = [row for row in rows if row.network == network]
        for row in own:
            figures = f"{row.float32:.2f} | {row.host:.2f} | {row.emulated:.2f} | {row.loss:+.2f} | {row.agree:.2f}"
            lines.append(f"| {network} | {row.seed} | {figures} |")
        means = [
            np.mean([getattr(row, name) for row in own]) for name in ("float32", "host", "emulated", "loss", "agree")
        ]
        shown = " | ".join(f"**{mean:+.2f}**" if i == 3 else f"{mean:.2f}" for i, mean in enumerate(means))
        lines.append(f"| {network} | mean | {shown} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many trainings per network")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    options = parser.parse_args()
    rows = []
    for network in NETWORKS:
        for seed in range(1, options.seeds + 1):
            start = time.perf_counter()
            rows.append(measure(network, seed))
            took = time.perf_counter() - start
            print(f"{network}, seed {seed}: {rows[-1].loss:+.2f} points in {took:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))
    if options.json:
        found = [{**asdict(row), "loss": row.loss} for row in rows]
        options.json.write_text(json.dumps({"allowed": ALLOWED, "rows": found}, indent=2) + "\n", encoding="utf-8")
    for network in NETWORKS:
        loss = float(np.mean([row.loss for row in rows if row.network == network]))
        if loss >= ALLOWED:
            raise SystemExit(
                f"{network}: int8 loses {loss:.2f} percentage points on the average, {ALLOWED} are allowed"
            )


if __name__ == "__main__":
    main()
