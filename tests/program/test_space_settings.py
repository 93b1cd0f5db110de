"""Settings as choices - strategy, decoder options, model - and programs that are saved with what was chosen."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import SpaceError, StateMismatch
from thalweg.models import ScriptedModel
from thalweg.program.choice_kinds import Choice, Integer, Real
from thalweg.program.spaces import Genome, Space, space
from thalweg.program.strategy import Direct


@dataclass(frozen=True)
class Loud:
    """A strategy that says one thing."""

    said: str = "LOUD"
    name: str = "loud"

    def messages(self, signature: Any, parameters: Any, inputs: Any) -> Any:
        return Direct().messages(signature, replace(parameters, instruction=self.said), inputs)


@tw.learned
def read(mail: str) -> str:
    """Read."""
    ...


@tw.learned(strategy=tw.choice(Direct(), Loud("HEAR!")), temperature=tw.choice(0.0, 0.5))
def hear(mail: str) -> str:
    """Hear."""
    ...


@tw.flow(temperature=tw.real(0.0, 1.0))
def both(mail: str) -> str:
    return hear(read(mail)) if tw.choice(True, False, name="hear") else read(mail)


@tw.flow
def counted(mail: str) -> list[str]:
    return [read(mail)] * tw.integer(1, 8, name="k")


class Asked:
    """What a program asks: the first line of the prompt, and how it is drawn."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, float, int]] = []
        self.model = ScriptedModel(self._answer)

    def _answer(self, request: Any) -> str:
        sampling = request.sampling
        first = request.messages[0].content.splitlines()[0]
        self.seen.append((first, sampling.temperature, sampling.top_p, sampling.max_tokens))
        return "a"

    def __call__(self, program: Any) -> list[tuple[str, float, float, int]]:
        self.seen = []
        with tw.using(model=self.model, cache=False):
            program("x")
        return self.seen


def opened() -> Space:
    return (
        space(read)
        .opened("read/strategy", Choice((Direct(), Loud())))
        .opened("read/temperature", Real(0, 1))
        .opened("read/max_tokens", Integer(1, 64))
        .opened("read/top_p", Choice((0.5, 1.0)))
    )


def test_an_opened_setting_is_as_written_until_it_is_chosen() -> None:
    assert Asked()(read.bind(opened().default())) == [("Read.", 0.0, 1.0, 512)]
    assert opened().default().to_json()["choices"] == {}
    assert opened().select("read/strategy", "read/top_p").size() == 4
    assert set(opened().drawable) == {f"read/{name}" for name in ("strategy", "temperature", "max_tokens", "top_p")}


def test_a_chosen_strategy_is_a_label_in_the_genome_and_an_object_in_the_run() -> None:
    one = opened().genome({"read/strategy": f"{Loud()!r}", "read/temperature": 0.25, "read/max_tokens": 7})
    again = Genome.from_json(json.loads(json.dumps(one.to_json())), opened())
    assert again == one
    assert Asked()(read.bind(again)) == [("LOUD", 0.25, 1.0, 7)]
    assert read.bind(again).own.strategy == Loud()
    with pytest.raises(SpaceError, match="does not fit"):
        opened().genome({"read/strategy": "Quiet()"})


def test_strategies_of_a_decorator_are_options_by_what_they_print_as() -> None:
    found = space(hear)
    assert found["hear/strategy"].kind == Choice((f"{Direct()!r}", f"{Loud('HEAR!')!r}"))
    assert Asked()(hear.bind(found.default())) == [("Hear.", 0.0, 1.0, 512)]
    one = found.genome({"hear/strategy": f"{Loud('HEAR!')!r}", "hear/temperature": 0.5})
    assert Asked()(hear.bind(one)) == [("HEAR!", 0.5, 1.0, 512)]


def test_settings_of_functions_inside_a_flow_and_of_the_flow_itself_are_chosen() -> None:
    found = space(both)
    assert "both/temperature" in found and "both.hear/strategy" in found
    one = found.genome({"both/temperature": 0.125, "both.hear/strategy": f"{Loud('HEAR!')!r}"})
    assert Asked()(both.bind(one)) == [("Read.", 0.125, 1.0, 512), ("HEAR!", 0.0, 1.0, 512)]
    more = found.opened("both.read/strategy", Choice((Loud("ONE"), Loud("TWO"))))
    two = more.genome({"both/hear": False, "both.read/strategy": f"{Loud('TWO')!r}"})
    assert Asked()(both.bind(two)) == [("TWO", 0.5, 1.0, 512)]


def test_an_opened_setting_is_active_where_its_function_is() -> None:
    found = space(both).opened("both.hear/max_tokens", Integer(1, 9))
    assert "both.hear/max_tokens" not in found.active(found.genome({"both/hear": False}).values)


