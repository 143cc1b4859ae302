"""One self-contained page of plots."""

import json
from pathlib import Path

from . import bounds


def render(results, titles):
    template = Path(__file__).with_name("page.html").read_text()
    asked = [
        {
            "title": bound.title, "limit": bound.limit, "worst": bound.shown(bound.worst), "where": bound.worst.place,
            "met": bound.met, "is_short": bool(bound.short),
        } for bound in bounds.all_bounds(results) if bound.findings
    ]
    # "</" would end the script element early.
    shown = {**results.document, "titles": titles, "bounds": asked, "commits": results.commits()}
    data = json.dumps(shown).replace("</", "<\\/")
    return template.replace("/*RESULTS*/null", data)
