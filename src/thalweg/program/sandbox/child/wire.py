"""`Wire`: two sandboxed processes that call one another's functions with values, not with each other's memory.

Plain data travels by value (exactly these types, so that nothing with behaviour of its own gets across); everything
else as a handle, which the other side sees as a `Remote`. A call may be answered by calls in the other direction first
(callbacks); these nest strictly, so one pair of pipes is enough. What a call changes in its arguments is sent back.
"""

from __future__ import annotations

import collections
import json
import os
import sys
from collections.abc import Callable
from typing import Any

MESSAGE_BYTES = 4 * 2**20
DEEPEST = 100
PLAIN = (bool, int, float, str)
LIBRARY = {  # values of the standard library that travel as text
    "Decimal": "decimal", "Fraction": "fractions", "date": "datetime", "time": "datetime", "datetime": "datetime",
    "UUID": "uuid",
}  # fmt: skip


class Gone(BaseException):
    """The other process ended, or sent what is no message. No test can catch it by `except Exception`."""


class Wire:
    """One end. `remote(number, of class name, plain)` makes the stand-in of a foreign object; `may` guards own ones."""

    def __init__(
        self,
        side: str,
        read: int,
        write: int,
        *,
        remote: Callable[[Wire, int, str, list], Any],
        serve: Callable[[str, Any, list, dict], Any],
        raised: Callable[[Wire, BaseException], dict],
        reraise: Callable[[Wire, dict], BaseException],
    ) -> None:
        self.side = side
        self._read, self._write = read, write
        self._remote, self._serve, self._raised, self._reraise = remote, serve, raised, reraise
        self._own: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._foreign: dict[int, Any] = {}
        self.marker: type = type(None)  # the class of stand-ins, set by whoever makes them

    def ask(self, operation: str, on: int, *args: Any, **kwargs: Any) -> Any:
        """Have the other side do something with its object; serve what it asks meanwhile."""
        encoded = [self.encode(value) for value in args]
        self.send(
            {"do": operation, "on": on, "args": encoded, "kwargs": {k: self.encode(v) for k, v in kwargs.items()}}
        )
        answer = self.serve_until_answer()
        for index, changed in answer.get("changed", []):
            if type(index) is int and 0 <= index < len(args):
                assign(args[index], self.decode(changed))
        if "raised" in answer:
            raise self._reraise(self, answer["raised"])
        return self.decode(answer.get("value"))

    def serve_until_answer(self) -> dict[str, Any]:
        while True:
            message = self.receive()
            if "do" not in message:
                return message
            self.answer(message)

    def answer(self, message: dict[str, Any]) -> None:
        """Do what the other side asks and send the outcome."""
        try:
            args = [self.decode(value) for value in message["args"]]
            kwargs = {str(name): self.decode(value) for name, value in message["kwargs"].items()}
            own = self._own[message["on"]]
            operation = message["do"]
        except (KeyError, TypeError, AttributeError, ValueError):
            raise Gone("a message without sense") from None
        try:
            reply: dict[str, Any] = {"value": self.encode(self._serve(operation, own, args, kwargs))}
        except Gone:
            raise
        except BaseException as error:
            reply = {"raised": self._raised(self, error)}
        if operation == "call":
            reply["changed"] = self._changed(message["args"], args)
        self.send(reply)

    def _changed(self, before: list, args: list) -> list:
        changed = []
        for index, value in enumerate(args):
            if type(value) in (list, dict, set, bytearray, collections.deque):
                try:
                    now = self.encode(value)
                except (TypeError, RecursionError):
                    continue
                if json.dumps(now) != json.dumps(before[index]):
                    changed.append([index, now])
        return changed

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        if len(data) > MESSAGE_BYTES:
            raise TypeError(f"a value of {len(data)} bytes is too large to pass to or from a test")
        data = b"%08x%b" % (len(data), data)
        try:
            while data:
                data = data[os.write(self._write, data) :]
        except OSError:
            raise Gone("the other process ended") from None

    def receive(self) -> dict[str, Any]:
        try:
            size = int(self._exactly(8), 16)
            if not 0 <= size <= MESSAGE_BYTES:
                raise Gone("a message too large")
            message = json.loads(self._exactly(size))
        except (ValueError, RecursionError, OSError):
            raise Gone("what came is no message") from None
        if type(message) is not dict:
            raise Gone("what came is no message")
        return message

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = os.read(self._read, min(size - len(data), 1 << 16))
            if not part:
                raise Gone("the other process ended")
            data += part
        return bytes(data)

    def handle(self, value: Any) -> int:
        """The number under which the other side may name this object from now on."""
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._own)
            self._own[number] = value  # kept, so that its id stays its own
        return number

    def encode(self, value: Any, depth: int = 0) -> Any:
        kind = type(value)
        if value is None or kind in PLAIN:
            return value
        if depth > DEEPEST:
            raise TypeError("the value is nested too deeply, or contains itself")
        deeper = depth + 1
        if kind is list:
            return [self.encode(item, deeper) for item in value]
        if kind in (tuple, set, frozenset, collections.deque):
            return {kind.__name__: [self.encode(item, deeper) for item in value]}
        if kind in (dict, collections.OrderedDict, collections.defaultdict, collections.Counter):
            pairs = [[self.encode(key, deeper), self.encode(item, deeper)] for key, item in value.items()]
            return {kind.__name__: pairs}
        if kind in (bytes, bytearray):
            return {kind.__name__: value.hex()}
        if kind is complex:
            return {"complex": [value.real, value.imag]}
        if kind is range:
            return {"range": [value.start, value.stop, value.step]}
        if LIBRARY.get(kind.__name__) == kind.__module__:
            return {kind.__name__: value.isoformat() if kind.__module__ == "datetime" else str(value)}
        if kind is self.marker:
            return {"yours": value.__dict__["_number"]}
        if kind is type and issubclass(value, BaseException):
            return {"exception": self.chain(value)}
        plain = [self.encode(base(value), deeper) for base in BASES if isinstance(value, base)][:1]
        return {"mine": self.handle(value), "class": kind.__name__, "plain": plain}

    def chain(self, cls: type) -> list:
        """An exception class as the names of its line, down to the first that every interpreter has."""
        line: list[list] = []
        for one in cls.__mro__:
            if one.__module__.partition(".")[0] in sys.stdlib_module_names:
                line.append([-1, f"{one.__module__}:{one.__name__}"])
                if one.__module__ == "builtins":
                    return line
                continue
            line.append([self.handle(one), one.__name__])
        return line

    def decode(self, data: Any, depth: int = 0) -> Any:
        """The value a message names. Raises `Gone` for anything that `encode` would not have made."""
        if depth > 2 * DEEPEST:
            raise Gone("a value nested too deeply")
        if data is None or type(data) in PLAIN:
            return data
        if type(data) is list:
            return [self.decode(item, depth + 1) for item in data]
        try:
            return self._decode_tagged(data, depth + 1)
        except Exception:
            raise Gone("a value without sense") from None

    def _decode_tagged(self, data: dict, depth: int) -> Any:
        tag, content = next(iter(data.items()))
        if tag in SEQUENCES:
            return SEQUENCES[tag]([self.decode(item, depth) for item in content])
        if tag in MAPPINGS:
            pairs = [(self.decode(key, depth), self.decode(item, depth)) for key, item in content]
            return MAPPINGS[tag](pairs)
        if tag == "bytes" or tag == "bytearray":
            return (bytes if tag == "bytes" else bytearray).fromhex(content)
        if tag == "complex":
            return complex(float(content[0]), float(content[1]))
        if tag == "range":
            return range(*content)
        if tag in LIBRARY:
            cls = getattr(__import__(LIBRARY[tag]), tag)
            return cls.fromisoformat(content) if LIBRARY[tag] == "datetime" else cls(str(content))
        if tag == "yours":
            return self._own[content]
        if tag == "exception":
            return self.exception_class(content)
        number = int(data["mine"])
        if number not in self._foreign:
            plain = [self.decode(item, depth) for item in data["plain"]]
            self._foreign[number] = self._remote(self, number, str(data["class"]), plain)
        elif data["plain"]:
            self._foreign[number].__dict__["_plain"] = [self.decode(item, depth) for item in data["plain"]]
        return self._foreign[number]

    def exception_class(self, line: list) -> type[BaseException]:
        """A local class for a foreign exception class, with local classes for the line above it."""
        cls: type[BaseException] = BaseException
        for number, name in reversed(line):
            key = ~int(number)
            if number == -1:
                module, _, name = str(name).partition(":")
                known = getattr(sys.modules.get(module), name, None)  # of a module the tests know, or builtins
                if isinstance(known, type) and issubclass(known, cls):
                    cls = known
                continue
            if key not in self._foreign:
                self._foreign[key] = type(str(name), (cls,), {"__module__": "program"})
            cls = self._foreign[key]
        return cls


