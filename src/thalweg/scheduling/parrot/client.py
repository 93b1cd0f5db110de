"""`GraphSession`: the client's side of a server's sessions: calls are described, sent at once, and run there.

>>> with GraphSession("http://127.0.0.1:8000") as session:
...     parts = [session.call("Summarise: {{text}}", text=text) for text in texts]
...     whole = session.call("Put together: " + " ".join(f"{{{{{part}}}}}" for part in parts))
...     print(session.get(whole))

`call` only describes; `get` sends everything that is not there yet with one request and waits. Source: Lin et al. 2024,
"Parrot: Efficient Serving of LLM-based Applications with Semantic Variable". Cost: one round trip a `get`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import httpx

from thalweg.errors import EndpointError, GraphError
from thalweg.models.request import Format, Sampling
from thalweg.scheduling.parrot.graph import FREE_TEXT, Call, Node, Transform, node_to_json


class GraphSession:
    """A session on a Thalweg server.

    Args:
        url: of the server. api_key: where it has keys.
        timeout: seconds a `get` may take.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        timeout: float = 300.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)
        self._names = itertools.count(1)
        self._nodes: list[Node] = []
        self._values: dict[str, str] = {}
        self._session = ""

    def __enter__(self) -> GraphSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def value(self, text: str, name: str = "") -> str:
        """A variable with a value. Gives its name."""
        name = name or f"v{next(self._names)}"
        self._values[name] = text
        return name

    def call(
        self,
        template: str,
        output: str = "",
        *,
        system: str = "",
        format: Format = FREE_TEXT,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        chat: bool = True,
        **values: str,
    ) -> str:
        """Describe a call. Gives the name of the variable that its answer becomes.

        Args:
            values: texts of ``{{name}}`` in the template; other names are variables of the session.
        """
        output = output or f"v{next(self._names)}"
        for name, text in values.items():
            own = self.value(text, f"{output}.{name}")
            template = template.replace("{{" + name + "}}", "{{" + own + "}}")
        self._nodes.append(Call(output, template, system, format, sampling or Sampling(), tuple(stop), chat))
        return output

    def transform(
        self, kind: Literal["regex", "json", "template"], spec: str, input: str = "", output: str = ""
    ) -> str:
        """Describe a variable made from others without a model. Gives its name."""
        output = output or f"v{next(self._names)}"
        self._nodes.append(Transform(output, kind, spec, input))
        return output

    def get(self, variable: str, criteria: Literal["latency", "throughput"] = "latency") -> str:
        """The value of a variable. Raises `GraphError` where it cannot be had."""
        return self.gather([variable], criteria)[0]

    def gather(self, variables: Sequence[str], criteria: Literal["latency", "throughput"] = "latency") -> list[str]:
        """The values of several variables, asked for at once."""
        body = {
            "calls": [node_to_json(node) for node in self._nodes],
            "values": self._values,
            "get": [{"var": name, "criteria": criteria} for name in variables],
            "wait": True,
        }
        place = f"/v1/sessions/{self._session}/graph" if self._session else "/v1/sessions"
        told = self._send("POST", place, body)
        self._session = self._session or told["session"]
        self._nodes, self._values = [], {}  # there now
        for name in variables:
            if name in told["errors"]:
                raise GraphError(told["errors"][name]["what"], told["errors"][name]["remedy"])
        return [told["values"][name] for name in variables]

    def close(self) -> None:
        """End the session; what it has not begun never runs."""
        if self._session:
            with suppress(httpx.HTTPError):  # it expires by itself
                self._http.delete(f"/v1/sessions/{self._session}")
            self._session = ""
        self._http.close()

    def _send(self, method: str, path: str, body: Any) -> Any:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise EndpointError(
                f"The server did not answer ({type(error).__name__}).", "Check its address, and that it is up.",
                fault="connection" if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else "server",
            ) from None  # fmt: skip
        if answer.is_success:
            return answer.json()
        try:
            said = answer.json()["error"]
            what, remedy = f"{said['what']} (status {answer.status_code})", said["remedy"]
        except (ValueError, KeyError, TypeError):
            what, remedy = f"The server answered {answer.status_code}.", "Check that it is a Thalweg server."
        raise (GraphError if answer.status_code == 422 else EndpointError)(what, remedy)
