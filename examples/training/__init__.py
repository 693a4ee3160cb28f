# SPDX-License-Identifier: Apache-2.0
"""What the example models are made with: layers and training in numpy, and a small post-training quantizer.

It is example code, kept short. It knows chains of the few layers that the examples use, and nothing else.
"""
