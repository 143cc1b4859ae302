#!/usr/bin/env python3
"""Writes the manual pages: one for each program, out of what it says of its own options, and one for the file of
settings, out of the relay's table of them.

    manual.py PROGRAMS TARGET DATE

PROGRAMS is the folder with the programs, and TARGET the one for the pages. DATE is the pages' date: 2026-12-01.
"""
import itertools
import json
import pathlib
import re
import subprocess
import sys

SECTION = 1
PROGRAMS = ["voltlane", "voltlane-ctl", "voltlane-connect", "voltlane-echo"]


def text(words: str) -> str:
    """Words as mdoc has them: what would be an escape or a macro is none."""
    words = words.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(("\\&" + line if line[:1] in (".", "'") else line) for line in words.split("\n"))


def argument(words: str) -> str:
    """A word in a macro's line: a macro's name or a delimiter means itself there."""
    return " ".join("\\&" + text(word) for word in words.split())


def paragraphs(words: str) -> list[str]:
    """A discussion: paragraphs between empty lines, with lines that are indented as they are."""
    lines: list[str] = []
    for paragraph in words.split("\n\n"):
        for is_example, group in itertools.groupby(paragraph.split("\n"), key=lambda line: line.startswith("  ")):
            if is_example:
                lines += [".Bd -literal -offset indent", *(text(line[2:]) for line in group), ".Ed"]
            else:
                # A display makes its own space.
                lines += [".Pp"] * (bool(lines) and lines[-1] not in (".Ed", ".Pp")) + sentences(" ".join(group))
        if lines[-1] == ".Ed":
            lines.append(".Pp")
    return lines[:-1] if lines[-1] == ".Pp" else lines


def sentences(words: str) -> list[str]:
    """Each sentence on a line of its own, as troff wants it to set the space between them."""
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z'\[(])", " ".join(words.split()))
    return [text(part) for part in parts]


def names(option: dict) -> str:
    """The option's names, each with the value that it takes."""
    value = f" Ar {argument(option['valueName'])}" if option["kind"] == "option" else ""
    flags = [("-" if name["kind"] == "long" else "") + name["name"] for name in option["names"]]
    return " , ".join(f"Fl {text(flag)}{value}" for flag in flags)


def item(option: dict) -> list[str]:
    head = f".It Ar {argument(option['valueName'])}" if option["kind"] == "positional" else f".It {names(option)}"
    abstract = option.get("abstract", "")
    if option.get("allValues"):
        abstract += f" One of {', '.join(option['allValues'])}."
    if "defaultValue" in option and "(default:" not in abstract:
        abstract += f" (default: {option['defaultValue']})"
    return [head, *sentences(abstract)]


def options(arguments: list[dict]) -> list[str]:
    return [".Bl -tag -width indent", *(line for option in arguments for line in item(option)), ".El"]


def shown(command: dict) -> list[dict]:
    return [option for option in command.get("arguments", []) if option["shouldDisplay"]]


def synopsis(command: dict) -> list[str]:
    lines = []
    for option in shown(command):
        if option["kind"] == "positional":
            lines.append(f".{'Op Ar' if option['isOptional'] else 'Ar'} {argument(option['valueName'])}")
    return lines


def program_page(program: str, command: dict, date: str) -> str:
    abstract = command["abstract"].rstrip(".")
    lines = [
        f".Dd {date}", f".Dt {program.upper()} {SECTION}", ".Os", ".Sh NAME", f".Nm {program}",
        f".Nd {text(abstract[0].lower() + abstract[1:])}", ".Sh SYNOPSIS", f".Nm {program}",
    ]
    subcommands = [each for each in command.get("subcommands", []) if each["commandName"] != "help"]
    lines += [".Ar command", ".Op Ar options"] if subcommands else [".Op Ar options", *synopsis(command)]
    lines += [".Sh DESCRIPTION", *paragraphs(command.get("discussion") or command["abstract"])]
    by_topic: dict[str, list[dict]] = {}
    for option in shown(command):
        by_topic.setdefault(option.get("sectionTitle") or "", []).append(option)
    lines.append(".Sh OPTIONS")
    # Those without a topic come last in the help, too.
    for topic in sorted(by_topic, key=lambda topic: topic == ""):
        if len(by_topic) > 1:
            lines.append(f".Ss {text(topic or 'Others')}")
        lines += options(by_topic[topic])
    if subcommands:
        lines.append(".Sh COMMANDS")
        common = common_options(subcommands)
        if common:
            lines += ["Every command takes these:", *options(common)]
        for each in subcommands:
            lines.append(f".Ss {text(each['commandName'])}")
            lines += sentences(each["abstract"])
            if each.get("discussion"):
                lines += [".Pp", *paragraphs(each["discussion"])]
            own = [option for option in shown(each) if option not in common]
            if own:
                lines += options(own)
    lines.append(".Sh SEE ALSO")
    others = [(name, SECTION) for name in PROGRAMS if name != program] + [("voltlane.toml", 5)]
    others.sort(key=lambda page: (page[1], page[0]))
    lines += [f".Xr {name} {section}{' ,' if (name, section) != others[-1] else ''}" for name, section in others]
    return "\n".join(lines) + "\n"


def common_options(subcommands: list[dict]) -> list[dict]:
    """What all of them take."""
    first, *others = [shown(each) for each in subcommands]
    return [option for option in first if all(option in other for other in others)]


def cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def settings_page(table: str, date: str) -> str:
    lines = [
        f".Dd {date}", ".Dt VOLTLANE.TOML 5", ".Os", ".Sh NAME", ".Nm voltlane.toml",
        ".Nd settings of the Voltlane relay", ".Sh DESCRIPTION", "The file that", ".Xr voltlane 1",
        "reads where its option", ".Fl \\-config", "names one, in TOML: a key for each setting, and no tables.",
        "Keys have the names of the options.", "Times, sizes and rates are strings, as the options have them;",
        "a setting that may be given several times takes a list.",
        "Options, and variables of the environment, win over the file.",
        ".Sh SETTINGS", ".Bl -tag -width indent",
    ]
    for row in table.strip().split("\n")[2:]:
        flags, default, allowed, reload, meaning = cells(row)
        name = flags.split(",")[0].strip("`").removeprefix("--")
        if name == "config":
            continue
        lines += [f".It Ic {argument(name)}", *sentences(meaning)]
        lines.append(text(f"Allowed: {allowed}."))
        lines.append(text(f"Default: {default.strip('`')}."))
        lines.append("A reload changes it." if reload == "yes" else "Only a start changes it.")
    lines += [
        ".El", ".Sh FILES", ".Bl -tag -width indent", ".It Pa /etc/voltlane/voltlane.toml",
        "What the service reads.", ".El", ".Sh EXAMPLES", ".Bd -literal -offset indent",
        'listen = ["0.0.0.0:42000", "[::]:42000"]', 'backend = "10.0.0.5:42001"',
        'identity = "/var/lib/voltlane/relay.key"', 'stale\\-timeout = "5m"', "max\\-stale\\-clients = 1000",
        ".Ed", ".Sh SEE ALSO", ".Xr voltlane 1 ,", ".Xr voltlane-ctl 1",
    ]
    return "\n".join(lines) + "\n"


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    programs, target, date = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    target.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        command = json.loads(said(str(programs / program), "--experimental-dump-help"))["command"]
        (target / f"{program}.{SECTION}").write_text(program_page(program, command, date))
    (target / "voltlane.toml.5").write_text(settings_page(said(str(programs / "voltlane"), "--settings-table"), date))


if __name__ == "__main__":
    main()
