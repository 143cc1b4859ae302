"""One self-contained page of plots."""

import json
from pathlib import Path


def render(results, titles):
    template = Path(__file__).with_name("page.html").read_text()
    # "</" would end the script element early.
    data = json.dumps({**results.document, "titles": titles}).replace("</", "<\\/")
    return template.replace("/*RESULTS*/null", data)
