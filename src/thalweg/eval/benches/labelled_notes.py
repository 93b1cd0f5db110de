"""What the benchmark of labels measures on: notes from several sources, and a question that one of them answers.

*Mixed* notes are about different things; *alike* ones are of one kind, where a small model confuses one with another,
so that more than one matters. Answers are six possible sentences, which the prompt does not list. Names of the two
splits differ. The glosses are written in the manner of WordNet's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import thalweg as tw
from thalweg.models.request import Message
from thalweg.program.labels import Label, Propagated
from thalweg.program.learned import Learned
from thalweg.program.strategy import show_inputs

SOURCES = ("hr", "finance", "wiki", "legal", "sales", "mail", "press", "board")

GLOSSES = {
    "bird": ("a small singing bird of the forest", "a large bird that lives near rivers", "a night bird with big eyes",
             "a brown bird that nests on the ground", "a sea bird with long wings"),
    "tool": ("a tool for cutting wood", "a heavy tool used by smiths", "a hand tool for turning screws",
             "a pointed tool for making holes", "a tool that holds things fast"),
    "fruit": ("a sweet red fruit that grows on trees", "a sour yellow fruit", "a round fruit with a hard stone",
              "a soft purple fruit eaten fresh or dried", "a juicy fruit of warm countries"),
    "fish": ("a flat fish of the northern sea", "a small fish that lives in ponds", "a long thin fish like a snake",
             "a silver fish that swims up rivers", "a large fish caught for food"),
    "dance": ("a slow dance for two people", "a lively dance from the south", "a dance in a ring",
              "an old court dance", "a quick dance in triple time"),
    "boat": ("a narrow boat with one sail", "a flat boat used on canals", "a small boat moved by oars",
             "a fast boat for racing", "a broad boat that carries goods"),
}  # fmt: skip
PEOPLE = ("Anna", "Boris", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Irene", "Jonas", "Karla", "Leon")
# kind: (names, values, a note, the question, an answer)
KINDS: dict[str, tuple[Sequence[str], Sequence[str], str, str, str]] = {
    "colour": (("bicycle", "teapot", "wallet", "kite", "door", "scarf", "lamp", "ladder", "chair", "bucket",
               "tent", "jar"),
               ("red", "blue", "green", "yellow", "black", "white"),
               "The {0} is {1}.", "What colour is the {0}?", "The {0} is {1}."),
    "city": (PEOPLE, ("Paris", "London", "Rome", "Berlin", "Madrid", "Vienna"),
             "{0} lives in {1}.", "Where does {0} live?", "{0} lives in {1}."),
    "sport": (PEOPLE, ("tennis", "football", "chess", "golf", "hockey", "rugby"),
              "{0} plays {1}.", "What does {0} play?", "{0} plays {1}."),
    "month": (("festival", "meeting", "audit", "concert", "exam", "harvest", "regatta", "wedding", "fair", "census",
               "parade", "auction"), ("January", "March", "May", "July", "October", "December"),
              "The {0} is in {1}.", "When is the {0}?", "The {0} is in {1}."),
    "language": (("contract", "letter", "manual", "diary", "report", "poem", "recipe", "treaty", "novel", "prayer",
                  "menu", "charter"), ("French", "German", "Latin", "Greek", "Polish", "Dutch"),
                 "The {0} is written in {1}.", "In which language is the {0} written?", "The {0} is written in {1}."),
    "animal": (PEOPLE, ("dog", "cat", "horse", "parrot", "rabbit", "goat"),
               "{0} keeps a {1}.", "Which animal does {0} keep?", "{0} keeps a {1}."),
    "gloss": (("blick", "dax", "wug", "tove", "fep", "zorp", "mib", "gorn", "sarn", "plim", "quab", "dreen"),
              tuple(GLOSSES), "A {0} is {1}.", "What kind of thing is a {0}?", "A {0} is a kind of {1}."),
    "drink": (PEOPLE, ("tea", "coffee", "milk", "wine", "beer", "juice"),
              "{0} drinks {1}.", "What does {0} drink?", "{0} drinks {1}."),
}  # fmt: skip


@dataclass(frozen=True)
class Plain:
    """Instruction and inputs; no list of the possible answers."""

    name: str = "plain"

    def messages(self, signature: Any, parameters: Any, inputs: Any) -> list[Message]:
        return [Message("system", parameters.instruction), Message("user", show_inputs(inputs))]


@dataclass(frozen=True)
class Case:
    function: Learned[..., Any]
    question: str
    notes: list[str]
    labels: list[Label]
    wanted: str
    relevant: Label

    @property
    def inputs(self) -> dict[str, Any]:
        return {"question": self.question, "notes": self.notes}

    def by(self, policy: Any) -> Propagated:
        return policy.propagate(self.function, self.inputs, {"notes": self.labels})


def make_case(chance: random.Random, split: Literal["dev", "test"], form: str, size: int) -> Case:
    """One note a source; names of the two splits differ."""
    half = slice(0, None, 2) if split == "dev" else slice(1, None, 2)
    asked = chance.choice(list(KINDS))
    others = chance.sample([kind for kind in KINDS if kind != asked], size - 1)
    kinds = [asked] * size if form == "alike" else [asked, *others]
    people = chance.sample(PEOPLE[half], 6)
    names = chance.sample(KINDS[asked][0][half], 6)
    notes = []
    subject = value = ""
    for i, kind in enumerate(kinds):
        pool, values, note, _, _ = KINDS[kind]
        name = names[i] if form == "alike" else people.pop() if pool is PEOPLE else chance.choice(pool[half])
        chosen = chance.choice(values)
        shown = chance.choice(GLOSSES[chosen][half]) if kind == "gloss" else chosen
        notes.append(note.format(name, shown))
        if i == 0:
            subject, value = name, chosen
    order = chance.sample(range(size), size)
    sources = chance.sample(SOURCES, size)
    _, values, _, question, answer = KINDS[asked]
    return Case(
        statement(tuple(answer.format(subject, one) for one in values)),
        question.format(subject),
        [notes[i] for i in order],
        [Label(source) for source in sources],
        answer.format(subject, value),
        Label(sources[order.index(0)]),
    )


def statement(answers: tuple[str, ...]) -> Learned[..., Any]:
    def answer(question: str, notes: list[str]): ...

    answer.__doc__ = "Answer the question with what the notes say."
    answer.__annotations__["return"] = Literal[answers]
    return tw.learned(strategy=Plain())(answer)


@tw.learned(strategy=Plain())
def kind_of(gloss: str) -> Literal["bird", "tool", "fruit", "fish", "dance", "boat"]:
    """What kind of thing is meant? Answer with one word: bird, tool, fruit, fish, dance or boat."""
    ...
