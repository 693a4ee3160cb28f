# SPDX-License-Identifier: Apache-2.0
"""Running models in turn finds what running each alone does not: something of one that changes another's result."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tinyc.errors import MismatchError, UsageError
from tinyc.pipeline import Options
from tinyc.projects import Firmware, Model
from tinyc.share import Together, compile_models
from tinyc.targets.cpus import find_cpu
from tinyc.verification import EngineResult
from tinyc.verification.alternate import Part, turns, verify_in_turn

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS = [ROOT / "examples" / name / f"{name}.tflite" for name in ("kws", "sine")]
HOST = find_cpu("host")


@pytest.fixture(scope="module")
def built() -> Together:
    return compile_models(MODELS, [], Options("host", format="c", verify="none"), share_arena=True)


def parts(built: Together, changed: str = "") -> list[Part]:
    """The models; `changed` is put at the end of sine_run."""
    found = [Part(model.name, model.program, model.library) for model in built.models]
    text = found[1].library["sine.c"].decode()
    assert text.endswith("}\n")
    library = {**found[1].library, "sine.c": f"{text[:-2]}{changed}}}\n".encode()}
    return [found[0], replace(found[1], library=library)]


def run(built: Together, given: list[Part], count: int = 3) -> EngineResult:
    return verify_in_turn(given, turns(given, count, 1), header=built.files["models.h"], emulator="host", cpu=HOST)


def test_in_turn_on_different_inputs(built: Together) -> None:
    given = parts(built)
    order = turns(given, 3, 1)
    assert [turn.part.name for turn in order] == ["kws", "sine"] * 3
    first, second = (turn.inputs[0] for turn in order if turn.part.name == "kws" and turn.number < 2)
    assert not np.array_equal(first, second)
    assert len(turns(given, 1, 1)) == 4, "two rounds, or no model would run after all others"
    result = run(built, given)
    assert (result.inputs, result.bytes_compared) == (6, 3 * (6 + 1))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        # what kws left in the memory gets into the result
        ("    arena[0] = (uint8_t)(arena[0] + (*((const uint8_t *)ctx + sizeof *ctx + 200) != 0));\n", "run after kws"),
        # a state that is not in the context
        ("    static uint8_t runs; arena[0] = (uint8_t)(arena[0] + runs++);\n", "input set 1"),
        # a byte behind the whole memory
        ("    ((uint8_t *)ctx)[3648 + 40] = 1;\n", "wrote outside of the models' memory"),
    ],
)
def test_what_one_leaves_to_another_is_found(built: Together, change: str, text: str) -> None:
    change = change.replace("arena[0]", "*(uint8_t *)(uintptr_t)sine_output(ctx)").replace(
        "3648", str(built.report.arena)
    )
    with pytest.raises(MismatchError, match=text) as error:
        run(built, parts(built, change))
    assert error.value.exit_code == 5


def test_the_runtime_of_the_models_must_be_the_same(built: Together) -> None:
    model = built.models[0]
    other = Model({**built.models[1].library, "tinyc_kernels.h": b"/* another */\n"}, built.models[1].info)
    with pytest.raises(UsageError, match=r"tinyc_kernels.h: differs between the models"):
        Firmware((Model(model.library, model.info), other)).library  # noqa: B018