def test_an_option_of_a_setting_must_be_readable_from_the_text() -> None:
    def made() -> Any:
        return Loud()

    @tw.learned(strategy=tw.choice(Direct(), made()))
    def unreadable(mail: str) -> str:
        """Read."""
        ...

    with pytest.raises(SpaceError, match=r"`made\(\)` is an option of 'unreadable/strategy'"):
        space(unreadable)


class Plain:
    """A strategy that prints as an address."""

    name = "plain"

    def __init__(self, said: str) -> None:
        self.said = said

    def messages(self, signature: Any, parameters: Any, inputs: Any) -> Any:
        return Loud(self.said).messages(signature, parameters, inputs)


def test_options_that_print_as_an_address_go_by_their_class() -> None:
    found = space(read).opened("read/strategy", Choice((Plain("one"), Plain("two"))))
    assert found["read/strategy"].kind == Choice(("Plain", "Plain~2"))
    assert Asked()(read.bind(found.genome({"read/strategy": "Plain~2"})))[0][0] == "two"


# -- saved and loaded -------------------------------------------------------------------------------------------------


def test_a_flow_is_saved_with_its_choices_and_its_state(tmp_path: Path) -> None:
    one = space(both).genome({"both/temperature": 0.75, "both/hear": True, "both.hear/temperature": 0.5,
                              "both.read/instruction": "Read it."})  # fmt: skip
    both.bind(one).save(tmp_path / "both.json")
    loaded = both.load(tmp_path / "both.json")
    assert loaded.state() == both.bind(one).state()
    assert loaded.chosen == one
    assert Asked()(loaded) == Asked()(both.bind(one)) == [("Read it.", 0.75, 1.0, 512), ("Hear.", 0.5, 1.0, 512)]
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "both.json").read_text()


def test_settings_and_strategies_come_back_by_themselves_other_objects_by_their_space(
    tmp_path: Path,
) -> None:
    plain = opened().genome({"read/temperature": 0.3, "read/top_p": 0.5})
    read.bind(plain).save(tmp_path / "plain.json")
    assert Asked()(read.load(tmp_path / "plain.json")) == [("Read.", 0.3, 0.5, 512)]
    loud = opened().genome({"read/strategy": f"{Loud()!r}", "read/instruction": "x"})
    read.bind(loud).save(tmp_path / "loud.json")
    assert Asked()(read.load(tmp_path / "loud.json", space=opened())) == [("LOUD", 0.0, 1.0, 512)]
    assert Asked()(read.load(tmp_path / "loud.json")) == [("LOUD", 0.0, 1.0, 512)]

    @dataclass(frozen=True)
    class Unknown(Loud):
        """Of no module: its data could not be read back."""

    unknown = space(read).opened("read/strategy", Choice((Direct(), Unknown())))
    read.bind(unknown.genome({"read/strategy": f"{Unknown()!r}"})).save(tmp_path / "unknown.json")
    with pytest.raises(StateMismatch, match=r"`read/strategy` is .*, an object .*`space`"):
        read.load(tmp_path / "unknown.json")


def test_a_program_without_chosen_choices_is_saved_without_any(tmp_path: Path) -> None:
    counted.save(tmp_path / "counted.json")
    assert "choices" not in json.loads((tmp_path / "counted.json").read_text())
    assert counted.load(tmp_path / "counted.json").chosen is None


def test_loading_into_a_changed_program_says_exactly_which_choices_changed(tmp_path: Path) -> None:
    counted.bind(space(counted).genome({"counted/k": 7})).save(tmp_path / "counted.json")

    def narrower() -> Any:
        @tw.flow
        def counted(mail: str) -> list[str]:
            return [read(mail)] * tw.integer(1, 4, name="k")

        return counted

    def other() -> Any:
        @tw.flow
        def counted(mail: str) -> list[str]:
            return [read(mail)] * tw.integer(1, 8, name="n")

        return counted

    def wider() -> Any:
        @tw.flow
        def counted(mail: str) -> list[str]:
            return [read(mail)] * tw.integer(0, 9, name="k")

        return counted

    path = tmp_path / "counted.json"
    with pytest.raises(StateMismatch, match="`counted/k` was 7 of a whole number from 1 to 8, and takes a whole number "
                                            "from 1 to 4 now"):  # fmt: skip
        narrower().load(path)
    with pytest.raises(StateMismatch, match="the choice `counted/k` is not part of the program any more; the choice "
                                            "`counted/n` is new"):  # fmt: skip
        other().load(path)
    assert wider().load(path).chosen["counted/k"] == 7, "what still fits is the same program"
    broken = json.loads(path.read_text())
    broken["choices"]["counted/k"] = 7
    path.write_text(json.dumps(broken))
    with pytest.raises(StateMismatch, match="`counted/k` has no value in the file"):
        counted.load(path)
