# SPDX-License-Identifier: Apache-2.0
""".npy, .npz, arrays and folders of .npy files as data."""

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from inputs import quantized, real
from tinyc.data import DataOptions, load
from tinyc.errors import ModelError, UsageError

IMAGE = real(1, 4, 5, 3)
RANDOM = np.random.default_rng(1)
SAMPLES = RANDOM.normal(size=(7, 4, 5, 3)).astype(np.float32)


def saved(folder: Path, array: np.ndarray, name: str = "x.npy") -> Path:
    np.save(folder / name, array)
    return folder / name


@pytest.mark.parametrize(
    "array",
    [SAMPLES, SAMPLES.reshape(7, 60), SAMPLES.astype(np.float64), np.asfortranarray(SAMPLES), SAMPLES[:, None]],
    ids=["exact", "flat", "float64", "fortran", "extra axis"],
)
def test_many_samples(tmp_path: Path, array: np.ndarray) -> None:
    data = load(saved(tmp_path, array), [IMAGE])
    assert data.arrays[0].dtype == np.float32 and data.arrays[0].flags.c_contiguous
    np.testing.assert_array_equal(data.arrays[0], SAMPLES)
    assert data.names[2] == "x.npy[2]" and data.labels is None and data.found == 7 and data.preprocessing.plain


@pytest.mark.parametrize("array", [SAMPLES[0], SAMPLES[:1], SAMPLES[0][None, None]])
def test_one_sample(tmp_path: Path, array: np.ndarray) -> None:
    data = load(saved(tmp_path, array), [IMAGE])
    np.testing.assert_array_equal(data.arrays[0], SAMPLES[:1])
    assert data.names == ("x.npy",)


def test_missing_axes_of_one(tmp_path: Path) -> None:
    array = SAMPLES[:, :, :, 0]
    np.testing.assert_array_equal(load(array, [real(1, 4, 5, 1)]).arrays[0], array[..., None])


def test_scale_mean_and_std_are_float32_operations_in_order() -> None:
    pixels = RANDOM.integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    options = DataOptions(scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2,))
    data = load(pixels, [IMAGE], options)
    f = np.float32
    expected = (pixels.astype(f) * f(1 / 255) - np.array([0.4, 0.5, 0.6], f)) / f(0.2)
    np.testing.assert_array_equal(data.arrays[0], expected)
    assert data.preprocessing.std == (float(f(0.2)),) * 3
    assert data.warnings == ()


def test_one_mean_per_element() -> None:
    mean = tuple(float(v) for v in range(60))
    data = load(SAMPLES, [IMAGE], DataOptions(mean=mean))
    np.testing.assert_array_equal(data.arrays[0], SAMPLES - np.arange(60, dtype=np.float32).reshape(4, 5, 3))


def test_quantized_models_take_real_values_and_their_own_integers() -> None:
    tensor = quantized(1, 6)
    values = np.array([[-1000, -0.25, 0.24, 0.25, 0.75, 1000]], np.float32)
    data = load(values, [tensor])
    assert data.arrays[0].dtype == np.float32
    assert data.quantized([tensor])[0].tolist() == [[-128, 2, 3, 4, 5, 127]]
    numbers = np.array([[-128, -1, 0, 1, 2, 127]], np.int8)
    own = load(numbers, [tensor])
    assert own.arrays[0].dtype == np.int8
    assert own.quantized([tensor])[0].tolist() == numbers.tolist()


def test_quantized_equals_the_reference_of_the_quantize_operator() -> None:
    from tinyc.graph import single_node_graph
    from tinyc.reference import outputs

    values = np.concatenate([RANDOM.normal(0, 40, 5000), np.arange(-300, 300) / 4, [3e38, -3e38, 0.0]])
    array = values.astype(np.float32)[None]
    tensor = quantized(*array.shape)
    graph = single_node_graph("QUANTIZE", (real(*array.shape),), (tensor,))
    expected = outputs(graph, [array])[0]
    np.testing.assert_array_equal(load(array, [tensor]).quantized([tensor])[0], expected)


def test_int16() -> None:
    tensor = quantized(1, 4, dtype="int16", scale=0.001, zero_point=0)
    values = np.array([[-40, -0.0005, 0.0016, 40]], np.float32)
    assert load(values, [tensor]).quantized([tensor])[0].tolist() == [[-32768, -1, 2, 32767]]


