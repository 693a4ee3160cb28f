# SPDX-License-Identifier: Apache-2.0
"""Program → which of the board's memories holds the arena and which the tables: by how often they are read and how long that waits.

The estimate of waiting is (words read) × (the memory's `wait`), per inference. Words read:

* tables: every word once per output pixel of a layer with multiplications (kernels that compute several pixels at a time read
  less), one access per output element for other layers;
* arena: a word per four multiplications, and the output once; input and output once for layers without multiplications.
  The same for a model's input that has memory of its own.

What one layer reads counts once if it fits the memory's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .boards import PLACEABLE, Board, Memory
from .errors import DoesNotFitError, UsageError, suggestion
from .memory import MemoryMap, plan_memory, separable_inputs
from .ops import op_of
from .program import Program, Step

#: What a user can place.
THINGS = (*PLACEABLE, "input")

#: Bytes left for everything but the kernels where tables share a memory with code.
CODE_BYTES = 32768

#: What a table's alignment may cost, in bytes.
_PADDING = 16


@dataclass(frozen=True)
class Place:
    """Where one thing is.

    Attributes:
        what: `arena`, `input` (where it is not in the arena), `tables` (all, or the others when some are apart), `hot tables`.
        memory: its name in the board's file; `kind` is the memory's, `available` the bytes that an application can use of it.
        bytes: of the thing.
        wait_cycles: what the memory's speed costs per inference; an estimate.
        attribute: what C writes in a definition; empty where the linker puts it anyway.
        layers: the layers whose tables these are; for the arena none.
    """

    what: str
    memory: str
    kind: str
    available: int
    bytes: int
    wait_cycles: int
    attribute: str = ""
    layers: tuple[int, ...] = ()

    @property
    def guard(self) -> str:
        """The condition of the C preprocessor under which `attribute` means something."""
        return "defined(__ELF__)" if self.attribute.startswith("__attribute__") else "defined(ESP_PLATFORM)"


@dataclass(frozen=True)
class Placement:
    """Places of the arena and the tables; `hot` are tables that are apart from the others, `input` inputs that are apart from the arena.

    `warnings`: what a user should know.
    """

    arena: Place
    tables: Place
    hot: Place | None = None
    input: Place | None = None
    warnings: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(place for place in (self.arena, self.input, self.hot, self.tables) if place is not None)

    @property
    def links(self) -> bool:
        """Whether sections of our own are used, which a linker script must know."""
        return any(place.attribute.startswith("__attribute__") for place in self.places)

    def copied(self, board: Board) -> int:
        """Bytes of tables that the startup copies into the RAM with data and stack."""
        main = board.main_memory("ram").name
        return self.hot.bytes if self.hot is not None and self.hot.memory == main else 0

    def hot_layer(self, step: int) -> bool:
        return self.hot is not None and step in self.hot.layers


def table_bytes(program: Program) -> list[int]:
    """Per step, the bytes of the tables that it brings into flash; constant tensors that an earlier step passes too are free."""
    seen: set[int] = set()
    found = []
    for step in program.steps:
        new = [tensor for tensor in step.passed_constants() if tensor not in seen]
        seen.update(new)
        packed = sum(constant.values.nbytes for constant in step.binding.constants)
        found.append(packed + sum(program.tensor(tensor).bytes for tensor in new))
    return found


@dataclass(frozen=True)
class Reads:
    """Words that a layer reads: `all` accesses, and `once` for what a cache of at least `span` bytes would have to fetch."""

    all: int
    once: int
    span: int

    def wait(self, memory: Memory) -> int:
        """Cycles of waiting."""
        return memory.wait * (self.once if self.span <= memory.cache else self.all)


def table_reads(step: Step, size: int) -> Reads:
    """Of the step's tables, `size` bytes."""
    output, words = step.layer.output, -(-size // 4)
    if not size or not op_of(step.layer).macs(step.layer):
        return Reads(output.elements if size else 0, words, size)
    pixels = output.elements // max(output.shape[-1] if output.shape else 1, 1)
    return Reads(words * max(pixels, 1), words, size)


def activation_reads(step: Step, program: Program, outside: Sequence[int] = ()) -> tuple[Reads, Reads]:
    """Of the arena by one step, reads and writes, and of the inputs that are outside of it."""
    macs = op_of(step.layer).macs(step.layer)
    moved = sum(tensor.bytes for tensor in step.layer.outputs)
    inputs = [index for index in step.layer.node.inputs if index in program.storage]
    apart = sum(program.tensor(index).bytes for index in inputs if program.storage[index] in outside)
    given = sum(program.tensor(index).bytes for index in inputs) - apart
    return _reads(0 if apart else macs, moved, given), _reads(macs if apart else 0, 0, apart)


def _reads(macs: int, moved: int, given: int) -> Reads:
    once = -(-(moved + given) // 4)
    return Reads(max(-(-(macs + moved) // 4), once), once, moved + given)


def attribute(board: Board, framework: str, kind: str, memory: Memory, what: str) -> str | None:
    """What C writes to put `what` into `memory`; empty for where it goes anyway; None when the project cannot put it there."""
    if memory == board.main_memory("ram" if what == "arena" else "flash"):
        return ""
    if not memory.usable_by_app or (what == "arena" and memory.kind == "flash"):
        return None
    bare = framework == "baremetal"
    how = "link" if bare else memory.place.get(framework, {}).get(what)
    if how != "link":
        return how
    section = ".bss" if what == "arena" else ".rodata" if memory.kind == "flash" else ".data"
    linked = kind == ("cmake" if bare else "platformio")
    return f'__attribute__((section("{section}.tinyc_{memory.name}")))' if linked else None


def outside_bytes(board: Board, framework: str, kind: str) -> int:
    """Bytes for an arena in RAM outside of the chip, 0 where the project cannot put it there."""
    outside = [region for region in board.memory if region.kind == "psram"]
    usable = [region for region in outside if attribute(board, framework, kind, region, "arena") is not None]
    return max((region.usable_by_app for region in usable), default=0)


def place(
    program: Program,
    memory: MemoryMap,
    board: Board,
    framework: str,
    kind: str,
    wanted: Mapping[str, str] | None = None,
    stack: int = 0,
) -> Placement:
    """Chooses the places.

    Args:
        framework, kind: of the project, which decide what its linker can do.
        wanted: thing of THINGS → name of a memory, the user's own choice.
        stack: bytes of stack beside the arena as far as known.

    Raises:
        UsageError: `wanted` names what the board, framework or kind of project cannot do.
        DoesNotFitError: no memory, or not the wanted one, is large enough.
    """
    return _Placer(program, memory, board, framework, kind, wanted or {}, stack).place()


def inputs_apart(
    program: Program, memory: MemoryMap, board: Board, framework: str, kind: str, wanted: Mapping[str, str], stack: int
) -> MemoryMap:
    """The plan with the model's inputs in memory of their own, if the user wants that, or if only so the arena fits into the chip."""
    inputs = separable_inputs(program)
    if "input" in wanted:
        if not inputs:
            raise UsageError("--place input", "the inputs of this build cannot be apart from the arena")
        return plan_memory(program, inputs)
    room = board.ram_bytes - stack
    needed = sum(program.tensor(index).bytes for index in inputs)
    if not inputs or "arena" in wanted or memory.size <= room or needed > outside_bytes(board, framework, kind):
        return memory
    apart = plan_memory(program, inputs)
    return apart if apart.size <= room else memory


def parse_wanted(texts: Sequence[str]) -> dict[str, str]:
    """`arena=dtcm`, `tables=flash` (also with commas between) as a map. Raises UsageError."""
    found: dict[str, str] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        what, equals, where = part.partition("=")
        if not equals or not where:
            raise UsageError("--place", f"'{part}'", expected="THING=MEMORY, such as arena=dtcm")
        if what not in THINGS:
            raise UsageError("--place", f"'{what}' cannot be placed", hint=suggestion(what, THINGS))
        found[what] = where
    return found


class _Placer:
    """One choice. The arena comes first: every layer uses it."""

    def __init__(
        self,
        program: Program,
        memory: MemoryMap,
        board: Board,
        framework: str,
        kind: str,
        wanted: Mapping[str, str],
        stack: int,
    ) -> None:
        self.program, self.memory, self.board = program, memory, board
        self.framework, self.kind, self.wanted = framework, kind, wanted
        self.stack = stack
        self.main = {"arena": board.main_memory("ram"), "tables": board.main_memory("flash")}
        self.sizes = table_bytes(program)

    def place(self) -> Placement:
        arena = self._place_arena()
        hot, layers = self._hot_tables(arena)
        rest = [index for index in range(len(self.sizes)) if index not in layers]
        tables = self._tables("tables", self.main["tables"], rest)
        apart = self._tables("hot tables", hot, layers) if hot is not None else None
        given = self._place_inputs(arena) if self.memory.outside else None
        return Placement(self._arena_place(arena), tables, apart, given, tuple(self._warnings(arena)))

    def _attribute(self, memory: Memory, what: str) -> str | None:
        return attribute(self.board, self.framework, self.kind, memory, "tables" if what == "tables" else "arena")

    def _wanted(self, what: str) -> Memory | None:
        if what not in self.wanted:
            return None
        name = self.wanted[what].lower()
        found = next((region for region in self.board.memory if region.name == name), None)
        where = f"--place {what}={self.wanted[what]}"
        possible = [region.name for region in self.board.memory if self._attribute(region, what) is not None]
        if found is None:
            names = [region.name for region in self.board.memory]
            raise UsageError(where, f"{self.board.name} has no memory '{name}'", hint=suggestion(name, names))
        if name not in possible:
            raise UsageError(
                where,
                f"the linker of a project for {self.framework} (--format {self.kind}) puts no {what} there",
                expected=" or ".join(possible),
            )
        return found

    # ---- arena

    def _room(self, memory: Memory) -> int:
        """Bytes for the arena."""
        return memory.usable_by_app - (self.stack if memory == self.main["arena"] else 0)

    def _waits(self, memory: Memory, part: int) -> int:
        """Of the arena (0) or of the inputs outside of it (1)."""
        steps, outside = self.program.steps, self.memory.outside
        return sum(activation_reads(step, self.program, outside)[part].wait(memory) for step in steps)

    def _place_inputs(self, arena: Memory) -> Place:
        """PSRAM, or what the user wants."""
        needed = sum(self.program.tensor(index).bytes for index in self.memory.outside)
        wanted = self._wanted("input")
        possible = [wanted] if wanted else [region for region in self.board.memory if region.kind == "psram"]
        for region in possible:
            taken = self.memory.size if region == arena else 0
            text = self._attribute(region, "input")
            if text is not None and needed + taken <= self._room(region):
                return Place(
                    "input", region.name, region.kind, region.usable_by_app, needed, self._waits(region, 1), text
                )
        raise DoesNotFitError(f"board {self.board.name}", f"no memory has room for the input of {needed:,} B")

    def _place_arena(self) -> Memory:
        """The fastest memory with room; the one where the linker puts data anyway among equals."""
        wanted = self._wanted("arena")
        possible = [region for region in self.board.memory if self._attribute(region, "arena") is not None]
        possible = [wanted] if wanted else [region for region in possible if region.kind in ("ram", "psram")]
        for region in sorted(possible, key=lambda m: (m.kind == "psram", m.wait, m != self.main["arena"])):
            if self.memory.size <= self._room(region):
                return region
        if wanted is None and self.memory.size <= self.main["arena"].usable_by_app:
            return self.main["arena"]  # with the stack it is too much, as `check_fit` will say
        rooms = ", ".join(f"{region.name} {max(self._room(region), 0):,} B" for region in possible)
        external = [m for m in self.board.memory if m.kind == "psram" and self._room(m) >= self.memory.size]
        others = [name for name in self.board.frameworks for m in external if "arena" in m.place.get(name, {})]
        hint = "--optimize ram makes it smaller" + (f"; --framework {others[0]} can use the psram" if others else "")
        raise DoesNotFitError(
            f"board {self.board.name}",
            f"the arena of {self.memory.size:,} B is in one piece, and there is room for: {rooms}",
            hint=hint,
        )

    def _arena_place(self, memory: Memory) -> Place:
        waits, text = self._waits(memory, 0), self._attribute(memory, "arena") or ""
        return Place("arena", memory.name, memory.kind, memory.usable_by_app, self.memory.size, waits, text)

    def _warnings(self, arena: Memory) -> Iterator[str]:
        if arena.kind != "psram":
            return
        inside, waits = self.main["arena"], self._waits(arena, 0)
        time = f" ({1000 * waits / self.board.clock_hz:,.1f} ms)" if self.board.clock_hz else ""
        over = self.memory.size - self._room(inside)
        why = f"{over:,} B too large for {inside.name}" if over > 0 else f"{inside.name} has room for it"
        yield (
            f"the arena is in {arena.name}, outside of the chip: about {waits:,} cycles{time} of waiting per inference, "
            f"by estimate; {why}"
        )

    # ---- tables

    def _hot_tables(self, arena: Memory) -> tuple[Memory | None, tuple[int, ...]]:
        """The memory that saves most waiting by what fits into it, and the layers whose tables those are."""
        main, wanted = self.main["tables"], self._wanted("tables")
        if wanted is not None:
            if wanted == main:
                return None, ()
            layers = self._fill(wanted, arena)
            if not layers and any(self.sizes):
                room = f"{max(self._table_room(wanted, arena), 0):,} B"
                raise DoesNotFitError(f"--place tables={wanted.name}", f"no layer's tables fit in {room}")
            return wanted, layers
        best, saved, found = None, 0, tuple[int, ...]()
        for region in self.board.memory:
            # The main RAM is the application's: tables are copied there only when asked for.
            if region.kind == "psram" or region in (main, self.main["arena"]) or region.wait >= main.wait:
                continue
            if self._attribute(region, "tables") is not None:
                layers = self._fill(region, arena)
                gain = sum(self._gain(index, region) for index in layers)
                if gain > saved:
                    best, saved, found = region, gain, layers
        return best, found

    def _table_room(self, memory: Memory, arena: Memory) -> int:
        room = memory.usable_by_app - (self.memory.size if memory == arena else 0)
        if memory == self.main["arena"]:
            room -= self.stack
        if memory == next(m for m in self.board.memory if m.kind == "flash" and m.usable_by_app):
            code = {step.kernel.function: step.kernel.code for step in self.program.steps}
            room -= CODE_BYTES + 2 * sum(code.values())
        return room

    def _gain(self, index: int, memory: Memory) -> int:
        reads = table_reads(self.program.steps[index], self.sizes[index])
        return reads.wait(self.main["tables"]) - reads.wait(memory)

    def _fill(self, memory: Memory, arena: Memory) -> tuple[int, ...]:
        """Layers whose tables fit, those that save most per byte first."""
        room, chosen = self._table_room(memory, arena), []
        indices = [index for index, size in enumerate(self.sizes) if size]
        for index in sorted(indices, key=lambda i: (-self._gain(i, memory) / self.sizes[i], i)):
            tables = len(self.program.steps[index].binding.constants)
            needed = self.sizes[index] + _PADDING * (tables + len(self.program.steps[index].passed_constants()))
            if needed <= room:
                room -= needed
                chosen.append(index)
        return tuple(sorted(chosen))

    def _tables(self, what: str, memory: Memory, layers: Sequence[int]) -> Place:
        wait = sum(table_reads(self.program.steps[i], self.sizes[i]).wait(memory) for i in layers)
        size, text = sum(self.sizes[index] for index in layers), self._attribute(memory, "tables") or ""
        own = tuple(index for index in layers if self.sizes[index])
        return Place(what, memory.name, memory.kind, memory.usable_by_app, size, wait, text, own)
