"""The lobby example, with every part killed once."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from support import BuiltRelay, asynchronous

_PACKAGE = Path(__file__).resolve().parents[1]


@asynchronous
async def test_the_lobby_survives_the_end_of_every_part() -> None:
    relay = BuiltRelay.path()
    command = [sys.executable, str(_PACKAGE / "examples" / "lobby" / "chaos.py"), "--relay", relay]
    command += ["--bots", "2", "--rounds", "1", *([] if BuiltRelay.has("--away") else ["--plain"])]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(_PACKAGE / "src")}
    )
    output, _ = await process.communicate()
    assert output.decode().startswith("chaos: all is well: 3 kills"), output.decode()
