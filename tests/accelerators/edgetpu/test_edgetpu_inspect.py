# SPDX-License-Identifier: Apache-2.0
"""`tinyc inspect` on compiled files, with their originals, and `--for edgetpu`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from edgetpu_files import HINTS, caching, compiled_files, execution, file, options, package, pairs
from tinyc.cli.inspect import command
from tinyc.errors import ModelError, TinycError, UsageError
from tinyc.exporters.tflite import to_bytes
from tinyc.importers.tflite import load

ROOT = Path(__file__).resolve().parents[3]
KWS = ROOT / "examples" / "kws" / "kws.tflite"


def inspect(*arguments: str | Path) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def facts(*arguments: str | Path) -> dict[str, Any]:
    found = json.loads(inspect(*arguments, "--json"))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "made_edgetpu.tflite"
    path.write_bytes(file(options(package([execution(), caching()]))))
    return path


def test_a_compiled_file(made: Path) -> None:
    found = facts(made)
    (part,) = found["edgetpu"]["parts"]
    assert found["supported"] and part["rejected"] == [] and found["edgetpu"]["cpu"] == []
    assert (part["instruction_bytes"], part["parameters_cached"], part["parameters_streamed"]) == (80, 128, 0)
    assert (part["cycles"], part["token"], part["narrow_memory_per_tile"]) == (12345, "fedcba9876543210", 678)
    assert [(port["bytes"], port["transferred"]) for port in (*part["inputs"], *part["outputs"])] == [
        (5, 8),
        (16, 16),
        (3, 8),
    ]
    assert [port["flips_sign"] for port in part["outputs"]] == [False, True]
    assert [port["copies"] for port in part["outputs"]] == [2, 1]
    shown = " ".join(inspect(made).split())
    assert "128 bytes stay on the chip (token fedcba9876543210), 0 are sent for each inference" in shown
    assert "estimate of cycles: 12,345" in shown and "every operator is on the Edge TPU" in shown
    assert "flags: int8 [1, 3], 3 bytes, sign inverted, 8 received in 1 run" in shown
    assert "tinyc takes this model" in shown


def test_a_rejected_program_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "x_edgetpu.tflite"
    path.write_bytes(file(options(package([execution(dma_hints={"hints": list(HINTS)}), caching()]))))
    found = facts(path)
    assert not found["supported"]
    assert "not deterministic" in found["edgetpu"]["parts"][0]["rejected"][0]
    shown = inspect(path)
    assert "tinyc does not run it" in shown and "1 operators block it" in shown


def test_a_damaged_program(tmp_path: Path) -> None:
    path = tmp_path / "x_edgetpu.tflite"
    path.write_bytes(file(options(b"nothing of the kind" * 4)))
    with pytest.raises(ModelError) as caught:
        inspect(path)
    assert caught.value.where == "x_edgetpu.tflite: operator 0 edgetpu-custom-op"


def test_wrong_combinations(made: Path) -> None:
    for arguments in ((KWS, "--original", made), (made, "--original", made), (made, "--for", "edgetpu")):
        with pytest.raises(UsageError) as caught:
            inspect(*arguments)
        assert caught.value.expected


def test_lint() -> None:
    found = facts(KWS, "--for", "edgetpu")["lint"]
    assert found["on_tpu"] == len(found["operators"]) and found["ends_at"] == []
    assert found["memory"]["fit"] == "fits"
    assert found["memory"]["depthwise_chip"] >= 4 * found["memory"]["depthwise_original"]
    assert "Advisory" in inspect(KWS, "--for", "edgetpu")


def test_a_stranger_as_original(made: Path) -> None:
    shown = inspect(made, "--original", KWS)
    assert "is it the original?" in shown
    assert facts(made, "--original", KWS)["edgetpu"]["original"]["attestation"]["complete"] is False


@pytest.mark.parametrize("path", compiled_files(), ids=lambda path: path.stem)
def test_public_files(path: Path) -> None:
    found = facts(path)
    (part,) = found["edgetpu"]["parts"]
    assert part["chip"] == "beagle" and part["parameters_cached"] > 0
    assert found["edgetpu"]["cpu"] == [] or all(layer["reasons"] for layer in found["edgetpu"]["cpu"])
    assert inspect(path)


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: pair[0].stem)
def test_public_pairs(pair: tuple[Path, Path]) -> None:
    compiled, original = pair
    found = facts(compiled, "--original", original)["edgetpu"]
    assert found["original"]["same_ends"] and found["original"]["added"] == []
    assert len(found["original"]["outside"]) == len(found["cpu"])
    assert found["original"]["attestation"]["counts"]["not found"] == 0
    assert "attestation:" in inspect(compiled, "--original", original)
    assert inspect(original, "--for", "edgetpu")


def test_an_altered_original(tmp_path: Path) -> None:
    dense = [pair for pair in pairs() if "dense_256" in pair[0].name]
    if not dense:
        pytest.skip("shared/models is not beside the repository")
    compiled, original = dense[0]
    graph = load(original)
    data = bytearray(to_bytes(graph))
    weights = next(t.data for t in graph.tensors if t.data is not None and t.shape == (256, 256)).tobytes()
    data[data.index(weights) + 12345] ^= 1
    path = tmp_path / "altered.tflite"
    path.write_bytes(data)
    shown = " ".join(inspect(compiled, "--original", path).split())
    assert "attestation: 1 not found" in shown
    assert "1 of 65,536 weights differ" in shown and "output channel 48, row 0, column 0, input channel 57" in shown


def test_errors_are_tinycs(tmp_path: Path, made: Path) -> None:
    with pytest.raises(TinycError):
        inspect(made, "--original", tmp_path / "none.tflite")
