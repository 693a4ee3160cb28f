# SPDX-License-Identifier: Apache-2.0
"""What the examples share: layers and training in numpy, and what `run.py` and `evaluate.py` do.

It is example code, kept short. It knows chains of the few layers that the examples use, and nothing else.
"""
