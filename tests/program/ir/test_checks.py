"""A flow from elsewhere touches what it is given and nothing else: attacks are refused, plain flows pass."""

from __future__ import annotations

import pytest

from thalweg.errors import FlowError
from thalweg.program.ir import FlowIR, read_source
from thalweg.program.ir.checks import SAFE_LIBRARY, check
from thalweg.program.ir.codec import from_json, to_json

GIVEN = {"summarize", "search", "Ticket", "Colour", *SAFE_LIBRARY}


def flow(expression: str) -> FlowIR:
    return from_json({"flow": "f", "parameters": [{"name": "x"}], "body": [{"do": "return", "value": expression}]})


NASTY = [
    "__import__('os').system('id')",
    "open('/etc/passwd').read()",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "getattr(x, 'a')",
    "setattr(x, 'a', 1)",
    "vars(x)",
    "globals()",
    "locals()",
    "dir(x)",
    "type(x)",
    "super()",
    "object()",
    "input()",
    "breakpoint()",
    "memoryview(x)",
    "x.__class__",
    "().__class__.__bases__[0].__subclasses__()",
    "summarize.__globals__",
    "summarize.__wrapped__.__globals__['__builtins__']",
    "summarize.function",
    "summarize.own",
    "summarize.save('/tmp/x')",
    "summarize.load('/tmp/x')",
    "summarize.using(store='/tmp/elsewhere')(x)",
    "summarize.using(model='http://example.com')(x)",
    "summarize.using(**x)(x)",
    "summarize.using",
    "Ticket.mro()",
    "Ticket.parse_raw(x, proto='pickle', allow_pickle=True)",
    "x._secret",
    "x.gi_frame.f_back.f_globals",
    "(lambda: 1).__code__",
    "(one for one in x).gi_frame",
    "x.cr_frame",
    "x.ag_frame",
    "x.tb_frame",
    "x.co_code",
    "x.f_builtins",
    "'{0.__class__}'.format(x)",
    "'{0[a]}'.format(x)",
    "'{:{0.__class__}}'.format(x)",
    "'{a.__init__.__globals__}'.format(a=x)",
    "'{}'.format_map(x)",
    "x.format(summarize)",
    "('{0.__cla' + 'ss__}').format(x)",
    "str.format('{0.__class__}', x)",
    "map(str.format, x)",
    "'{0}'.format",
    "f'{x.__class__}'",
    "f'{x!r:{open(1)}}'",
    "[open for open in x] and open('/etc/passwd')",
    "[one for one in (lambda open: open)(open)]",
    "(lambda eval: eval)(1) + eval('1')",
    "(lambda y=open: y)()",
    "{open: 1 for _ in x}",
    "tw.configure(model=x)",
    "tw.program.session.os.system('id')",
    "tw",
    "tw.errors.sys",
    "os.system('id')",
    "__builtins__",
    "__run__",
    "Ticket(__class__=1)",
    "x.builtins",
    "ｏpen('/etc/passwd')",
    "x.__ｃlass__",
    "SystemExit",
    "BaseException",
]


@pytest.mark.parametrize("expression", NASTY)
def test_attacks_are_refused_with_the_place_and_a_remedy(expression: str) -> None:
    with pytest.raises(FlowError) as caught:
        check(flow(expression), GIVEN)
    assert "statement 0" in str(caught.value)
    assert caught.value.remedy.endswith(".")


