"""Table runs on a Ray cluster: `thalweg run ... --on ray`.

Choose it when one machine is too slow for a table. `RayTableRun` (`driver.py`) does what `TableRun` does, with the same
journal, run identity and output bytes; `blocks.py` cuts planned rows into blocks, `actors.py` computes rows on a node,
`shipment.py` carries the program there, `cluster.py` joins or starts Ray. Needs the extra `ray`.

Source: Moritz et al. 2018, "Ray: A Distributed Framework for Emerging AI Applications". Cost: seconds to start, then
well under a millisecond a row; see `thalweg bench scheduling.ray`.
"""

from thalweg.program.distributed.blocks import cut, prefix_groups
from thalweg.program.distributed.cluster import cluster
from thalweg.program.distributed.driver import RayTableRun

__all__ = ["RayTableRun", "cluster", "cut", "prefix_groups"]