def test_samples_are_chosen_by_content() -> None:
    chosen = load(SAMPLES, [IMAGE], DataOptions(samples=3))
    assert len(chosen) == 3 and chosen.found == 7
    for seed in range(5):
        shuffled = np.random.default_rng(seed).permutation(SAMPLES)
        other = load(shuffled, [IMAGE], DataOptions(samples=3))
        assert {a.tobytes() for a in other.arrays[0]} == {a.tobytes() for a in chosen.arrays[0]}
    assert [SAMPLES.tolist().index(a) for a in chosen.arrays[0].tolist()] == sorted(
        SAMPLES.tolist().index(a) for a in chosen.arrays[0].tolist()
    )


def test_equal_samples_with_different_labels_are_chosen_alike(tmp_path: Path) -> None:
    x = np.zeros((6, 2), np.float32)
    y = np.array([0, 1, 2, 3, 4, 5])
    chosen = []
    for order in (slice(None), slice(None, None, -1)):
        np.savez(tmp_path / "d.npz", x=x, y=y[order])
        chosen.append(sorted(load(tmp_path / "d.npz", [real(1, 2)], DataOptions(samples=2)).labels.tolist()))
    assert chosen[0] == chosen[1]


def test_npz_with_labels(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=SAMPLES, y=np.arange(7) % 3)
    data = load(tmp_path / "d.npz", [IMAGE])
    assert data.labels.dtype == np.int64 and data.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    np.testing.assert_array_equal(data.arrays[0], SAMPLES)


def test_npz_for_several_inputs(tmp_path: Path) -> None:
    two = [real(1, 4, 5, 3, name="serving_a:0"), real(1, 2, name="serving_b:0")]
    second = RANDOM.normal(size=(7, 2)).astype(np.float32)
    np.savez(tmp_path / "d.npz", b=second, a=SAMPLES)
    data = load(tmp_path / "d.npz", two, names=("a", "b"))
    np.testing.assert_array_equal(data.arrays[0], SAMPLES)
    np.testing.assert_array_equal(data.arrays[1], second)
    with pytest.raises(ModelError, match=r"an array for each input: c, d"):
        load(tmp_path / "d.npz", two, names=("c", "d"))
    np.savez(tmp_path / "d.npz", b=second[:6], a=SAMPLES)
    with pytest.raises(ModelError, match="a has 7, b has 6"):
        load(tmp_path / "d.npz", two, names=("a", "b"))
    with pytest.raises(ModelError, match="feeds one input, and the model has 2"):
        load(saved(tmp_path, SAMPLES), two)


