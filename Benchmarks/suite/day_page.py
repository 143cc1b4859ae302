"""The page of a day: plots over the time, each placement of threads a line."""

import re
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from statistics import median

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 220, 56, 10, 10, 24
#: What is plotted: title, the figure of a point, and whether its scale is logarithmic.
PLOTS = (
    ("packets a second that came", "packets", False),
    ("threads that have a role", "threads", False),
    ("CPU of the relay's threads, CPUs", "relay_cpu", False),
    ("CPU a packet, ns", "relay_cpu_ns", True),
    ("round trip of a packet a millisecond, p99, us", "p99_us", True),
    ("time that the relay's threads waited for a CPU, CPUs", "relay_waited", False),
)
#: A day's night and noon: the quarters with the least and with the most load.
PARTS = ("night", "noon")


def short(value):
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == ' k' else size):.3g}{letter}"
    return f"{value:.3g}"


def style():
    """That of the suite's page."""
    return re.search(r"<style>.*?</style>", Path(__file__).with_name("page.html").read_text(), re.S).group()


def marks(low, high, is_logarithmic):
    """Where an axis is marked."""
    if is_logarithmic:
        return [10.0 ** power for power in range(floor(low), ceil(high) + 1) if low <= power <= high]
    step = 10.0 ** floor(log10((high - low) / 4))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (step * times) <= 6)
    return [step * number for number in range(ceil(low / step), floor(high / step) + 1)]


def plot(title, key, is_logarithmic, placements, seconds):
    """Lines over the time as an SVG figure."""
    series = [
        [(each["time"], each[key]) for each in placement["points"] if each[key] and each[key] > 0 or
         not is_logarithmic and each[key] is not None] for placement in placements.values()
    ]
    values = [value for line in series for _, value in line]
    if not values:
        return ""
    scale = log10 if is_logarithmic else float
    low, high = (scale(min(values)), scale(max(values))) if is_logarithmic else (0.0, float(max(values)))
    span = high - low or 1.0
    low, high = low - (span * 0.05 if is_logarithmic else 0), high + span * 0.05

    def x(time):
        return LEFT + (WIDTH - LEFT - RIGHT) * min(time / seconds, 1)

    def y(value):
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (scale(value) - low) / (high - low))

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for mark in marks(low, high, is_logarithmic):
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y(mark) + 4:.1f}" text-anchor="end">{short(mark)}</text>')
    for mark in marks(0.0, float(seconds), False):
        parts.append(f'<text x="{x(mark):.1f}" y="{HEIGHT - 7}" text-anchor="middle">{short(mark)} s</text>')
    for number, line in enumerate(series):
        path = "".join(f"{'L' if at else 'M'}{x(time):.1f} {y(value):.1f}" for at, (time, value) in enumerate(line))
        parts.append(f'<path class="series" d="{path}" stroke="var(--c{color(number)})"/>')
    return f"<figure>{''.join(parts)}</svg><figcaption>{escape(title)}</figcaption></figure>"


def color(number):
    """Of the suite's colours, those that are far apart."""
    return (0, 3, 2)[number]


def part_of_day(document, placement):
    """The figures of night and noon: the quarters of the points with the least and the most load."""
    points = sorted((each for each in placement["points"] if not each["idle"]), key=lambda each: each["offered"])
    quarter = max(1, len(points) // 4)
    found = {}
    for part, chosen in zip(PARTS, (points[:quarter], points[-quarter:])):
        def middle(key):
            values = [each[key] for each in chosen if each[key] is not None]
            return median(values) if values else None

        offered = sum(each["offered"] for each in chosen)
        found[part] = {
            "threads": middle("threads"), "relay_cpu_ns": middle("relay_cpu_ns"), "p99_us": middle("p99_us"),
            "carried": sum(each["packets"] for each in chosen) / offered if offered else None,
        }
    return found


COLUMNS = (("threads", "threads", "{:g}"), ("CPU a packet, ns", "relay_cpu_ns", "{:.3g}"),
           ("p99, us", "p99_us", "{:.0f}"), ("carried", "carried", "{:.0%}"))


def rows(document):
    """The table: a heading, and a row for each placement."""
    yield ["", *(f"{part}: {title}" for part in PARTS for title, _, _ in COLUMNS), "CPU, s"]
    for placement in document["placements"].values():
        found = part_of_day(document, placement)
        cells = [
            form.format(found[part][key]) if found[part][key] is not None else "" for part in PARTS
            for _, key, form in COLUMNS
        ]
        points = placement["points"]
        times = [each["time"] for each in points]
        cpu = sum(each["relay_cpu"] * (now - last) for each, last, now in zip(points[1:], times, times[1:]))
        yield [placement["title"], *cells, f"{cpu:.1f}"]


def table(document):
    return "\n".join("| " + " | ".join(row) + " |" for row in rows(document))


def render(document):
    """A page that needs no network."""
    where = document["machine"]
    head, *body = list(rows(document))
    legend = "".join(
        f'<li><i style="background:var(--c{color(number)})"></i>{escape(placement["title"])}</li>'
        for number, placement in enumerate(document["placements"].values()))
    plots = "".join(
        plot(title, key, is_logarithmic, document["placements"], document["seconds"])
        for title, key, is_logarithmic in PLOTS)
    cells = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Voltlane: a day</title>
{style()}
<h1>A day</h1>
<p>{escape(where['time'])}, commit {escape(where['commit'])}{' with changes' if where['changed'] else ''}.
{escape(where['cpu'])}, {where['cpus']} CPUs; Linux {escape(where['kernel'])}. Every socket with
{escape(document['congestion_control'])}, {escape(document['build'])} build.</p>
<p>Small packets for a few clients, whose number a second rises in one wave from nearly none to a third more than one
thread carries ({short(document['capacity'])}), and falls again. Load and backend take about an eighth of what the relay
takes (<code>Benchmarks/peers/flood.c</code>). Each placement had a day of its own, one after the other. Night and noon
are the quarters of the day with the least and the most load.</p>
<ul class="legend">{legend}</ul>
{plots}
<div class="scroll"><table><tr>{"".join(f"<th>{escape(cell)}</th>" for cell in head)}</tr>{cells}</table></div>
</html>
"""
