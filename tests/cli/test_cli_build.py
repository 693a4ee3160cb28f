# SPDX-License-Identifier: Apache-2.0
"""`tinyc build`, `verify` and `inspect` when all is well: files, table, JSON, options."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command import EXAMPLES, KWS, SINE, contents, portable_kernels, tinyc, unsupported_model
from tinyc.importers.tflite import load

FORMATS = [
    ("nucleo_f446re", None, "platformio", "platformio.ini"),
    ("esp32", None, "platformio", "src/main.cpp"),
    ("esp32", "platformio", "platformio", "lib/kws/src/kws.c"),
    ("pico", "cmake", "cmake", "CMakeLists.txt"),
    ("mps2-an386", None, "cmake", "lib/kws/kws.c"),
    ("host", None, "cmake", "src/main.c"),
    ("bluepill", "c", "c", "kws.c"),
    ("riscv32-virt", "c", "c", "kws.tflite"),
]


@pytest.mark.parametrize(
    "arguments", [(), ("build",), ("quantize",), ("verify",), ("inspect",), ("boards",), ("doctor",)]
)
def test_help(arguments: tuple[str, ...]) -> None:
    shown = tinyc(*arguments, "--help")
    assert shown.code == 0 and shown.err == ""
    assert shown.out.startswith("Usage: tinyc") and shown.out == tinyc(*arguments, "-h").out
    if not arguments:
        assert re.findall(r"^  (\w+) ", shown.out.split("Commands:")[1], re.MULTILINE)[:4] == [
            "build",
            "quantize",
            "verify",
            "inspect",
        ]


def test_help_states_the_exit_codes_and_the_choices() -> None:
    words = tinyc("build", "--help").words
    for part in (
        "0 done",
        "1 the model",
        "2 usage",
        "3 does not fit",
        "4 a tool is missing",
        "5 verification mismatch",
    ):
        assert part in words
    for option in (
        "--board",
        "--output",
        "--name",
        "--format",
        "--optimize",
        "--verify",
        "--input",
        "--json",
        "speed|balanced|ram|size",
        "--memory-map",
    ):
        assert option in words


@pytest.mark.parametrize(("board", "given", "kind", "file"), FORMATS)
def test_every_format(board: str, given: str | None, kind: str, file: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shown = tinyc("build", KWS, "-b", board, "-o", folder, "--verify", "none", *(("--format", given) if given else ()))
    assert shown.code == 0, shown.err
    report = json.loads((folder / "report.json").read_text())
    assert (report["board"], report["format"], report["name"]) == (board, kind, "kws")
    assert file in report["files"]
    assert set(contents(folder)) == set(report["files"]) | {"report.json"}
    assert f"project {folder}" in shown.words
    next_line = next(line for line in shown.out.splitlines() if line.startswith("next"))
    assert (
        str(folder) in next_line
        and {"platformio": "pio run", "cmake": "cmake --build", "c": "#include"}[kind] in next_line
    )


@pytest.mark.parametrize("model", EXAMPLES.values(), ids=EXAMPLES)
def test_the_table_says_what_the_report_says(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shown = tinyc("build", model, "-b", "mps2-an386", "-o", folder, "--optimize", "size", "--layers", "--count", "4")
    assert shown.code == 0, shown.err
    report = json.loads((folder / "report.json").read_text())
    lines = shown.out.splitlines()
    for row in report["layers"]:
        line = next(line for line in lines if re.match(rf"\s*{row['index']}\s+{row['op']} ", line))
        cells = line.split()
        assert "×".join(map(str, row["output_shape"])) in cells
        assert f"{row['constants']:,}" in cells
        assert row["kernel"].removeprefix("tinyc_") in cells
        assert not row["macs"] or f"{row['macs']:,}" in cells
        assert row["instructions"] is not None and f"{row['instructions']:,}" in cells
    ram, flash, stack = report["ram"], report["flash"], report["stack"]
    words = shown.words
    assert (
        f"{ram['arena']:,} B arena (input {ram['input']:,}, output {ram['output']:,}, scratch {ram['scratch']:,};"
        in words
    )
    assert f"{flash['total']:,} B: weights and tables {flash['constants']:,}, code {flash['code']:,};" in words
    assert f"at most {stack['bound']:,} B, {stack['measured']:,} B seen" in words
    assert (
        f"{report['fit']['flash_percent']} % of the board" in words
        and f"{report['fit']['ram_percent']} % of the board" in words
    )
    engines = {engine["emulator"]: engine for engine in report["verification"]}
    assert set(engines) == {"host", "unicorn"}
    assert f"{engines['unicorn']['instructions']:,.0f} instructions per inference" in words
    assert all(engine["layers_compared"] for engine in engines.values())
    assert all(" ".join(engine["proves"].split()) in words for engine in engines.values())


def test_json_is_the_report_and_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shown = tinyc("build", SINE, "-b", "mps2-an385", "-o", folder, "--json")
    assert shown.code == 0, shown.err
    printed = json.loads(shown.out)
    assert printed.pop("folder") == str(folder)
    assert printed == json.loads((folder / "report.json").read_text())
    assert {"layers", "ram", "flash", "stack", "fit", "verification", "macs", "sha256", "tinyc", "files"} <= set(
        printed
    )


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "My Model.tflite"
    model.write_bytes(SINE.read_bytes())
    assert tinyc("build", model, "-b", "esp32", "--verify", "none").code == 0
    assert (tmp_path / "my_model-esp32" / "lib" / "my_model" / "src" / "my_model.h").is_file()
    assert tinyc("build", model, "-b", "esp32", "--verify", "none", "--name", "wave").code == 0
    assert (
        b"void wave_run(wave_context *ctx);"
        in (tmp_path / "wave-esp32" / "lib" / "wave" / "src" / "wave.h").read_bytes()
    )


@pytest.mark.usefixtures("portable")
def test_hostile_file_and_folder_names(tmp_path: Path) -> None:
    """Markup of the table printer, comment ends, quotes, line breaks and format strings are just characters."""
    model = tmp_path / 'a*\\[red] "q" ${x} %s\n#.tflite'
    model.write_bytes(SINE.read_bytes())
    folder = tmp_path / "[bold]out[" / "] it's"
    shown = tinyc("build", model, "-b", "esp32", "-o", folder, "--framework", "espidf", "--verify", "none")
    assert shown.code == 0, shown.err
    assert f"project   {folder}" in shown.out
    files = contents(folder)
    name = json.loads(files["report.json"])["name"]
    assert json.loads(files[f"lib/{name}/library.json"])["name"] == name
    for path, data in files.items():
        if path.endswith((".c", ".h", ".cpp")):
            assert b"\n#.tflite" not in data and b"*\\[red] */" not in data, path
    assert tinyc("verify", folder, "--emulator", "host").code == 0


def test_framework(tmp_path: Path) -> None:
    assert (
        tinyc("build", SINE, "-b", "esp32", "--framework", "espidf", "--verify", "none", "-o", tmp_path / "idf").code
        == 0
    )
    assert "sdkconfig.defaults" in contents(tmp_path / "idf")


def test_own_inputs_are_verified_too(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.arange(-100, 100, 20, dtype=np.int8).reshape(10, 1, 1))
    shown = tinyc(
        "build", SINE, "-b", "host", "-o", tmp_path / "out", "--input", tmp_path / "in.npy", "--count", "3", "--json"
    )
    assert shown.code == 0, shown.err
    assert [engine["inputs"] for engine in json.loads(shown.out)["verification"]] == [13]
    again = tinyc("verify", tmp_path / "out", "--input", tmp_path / "in.npy", "--count", "1", "--json")
    assert [engine["inputs"] for engine in json.loads(again.out)] == [11]


def test_a_rebuild_keeps_what_the_user_changed(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert tinyc("build", SINE, "-b", "esp32", "-o", folder, "--verify", "none").code == 0
    (folder / "src" / "main.cpp").write_text("mine")
    shown = tinyc("build", SINE, "-b", "esp32", "-o", folder, "--verify", "none", "--optimize", "size")
    assert shown.code == 0 and "kept" in shown.out and "src/main.cpp" in shown.out
    assert (folder / "src" / "main.cpp").read_text() == "mine"
    assert tinyc("build", SINE, "-b", "esp32", "-o", folder, "--verify", "none", "--force").code == 0
    assert (folder / "src" / "main.cpp").read_text() != "mine"


@pytest.mark.parametrize(
    ("stage", "parts"),
    [
        ("graph", ["CONV_2D(", "SOFTMAX("]),
        ("program", ["tinyc_", "Cortex-M3"]),
        ("plan", ["optimal: true", "lower bound"]),
    ],
)
def test_dump_prints_a_stage_and_writes_nothing(stage: str, parts: list[str], tmp_path: Path) -> None:
    shown = tinyc("build", KWS, "-b", "bluepill", "-o", tmp_path / "out", "--dump", stage)
    assert shown.code == 0 and all(part in shown.out for part in parts)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def portable() -> Iterator[None]:
    """So that numbers do not change with every faster kernel, and this computer can run what is built for a core."""
    with portable_kernels():
        yield


@pytest.mark.usefixtures("portable")
def test_verify_a_build_and_a_model(tmp_path: Path) -> None:
    assert tinyc("build", SINE, "-b", "bluepill", "-o", tmp_path / "out", "--verify", "none").code == 0
    shown = tinyc("verify", tmp_path / "out", "--layers", "--seed", "9", "--count", "5", "--json")
    assert shown.code == 0, shown.err
    results = json.loads(shown.out)
    assert [(result["emulator"], result["inputs"], result["bytes_compared"]) for result in results] == [
        ("host", 5, 5),
        ("unicorn", 5, 5),
    ]
    assert all(result["layers_compared"] == 3 for result in results)
    text = tinyc("verify", SINE)
    assert text.code == 0 and text.out.startswith("equal  host: 4 inputs, 4 bytes")
    assert "unicorn" in tinyc("verify", SINE, "--board", "bluepill").out


@pytest.mark.parametrize("model", EXAMPLES.values(), ids=EXAMPLES)
def test_inspect(model: Path) -> None:
    graph = load(model)
    shown = tinyc("inspect", model)
    assert shown.code == 0 and "tinyc takes this model" in shown.out
    facts = json.loads(tinyc("inspect", model, "--json").out)
    assert [layer["op"] for layer in facts["layers"]] == [node.op for node in graph.nodes]
    assert facts["macs"] == sum(layer["macs"] for layer in facts["layers"])
    assert facts["inputs"][0]["shape"] == list(graph.input_tensors[0].shape)
    assert facts["weights"] == sum(tensor.bytes for tensor in graph.tensors if tensor.constant)
    for layer in facts["layers"]:
        assert re.search(rf"^\s*{layer['index']}\s+{layer['op']} v{layer['version']}\s", shown.out, re.MULTILINE)


def test_inspect_shows_what_blocks_a_model(tmp_path: Path) -> None:
    model = unsupported_model(tmp_path / "blocked.tflite")
    shown = tinyc("inspect", model)
    assert shown.code == 0 and "3 operators block it" in shown.out
    assert "operator 2 CUSTOM:Magic 'model/magic'" in shown.out
    facts = json.loads(tinyc("inspect", model, "--json").out)
    assert facts["supported"] is False
    assert [bool(layer["problems"]) for layer in facts["layers"]] == [True, False, True, True]
