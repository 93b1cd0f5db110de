"""`thalweg serve FILE.py[:FLOW ...]`: programs and a model over HTTP."""

from __future__ import annotations

import sys
from typing import Any

import click

from thalweg.cli.saved import with_states
from thalweg.cli.target import load_programs


@click.command("serve")
@click.argument("targets", nargs=-1)
@click.option(
    "--state", "states", multiple=True, metavar="[NAME=]PATH", help="What was saved of a program; repeatable."
)
@click.option("--model", help="Model name, .gguf path, openai:MODEL@URL[,URL...], recorded:PATH.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--api-key", "api_keys", multiple=True, metavar="[NAME:]KEY", help="A key requests must carry; repeatable."
)
@click.option("--api-keys", "key_file", type=click.Path(), help="A file of keys, one a line.")
@click.option("--admin", "admins", multiple=True, metavar="NAME", help="A key's name that sees all calls on the page.")
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without keys.")
@click.option("--origin", "origins", multiple=True, help="Another web origin whose pages may call the server.")
@click.option("--max-body", type=click.IntRange(1024), default=4 * 2**20, show_default=True, help="Bytes of a body.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=300.0, show_default=True, help="Seconds.")
@click.option("--max-waiting", type=click.IntRange(0), default=2048, show_default=True, help="More are told to wait.")
@click.option(
    "--grace", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds to finish when stopped."
)
@click.option("--streams", type=click.IntRange(1), help="Calls advanced side by side (local models).")
@click.option("--context", type=click.IntRange(16), help="Tokens of prompt and answer (local models).")
@click.option("--ui/--no-ui", default=True, help="The page at /ui (default on).")
@click.option("--cache/--no-cache", default=True, help="Answer equal calls of programs from the cache (default on).")
@click.option("--journal/--no-journal", default=True, help="Record the calls of programs (default on).")
@click.option("--store", help="Folder of journal and cache. Default .thalweg, or THALWEG_STORE.")
def command(targets: tuple[str, ...], **said: Any) -> int:
    """Serve the programs of TARGETS, each FILE.py (all its programs) or FILE.py:NAME; without any, the model alone.

    Every program is a typed endpoint, the model an OpenAI-compatible one, and /ui shows what runs.
    """
    try:
        from thalweg.server import Service, Settings, create_app
        from thalweg.server.lifecycle import server
        from thalweg.server.settings import is_loopback, keys_from
    except ModuleNotFoundError as error:
        raise click.ClickException(f"The server needs {error.name}. Run: pip install 'thalweg[server]'") from error
    keys = keys_from(said["api_keys"], file=said["key_file"])
    if not keys and not is_loopback(said["host"]) and not said["insecure"]:
        raise click.UsageError(
            f"--host {said['host']} can be reached from other machines, and the server has no keys. "
            "Give --api-key, or say --insecure."
        )
    unknown = set(said["admins"]) - {name for name, _ in keys}
    if unknown:
        raise click.UsageError(f"--admin {min(unknown)}: no key has this name.")
    programs = {name: program for target in targets for name, program in load_programs(target).items()}
    programs = with_states(programs, said["states"])
    settings = Settings(
        host=said["host"], port=said["port"], api_keys=keys, admins=said["admins"], max_body_bytes=said["max_body"],
        timeout_seconds=said["timeout"], max_waiting=said["max_waiting"], grace_seconds=said["grace"], ui=said["ui"],
        cache=said["cache"], journal=said["journal"], store=said["store"], origins=said["origins"],
    )  # fmt: skip
    model = _model(said["model"], said["streams"], said["context"])
    service = Service(programs, model, settings)
    running = server(create_app(service=service), service)
    running.config.load()
    click.echo(f"{service.name} is loaded; listening soon (Ctrl-C drains and stops).", err=True)
    running.on_start = lambda port: _tell(service, port)
    try:
        running.run()
    finally:
        close = getattr(model, "close", None)
        if close is not None:
            close()
    if running.cut_off:
        click.echo(f"{running.cut_off} requests were not finished within {settings.grace_seconds:g} s.", err=True)
        return 1
    return 0 if running.started else 1


def _model(name: str | None, streams: int | None, context: int | None) -> Any:
    from thalweg.program.session import current, model_in_force, settings

    if streams is None and context is None:
        return model_in_force(settings(model=name).over(current()))
    from thalweg.models import load
    from thalweg.scheduling import Engine

    scorer = load(name, streams=streams, context=context) if name else load(streams=streams, context=context)
    return Engine(scorer) if hasattr(scorer, "score") else scorer


def _tell(service: Any, port: int) -> None:
    settings = service.settings
    host = settings.host if settings.loopback else "localhost"
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [("programs", f"{base}/flows/{name}") for name in service.flows]
    lines += [("OpenAI API", f"{base}/v1"), ("reference", f"{base}/docs"), ("metrics", f"{base}/metrics")]
    if settings.ui:
        lines.append(("page", f"{base}/ui"))
    for name, text in lines:
        click.echo(f"{name:<12} {text}")
    if not settings.loopback and not settings.api_keys:
        click.echo("No keys: everybody who reaches this address may use the server.", err=True)
    sys.stdout.flush()


__all__ = ["command"]
