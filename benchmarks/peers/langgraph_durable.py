"""LangGraph's functional API as a durable run: cost of a step, resume of a long run, and runs killed at random moments.

Same shape as the library's own bench: a loop of steps, every third followed by a write that must not happen twice, a
SQLite checkpointer on a file, durability "sync". `live FOLDER` is one life of the killed process.
"""

import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint, task

DELAY, STEPS, KILLS, LONG = 0.004, 30, 30, 1000
FOLDER = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(".")


def append(name: str, line: str) -> None:
    fd = os.open(FOLDER / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)


@task
def step(number: int) -> int:
    append("steps.log", str(number))
    time.sleep(DELAY)
    return number * number


@task
def write(number: int) -> None:
    append("sent.log", str(number))
    time.sleep(DELAY)


def work(count: int) -> int:
    total = 0
    for number in range(count):
        total += step(number).result()
        if number % 3 == 2:
            write(number).result()
    return total


@task
def quick(question: str) -> bool:
    return len(question) > 3


def saver(file: Path) -> SqliteSaver:
    made = SqliteSaver(sqlite3.connect(file, check_same_thread=False))
    made.setup()
    return made


def live() -> None:
    run = entrypoint(checkpointer=saver(FOLDER / "store.sqlite"))(work)
    config = {"configurable": {"thread_id": "run"}, "recursion_limit": 10_000}
    begun = run.get_state(config).created_at is not None
    append("ready.log", "ready")
    result = run.invoke(None if begun else STEPS, config, durability="sync")
    part = FOLDER / "part"
    part.write_text(str(result))
    os.replace(part, FOLDER / "result")


def lines(folder: Path, name: str) -> list:
    return (folder / name).read_text().split() if (folder / name).exists() else []


def kills() -> dict:
    dice, killed, repeated, doubled, most, same, rounds = random.Random(0), 0, 0, 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        while killed < KILLS:
            folder = Path(name) / str(rounds)
            folder.mkdir()
            rounds += 1
            for life in range(7):
                before = len(lines(folder, "steps.log"))
                process = subprocess.Popen([sys.executable, __file__, "live", str(folder)], stderr=subprocess.DEVNULL)
                at, wait = before + int(dice.random() * 2 * STEPS / 7), dice.random() * 0.02
                while process.poll() is None:
                    if life < 6 and len(lines(folder, "steps.log")) > at:
                        time.sleep(wait)
                        os.kill(process.pid, signal.SIGKILL)
                        process.wait()
                        killed += not (folder / "result").exists()
                        break
                    time.sleep(0.001)
                if (folder / "result").exists():
                    break
            steps, sent = Counter(lines(folder, "steps.log")), Counter(lines(folder, "sent.log"))
            repeated += steps.total() - STEPS
            doubled += sent.total() - STEPS // 3
            most = max(most, *steps.values())
            same += lines(folder, "result") == [str(sum(n * n for n in range(STEPS)))]
    return {"kills": killed, "runs": rounds, "same": same, "repeated": repeated, "doubled": doubled, "most": most}


def cost() -> float:
    times = []
    with tempfile.TemporaryDirectory() as name:
        for turn in range(6):
            run = entrypoint(checkpointer=saver(Path(name) / f"{turn}.sqlite"))(
                lambda questions: sum(quick(question).result() for question in questions)
            )
            questions = [f"How long is question number {turn}-{i}?" for i in range(100)]
            started = time.perf_counter()
            run.invoke(questions, {"configurable": {"thread_id": "t"}}, durability="sync")
            times.append(1e6 * (time.perf_counter() - started) / 100)
    return statistics.median(times[1:])


def resume() -> float:
    broken = [True]

    def long(count: int) -> int:
        total = sum(quick(f"question {i}").result() for i in range(count))
        if broken.pop():
            broken.append(False)
            raise ValueError("stop")
        return total

    with tempfile.TemporaryDirectory() as name:
        run = entrypoint(checkpointer=saver(Path(name) / "long.sqlite"))(long)
        config = {"configurable": {"thread_id": "long"}}
        with suppress(ValueError):
            run.invoke(LONG, config, durability="sync")
        started = time.perf_counter()
        assert run.invoke(None, config, durability="sync") == LONG
        return time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[1:2] == ["live"]:
        live()
    else:
        said = {"median_us": cost(), "resume_s": resume(), "long": LONG, "version": version("langgraph"), **kills()}
        print(json.dumps(said))
