"""`thalweg ask`: one question, or one call of a function in a file."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

_SETTINGS = ("model", "temperature", "seed", "decoder", "sampler")


@click.command("ask")
@click.argument("question")
@click.argument("inputs", nargs=-1)
@click.option(
    "--type", "type_", default="str", show_default=True, help="str, int, float, bool, date, or a|b|c for a choice."
)
@click.option("--instruction", default="Answer the question.", help="What to do with the question.")
@click.option("--state", "state_path", type=click.Path(), help="Parameters saved by `save`, or a study.")
@click.option("--model", help="Model name, .gguf path, openai:MODEL@URL.")
@click.option("--temperature", type=float, help="0 is greedy (default).")
@click.option("--seed", type=int, help="For temperature above 0.")
@click.option("--decoder", help="Guess tokens ahead: auto, lookahead, ... (models opened with tree: or torch:).")
@click.option("--sampler", type=click.Choice(["masked", "aligned", "smc", "awrs"]), help="How values are drawn.")
@click.option("--distribution", is_flag=True, help="Probabilities of all values instead of the best one.")
def command(question: str, inputs: tuple[str, ...], type_: str, instruction: str, **options: Any) -> None:
    """Ask QUESTION, or call FILE.py:NAME with the INPUTS given as text.

    \b
    thalweg ask "What is the capital of France?"
    thalweg ask "The food was cold." --type "good|bad" --instruction "Judge the review."
    thalweg ask examples/mail/triage.py:triage "Subject: hello ..."
    """
    import thalweg as tw
    from thalweg.program import Learned
    from thalweg.program.types import jsonable

    said = {name: options[name] for name in _SETTINGS if options[name] is not None}
    with tw.using(**said):
        program, arguments = _program(question, inputs, type_, instruction)
        if options["state_path"]:
            from thalweg.cli.saved import with_saved

            if ".py:" not in question:
                raise click.UsageError("--state needs a program: FILE.py:NAME.")
            program = with_saved(program, options["state_path"])
        if options["distribution"]:
            if not isinstance(program, Learned):
                raise click.UsageError("--distribution needs a learned function, not a flow.")
            for value, probability in sorted(program.distribution(*arguments).items(), key=lambda pair: -pair[1]):
                click.echo(f"{probability:.4f}  {value}")
            return
        result = program(*arguments)
    click.echo(result if isinstance(result, str) else json.dumps(jsonable(result), ensure_ascii=False))


def _program(question: str, inputs: tuple[str, ...], type_: str, instruction: str) -> tuple[Any, list[Any]]:
    from thalweg.cli.target import load_program
    from thalweg.program import Learned
    from thalweg.program.tables import cast

    if ".py:" in question:
        program = load_program(question)
        signature = program.signature.parameters if isinstance(program, Learned) else program.signature
        names = list(signature.parameters)
        given = signature.parameters
        missing = [name for name in names[len(inputs) :] if given[name].default is inspect.Parameter.empty]
        if missing:
            raise click.UsageError(f"{question} also needs: {', '.join(missing)}.")
        if len(inputs) > len(names):
            raise click.UsageError(f"{question} takes {', '.join(names)}; {len(inputs)} inputs were given.")
        missing = [one.name for one in list(signature.parameters.values())[len(inputs) :] if one.default is one.empty]
        if missing:
            raise click.UsageError(f"{question} needs {', '.join(missing)} too. Give them as text, in this order.")
        import typing

        hints = typing.get_type_hints(program.function, include_extras=True)
        return program, [
            cast(text, hints.get(name, str), column=name) for name, text in zip(names, inputs, strict=False)
        ]
    if inputs:
        raise click.UsageError("Put the question in quotes: it is one argument.")

    def answer(question: str) -> str: ...

    answer.__doc__ = instruction
    answer.__annotations__["return"] = _type(type_)
    return Learned(answer), [question]


def _type(text: str) -> Any:
    from datetime import date
    from typing import Literal

    known: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "date": date}
    if text in known:
        return known[text]
    choices = [choice.strip() for choice in text.split("|") if choice.strip()]
    if len(choices) < 2:
        raise click.UsageError(f"--type {text}: write one of {', '.join(known)}, or choices as a|b|c.")
    return Literal[tuple(choices)]
