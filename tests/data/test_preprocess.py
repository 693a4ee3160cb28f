# SPDX-License-Identifier: Apache-2.0
"""The generated C helper gives the bytes that the calibration data had."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helper import PIXELS, Helper, assert_same, write
from inputs import quantized, real
from oracle import C_FLAGS
from pictures import save_ppm
from tinyc.data import DataOptions, Preprocessing, load
from tinyc.data.audio import raw_values
from tinyc.data.dataset import to_input
from tinyc.data.images import prepare
from tinyc.data.preprocessing import AudioSteps, FeatureSteps, ImageSteps
from tinyc.emit.preprocess import preprocess_files
from tinyc.errors import ModelError
from tinyc.graph import Tensor
from wavs import save

RANDOM = np.random.default_rng(11)
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")


def inputs(*shape: int) -> list[Tensor]:
    return [
        real(*shape),
        quantized(*shape, scale=0.037, zero_point=-5),
        quantized(*shape, dtype="uint8", scale=0.01, zero_point=128),
        quantized(*shape, dtype="int16", scale=0.0003, zero_point=0),
    ]


VALUES = [
    Preprocessing(),
    Preprocessing(float(np.float32(1 / 255)), (0.5,), (0.25,)),
    Preprocessing(1.5, (0.1, -2.0, 30.0), (3.0, 0.7, -1.1)),
]


@needs_gcc
@pytest.mark.parametrize("tensor", inputs(1, 700, 3), ids=lambda tensor: tensor.dtype)
@pytest.mark.parametrize("record", VALUES)
def test_values(tmp_path: Path, record: Preprocessing, tensor: Tensor) -> None:
    values = RANDOM.normal(0, 5, 2100).astype(np.float32)
    values[:12] = [0, -0.0, 1e-40, -1e-40, 3e38, -3e38, np.inf, -np.inf, 1e6, -1e6, 0.5, 2.5]
    values[100:900] = np.arange(-400, 400) * np.float32(0.0185)  # ties of the int8 input
    helper = Helper(tmp_path, record, [tensor])
    want = to_input(record.values(values.reshape(700, 3)), tensor)
    assert_same(want, helper.call("preprocess_values", tensor, values))
    if tensor.dtype != "float32":
        values[:] = np.nan
        assert helper.call("preprocess_values", tensor, values).max() == np.iinfo(want.dtype).min


@needs_gcc
def test_values_of_several_inputs(tmp_path: Path) -> None:
    tensors = [quantized(1, 6), real(1, 2)]
    record = Preprocessing(2.0)
    helper = Helper(tmp_path, record, tensors)
    for position, tensor in enumerate(tensors):
        values = RANDOM.normal(0, 9, tensor.elements).astype(np.float32)
        want = to_input(record.values(values), tensor)
        assert_same(want, helper.call(f"preprocess_values_{position}", tensor, values))


SIZES = [(8, 6), (16, 12), (31, 7), (7, 31), (3, 2), (1, 1), (200, 150), (11, 6), (97, 13)]


@needs_gcc
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize(("color", "kind"), [("rgb", 0), ("rgb", 1), ("bgr", 2), ("gray", 1), ("gray", 3)])
def test_image(tmp_path: Path, kind: int, color: str, resize: str) -> None:
    channels = 1 if color == "gray" else 3
    tensor = inputs(1, 6, 8, channels)[kind]
    record = Preprocessing(
        float(np.float32(1 / 255)), (0.2, 0.4, 0.6)[:channels], (0.5,) * channels, ImageSteps(6, 8, color, resize)
    )
    helper = Helper(tmp_path, record, [tensor])
    for width, height in SIZES:
        image = RANDOM.integers(0, 256, (height, width, 3)).astype(np.uint8)
        image[: height // 2] = RANDOM.choice([0, 255], (height // 2, width, 3))
        for name, data, seen in layouts(image):
            want = to_input(record.values(prepare("test", seen, record.image)), tensor)
            padded = np.zeros((height, data.shape[1] + 5), np.uint8)
            padded[:, : data.shape[1]] = data
            got = helper.call("preprocess_image", tensor, padded, PIXELS[name], width, height, padded.shape[1])
            assert_same(want, got)


def layouts(image: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(format, bytes [height, stride], what the pixels mean) of an image in each format."""
    height = len(image)
    rgb = image.astype(np.uint16)
    packed = rgb[..., 0] >> 3 << 11 | rgb[..., 1] >> 2 << 5 | rgb[..., 2] >> 3
    red, green, blue = packed >> 11, packed >> 5 & 63, packed & 31
    seen = np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], axis=2).astype(np.uint8)
    return [
        ("rgb888", image.reshape(height, -1), image),
        ("bgr888", image[..., ::-1].reshape(height, -1), image),
        ("gray8", image[..., 0], image[..., :1]),
        ("rgb565be", packed.astype(">u2").view(np.uint8).reshape(height, -1), seen),
        ("rgb565le", packed.astype("<u2").view(np.uint8).reshape(height, -1), seen),
    ]


