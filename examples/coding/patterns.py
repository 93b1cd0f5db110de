"""Patterns of collaboration on code-writing tasks: a coder, a critic, a test runner and a person, as ordinary code.

After Josifoski et al. 2023, "Flows: building blocks of reasoning and collaborating AI": direct, self-reflection,
generator-critic, feedback from tests, tests and critic together, a plan written by a person, and the control that the
others have to beat: sample as many programs and keep the first that passes the public tests. Every program runs in the
sandbox. The packaged model has 135M parameters and is no programmer; what is shown is how the patterns are written.

    python examples/coding/patterns.py                 # all patterns without a person
    python examples/coding/patterns.py --person        # with plans written by you
"""

from __future__ import annotations

import argparse
from typing import Annotated

from pydantic import Field
from tasks import TASKS, Program, Step, Task

import thalweg as tw
from thalweg.program.sandbox import Sandbox

Remark = Annotated[str, Field(min_length=1, max_length=80)]
SANDBOX = Sandbox(seconds=5)
ROUNDS = 3


@tw.learned
def write(task: str, tests: str, remarks: list[str]) -> Program:
    """Write the program: choose its first step, and the step after it ("nothing" if one step is enough)."""


@tw.learned
def criticise(task: str, program: str, outcome: str) -> Remark:
    """Say in one sentence what is wrong with the program."""


@tw.tool(effect="none")
def run_tests(source: str, tests: str) -> str:
    """What the tests say; empty when all passed."""
    report = SANDBOX.test(source, tests)
    return "" if report else report.feedback


class Coder(tw.Actor):
    """Writes programs and remembers what was said about them."""

    remarks: list[str] = []
    attempts: int = 0

    def on(self, message: dict[str, str]) -> Program:
        if message["remark"]:
            self.remarks.append(message["remark"])
        self.attempts += 1
        draw = write if self.attempts == 1 else write.using(temperature=1.0, seed=self.attempts)
        return draw(message["task"], message["tests"], self.remarks[-3:])


class Critic(tw.Actor):
    """Says what is wrong; a model here, a person where `Person` takes its place."""

    def on(self, message: dict[str, str]) -> str:
        return criticise(message["task"], message["program"], message["outcome"])


class Person(tw.Actor):
    """The same critic, answered by whoever the session names (`human=`): the terminal, an inbox, a function."""

    def on(self, message: dict[str, str]) -> str:
        return tw.ask(f"{message['task']} What is wrong with this program?", payload=message["program"])


@tw.flow
def direct(task: Task) -> Program:
    return write(task.text, task.public, [])


@tw.flow
def reflect(task: Task) -> Program:
    draft = write(task.text, task.public, [])
    remark = criticise(task.text, draft.source(), "not run")
    return write.using(temperature=1.0, seed=2)(task.text, task.public, [remark])


@tw.flow
def generator_critic(task: Task, coder: tw.Actor, critic: tw.Actor) -> Program:
    """Circular: what the critic says goes back to the coder."""
    program = coder({"task": task.text, "tests": task.public, "remark": ""})
    for _ in range(ROUNDS - 1):
        remark = critic({"task": task.text, "program": program.source(), "outcome": "not run"})
        program = coder({"task": task.text, "tests": task.public, "remark": remark})
    return program


@tw.flow
def debug(task: Task, coder: tw.Actor) -> Program:
    """Circular, with the ground truth of the public tests."""
    remark = ""
    for _ in range(ROUNDS):
        program = coder({"task": task.text, "tests": task.public, "remark": remark})
        remark = run_tests(program.source(), task.public)
        if not remark:
            break
    return program


@tw.flow
def debug_with_critic(task: Task, coder: tw.Actor, critic: tw.Actor) -> Program:
    """The tests say that it is wrong, the critic says why."""
    remark = ""
    for _ in range(ROUNDS):
        program = coder({"task": task.text, "tests": task.public, "remark": remark})
        outcome = run_tests(program.source(), task.public)
        if not outcome:
            break
        remark = critic({"task": task.text, "program": program.source(), "outcome": outcome})
    return program


@tw.flow
def resample(task: Task) -> Program:
    """Parallel: the honest control. As many programs as the others draw, the first that passes is kept."""
    drawn = [write.using(temperature=1.0, seed=seed)(task.text, task.public, []) for seed in range(ROUNDS)]
    outcomes = [run_tests(program.source(), task.public) for program in drawn]
    for program, outcome in zip(drawn, outcomes, strict=True):
        if not outcome:
            return program
    return drawn[0]


@tw.flow
def planned(task: Task, coder: tw.Actor) -> Program:
    """A person chooses the first step, the rest is `debug`."""
    step = tw.ask(f"{task.text} Which step comes first?", Step)
    guided = Task(task.name, f"{task.text} Begin with: {step}.", task.public, task.hidden)
    return debug(guided, coder)


def solved(task: Task, program: Program) -> bool:
    """Whether the hidden tests pass."""
    return bool(SANDBOX.test(program.source(), task.hidden))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--person", action="store_true", help="also the patterns in which you take part")
    arguments.add_argument("--tasks", type=int, default=len(TASKS), help="only the first tasks")
    said = arguments.parse_args()
    patterns = {
        "direct": direct,
        "reflect": reflect,
        "generator-critic": lambda task: generator_critic(task, Coder(), Critic()),
        "debug": lambda task: debug(task, Coder()),
        "debug with critic": lambda task: debug_with_critic(task, Coder(), Critic()),
        "resample (control)": resample,
    }
    if said.person:
        patterns["planned by a person"] = lambda task: planned(task, Coder())
        patterns["a person as critic"] = lambda task: generator_critic(task, Coder(), Person())
    tasks = TASKS[: said.tasks]
    print(f"{'pattern':<20} solved of {len(tasks)}   (programs run in: {SANDBOX.backend()})")
    for name, pattern in patterns.items():
        right = [task.name for task in tasks if solved(task, pattern(task))]
        print(f"{name:<20} {len(right)}   {', '.join(right)}")


if __name__ == "__main__":
    main()
