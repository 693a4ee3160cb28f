# SPDX-License-Identifier: Apache-2.0
"""The package as users install it: what is in wheel and sdist, and that it works without the repository."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import tinyc

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ("boards", "runtime_c", "templates")
SKIP = {".git", ".venv", "build", "dist", "site", "demo", "__pycache__", "tinyc.egg-info"}
SKIP |= {".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`python -m build` on a copy of the repository, so that nothing is left in it; the folder with wheel and sdist."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, folder / "repository", ignore=lambda _, names: SKIP & set(names), symlinks=True)
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "repository", cwd=folder)
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def copied(dist: Path) -> Path:
    """The copy of the repository that was built, as it was."""
    return dist.parent / "repository"


def data_files(copied: Path) -> set[str]:
    """Every file of the data folders, as the wheel should hold it."""
    files = [path for kind in DATA for path in (copied / kind).rglob("*") if path.is_file()]
    return {f"tinyc/{path.relative_to(copied).as_posix()}" for path in files}


def test_the_wheel_holds_everything(wheel: Path, copied: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        entry = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
        for name in sorted(data_files(copied) & names):
            assert archive.read(name) == (copied / name.removeprefix("tinyc/")).read_bytes(), name
    assert data_files(copied) - names == set()
    modules = {
        f"tinyc/{path.relative_to(copied / 'compiler').as_posix()}" for path in (copied / "compiler").rglob("*.py")
    }
    assert modules - names == set()
    others = {
        path for path in (copied / "compiler").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert {f"tinyc/{path.relative_to(copied / 'compiler').as_posix()}" for path in others} - names == set()
    assert "tinyc/py.typed" in names
    assert any(name.endswith("LICENSE") and ".dist-info/" in name for name in names)
    assert "tinyc = tinyc.cli:main" in entry
    assert f"Version: {tinyc.__version__}" in metadata and "Apache" in metadata and "A TinyML compiler." in metadata
    strangers = {name for name in names if not name.startswith(("tinyc/", f"tinyc-{tinyc.__version__}.dist-info/"))}
    assert strangers == set(), "only the package: no tests, no examples"
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_sdist_can_build_the_wheel(dist: Path, copied: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {name.removeprefix("tinyc/") for name in data_files(copied)}
    assert {"LICENSE", "README.md", "pyproject.toml", "compiler/py.typed"} <= names
    assert wanted - names == set()


def test_dependencies_are_few() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {name.partition(">")[0].lower() for name in project["dependencies"]}
    assert names == {"numpy", "click", "jinja2", "flatbuffers", "rich", "pyelftools"}
    assert {"emulate", "platformio", "dev"} <= set(project["optional-dependencies"])
    assert project["version"] == tinyc.__version__


def environment(folder: Path, wheel: Path, extra: str) -> Path:
    """A new virtual environment with the wheel; its folder of programs."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}{extra}"]
    run(*pip, cwd=folder)
    return programs


def use(programs: Path, folder: Path, *options: str, **changed: str) -> dict[str, object]:
    """`tinyc build` of the kws example, from a folder that has nothing of the repository; its report."""
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "kws" / "kws.tflite", folder)
    command = [programs / "tinyc", "build", "kws.tflite", "--board", "nucleo_f446re", "-o", "out", *options]
    run(*command, cwd=folder, TINYC_CACHE_DIR=str(folder / "cache"), **changed)
    where = run(programs / "python", "-c", "import tinyc; print(tinyc.__file__)", cwd=folder).strip()
    assert Path(where).is_relative_to(programs.parent)
    return json.loads((folder / "out" / "report.json").read_text())


@pytest.mark.slow
def test_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    programs = environment(tmp_path / "venv", wheel, "")
    report = use(programs, tmp_path / "work", "--verify", "none")
    ours = tinyc.compile(ROOT / "examples/kws/kws.tflite", board="nucleo_f446re", verify="none")
    theirs, expected = report.pop("files"), json.loads(ours.files["report.json"])
    assert set(theirs) == set(expected.pop("files")) and report == expected
    packages = json.loads(run(programs / "python", "-m", "pip", "list", "--format", "json", cwd=tmp_path))
    names = {package["name"].lower() for package in packages}
    direct = {"tinyc", "numpy", "click", "jinja2", "flatbuffers", "rich", "pyelftools"}
    brought = {"markupsafe", "markdown-it-py", "mdurl", "pygments"}
    assert names - {"pip", "setuptools", "wheel", "colorama"} <= direct | brought
    size = sum(
        path.stat().st_size
        for path in (tmp_path / "venv" / "lib").rglob("*")
        if path.is_file() and "pip" not in path.parts
    )
    print(f"installed: {size / 1e6:.0f} MB")
    assert size < 150e6


@pytest.mark.slow
def test_the_emulate_extra_verifies_without_any_tool_on_path(wheel: Path, tmp_path: Path) -> None:
    """pip only: a C compiler, an emulator, exact instruction counts."""
    programs = environment(tmp_path / "venv", wheel, "[emulate]")
    report = use(programs, tmp_path / "work", "--layers", PATH=str(programs))
    engines = {engine["emulator"]: engine for engine in report["verification"]}
    assert "unicorn" in engines
    assert engines["unicorn"]["toolchain"].startswith("zig ") and engines["unicorn"]["layers_compared"] == 10
    assert engines["unicorn"]["instructions"] > 0 and report["flash"]["code"] > 0
