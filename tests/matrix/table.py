"""The table of docs/models.md, which the tests write and hold the models to."""

import re
from pathlib import Path

from cells import FAMILIES

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
_TABLE = re.compile(r"(<!-- support: .*? -->\n)(.*?)(\n<!-- end of support -->)", re.DOTALL)
SHOWN = {"yes": "✓", "no": "–"}


def read():
    """Row -> family -> "yes" or "no", as the page has it."""
    meaning = {mark: word for word, mark in SHOWN.items()}
    found = {}
    for line in _TABLE.search(PAGE.read_text())[2].splitlines()[2:]:
        name, *marks = [cell.strip() for cell in line.strip("|").split("|")]
        found[name.replace("`", "")] = {family: meaning[mark] for family, mark in zip(FAMILIES, marks, strict=True)}
    return found


def write(found):
    """Put outcomes into the page; rows that did not run this time stay as they are."""
    known = read() | found
    head = ["| model | " + " | ".join(FAMILIES) + " |", "|---" * (len(FAMILIES) + 1) + "|"]
    rows = [
        f"| `{name}` | " + " | ".join(SHOWN[cells[family]] for family in FAMILIES) + " |"
        for name, cells in known.items()
    ]
    table = "\n".join(head + rows)
    PAGE.write_text(_TABLE.sub(lambda match: match[1] + table + match[3], PAGE.read_text()))
