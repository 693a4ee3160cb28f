# SPDX-License-Identifier: Apache-2.0
from platformio.platform.base import PlatformBase


class TinyctestPlatform(PlatformBase):
    pass
