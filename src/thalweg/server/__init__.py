"""Server: programs over HTTP. `create_app(flows, model=...)` makes the application, `thalweg serve` runs it.

Lives here: `Service` (what the routers share: programs, model, limits), `Settings`, and one file or folder a router:
`flows` (typed endpoints), `openai/` (the OpenAI-compatible ones), `graph_sessions` (calls that wait for each other),
`ui/` (the page). Around them, plain ASGI layers: `limits` (keys, sizes, origins), `lifecycle` (drain), `metrics`.
May import every room but `cli`. Only here is FastAPI imported, and only when this room is.

To add an endpoint, write a router: a function ``router(service) -> APIRouter``, and include it in `app.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thalweg.server.service import Service
from thalweg.server.settings import Settings

if TYPE_CHECKING:
    from thalweg.server.app import create_app

__all__ = ["Service", "Settings", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from thalweg.server.app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
