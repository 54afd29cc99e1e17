"""Programs that count what they have done until they are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def last_number(
    program: str,
    *arguments: str,
    first: int,
    round_: int,
    kill: Callable[[subprocess.Popen[bytes]], object] = subprocess.Popen.kill,
) -> int:
    """Run a program, have it killed, and return the last number that it has printed.

    Args:
        program: Prints the numbers from `first` on, a line each, when it has done what they stand
            for. It is run in the root of the checkout.
        arguments: Its arguments; `first` comes after them.
        first: The first number.
        round_: A later round lets it run longer.
        kill: Kills it, or what it needs.
    """
    command = [sys.executable, "-c", program, *arguments, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"%d\n" % first
        time.sleep(0.02 + 0.037 * round_)
        kill(process)
        # A line that was cut off is not an acknowledgement.
        lines = process.stdout.read().split(b"\n")[:-1]
    return int(lines[-1]) if lines else first
