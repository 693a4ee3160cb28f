# SPDX-License-Identifier: Apache-2.0
"""The static memory planner: buffers with lifetimes in, offsets in one arena out.

It knows nothing of graphs: a buffer is a size and the steps during which its bytes must survive. Two buffers that share
a step are disjoint; an `Overlap` lets an output lie over an input from some distance on. The result carries its
certificate: a lower bound that no plan can beat, and whether the plan is proved optimal.
"""

from .arena import Arena, Buffer, Overlap, check
from .planner import EFFORT, allocate

__all__ = ["EFFORT", "Arena", "Buffer", "Overlap", "allocate", "check"]
