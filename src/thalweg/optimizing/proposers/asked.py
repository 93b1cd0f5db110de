"""Who is asked for a text: the program's own model, another model, or a function of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import ContextOverflow, DataError, EndpointError, UnsupportedByBackend
from thalweg.optimizing.search import Search
from thalweg.program import Direct, Learned, learned

_PASSED = (EndpointError, ContextOverflow, DataError, UnsupportedByBackend)  # one text less, no end of the search


@learned
def write_instruction(task: str, examples: str, current_instruction: str, advice: str) -> str:
    """Write a better instruction for this task. It tells a language model what to do with the inputs. Reply with the
    instruction only, in one or two sentences."""
    ...


@learned
def mend_instruction(current_instruction: str, mistakes: str, advice: str) -> str:
    """The instruction led to these mistakes. Write a better instruction that avoids them and keeps what was good.
    Reply with the instruction only, in one to three sentences."""
    ...


@dataclass(frozen=True)
class Asked:
    """Asks for texts.

    Args:
        who: None for the model of the function that is improved, a model or its name, or a function from a prompt to a
            text (it is asked again when a search is taken up, so let it answer alike).
        temperature: of the draws. tokens: of a text at most.
    """

    who: Any = None
    temperature: float = 0.9
    tokens: int = 96

    def texts(self, search: Search, path: str, question: Learned[..., Any], cases: Sequence[Mapping[str, str]],
              place: str, seed: int) -> list[str]:  # fmt: skip
        """A text for each case; those that fail are left out, with a warning."""
        if callable(self.who) and not hasattr(self.who, "submit"):
            return self._from_function(search, question, cases, place)
        said: dict[str, Any] = {
            "temperature": self.temperature, "max_tokens": self.tokens, "overflow": "truncate", "mode": "model",
            "strategy": Direct(),
        }  # fmt: skip
        model = self.who if self.who is not None else search.functions[path].own.model
        if model is not None:
            said["model"] = model
        found: list[str] = []
        with search.asking(place):
            values = [question.using(**said, seed=seed * 1_009 + at).submit(**one) for at, one in enumerate(cases)]
            for value in values:
                try:
                    found.append(value.result())
                except _PASSED as error:
                    _warn(search, f"{question.name} for `{path}` failed: {type(error).__name__}: {error}")
        return found

    def _from_function(
        self, search: Search, question: Learned[..., Any], cases: Sequence[Mapping[str, str]], place: str
    ) -> list[str]:
        found: list[str] = []
        with search.asking(place):
            for one in cases:
                shown = "\n\n".join(f"{name.replace('_', ' ')}:\n{text}" for name, text in one.items() if text)
                try:
                    found.append(self.who(f"{question.parameters.instruction}\n\n{shown}"))
                except Exception as error:
                    _warn(search, f"the function that was asked failed: {type(error).__name__}: {error}")
        return found


def clipped(text: str, characters: int) -> str:
    """A text on one line that ends where it must."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= characters else flat[: characters - 3].rstrip() + "..."


def _warn(search: Search, said: str) -> None:
    if said not in search.warnings:
        search.warnings.append(said)
