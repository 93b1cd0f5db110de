"""The listing shows every statement once, with its site, its line and what it calls."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from written_flows import SOURCES

from thalweg.program.ir import read_source
from thalweg.program.ir.callees import resolver
from thalweg.program.ir.listings import listing

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "mail"))


def test_the_example_flow_is_listed_with_marks() -> None:
    import triage

    ir = triage.triage.ir
    text = listing(ir, resolver(triage.triage.function)).splitlines()
    assert text[0] == "triage(mail: str) -> Ticket"
    assert text[1].split() == ["0", f"{ir.body[0].line}", "spam", "=", "judge.distribution(mail)['advertisement']",
                               "learned", "judge"]  # fmt: skip
    assert text[2].endswith("if spam > THRESHOLD:")
    assert "learned sort" in text[4]
    assert any("case Question(topic=topic):" in line for line in text)
    assert "learned" not in listing(ir)


@given(SOURCES)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_site_is_listed(source: str) -> None:
    ir = read_source(source)
    lines = listing(ir).splitlines()
    starts = [line.split()[0] for line in lines[1:] if line.strip()]
    for site, _ in ir.walk():
        assert site in starts


def test_blocks_are_indented_under_their_heads() -> None:
    source = "def f(x):\n    for a, b in x:\n        try:\n            g(a)\n        except E as e:\n            h(e)\n"
    lines = listing(read_source(source)).splitlines()[1:]
    start = lines[0].index("for")
    assert [line[start:] for line in lines] == [
        "for a, b in x:", "    try:", "        g(a)", "    except E as e:", "        h(e)"
    ]  # fmt: skip
