# SPDX-License-Identifier: Apache-2.0
from os.path import join

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
core = ["-mthumb", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
env.Replace(
    AR="arm-none-eabi-gcc-ar",
    AS="arm-none-eabi-as",
    CC="arm-none-eabi-gcc",
    CXX="arm-none-eabi-g++",
    RANLIB="arm-none-eabi-gcc-ranlib",
    SIZETOOL="arm-none-eabi-size",
    SIZEPROGREGEXP=r"^(?:\.text|\.rodata|\.data)\s+(\d+).*",
    SIZEDATAREGEXP=r"^(?:\.data|\.bss)\s+(\d+).*",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
)
# -Os, as the real platforms have it: the project's build_unflags must take it away.
env.Append(
    CCFLAGS=[*core, "-Os", "-ffunction-sections", "-fdata-sections"],
    CFLAGS=["-std=gnu99"],
    CXXFLAGS=["-std=gnu++11", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"],
    LINKFLAGS=[*core, "-nostdlib", "-nostartfiles", "-Wl,--gc-sections"],
    LIBS=["c", "gcc"],
)
platform = env.PioPlatform().get_dir()
env.Replace(LDSCRIPT_PATH=join(platform, "link.ld"))
firmware = env.BuildProgram()
AlwaysBuild(env.Alias("size", firmware, env.VerboseAction("$SIZEPRINTCMD", "Sizes")))
Default([firmware])
