# SPDX-License-Identifier: Apache-2.0
"""tinyc: a TinyML compiler. A `.tflite` model in, verified firmware in plain C out."""

__version__ = "0.1.0"
