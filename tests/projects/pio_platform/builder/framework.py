# SPDX-License-Identifier: Apache-2.0
from os.path import join

from SCons.Script import DefaultEnvironment

env = DefaultEnvironment()
platform = env.PioPlatform().get_dir()
framework = env["PIOFRAMEWORK"][0]
env.Append(CPPPATH=[join(platform, "stubs", framework), join(platform, "startup")])
env.Append(
    LIBS=[
        env.BuildLibrary(
            join("$BUILD_DIR", "startup"),
            join(platform, "startup"),
            "+<startup_cortex_m.c> +<startup_bare_metal.c> +<startup_memory.c>",
        ),
        env.BuildLibrary(join("$BUILD_DIR", "core"), join(platform, "cores", framework)),
    ]
)
