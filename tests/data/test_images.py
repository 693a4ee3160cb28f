# SPDX-License-Identifier: Apache-2.0
"""Folders of images, and their size in integers."""

import contextlib
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from inputs import quantized, real
from pictures import save_ppm
from tinyc.data import DataOptions, load
from tinyc.data.preprocessing import ImageSteps
from tinyc.data.resize import areas, axis, fit, gray, scaled
from tinyc.errors import ModelError, ToolError, UsageError

RANDOM = np.random.default_rng(3)
IMAGE = real(1, 6, 8, 3)


def pixels(width: int, height: int, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, channels)).astype(np.uint8)


def exact(values: list[int], target: int) -> list[Fraction]:
    """One axis in exact arithmetic, as the documentation has it."""
    source, made = len(values), []
    ratio = Fraction(source, target)
    for i in range(target):
        if source > target:
            low, high = i * ratio, (i + 1) * ratio
            parts = [max(Fraction(0), min(high, j + 1) - max(low, j)) * v for j, v in enumerate(values)]
            made.append(sum(parts) / ratio)
        else:
            place = min(max((i + Fraction(1, 2)) * ratio - Fraction(1, 2), Fraction(0)), Fraction(source - 1))
            first = int(place)
            second = min(first + 1, source - 1)
            made.append(values[first] + (place - first) * (values[second] - values[first]))
    return made


@pytest.mark.parametrize(
    ("source", "target"), [(7, 3), (3, 7), (12, 4), (4, 12), (5, 5), (1, 9), (9, 1), (640, 96), (97, 96)]
)
def test_one_axis(source: int, target: int) -> None:
    values = RANDOM.integers(0, 256, source).tolist()
    want = [int(v + Fraction(1, 2)) for v in exact(values, target)]
    for image in (np.array(values, np.uint8)[None, :, None], np.array(values, np.uint8)[:, None, None]):
        wide = image.shape[0] == 1
        got = scaled(image, target if wide else 1, 1 if wide else target)
        assert got.reshape(-1).tolist() == want
    plan = axis(source, target)
    assert (plan.weights.sum(axis=1) == plan.total).all()
    assert plan.positions.min() >= 0 and plan.positions.max() < source


def test_both_axes_are_rounded_once() -> None:
    image = np.array([[[0], [1]], [[1], [0]]], np.uint8)
    assert scaled(image, 1, 1).tolist() == [[[1]]]  # 0.5 is rounded up
    assert (scaled(np.full((5, 7, 3), 255, np.uint8), 13, 3) == 255).all()


def test_gray_is_pillows() -> None:
    image_module = pytest.importorskip("PIL.Image")
    image = pixels(64, 64)
    np.testing.assert_array_equal(gray(image)[..., 0], np.asarray(image_module.fromarray(image).convert("L")))


def test_crop_and_pad() -> None:
    image = pixels(16, 6)
    crop = fit(image, ImageSteps(6, 8, "rgb", "crop"))
    np.testing.assert_array_equal(crop, image[:, 4:12])
    pad = fit(image, ImageSteps(6, 8, "rgb", "pad"))
    assert pad[0].max() == 0 and pad[4:].max() == 0
    np.testing.assert_array_equal(pad[1:4], scaled(image, 8, 3))
    tall = fit(pixels(2, 600, 1), ImageSteps(6, 8, "gray", "pad"))
    assert (tall.reshape(6, 8).max(axis=0) > 0).sum() == 1
    for resize in ("crop", "pad"):
        for width, height in ((1, 1000), (1000, 1), (1, 1)):
            source, target = areas(width, height, ImageSteps(6, 8, "rgb", resize))
            assert source.x >= 0 and source.x + source.width <= width and source.width > 0
            assert source.y >= 0 and source.y + source.height <= height and source.height > 0
            assert target.x >= 0 and target.x + target.width <= 8 and target.width > 0
            assert target.y >= 0 and target.y + target.height <= 6 and target.height > 0


def test_folder(tmp_path: Path) -> None:
    images = {name: pixels(8, 6) for name in ("cat/b.ppm", "cat/a.ppm", "ant/10.ppm", "ant/9.ppm")}
    for name, image in images.items():
        save_ppm(tmp_path / name, image)
    data = load(tmp_path, [IMAGE], DataOptions(scale=1 / 255))
    assert (
        data.names == tuple(sorted(images)) and data.classes == ("ant", "cat") and data.labels.tolist() == [0, 0, 1, 1]
    )
    for name, array in zip(data.names, data.arrays[0], strict=True):
        np.testing.assert_array_equal(array, images[name].astype(np.float32) * np.float32(1 / 255))
    assert data.preprocessing.image == ImageSteps(6, 8, "rgb", "none")
    bgr = load(tmp_path, [IMAGE], DataOptions(scale=1 / 255, color="bgr"))
    np.testing.assert_array_equal(bgr.arrays[0], data.arrays[0][..., ::-1])
    assert load(tmp_path, [quantized(1, 6, 8, 3)]).arrays[0].dtype == np.float32


