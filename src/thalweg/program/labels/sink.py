"""`check_sink`: the one place where labels have consequences. A value whose label a sink does not accept stays here.

`Origin` keeps the way a source came, so that a violation names it: which call read it, in which line of the flow, and
through which calls it went. Cost: a comparison of two sets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from thalweg.errors import FlowViolation
from thalweg.program.labels.label import Label
from thalweg.program.labels.lattice import Lattice


@dataclass(frozen=True)
class Origin:
    """Where a source entered a flow, and the calls it went through.

    Args:
        source: the label's source. path: the call that read it (``read_hr#0``) or the input that carried it.
        line: of the flow's file; None if unknown. through: paths of the calls since, in order.
    """

    source: str
    path: str
    line: int | None = None
    through: tuple[str, ...] = ()

    def via(self, path: str) -> Origin:
        """The same source after another call."""
        return replace(self, through=(*self.through, path))

    def __str__(self) -> str:
        place = f"from {self.path}" + (f" at line {self.line}" if self.line is not None else "")
        return place + (f", through {', '.join(self.through)}" if self.through else "")


def check_sink(
    label: Iterable[str],
    accepts: str | Iterable[str],
    sink_name: str,
    origins: Iterable[Origin] = (),
    *,
    argument: str = "",
    lattice: Lattice | None = None,
) -> None:
    """Refuse a value whose label is not below what a sink accepts.

    Args:
        label: of the value. accepts: the highest label that may pass.
        sink_name: the tool, or the flow that returns the value. origins: of the label's sources, where known.
        argument: which argument of the sink the value is.
        lattice: the order of labels; default: sets of sources.

    Raises:
        FlowViolation: naming the sink, the sources it does not accept, and the way they came.
        LabelError: a source that the lattice does not have.
    """
    label, accepted = Label.of(label), Label.of(accepts)
    if lattice is None:
        above = sorted(label - accepted)
        shown = sorted(accepted)
    else:
        closed = lattice.closed(accepted)
        above = list(lattice.names(label)) if not lattice.leq(label, closed) else []
        above = [source for source in above if not lattice.leq([source], closed)]
        shown = list(lattice.names(closed))
    if not above:
        return
    known = list(origins)
    carried = []
    for source in above:
        ways = list(dict.fromkeys(str(origin) for origin in known if origin.source == source))
        carried.append(f"{source} ({'; '.join(ways)})" if ways else source)
    what = f"its argument `{argument}`" if argument else "its value"
    raise FlowViolation(
        f"`{sink_name}` accepts {{{', '.join(shown)}}} but {what} carries {', '.join(carried)}.",
        "Make the value without that source (`labels=Permissive(...)` finds out whether it can be), or let the sink "
        "accept it.",
    )
