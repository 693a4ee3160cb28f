# SPDX-License-Identifier: Apache-2.0
"""Row streaming: a run of layers computed together, a few rows at a time, so that the tensors between them are never whole.

`rows` says which rows of its inputs a layer needs, `schedule` puts the calls of a run of layers in an order that computes nothing
twice and finds how many rows each tensor between them has to hold, `slabs` makes the layers that compute some rows only.
"""