def test_folder_of_npy_in_class_folders(tmp_path: Path) -> None:
    for name in ("b/2.npy", "b/10.npy", "a/x/1.npy", "a/7.npy", ".hidden/1.npy", "_noise_/1.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        saved(tmp_path, SAMPLES[len(name) % 7], name)
    data = load(tmp_path, [IMAGE])
    assert data.names == ("a/7.npy", "a/x/1.npy", "b/10.npy", "b/2.npy")
    assert data.classes == ("a", "b") and data.labels.tolist() == [0, 0, 1, 1]
    model = load(tmp_path, [IMAGE], classes=("b", "c", "a"))
    assert model.labels.tolist() == [2, 2, 0, 0] and model.classes == ("b", "c", "a")
    with pytest.raises(ModelError, match=r"label 'b' of 'b/10\.npy' is none of the model's"):
        load(tmp_path, [IMAGE], classes=("a", "c"))


BAD_ARRAYS = {
    "shape": (np.zeros((3, 4, 4, 3), np.float32), r"shape \[3, 4, 4, 3\]"),
    "channels first": (np.zeros((7, 3, 4, 5), np.float32), r"numpy.transpose\(array, \[0, 2, 3, 1\]\)"),
    "one, channels first": (np.zeros((3, 4, 5), np.float32), r"numpy.transpose\(array, \[1, 2, 0\]\)"),
    "joined": (np.zeros((14, 2, 5, 3), np.float32), r"array.reshape\(-1, 4, 5, 3\)"),
    "rows that are not whole": (np.zeros((60, 11), np.float32), "bring every sample to the shape"),
    "empty": (np.zeros((0, 4, 5, 3), np.float32), "empty array"),
    "nan": (np.where(np.arange(420).reshape(7, 4, 5, 3) == 200, np.nan, SAMPLES), r"x.npy\[3\]: value nan at \[1, 1, 2\]"),
    "infinite": (SAMPLES + np.float32(np.inf), "value inf"),
    "beyond float32": (SAMPLES.astype(np.float64) * 1e300, "value -?inf"),
    "int8": (np.zeros((7, 4, 5, 3), np.int8), "look quantized"),
    "complex": (SAMPLES.astype(np.complex64), "complex64 data"),
    "text": (np.full((7, 4, 5, 3), "a"), "<U1 data"),
    "records": (np.zeros((7,), np.dtype([("a", "f4")])), "data"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_array(tmp_path: Path, case: str) -> None:
    array, message = BAD_ARRAYS[case]
    path = saved(tmp_path, array)
    with pytest.raises(ModelError, match=message) as caught:
        load(path, [IMAGE])
    assert "x.npy" in caught.value.where and caught.value.expected


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (pytest.fail, ("unpickled",))

    path = tmp_path / "x.npy"
    np.save(path, np.array([Boom()], object), allow_pickle=True)
    with pytest.raises(ModelError, match="Python objects"):
        load(path, [IMAGE])
    np.savez(tmp_path / "x.npz", np.array([Boom()], object))
    with pytest.raises(ModelError, match="Python objects"):
        load(tmp_path / "x.npz", [IMAGE])


def test_damaged_npy(tmp_path: Path) -> None:
    whole = saved(tmp_path, SAMPLES).read_bytes()
    path = tmp_path / "x.npy"
    damaged = [b"", b"hello", whole[:40], whole[:200], whole[:-1]]
    for old, new in (
        (b"(7, 4", b"(-7,4"),
        (b"<f4", b"|O0"),
        (b"}", b"("),
        (b"{", b"((((((((("),
        (b"(7, 4, 5, 3)", b"(9999999999,)"),
    ):
        damaged.append(whole.replace(old, new))
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(ModelError, match=r"x\.npy"):
            load(path, [IMAGE])


def test_damaged_npz(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=SAMPLES)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        with contextlib.suppress(ModelError):  # a flipped bit in a checksum's name or a time is harmless
            load(path, [IMAGE])


def test_an_archive_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(1000))
    with pytest.raises(ModelError, match="cut short"):
        load(tmp_path / "x.npz", [IMAGE])


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyc.data.select.MAX_BYTES", 4 * SAMPLES[0].nbytes)
    with pytest.raises(ModelError, match="--samples"):
        load(SAMPLES, [IMAGE])
    assert len(load(SAMPLES, [IMAGE], DataOptions(samples=4))) == 4


def test_scaling_quantized_data_is_an_error() -> None:
    with pytest.raises(ModelError, match="count as quantized already"):
        load(np.zeros((2, 6), np.int8), [quantized(1, 6)], DataOptions(scale=0.5))


def test_options_that_mean_nothing_are_errors() -> None:
    with pytest.raises(UsageError, match="--sample-rate: means nothing for an array"):
        load(SAMPLES, [IMAGE], DataOptions(sample_rate=16000))
    with pytest.raises(UsageError, match="--mean: 2 values"):
        load(SAMPLES, [IMAGE], DataOptions(mean=(1.0, 2.0)))
    with pytest.raises(UsageError, match="--std: is 0"):
        DataOptions(std=(0.0,))
    with pytest.raises(UsageError, match="--resize: unknown 'crp'"):
        DataOptions(resize="crp")


def test_nowhere(tmp_path: Path) -> None:
    for source in (tmp_path / "a.npy", str(tmp_path / "none"), tmp_path / "a.py"):
        with pytest.raises(ModelError, match="no such file"):
            load(source, [IMAGE])
    with pytest.raises(ModelError, match="has no files"):
        load(tmp_path, [IMAGE])
    (tmp_path / "a.doc").touch()
    with pytest.raises(ModelError, match=r"files of the kinds \.doc"):
        load(tmp_path, [IMAGE])
    with pytest.raises(ModelError, match=r"'\.doc' data"):
        load(tmp_path / "a.doc", [IMAGE])
