# SPDX-License-Identifier: Apache-2.0
"""The static memory planner: buffers with lifetimes in, offsets in one arena out.

It knows nothing of graphs: a buffer is a size and the steps during which its bytes must survive. The result carries
its certificate: a lower bound that no plan can beat, and whether the plan is proved optimal.
"""

from .arena import Arena, Buffer, check
from .planner import EFFORT, allocate

__all__ = ["EFFORT", "Arena", "Buffer", "allocate", "check"]
