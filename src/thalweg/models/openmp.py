"""Keeps the engine's threads from burning a shared machine. Imported by the room's door, so before `llama_cpp`.

The OpenMP threads of llama.cpp meet at about a thousand barriers a token and spin there. When another process has the
core, GCC's default of 300,000 spins wastes whole time slices: reading a prompt beside one busy process was measured at
29 tokens/s, at 262 with 5,000 spins, while on a quiet machine the two differ by less than 5 % (1,000 spins: 10 %).
The setting is read when the OpenMP library is loaded, so it is made here, unless the user made another.
"""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
