"""Members: an analyser for monitors that knows, behind a dereference, which members the value has.

Choose it for Python, JavaScript and TypeScript; it asks a workspace, whoever answers there. Each place is asked about
twice, with the text as it is and with the missing brackets behind it, and both answers count; keywords do not. Source:
Agrawal et al. 2023, "Guiding Language Models of Code with Global Context using Monitors". Cost: two questions a place,
none where it is known.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from thalweg.code import python_reading, script_reading
from thalweg.code.python_reading import PythonReading
from thalweg.code.script_reading import ScriptReading
from thalweg.code.workspace import Workspace

KEPT = 1024  # answers
SCRIPTS = (".js", ".jsx", ".mjs", ".ts", ".tsx")


class Members:
    """An `Analyser` of one document.

    Args:
        workspace: what is asked.
        path: the document, from the workspace's root; its ending tells the language.
        rest: what follows behind the text that is being written.
    """

    def __init__(self, workspace: Workspace, path: str | Path, *, rest: str = "") -> None:
        self.workspace = workspace
        self.path = path
        self.rest = rest
        self._script = Path(path).suffix in SCRIPTS
        self._lock = threading.Lock()
        self._known: OrderedDict[str, frozenset[str]] = OrderedDict()

    @property
    def name_characters(self) -> str:
        return (script_reading if self._script else python_reading).NAME_CHARACTERS

    def begin(self, text: str) -> PythonReading | ScriptReading:
        return (ScriptReading() if self._script else PythonReading()).read(text)

    def hides(self, piece: str, code: bool) -> bool:
        return (script_reading if self._script else python_reading).hides(piece, code)

    def suggest(self, text: str, typed: str) -> frozenset[str]:
        """The members' names that begin with `typed`; empty where the analyser cannot tell."""
        text = text.removesuffix(typed)
        found = self._known.get(text)
        if found is None:
            # Samples of one prompt ask the same at once: the first one's answer serves all.
            first = self._lock.acquire(timeout=self.workspace.timeout)
            try:
                found = self._known.get(text) or self._ask(text)
                if found:  # what is not known now may be known when the server has read more
                    self._known[text] = found
                    if len(self._known) > KEPT:
                        self._known.popitem(last=False)
            finally:
                if first:
                    self._lock.release()
        return frozenset(name for name in found if name.startswith(typed))

    def _ask(self, text: str) -> frozenset[str]:
        found: set[str] = set()
        closers = self.begin(text).closers
        for behind in {self.rest, closers + ("\n" if closers and self.rest else "") + self.rest}:
            suggested = self.workspace.suggestions(self.path, len(text), text=text + behind)
            found |= {one.name for one in suggested if one.name.replace("$", "_").isidentifier() and not one.keyword}
        return frozenset(found)
