"""jedi as the analyser of a workspace, in this process. See `Workspace`.

Compiled modules are looked at by a Python process of jedi's own, so that none is imported here.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from thalweg.code.workspace import Diagnostic, Place, Suggestion
from thalweg.errors import AnalyserError


class JediAnalysis:
    """A `Backend`."""

    def __init__(self, root: Path) -> None:
        try:
            import jedi
        except ImportError as error:
            raise AnalyserError("jedi is not installed.", 'Install it: `pip install "thalweg[code]"`.') from error
        self._jedi: Any = jedi
        self._project = jedi.Project(str(root))
        self._environment: Any = jedi.get_default_environment()  # not the cached one: its process ends with `close`

    def suggestions(self, path: Path, text: str, offset: int) -> list[Suggestion]:
        found = self._script(path, text).complete(*_position(text, offset))
        return [Suggestion(one.name, one.type == "keyword") for one in found]

    def hover(self, path: Path, text: str, offset: int) -> str:
        found = self._script(path, text).help(*_position(text, offset))
        return "\n\n".join(one.docstring() or one.description for one in found)

    def definitions(self, path: Path, text: str, offset: int) -> list[Place]:
        found = self._script(path, text).goto(*_position(text, offset), follow_imports=True)
        return [Place(one.module_path, (one.line or 1) - 1, one.column or 0) for one in found]

    def diagnostics(self, path: Path, text: str) -> list[Diagnostic]:
        found = self._script(path, text).get_syntax_errors()
        return [Diagnostic(one.line - 1, one.column, "error", one.get_message()) for one in found]

    def close(self) -> None:
        """End jedi's own process. It would be started again by the next question, so there must be none."""
        process = getattr(self._environment, "_subprocess", None)
        if process is not None:
            with contextlib.suppress(Exception):
                process._kill()

    def _script(self, path: Path, text: str) -> Any:
        return self._jedi.Script(text, path=str(path), project=self._project, environment=self._environment)


def _position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1)