def assign(target: Any, value: Any) -> None:
    """Give a mutable value another's content, keeping the identity of it and of what it holds where that is clear."""
    if type(target) is not type(value):
        return
    if type(target) is list:
        if len(target) == len(value):
            for index, (old, new) in enumerate(zip(target, value, strict=True)):
                if type(old) is type(new) and type(old) in (list, dict, set):
                    assign(old, new)
                else:
                    target[index] = new
        else:
            target[:] = value
    elif type(target) in (dict, set):
        target.clear()
        target.update(value)
    elif type(target) is bytearray:
        target[:] = value
    elif type(target) is collections.deque:
        target.clear()
        target.extend(value)


def _counter(pairs: list) -> collections.Counter:
    return collections.Counter(dict(pairs))


def _defaultdict(pairs: list) -> collections.defaultdict:
    return collections.defaultdict(None, pairs)


BASES: tuple[Any, ...] = (str, bytes, int, float, tuple, list, dict, set, frozenset)
SEQUENCES: dict[str, Callable[[list], Any]] = {
    "tuple": tuple, "set": set, "frozenset": frozenset, "deque": collections.deque,
}  # fmt: skip
MAPPINGS: dict[str, Callable[[list], Any]] = {
    "dict": dict, "OrderedDict": collections.OrderedDict, "defaultdict": _defaultdict, "Counter": _counter,
}  # fmt: skip