@needs_gcc
@pytest.mark.parametrize(("width", "height"), [(4000, 3000), (9001, 2003)])
def test_large_images_need_64_bits(tmp_path: Path, width: int, height: int) -> None:
    tensor = quantized(1, 7, 5, 1, scale=1.0, zero_point=-128)
    record = Preprocessing(image=ImageSteps(7, 5, "gray", "stretch"))
    image = np.full((height, width, 1), 255, np.uint8)
    image[:, : width // 2] = RANDOM.integers(0, 256, (height, width // 2, 1))
    want = to_input(record.values(prepare("test", image, record.image)), tensor)
    assert_same(
        want, Helper(tmp_path, record, [tensor]).call("preprocess_image", tensor, image, 2, width, height, width)
    )


def sound(length: int) -> list[np.ndarray]:
    """Windows of noise, tones, silence and extremes."""
    time = np.arange(length)
    tone = 12000 * np.sin(time * 0.3) + 9000 * np.sin(time * time * 1e-4)
    return [
        RANDOM.integers(-32768, 32768, length).astype(np.int16),
        tone.astype(np.int16),
        np.zeros(length, np.int16),
        np.full(length, -32768, np.int16),
        np.where(time % 2 == 0, 32767, -32768).astype(np.int16),
        (RANDOM.random(length) < 0.01).astype(np.int16),
    ]


@needs_gcc
@pytest.mark.parametrize("tensor", inputs(1, 900), ids=lambda tensor: tensor.dtype)
def test_sound(tmp_path: Path, tensor: Tensor) -> None:
    record = Preprocessing(4.0, (0.1,), (0.5,), audio=AudioSteps(16000, 900))
    helper = Helper(tmp_path, record, [tensor])
    for pcm in sound(900):
        want = to_input(record.values(raw_values(pcm, record.audio)), tensor)
        assert_same(want, helper.call("preprocess_audio", tensor, pcm))


FEATURES = [
    FeatureSteps("mfcc", 480, 320, 5, 512, 40, 20.0, 4000.0, 10, "magnitude"),
    FeatureSteps("mfcc", 401, 160, 3, 1024, 26, 0.0, 8000.0, 26, "power"),
    FeatureSteps("log-mel", 256, 128, 4, 256, 20, 100.0, 7600.0, 20, "power"),
    FeatureSteps("log-mel", 512, 256, 4, 512, 64, 20.0, 8000.0, 64, "magnitude"),
    FeatureSteps("log-mel", 3, 2, 6, 4, 1, 0.0, 8000.0, 1, "magnitude"),
]


@needs_gcc
@pytest.mark.parametrize("steps", FEATURES, ids=lambda steps: f"{steps.kind}-{steps.fft}")
@pytest.mark.parametrize(("kind", "optimize"), [(0, "-O0"), (1, "-O3"), (3, "-O3")])
def test_features(tmp_path: Path, kind: int, steps: FeatureSteps, optimize: str) -> None:
    tensor = inputs(1, steps.frames, steps.coefficients)[kind]
    means = tuple(float(c) for c in range(steps.coefficients))
    record = Preprocessing(0.3, means, (2.0,) * len(means), audio=AudioSteps(16000, steps.samples, steps))
    helper = Helper(tmp_path, record, [tensor], ["-std=gnu11", optimize, "-march=x86-64-v3"])
    scratch = np.zeros(steps.fft + steps.mels, np.float32)
    for pcm in sound(steps.samples):
        want = to_input(record.values(raw_values(pcm, record.audio)), tensor)
        assert_same(want, helper.call("preprocess_audio", tensor, pcm, scratch))


@needs_gcc
def test_a_stream_of_frames_equals_a_window(tmp_path: Path) -> None:
    steps = FEATURES[0]
    tensor = inputs(1, steps.frames, steps.coefficients)[1]
    record = Preprocessing(audio=AudioSteps(16000, steps.samples, steps))
    helper = Helper(tmp_path, record, [tensor])
    pcm, scratch = sound(steps.samples)[1], np.zeros(steps.fft + steps.mels, np.float32)
    want = helper.call("preprocess_audio", tensor, pcm, scratch)
    one = inputs(1, 1, steps.coefficients)[1]
    for frame in range(steps.frames):
        part = pcm[frame * steps.frame_stride :].copy()
        assert_same(want[frame : frame + 1], helper.call("preprocess_frame", one, part, scratch, 0))


def records() -> list[tuple[Preprocessing, list[Tensor]]]:
    steps = FEATURES[0]
    image = ImageSteps(6, 8, "rgb", "crop")
    return [
        (VALUES[2], [quantized(1, 7, 3), real(1, 3)]),
        (Preprocessing(image=image), [quantized(1, 6, 8, 3)]),
        (Preprocessing(0.5, (1.0, 2.0, 3.0), (1.0,) * 3, image), [real(1, 6, 8, 3)]),
        (Preprocessing(audio=AudioSteps(8000, 50)), [quantized(1, 50)]),
        (Preprocessing(audio=AudioSteps(16000, steps.samples, steps)), [quantized(1, 5, 10)]),
        (Preprocessing(audio=AudioSteps(16000, 2000, FEATURES[2])), [quantized(1, 4, 20)]),
    ]


@pytest.mark.parametrize("compiler", ["gcc", "g++", "clang", "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc"])
@pytest.mark.parametrize("case", range(len(records())))
def test_no_warning(tmp_path: Path, compiler: str, case: int) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    sources = write(tmp_path, *records()[case])
    extra = {
        "arm-none-eabi-gcc": ["-mcpu=cortex-m4", "-mthumb", "-ffreestanding"],
        "riscv64-unknown-elf-gcc": ["-march=rv32imc", "-mabi=ilp32", "-ffreestanding"],
    }.get(compiler, [])
    flags = [flag for flag in C_FLAGS if flag != "-g"]
    if compiler == "g++":  # applications may be C++: the header alone
        (tmp_path / "a.cpp").write_text('#include "m_preprocess.h"\nint main() { return 0; }\n')
        sources, flags = [tmp_path / "a.cpp"], ["-Wall", "-Wextra", "-Werror"]
    for source in sources:
        command = [compiler, *flags, *extra, "-c", str(source), "-o", str(tmp_path / "a.o")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
def test_products_and_sums_are_not_fused(tmp_path: Path) -> None:
    write(tmp_path, *records()[4])
    core = ["-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"]
    command = [
        "arm-none-eabi-gcc",
        "-std=gnu11",
        "-O2",
        *core,
        "-S",
        str(tmp_path / "tinyc_preprocess_frame.c"),
        "-o",
        "-",
    ]
    assembly = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "vmul.f32" in assembly
    assert "vfma" not in assembly and "vmla" not in assembly and "vfms" not in assembly


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
@pytest.mark.parametrize("case", range(len(records())))
def test_nothing_but_the_compilers_own_library_is_needed(tmp_path: Path, case: int) -> None:
    sources = write(tmp_path, *records()[case])
    for source in sources:
        command = [
            "arm-none-eabi-gcc",
            "-std=c99",
            "-Os",
            "-mcpu=cortex-m0plus",
            "-mthumb",
            "-ffreestanding",
            "-c",
            str(source),
        ]
        subprocess.run([*command, "-o", f"{source}.o"], check=True)
    names = subprocess.run(
        ["arm-none-eabi-nm", "-u", *[f"{source}.o" for source in sources]], capture_output=True, text=True, check=True
    ).stdout.split()
    needed = {name for name in names if name not in ("U",) and not name.endswith(":")}
    allowed = ("__aeabi_", "__gnu_thumb1_case", "tinyc_preprocess_", "m_preprocess_")
    assert all(name.startswith(allowed) for name in needed), needed


def test_records_that_do_not_suit_the_model() -> None:
    for record, tensors, message in (
        (Preprocessing(image=ImageSteps(6, 8, "rgb", "crop")), [real(1, 6, 8, 1)], "makes 144 values"),
        (Preprocessing(image=ImageSteps(6, 8, "rgb", "crop")), [real(1, 6, 8, 3), real(1, 2)], "for 2 inputs"),
        (Preprocessing(1.0, (0.0,) * 5, (1.0,) * 5), [real(1, 6)], "5 means for the 6 values"),
        (Preprocessing(1.0, (0.0,) * 8, (1.0,) * 8, ImageSteps(6, 8, "gray", "pad")), [real(1, 6, 8, 1)], "8 means"),
        (Preprocessing(), [Tensor("in", (1, 2), "int32")], "is int32"),
        (Preprocessing(audio=AudioSteps(8000, 50)), [real(1, 51)], "makes 50 values"),
    ):
        with pytest.raises(ModelError, match=message):
            preprocess_files("m", record, tensors)


def test_same_record_same_bytes() -> None:
    for record, tensors in records():
        again = Preprocessing.from_json(record.to_json())
        assert preprocess_files("m", record, tensors) == preprocess_files("m", again, tensors)


@needs_gcc
def test_a_folder_of_images_to_the_bytes_of_the_input(tmp_path: Path) -> None:
    images = {f"{size}.ppm": RANDOM.integers(0, 256, (size, size + 3, 3)).astype(np.uint8) for size in (5, 9, 40)}
    for name, image in images.items():
        save_ppm(tmp_path / "images" / name, image)
    tensor = quantized(1, 6, 8, 3, scale=0.018, zero_point=-14)
    options = DataOptions(
        resize="pad", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), color="bgr"
    )
    data = load(tmp_path / "images", [tensor], options)
    helper = Helper(tmp_path / "c", data.preprocessing, [tensor])
    for name, want in zip(data.names, data.quantized([tensor])[0], strict=True):
        height, width, _ = images[name].shape
        assert_same(want, helper.call("preprocess_image", tensor, images[name], 0, width, height, 3 * width))


@needs_gcc
def test_a_folder_of_recordings_to_the_bytes_of_the_input(tmp_path: Path) -> None:
    pcm = {f"{i}.wav": sound(1280)[i] for i in range(4)}
    for name, samples in pcm.items():
        save(tmp_path / "sound" / name, samples / 32768)
    tensor = quantized(1, 3, 10, 1, scale=0.4, zero_point=20)
    data = load(tmp_path / "sound", [tensor], DataOptions(features="mfcc", mel_high=4000.0, std=(2.0,)))
    helper = Helper(tmp_path / "c", data.preprocessing, [tensor])
    for name, want in zip(data.names, data.quantized([tensor])[0], strict=True):
        assert_same(want, helper.call("preprocess_audio", tensor, pcm[name], np.zeros(552, np.float32)))