@pytest.mark.parametrize("shape", [(1, 6, 8), (1, 6, 8, 1)])
def test_gray_models(tmp_path: Path, shape: tuple[int, ...]) -> None:
    colour, plain = pixels(8, 6), pixels(8, 6, 1)
    save_ppm(tmp_path / "a.ppm", colour)
    save_ppm(tmp_path / "b.pgm", plain)
    data = load(tmp_path, [real(*shape)])
    np.testing.assert_array_equal(data.arrays[0][0].reshape(6, 8, 1), gray(colour))
    np.testing.assert_array_equal(data.arrays[0][1].reshape(6, 8, 1), plain)
    data = load(tmp_path, [IMAGE])
    np.testing.assert_array_equal(data.arrays[0][1], np.repeat(plain, 3, axis=2))


def test_all_kinds_that_pillow_reads(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    image = pixels(8, 6)
    whole = image_module.fromarray(image)
    for name in ("a.png", "b.bmp", "c.tif"):
        whole.save(tmp_path / name)
    for mode in ("RGBA", "CMYK", "P", "L", "LA", "1"):
        if mode == "CMYK":
            whole.convert(mode).save(tmp_path / "m.tiff")
        else:
            whole.convert(mode).save(tmp_path / f"{mode}.png")
    whole.quantize(16).save(tmp_path / "t.png", transparency=bytes(range(16)))
    whole.save(tmp_path / "j.jpg")
    whole.save(tmp_path / "k.webp")
    whole.save(tmp_path / "l.gif")
    data = load(tmp_path, [IMAGE])
    by_name = dict(zip(data.names, data.arrays[0], strict=True))
    assert len(by_name) == 13
    for name in ("a.png", "b.bmp", "c.tif", "RGBA.png"):
        np.testing.assert_array_equal(by_name[name], image)
    np.testing.assert_array_equal(by_name["L.png"], np.repeat(gray(image), 3, axis=2))
    whole.convert("I;16" if hasattr(image_module, "core") else "I").save(tmp_path / "deep.png")
    with pytest.raises(ModelError, match="8 bits per channel"):
        load(tmp_path, [IMAGE])


def test_mixed_sizes(tmp_path: Path) -> None:
    save_ppm(tmp_path / "a.ppm", pixels(8, 6))
    save_ppm(tmp_path / "b.ppm", pixels(9, 6))
    with pytest.raises(ModelError, match=r"9 x 6 pixels\n.*8 x 6.*\n.*--resize stretch, crop or pad") as caught:
        load(tmp_path, [IMAGE])
    assert caught.value.where.endswith("b.ppm")
    assert len(load(tmp_path, [IMAGE], DataOptions(resize="crop"))) == 2


def test_bad_netpbm(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    save_ppm(path, pixels(8, 6))
    whole = path.read_bytes()
    for data, message in (
        (b"", "not a binary PGM or PPM"),
        (whole[:-1], "cut short"),
        (b"P6 99999 99999 255 " + bytes(90), "64 million pixels"),
        (b"P6 0 6 255 " + bytes(90), "million pixels"),
        (b"P6 8 6 65535 " + bytes(900), "8 bits per channel"),
        (b"P3 1 1 255 1 1 1", "not a binary"),
    ):
        path.write_bytes(data)
        with pytest.raises(ModelError, match=message):
            load(tmp_path, [IMAGE])


def test_damaged_images(tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    for name in ("a.png", "a.jpg", "a.bmp", "a.gif", "a.tif", "a.webp"):
        folder = tmp_path / name
        folder.mkdir()
        path = folder / name
        image_module.fromarray(pixels(8, 6)).save(path)
        whole = path.read_bytes()
        path.write_bytes(b"")
        with pytest.raises(ModelError, match="cannot be decoded"):
            load(folder, [IMAGE])
        path.write_bytes(whole[: len(whole) // 3])
        with pytest.raises(ModelError, match=name):
            load(folder, [IMAGE])
        for position in range(0, len(whole), 11):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
            with contextlib.suppress(ModelError):
                load(folder, [IMAGE])


def test_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ToolError, match=r"pip install 'tinyc\[images\]'"):
        load(tmp_path, [IMAGE])


@pytest.mark.parametrize("shape", [(1, 6, 8, 4), (1, 48), (1, 2, 6, 8, 3), (1, 60000, 1, 1)])
def test_input_is_no_image(tmp_path: Path, shape: tuple[int, ...]) -> None:
    save_ppm(tmp_path / "a.ppm", pixels(8, 6))
    with pytest.raises(ModelError, match="and images are given"):
        load(tmp_path, [real(*shape)])


def test_options(tmp_path: Path) -> None:
    save_ppm(tmp_path / "a.ppm", pixels(8, 6))
    with pytest.raises(UsageError, match="--color: gray for an input of 3 channels"):
        load(tmp_path, [IMAGE], DataOptions(color="gray"))
    with pytest.raises(UsageError, match="--hop: means nothing for a folder of images"):
        load(tmp_path, [IMAGE], DataOptions(hop=5))
    with pytest.raises(UsageError, match="--mean: 8 values"):
        load(tmp_path, [IMAGE], DataOptions(mean=(1.0,) * 8))
    with pytest.raises(ModelError, match="give the folder"):
        load(tmp_path / "a.png", [IMAGE]) if (tmp_path / "a.png").touch() is None else None