STATEMENTS = [
    "import os",
    "from os import system",
    "global Ticket",
    "del x",
    "def inner(): return x",
    "class Inner: pass",
    "async def inner(): pass",
    "x.label = 1",
    "Ticket.label = 1",
    "x.label += 1",
    "Colour['red'] = 1",
    "for x.label in x: pass",
    "with x as x.label: pass",
    "try:\n        pass\n    except:\n        pass",
    "try:\n        pass\n    except Exception as __e__:\n        pass",
    "match x:\n        case Ticket(__class__=kind):\n            return kind",
    "match x:\n        case Ticket(_secret=kind):\n            return kind",
    "match x:\n        case open.close:\n            return 1",
    "match x:\n        case str() if open(x):\n            return 1",
    "y: eval('1') = 1",
    "with open(x) as y: pass",
    "assert open(x)",
    "raise SystemExit",
    "while open(x): pass",
    "[a, Ticket.x] = 1, 2",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_harmful_statements_are_refused(statement: str) -> None:
    with pytest.raises(FlowError, match="Write|Names|Use|Compute|Make|Change|It may|Call|Give"):
        check(read_source(f"def f(x):\n    {statement}\n    return x\n"), GIVEN)


HEADERS = [
    "def f(x=open('/etc/passwd')): pass",
    "def f(x, y=x): pass",
    "def f(x: eval('1')): pass",
    "def f(x: \"__import__('os')\"): pass",
    "def f(x: 'list[__import__(1)]'): pass",
    "def f(x) -> print('hello'): pass",
    "def f(x: Annotated[str, open(1)]): pass",
    "def f(x: Literal[open(1)]): pass",
    "def f(__run__): pass",
    "def open(x): return open('/etc/passwd')",
    "def __f__(x): pass",
]


@pytest.mark.parametrize("source", HEADERS)
def test_defaults_and_types_are_looked_at_too(source: str) -> None:
    with pytest.raises(FlowError):
        check(read_source(source), GIVEN)


PLAIN = '''
def f(mails: list[str], k: int = 3, *, tone: Literal["calm", "prompt"] = "calm") -> "dict[str, Ticket | None]":
    """Sort mails."""
    done: dict[str, Ticket] = {}
    rows = [(mail, summarize(mail)) for mail in mails if mail.strip() and len(mail) > k]
    best, *rest = sorted(rows, key=lambda row: (-len(row[1]), row[0])) or [("", "")]
    for index, (mail, summary) in enumerate(rows):
        try:
            match search(summary, k=k):
                case Ticket(label=str() as label, kind=_) if label != "spam":
                    done[mail] = Ticket(label, f"{index:>3}: {summary!r}")
                case [first, *others] | {"first": first, **others}:
                    done[mail] = first
                case Colour.RED | None:
                    continue
                case _:
                    break
        except (ValueError, tw.errors.ModelError) as error:
            done[mail] = Ticket("error", "{}: {name:>{0}}".format(error, name=mail))
        else:
            k += 1
        finally:
            pass
    while (left := len(rest)) > 5 and not any(one is None for one in rest):
        rest.pop()
        assert left >= 0, "never"
    hot = summarize.using(temperature=0.7, seed=k)("again") if tone == "calm" else summarize.sample("x", n=2)[0]
    if k > 10 or not done:
        raise ValueError(f"nothing in {len(mails)} mails {hot}")
    return {**done, "how": tw.choice(summarize, search, name="how")(hot), "best": best}
'''


def test_a_plain_flow_passes() -> None:
    ir = read_source(PLAIN)
    check(ir, GIVEN)
    check(from_json(to_json(ir)), GIVEN)


def test_names_that_are_not_given_are_refused_by_name() -> None:
    with pytest.raises(FlowError, match="'search', which is not among what it is given"):
        check(read_source(PLAIN), GIVEN - {"search"})


def test_a_trusted_flow_may_do_anything_with_names_that_exist() -> None:
    source = (
        "def f(x):\n    import os\n    def inner(): return open(x)\n    return os.path.join(x.__class__.__name__)\n"
    )
    with pytest.raises(FlowError, match="run as it stands"):
        check(read_source(source), set())
    check(read_source(source), set(), trusted=True)
    with pytest.raises(FlowError, match="missing"):
        check(read_source("def f(x): return missing(x)"), set(), trusted=True)


def test_the_line_and_the_site_are_told() -> None:
    source = "def f(x):\n    if x:\n        return 1\n    else:\n        y = 1\n        return eval(x)\n"
    with pytest.raises(FlowError, match=r"'eval'.*at statement 0.orelse.1 \(line 6\) of `f`"):
        check(read_source(source), set())


def test_generators_are_refused_when_read() -> None:
    for expression in ("(yield x)", "(yield from x)"):
        with pytest.raises(FlowError, match="yields"):
            flow(expression)


def test_a_flow_may_call_itself() -> None:
    check(read_source("def f(x): return f(x[1:]) if x else 0"), set())
