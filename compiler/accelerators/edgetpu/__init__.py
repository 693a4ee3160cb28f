# SPDX-License-Identifier: Apache-2.0
"""Google's Edge TPU. The vendor's compiler is closed, so its output, a `*_edgetpu.tflite`, is the input here.

`reader` takes the program out of such a file, `executable` is what it holds, `layout` is how its outputs lie in memory,
`attest` compares its parameters with the original model's, `lint` and `predict` look at a model before it is compiled.
What the program computes is not known: nothing here executes it.
"""
