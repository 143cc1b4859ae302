"""Recipes.md shows the files that the tests run."""

from __future__ import annotations

import re

from scene import RECIPES, ROOT, check

PAGE = ROOT / "Sources/Voltlane/Voltlane.docc/Recipes.md"


def blocks() -> list[str]:
    """The indented blocks of the page, without their indentation."""
    found: list[list[str]] = [[]]
    for line in PAGE.read_text().splitlines():
        if line.startswith("    ") or (not line and found[-1]):
            found[-1].append(line[4:])
        elif found[-1]:
            found.append([])
    return ["\n".join(block).rstrip("\n") + "\n" for block in found if block]


def command_on_page(program: str) -> str:
    """The command of that program which the page shows."""
    lines = [line for block in blocks() for line in block.splitlines() if line.startswith(f"{program} ")]
    check(len(lines) == 1, f"{PAGE.name} has {len(lines)} commands of {program}, not 1")
    return lines[0]


def pages() -> None:
    """Every file of a recipe is on the page, and every block that looks like a file is one of them."""
    shown = blocks()
    files = [path for path in sorted(RECIPES.glob("*/*")) if path.is_file() and path.parent.name != "test"]
    check(files, "there are no recipes")
    for path in files:
        text = path.read_text()
        if path.name == "two.toml":
            # The page shows one of the two, and says what differs.
            text = re.sub(r"10\.0\.0\.([12])2:", r"10.0.0.\g<1>1:", text)
        check(text in shown, f"{PAGE.name} does not show {path.relative_to(RECIPES)} as it is")
