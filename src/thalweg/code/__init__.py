"""Code: continue source code with the whole repository in view.

Lives here: `Workspace` (a folder and what an analyser knows about it: jedi in this process, or any language server
through `language_server.py`), `Members` (the analyser that monitors ask which members a value has), `complete`
(continuations whose member accesses exist). The monitor itself, which knows no server, is
`decoding/constraints/monitor.py`.

To add a language, write a reading like `python_reading.py` and an `Analyser` like `members.py`. May import `program`,
`scheduling`, `decoding` and `models`. Needs the extra ``code`` for jedi; language servers are found on the path.
"""

from thalweg.code.complete import Completion, complete
from thalweg.code.language_server import LanguageServer
from thalweg.code.members import Members
from thalweg.code.workspace import Diagnostic, Place, Suggestion, Workspace

__all__ = ["Completion", "Diagnostic", "LanguageServer", "Members", "Place", "Suggestion", "Workspace", "complete"]
