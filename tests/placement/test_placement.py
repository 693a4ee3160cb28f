# SPDX-License-Identifier: Apache-2.0
"""Which memory holds what: the fastest with room, by a formula that can be checked by hand; and the user's own choice."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from machines import Rows, board_file, large_input
from tinyc.boards import Board, load_board, parse_board
from tinyc.errors import DoesNotFitError, TinycError, UsageError
from tinyc.importers.tflite import load
from tinyc.lower import lower
from tinyc.memory import MemoryMap, plan_memory, separable_inputs
from tinyc.ops import all_ops
from tinyc.passes import run_passes
from tinyc.pipeline import Compilation, Options, compile_model
from tinyc.placement import (
    Placement,
    Reads,
    activation_reads,
    inputs_apart,
    parse_wanted,
    place,
    table_bytes,
    table_reads,
)
from tinyc.program import Program
from tinyc.targets.cpus import find_cpu

KWS = ROOT / "examples" / "kws" / "kws.tflite"

FLASH = ("flash", "flash", 0, 1 << 20, 5, 0)
SLOW = ("slow", "ram", 0x20000000, 1 << 20, 2, 0)


@pytest.fixture(scope="module")
def kws() -> tuple[Program, MemoryMap]:
    program = lower(run_passes(load(KWS)), find_cpu("cortex-m7"))
    return program, plan_memory(program)


def placed(
    kws: tuple[Program, MemoryMap], tmp_path: Path, rows: Rows, wanted: dict[str, str] | None = None
) -> Placement:
    board = load_board(board_file(tmp_path, rows))
    return place(*kws, board, "baremetal", "cmake", wanted)


def test_words_read(kws: tuple[Program, MemoryMap]) -> None:
    """By hand: an output pixel reads the tables once, four multiplications a word of the arena."""
    program, _ = kws
    step = next(step for step in program.steps if step.layer.op == "CONV_2D")
    _, height, width, channels = step.layer.output.shape
    size = table_bytes(program)[step.index]
    words = (size + 3) // 4
    assert table_reads(step, size) == Reads(height * width * words, words, size)
    macs, output = all_ops()["CONV_2D"].macs(step.layer), height * width * channels
    moved = output + step.layer.input(0).bytes
    assert activation_reads(step, program)[0] == Reads((macs + output + 3) // 4, (moved + 3) // 4, moved)
    softmax = program.steps[-1]
    assert table_reads(softmax, 500).all == softmax.layer.output.elements


def test_a_cache_that_holds_a_layer_fetches_it_once() -> None:
    board = load_board("nucleo_h743zi")
    flash = board.main_memory("flash")
    assert flash.cache == 16384
    assert Reads(1000, 10, 16384).wait(flash) == 10 * flash.wait
    assert Reads(1000, 10, 16385).wait(flash) == 1000 * flash.wait


@pytest.mark.parametrize("spare", [0, -1])
def test_the_arena_goes_to_the_fastest_memory_with_room(
    kws: tuple[Program, MemoryMap], tmp_path: Path, spare: int
) -> None:
    fast = ("fast", "ram", 0x30000000, kws[1].size + spare, 0, 0)
    found = placed(kws, tmp_path, [FLASH, SLOW, fast], {"tables": "flash"}).arena
    assert found.memory == ("fast" if spare == 0 else "slow")
    assert found.bytes == kws[1].size
    assert found.attribute == ('__attribute__((section(".bss.tinyc_fast")))' if spare == 0 else "")
    waits = sum(activation_reads(step, kws[0])[0].all for step in kws[0].steps) * 2
    assert found.wait_cycles == (0 if spare == 0 else waits)


def test_among_equals_it_stays_with_data_and_stack(kws: tuple[Program, MemoryMap], tmp_path: Path) -> None:
    found = placed(kws, tmp_path, [FLASH, replace_wait(SLOW, 0), ("other", "ram", 0x30000000, 65536, 0, 0)])
    assert (found.arena.memory, found.arena.attribute) == ("slow", "")


def replace_wait(row: tuple[str, str, int, int, int, int], wait: int) -> tuple[str, str, int, int, int, int]:
    return (*row[:4], wait, row[5])


def test_psram_is_the_last_choice_and_is_warned_of(kws: tuple[Program, MemoryMap], tmp_path: Path) -> None:
    psram = ("psram", "psram", 0x60000000, 1 << 20, 1, 0)
    inside = placed(kws, tmp_path, [FLASH, SLOW, psram])
    assert (inside.arena.memory, inside.warnings) == ("slow", ())
    small = ("slow", "ram", 0x20000000, kws[1].size - 16, 2, 0)
    outside = placed(kws, tmp_path, [FLASH, small, psram])
    assert outside.arena.memory == "psram"
    assert "16 B too large for slow" in outside.warnings[0]
    waits = sum(activation_reads(step, kws[0])[0].all for step in kws[0].steps)
    assert f"about {waits:,} cycles ({waits / 25e3:.1f} ms)" in outside.warnings[0]


def test_the_input_goes_outside_if_that_lets_the_rest_stay_inside(
    kws: tuple[Program, MemoryMap], tmp_path: Path
) -> None:
    program = lower(run_passes(load(large_input(tmp_path))), find_cpu("cortex-m7"))
    whole, inputs = plan_memory(program), separable_inputs(program)
    assert inputs == program.graph.inputs
    size = plan_memory(program, inputs).size
    assert (size, whole.size) == (1024, 16384)

    def found(ram: int, psram: int, wanted: dict[str, str] | None = None) -> MemoryMap:
        rows = [FLASH, ("ram", "ram", 0x20000000, ram, 0, 0), ("psram", "psram", 0x60000000, psram, 4, 0)]
        board = load_board(board_file(tmp_path, rows))
        return inputs_apart(program, whole, board, "baremetal", "cmake", wanted or {}, 0)

    assert found(whole.size, 1 << 20) is whole, "everything fits"
    assert found(size - 1, 1 << 20) is whole, "the rest does not fit either"
    assert found(size, 16383) is whole, "no room for the input"
    assert found(size, 1 << 20, {"arena": "psram"}) is whole
    apart = found(size, 1 << 20)
    assert (apart.outside, apart.size) == (inputs, size)
    assert found(whole.size, 1 << 20, {"input": "psram"}).outside == inputs
    board = load_board(board_file(tmp_path, [FLASH, SLOW, ("psram", "psram", 0x60000000, 1 << 20, 4, 0)]))
    places = place(program, apart, board, "baremetal", "cmake")
    assert places.input is not None
    assert (places.input.memory, places.input.bytes) == ("psram", 16384)
    assert places.input.wait_cycles == 4 * 16384 // 4, "every word once, 4 cycles each"
    assert places.arena.wait_cycles == 2 * ((1024 + 3) // 4 + (1024 + 64 + 3) // 4)
    assert places.warnings == ()


def test_what_cannot_be_apart(kws: tuple[Program, MemoryMap]) -> None:
    """An input that is the output too, or that is read row by row."""
    program, _ = kws
    graph = replace(program.graph, outputs=program.graph.inputs)
    assert separable_inputs(replace(program, graph=graph)) == ()
    streamed = compile_model(KWS, Options("mps2-an500", verify="none", stream_input=True)).program
    assert separable_inputs(streamed) == ()
    with pytest.raises(UsageError, match="cannot be apart"):
        compile_model(KWS, Options("mps2-an500", verify="none", stream_input=True, place={"input": "psram"}))


def test_no_memory_with_room_is_an_error_with_the_numbers(kws: tuple[Program, MemoryMap], tmp_path: Path) -> None:
    size = kws[1].size
    rows = [FLASH, ("a", "ram", 0x20000000, size - 2, 0, 0), ("b", "ram", 0x30000000, size - 1, 0, 0)]
    with pytest.raises(DoesNotFitError) as error:
        placed(kws, tmp_path, rows)
    assert f"the arena of {size:,} B is in one piece, and there is room for: a {size - 2:,} B, b {size - 1:,} B" in str(
        error.value
    )


def test_hot_tables_are_those_that_save_most_per_byte(kws: tuple[Program, MemoryMap], tmp_path: Path) -> None:
    program, _ = kws
    sizes = table_bytes(program)
    fast = ("fast", "ram", 0x30000000, 3000, 0, 0)
    found = placed(kws, tmp_path, [FLASH, SLOW, fast])
    assert found.hot is not None
    assert found.hot.attribute == '__attribute__((section(".data.tinyc_fast")))'
    assert 0 < found.hot.bytes <= 3000
    gains = {i: table_reads(program.steps[i], size).all / size for i, size in enumerate(sizes) if size}
    rest = set(gains) - set(found.hot.layers)
    left = 3000 - found.hot.bytes
    for inside in found.hot.layers:
        for outside in rest:
            assert gains[outside] <= gains[inside] or sizes[outside] > left, "a better one would have had room"
    assert found.tables.bytes + found.hot.bytes == sum(sizes)
    assert [found.hot_layer(i) for i in range(len(sizes))] == [i in found.hot.layers for i in range(len(sizes))]
    expected = 5 * sum(table_reads(program.steps[i], sizes[i]).all for i in rest)
    assert (found.hot.wait_cycles, found.tables.wait_cycles) == (0, expected)


def test_the_main_ram_is_not_taken_for_tables_unless_asked(kws: tuple[Program, MemoryMap], tmp_path: Path) -> None:
    assert placed(kws, tmp_path, [FLASH, replace_wait(SLOW, 0)]).hot is None
    board = load_board("esp32")
    asked = place(*kws, board, "arduino", "platformio", {"tables": "dram"})
    assert asked.hot is not None
    assert (asked.hot.memory, asked.hot.attribute) == ("dram", "DRAM_ATTR")
    assert asked.copied(board) == asked.hot.bytes == sum(table_bytes(kws[0]))


def test_what_a_user_wants(kws: tuple[Program, MemoryMap], tmp_path: Path) -> None:
    rows = [FLASH, SLOW, ("fast", "ram", 0x30000000, 65536, 0, 0)]
    found = placed(kws, tmp_path, rows, {"arena": "slow", "tables": "flash"})
    assert (found.arena.memory, found.hot, found.tables.memory) == ("slow", None, "flash")
    for wanted, error, text in (
        ({"arena": "fst"}, UsageError, "did you mean 'fast'?"),
        ({"arena": "flash"}, UsageError, "slow or fast"),
    ):
        with pytest.raises(error) as caught:
            placed(kws, tmp_path, rows, wanted)
        assert text in f"{caught.value.expected} {caught.value.hint}"
    tiny = [FLASH, SLOW, ("fast", "ram", 0x30000000, 100, 0, 0)]
    for wanted in ({"arena": "fast"}, {"tables": "fast"}):
        with pytest.raises(DoesNotFitError):
            placed(kws, tmp_path, tiny, wanted)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ((), {}),
        (("arena=dtcm", "tables=flash"), {"arena": "dtcm", "tables": "flash"}),
        (("arena=dtcm, tables=itcm",), {"arena": "dtcm", "tables": "itcm"}),
    ],
)
def test_option(texts: tuple[str, ...], found: dict[str, str]) -> None:
    assert parse_wanted(texts) == found


@pytest.mark.parametrize(
    ("text", "says"), [("arena", "expected"), ("=x", "placed"), ("aren=x", "'arena'"), ("arena=", "expected")]
)
def test_option_that_is_wrong(text: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_wanted([text])
    assert says in f"expected {error.value.expected} {error.value.found} {error.value.hint}"


# ---- kinds of projects


def test_a_project_that_does_not_link_places_nothing_by_sections(kws: tuple[Program, MemoryMap]) -> None:
    board = load_board("nucleo_h743zi")
    assert place(*kws, board, "arduino", "platformio").arena.memory == "dtcm"
    for kind in ("c", "cmake"):
        assert place(*kws, board, "arduino", kind).arena.attribute == ""


def test_psram_needs_a_framework_that_can_use_it(kws: tuple[Program, MemoryMap]) -> None:
    board = load_board("esp32cam")
    large = replace(kws[1], arena=replace(kws[1].arena, size=200_000))
    found = place(kws[0], large, board, "espidf", "platformio")
    assert (found.arena.memory, found.arena.attribute) == ("psram", "EXT_RAM_BSS_ATTR")
    with pytest.raises(DoesNotFitError) as error:
        place(kws[0], large, board, "arduino", "platformio")
    assert "--framework espidf can use the psram" in error.value.hint


WRONG = [
    ('place.baremetal = { areena = "link" }', "'arena'"),
    ('place.baremetal = { arena = "dram" }', "DRAM_ATTR"),
    ('place.baremetal = { tables = "link" }', "DRAM_ATTR"),
    ('place.arduino = { arena = "link" }', "place.arduino"),
    ("wait = 2000", "0 to 1000"),
    ('wait = "slow"', "a whole number"),
]


@pytest.mark.parametrize(("line", "says"), WRONG)
def test_a_wrong_memory_names_the_key(tmp_path: Path, line: str, says: str) -> None:
    text = Path(board_file(tmp_path, [FLASH, SLOW])).read_text().replace("wait = 2\n", f"{line}\n")
    with pytest.raises(UsageError) as error:
        parse_board(text, "small.toml")
    assert "memory[1]." in error.value.where
    assert says in f"{error.value.where} {error.value.expected} {error.value.hint}"


@pytest.mark.parametrize("names", [("ram", "ram"), ("My RAM", "other")])
def test_names_of_memories(tmp_path: Path, names: tuple[str, str]) -> None:
    rows: Rows = [FLASH, (names[0], "ram", 0x20000000, 4096, 0, 0), (names[1], "ram", 0x30000000, 4096, 0, 0)]
    with pytest.raises(TinycError, match="memory"):
        load_board(board_file(tmp_path, rows))


def boards_that_place() -> list[Board]:
    return [load_board(name) for name in ("mps3-an547", "nucleo_h743zi", "esp32cam")]


@pytest.mark.parametrize("board", boards_that_place(), ids=lambda board: board.name)
def test_every_way_to_place_is_for_a_usable_memory(board: Board) -> None:
    for region in board.memory:
        assert not region.place or region.usable_by_app


# ---- generated C


ESP_ATTR = """\
#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#define EXT_RAM_BSS_ATTR __attribute__((section(".ext_ram.bss." TEXT(__COUNTER__))))
#define DRAM_ATTR __attribute__((section(".dram1." TEXT(__COUNTER__))))
#define IRAM_ATTR __attribute__((section(".iram1." TEXT(__COUNTER__))))
"""


@pytest.fixture(scope="module")
def camera() -> Compilation:
    place = {"arena": "psram", "tables": "dram"}
    return compile_model(KWS, Options("esp32cam", framework="espidf", verify="none", place=place))


def test_esp_attributes_reach_the_object(camera: Compilation, tmp_path: Path) -> None:
    """With the attributes as ESP-IDF defines them (esp_attr.h), and without them on any other compiler."""
    for path, data in camera.library.items():
        (tmp_path / path).write_bytes(data)
    (tmp_path / "esp_attr.h").write_text(ESP_ATTR)
    (tmp_path / "app.c").write_text('#include "kws.h"\nKWS_CONTEXT_SECTION kws_context ctx;\n')
    command = ["cc", "-std=gnu99", "-O1", "-Wall", "-Wextra", "-Werror", "-I.", "-c"]
    for flags, wanted in (
        (["-DESP_PLATFORM", "-DTINYC_CODE=IRAM_ATTR"], True),
        ([], False),
        (["-DESP_PLATFORM", "-DKWS_CONTEXT_SECTION=", "-DKWS_HOT_TABLE_SECTION="], False),
    ):
        for source in ("app.c", "kws.c", "tinyc_softmax_s8.c"):
            subprocess.run([*command, *flags, source], cwd=tmp_path, check=True)
        names = sections(tmp_path / "app.o") | sections(tmp_path / "kws.o")
        assert any(name.startswith(".ext_ram.bss.") for name in names) == wanted
        assert any(name.startswith(".dram1.") for name in names) == wanted
        code = sections(tmp_path / "tinyc_softmax_s8.o")
        assert any(name.startswith(".iram1.") for name in code) == ("-DTINYC_CODE=IRAM_ATTR" in flags)


def sections(path: Path) -> set[str]:
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        return {section.name for section in ELFFile(file).iter_sections() if section["sh_size"]}


def test_the_project_turns_psram_on(camera: Compilation) -> None:
    assert b"CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY=y\n" in camera.files["sdkconfig.defaults"]
    assert b"KWS_CONTEXT_SECTION static kws_context context;\n" in camera.files["src/model_io.c"]
    usual = compile_model(KWS, Options("esp32cam", framework="espidf", verify="none"))
    assert b"SPIRAM" not in usual.files["sdkconfig.defaults"]
    assert [place.memory for place in usual.report.memories] == ["dram", "flash"]


def test_the_report_has_the_places(camera: Compilation) -> None:
    rows = {row["what"]: row for row in camera.report.to_json()["memories"]}
    assert rows["arena"]["memory"] == "psram"
    assert rows["arena"]["bytes"] == camera.memory.size
    assert rows["hot tables"]["bytes"] == sum(table_bytes(camera.program))
    assert camera.report.warnings
    fit = camera.report.fit
    assert fit.ram_used == camera.memory.size + sum(table_bytes(camera.program)), "copies take RAM too"
