# SPDX-License-Identifier: Apache-2.0
"""Numbers, names and comments as C text."""

import re
from dataclasses import replace

import numpy as np
import pytest
from emitted import HOSTILE_NAMES, PORT_NAMES, library, random_graph
from hypothesis import given
from hypothesis import strategies as st
from tinyc.emit import _comment, _string_literal, ports
from tinyc.emit.literals import array_definition, float_literal, int_literal
from tinyc.errors import UsageError
from tinyc.graph import Graph, Tensor
from tinyc.pipeline import model_name


@given(st.text() | st.text(alphabet='*/\\?"\n a'))
def test_a_comment_stays_one_comment_on_one_line(text: str) -> None:
    found = f"/* {_comment(text)} */"
    assert found.isascii() and found.isprintable()
    assert "??" not in found and "\\" not in found
    assert found.index("*/") == len(found) - 2
    assert "/*" not in found[1:]


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))) | st.text(alphabet='"\\?%\n0129é'))
def test_a_string_literal_reads_back(text: str) -> None:
    literal = _string_literal(text)
    assert literal.isascii() and "?" not in literal
    plain = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), literal[1:-1])
    assert plain.encode("latin-1") == text.encode()
    assert '"' not in re.sub(r"\\[0-7]{3}", "", literal[1:-1])


def test_a_float_literal_reads_back_as_the_same_bits() -> None:
    random = np.random.default_rng(3).integers(0, 2**32, 20000, np.uint64).astype(np.uint32).view(np.float32)
    for value in (0.0, -0.0, 1.0, 1e10, 1e-45, 3.4028235e38, 16777216.0, *random[np.isfinite(random)]):
        text = float_literal(value)
        assert re.fullmatch(r"-?\d+(\.\d*)?(e[+-]\d+)?f", text) and re.search(r"[.e]", text)
        assert np.float32(text[:-1]).tobytes() == np.float32(value).tobytes()


def test_floats_without_a_literal() -> None:
    assert float_literal(float("nan")) == '__builtin_nanf("")'
    assert [float_literal(value) for value in (float("inf"), -float("inf"))] == [
        "__builtin_inff()",
        "-__builtin_inff()",
    ]


def test_integer_literals_at_the_ends() -> None:
    assert int_literal(-(2**31)) == "(-2147483647 - 1)"
    assert int_literal(2**31 - 1) == "2147483647"
    assert int_literal(2**32 - 1) == "4294967295u"


def test_an_empty_table_has_an_element() -> None:
    assert array_definition("t", np.zeros(0, np.int8)) == "static const int8_t t[1] = {\n    0\n};"


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32])
def test_tables_hold_the_extremes(kind: type[np.signedinteger]) -> None:
    info = np.iinfo(kind)
    text = array_definition("t", np.array([info.min, 0, info.max], kind))
    inside = text[text.index("{") + 1 : text.rindex("}")]
    assert [eval(part.strip()) for part in inside.split(",")] == [info.min, 0, info.max]
    assert np.dtype(kind).name + "_t t[3]" in text


def port_graph(names: tuple[str, ...]) -> Graph:
    tensors = tuple(Tensor(f"t{i}", (1,), "int8") for i in range(len(names)))
    return Graph(tensors, (), tuple(range(len(names))), (0,), names, ("out",))


@given(st.lists(st.sampled_from(PORT_NAMES) | st.text(max_size=8), min_size=2, max_size=6))
def test_port_names_are_distinct_identifiers(names: list[str]) -> None:
    graph = port_graph(tuple(names))
    found = ports(graph, graph.inputs, graph.input_names)
    assert [port.suffix for port in found] == [f"_{i}" for i in range(len(names))]
    suffixes = [port.suffix for port in found] + [port.alias for port in found if port.alias]
    assert len(set(suffixes)) == len(suffixes)
    for suffix in suffixes:
        assert re.fullmatch(r"_[a-z0-9_]+", suffix), suffix


def test_port_names_from_the_signature() -> None:
    graph = port_graph(("boxes", "serving_default_Scores:0", "same", "same"))
    assert [port.alias for port in ports(graph, graph.inputs, graph.input_names)] == [
        "_boxes",
        "_serving_default_scores",
        "",
        "",
    ]
    alone = port_graph(("boxes",))
    assert [(port.suffix, port.alias) for port in ports(alone, alone.inputs, alone.input_names)] == [("", "")]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("kws.tflite", "kws"),
        ("My Model (v2).tflite", "my_model_v2"),
        ("2net.tflite", "model_2net"),
        ("größe.tflite", "gr_e"),
        ("大小.tflite", "model"),
        ("int.tflite", "model_int"),
        ("class.tflite", "model_class"),
        ("math.tflite", "model_math"),
        ("Signal.tflite", "model_signal"),
        ("test.tflite", "model_test"),
        ("console.tflite", "model_console"),
        ("tinyc.tflite", "model_tinyc"),
        ("TINYC_kernels.tflite", "model_tinyc_kernels"),
        ("../../__x__.tflite", "x"),
    ],
)
def test_the_prefix_from_a_file_name(file: str, name: str) -> None:
    from pathlib import Path

    assert model_name(None, Path(file)) == name
    assert model_name(name, Path(file)) == name


@pytest.mark.parametrize(
    "name",
    ["int", "Class", "9a", "a-b", "", "_x", "tinyc", "Tinyc_kernels", "stdint", "string", "é", "a\n", "firmware"],
)
def test_prefixes_that_cannot_be(name: str) -> None:
    from pathlib import Path

    with pytest.raises(UsageError, match="cannot be a C prefix") as caught:
        model_name(name, Path("kws.tflite"))
    assert caught.value.exit_code == 2


def test_the_file_reads_as_the_network() -> None:
    graph = random_graph(3)
    text = library(graph, "net")["net.c"].decode()
    titles = re.findall(r"^/\* Layer (\d+): (\w+) ", text, re.MULTILINE)
    calls = re.findall(r"^    /\* (\d+): (\w+) ", text[text.index("void net_run(") :], re.MULTILINE)
    assert titles == calls and [op for _, op in titles] == [node.op for node in graph.nodes if node.op != "RESHAPE"]
    assert text.index("Memory map") < text.index("Layer 0") < text.index("net_run")


def test_hostile_names_change_comments_only() -> None:
    graph = random_graph(5)
    plain = library(graph, "net")
    names = [HOSTILE_NAMES[i % len(HOSTILE_NAMES)] for i in range(len(graph.tensors))]
    hostile = library(
        replace(graph, tensors=tuple(replace(t, name=n) for t, n in zip(graph.tensors, names, strict=True))), "net"
    )
    for file in ("net.c", "net.h"):
        strip = [re.sub(rb"/\*.*?\*/", b"", files[file], flags=re.DOTALL) for files in (plain, hostile)]
        assert strip[0] == strip[1]
        assert plain[file] != hostile[file]
