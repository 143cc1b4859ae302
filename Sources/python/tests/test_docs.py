"""Every example of the README runs, and every one in a docstring."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, BuiltRelay, asynchronous, free_port

import voltlane
from voltlane import Backend, Client, Data

_PACKAGE = Path(__file__).resolve().parents[1]
_README = (_PACKAGE / "README.md").read_text()
_BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", _README, re.MULTILINE | re.DOTALL)

_PROGRAMS = {
    code.split("\n")[0][2:]: code for language, code in _BLOCKS if language == "python" and code.startswith("# ")
}
_FRAGMENTS = [code for language, code in _BLOCKS if language == "python" and not code.startswith("# ")]


@pytest.mark.parametrize("name", [name for _, name, _ in pkgutil.iter_modules(voltlane.__path__)])
def test_docstrings(name: str) -> None:
    result = doctest.testmod(__import__(f"voltlane.{name}", fromlist=["*"]))
    assert result.failed == 0


def test_sessions_of_the_readme() -> None:
    sessions = "\n".join(code for language, code in _BLOCKS if language == "pycon")
    examples = doctest.DocTestParser().get_doctest(sessions, {}, "README.md", "README.md", 0)
    assert len(examples.examples) >= 6
    runner = doctest.DocTestRunner()
    runner.run(examples)
    assert runner.failures == 0


@asynchronous
async def test_programs_of_the_readme(tmp_path: Path) -> None:
    assert set(_PROGRAMS) == {"backend.py", "client.py"}
    outside, inside = free_port(), free_port()
    for name, code in _PROGRAMS.items():
        assert f"127.0.0.1:{42001 if name == 'backend.py' else 42000}" in code
        (tmp_path / name).write_text(code.replace("42000", str(outside)).replace("42001", str(inside)))

    async def run(name: str) -> asyncio.subprocess.Process:
        environment = {**os.environ, "PYTHONPATH": str(_PACKAGE / "src")}
        return await asyncio.create_subprocess_exec(
            sys.executable, str(tmp_path / name), stdout=asyncio.subprocess.PIPE, env=environment
        )

    backend = await run("backend.py")
    try:
        async with BuiltRelay(f"127.0.0.1:{inside}", port=outside):
            client = await run("client.py")
            output, _ = await client.communicate()
            assert client.returncode == 0
            assert output.decode() == next(code for language, code in _BLOCKS if language == "text")
    finally:
        backend.kill()
        await backend.communicate()


@asynchronous
async def test_fragments_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run one after the other, with a client and a backend that talk."""
    monkeypatch.chdir(tmp_path)
    assert len(_FRAGMENTS) >= 8
    async with await Backend.listen("127.0.0.1:0") as backend, BuiltRelay(backend.address) as relay:
        async with await Client.connect(relay.endpoint) as client:

            async def chat() -> None:
                while True:
                    await client.send(b"hello")
                    await asyncio.sleep(0.05)

            chatting = asyncio.ensure_future(chat())
            async for event in backend:
                if isinstance(event, Data):
                    break
            names: dict[str, Any] = {**vars(voltlane), "backend": backend, "client": client, "event": event}
            names["relay"] = relay.endpoint
            try:
                for fragment in _FRAGMENTS:
                    code = compile(fragment, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                    result = eval(code, names)
                    if inspect.isawaitable(result):
                        await result
                assert await names["send_if_it_keeps_up"](client.client_id, bytes(64 << 10))
                assert not await names["send_if_it_keeps_up"](client.client_id, b"x")
                assert (tmp_path / "ada.session").exists()
            finally:
                chatting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await chatting


def test_a_backend_needs_nothing_but_python() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = sys.modules['nacl'] = None\n"
        "import asyncio, voltlane\n"
        "async def main():\n"
        "    async with await voltlane.Backend.listen('127.0.0.1:0'): pass\n"
        "    try: await voltlane.Client.connect('127.0.0.1:1')\n"
        "    except ImportError as error: print(error)\n"
        "asyncio.run(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(_PACKAGE / "src")}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert output.stdout == (
        "a client needs cryptography, which is not installed here: pip install 'voltlane[client]'\n"
    ), output


def test_everything_that_is_public_says_what_it_is() -> None:
    assert sorted(voltlane.__all__) == voltlane.__all__
    for name in voltlane.__all__:
        value = getattr(voltlane, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name


def test_the_version_is_the_packages() -> None:
    text = (_PACKAGE / "pyproject.toml").read_text()
    assert f'\nversion = "{voltlane.__version__}"\n' in text
    programs = ROOT / "Sources" / "VoltlaneSettings" / "Version.swift"
    if programs.exists():
        assert f'"{voltlane.__version__}"' in programs.read_text()
