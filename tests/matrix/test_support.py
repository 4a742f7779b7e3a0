"""Which source supports which family of methods: every cell of the table in docs/models.md, run.

`pytest -m matrix` runs all of them; SIGHTLINE_WRITE_SUPPORT=1 writes what it finds into the page. The usual run takes
small models, a family each.
"""

import os

import pytest
import table
from cells import FAMILIES, outcome
from rows import ROWS

SMALL = [row for row in ROWS if row.small]
DIAGONAL = [(row, list(FAMILIES)[i % len(FAMILIES)]) for i, row in enumerate(SMALL)]


@pytest.fixture(scope="session")
def ledger():
    """Row -> family -> outcome, of this run; written into the page where that is asked for."""
    found = {}
    yield found
    if found and os.environ.get("SIGHTLINE_WRITE_SUPPORT"):
        table.write(found)


@pytest.mark.matrix
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_cell_is_as_the_page_says(row, ledger, tmp_path):
    model = row.load(tmp_path)
    ledger[str(row)] = {family: outcome(model, family) for family in FAMILIES}
    if not os.environ.get("SIGHTLINE_WRITE_SUPPORT"):
        assert ledger[str(row)] == table.read()[str(row)]


@pytest.mark.parametrize(("row", "family"), DIAGONAL, ids=str)
def test_a_cell_of_each_small_model_is_as_the_page_says(row, family, tmp_path):
    assert outcome(row.load(tmp_path), family) == table.read()[str(row)][family]


def test_the_page_has_every_row_and_no_other():
    assert list(table.read()) == [str(row) for row in ROWS]
