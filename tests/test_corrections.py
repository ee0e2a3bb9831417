"""The page of corrections: its figures are the table's, what waits says so, and every row says how we know."""

import re
from importlib import resources

import pandas as pd
import pytest

from cnnkit.report import corrections, gallery

TEMPLATE = resources.files("cnnkit.report").joinpath("corrections.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in TEMPLATE.splitlines() if re.match(r"\| (?!---|Articles say)", line)]
NAMES = sorted(set(re.findall(r"{{(.*?)}}", TEMPLATE)))


@pytest.fixture(scope="module")
def table():
    return gallery.claims_table()


def line(name, **changes):
    """A frame in which every name of the template has a line, and this one these values."""
    rows = [{"id": name, "text": "It is so.", "experiment": "", "effect": 6.25, "unit": "apples", "verdict": "FALSE"}]
    rows += [rows[0] | {"id": other} for other in NAMES if other != name]
    rows[0] |= changes
    return pd.DataFrame([{"reason": "computed", "margin": 1.0} | row for row in rows])


def test_every_name_of_the_template_is_a_line_of_claims(table):
    page = corrections.page("corrections.md", table)
    assert set(NAMES) <= set(table["id"])
    assert "32: 6.25 positions a side (`conv1-of-32`)<br>" in page and "{" not in page
    assert all(re.fullmatch(r"\|( [^|]+ \|){4}", row) for row in page.splitlines() if row.startswith("|"))


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:40] for row in ROWS])
def test_every_row_says_how_we_know(row, table):
    said, right, figures, known = row
    experiments = table.set_index("id")["experiment"]
    ways = {"measured" if experiments[name] else "computed" for name in re.findall(r"{{(.*?)}}", figures)}
    assert {way for way in ("computed", "measured") if way in known} == ways
    assert ways or figures in ("none", "none yet") and re.match("read: |second-hand: |definition", known)
    assert said.endswith(".") and right.endswith(".")


def test_a_correction_rests_on_something_that_is_not_simply_true(table):
    verdicts = table.set_index("id")["verdict"]
    for said, _, figures, known in ROWS:
        names = re.findall(r"{{(.*?)}}", figures)
        assert "read: " in known or not names or set(verdicts[names]) != {"TRUE"}, said


def test_a_name_that_is_no_line_is_named(table):
    with pytest.raises(ValueError, match="Received: conv1-of-32, pool"):
        corrections.page("corrections.md", table[~table["id"].isin(["conv1-of-32", "pool-wider-than-stride"])])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "6.25 apples (`drop-settles`)"),
        ({"unit": "a|b"}, "6.25 a\\|b (`drop-settles`)"),
        (
            {
                "experiment": "x",
                "effect": float("nan"),
                "reason": "being measured: 3 of at least 9 runs are here",
            },
            "being measured (`drop-settles`)",
        ),
        (
            {"experiment": "x", "reason": "being measured: 3 of at least 9 runs are here"},
            "being measured (`drop-settles`)",
        ),
        (
            {"experiment": "x", "effect": float("nan"), "verdict": "INCONCLUSIVE", "reason": "2 of 10 runs failed"},
            "It is so. **INCONCLUSIVE**: 2 of 10 runs failed (`drop-settles`)",
        ),
        (
            {"experiment": "x", "effect": 0.3, "verdict": "SUPPORTED", "unit": "train_loss", "low": 0.2, "high": 0.4}
            | {"n": 8, "margin": 0.02},
            "It is so. **SUPPORTED**, +0.3 nats [0.2, 0.4], n = 8, margin 0.02 (`drop-settles`)",
        ),
    ],
)
def test_how_a_figure_is_told(changes, told):
    page = corrections.page("corrections.md", line("drop-settles", **changes))
    assert f"<br>{told} | measured" in page


@pytest.mark.parametrize(
    ("was", "now", "fate"),
    [
        ("SUPPORTED", "SUPPORTED", "kept"),
        ("SUPPORTED", "REFUTED", "reversed"),
        ("REFUTED", "SUPPORTED", "reversed"),
        ("REFUTED", "INCONCLUSIVE", "weakened"),
        ("INCONCLUSIVE", "REFUTED", "decided"),
        ("INCONCLUSIVE", "INCONCLUSIVE", "kept"),
    ],
)
def test_what_changed_sets_each_verdict_of_0_1_beside_today_s(table, was, now, fate):
    old = pd.read_csv(corrections.HERE / "claims_0.1.csv")
    claim = old.loc[old["verdict"] == was, "now"].dropna().iloc[0]
    figures = {"effect": 0.01, "low": 0.005, "high": 0.015, "n": 5.0, "margin": 0.002, "q": 0.01}
    verdict = {"verdict": now, "reason": "", "collapsed": "", **figures}
    today = table.assign(**{name: table[name].where(table["id"] != claim, value) for name, value in verdict.items()})
    page = corrections.page("what_changed.md", today)
    (text,) = old.loc[old["now"] == claim, "text"]
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {text} |")]
    assert row.startswith(f"| {text} | {was} ") and f"**{now}**" in row and row.endswith(f"| {fate} |")
    assert "2 not asked any more" in page and "{" not in page
