# SPDX-License-Identifier: Apache-2.0
"""What PlatformIO calls as its tool-scons package: the SCons of this Python."""

import sys

from SCons.Script import main

sys.argv[0] = "scons"
main()
