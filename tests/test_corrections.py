"""The page of corrections: what it names exists, what it shows is the table's, and nothing is quoted that is unread."""

import re

import pandas as pd
import pytest

from cnnkit.course import facts
from cnnkit.report import corrections, gallery

ALL = [correction for topic in corrections.TOPICS.values() for correction in topic]


def table():
    return gallery.claims_table()


def test_every_figure_is_a_fact_or_a_claim():
    known = set(table()["id"])
    assert not {name for correction in ALL for name in correction.figures} - known
    assert len(ALL) == len({correction.said for correction in ALL}) == 38


@pytest.mark.parametrize("correction", ALL, ids=lambda correction: correction.said[:40])
def test_every_correction_says_how_we_know(correction):
    ways = [way.split(":")[0] for way in correction.known.split("; ") if ":" in way or way == correction.known]
    assert set(ways) <= {"computed", "read", "second-hand", "definition"} and ways
    computed = {fact.id for fact in facts.FACTS} & set(correction.figures)
    assert ("computed" in correction.known) == bool(computed)
    assert correction.said.endswith(".") and correction.right.endswith(".")


def test_facts_that_contradict_a_text_are_false():
    """A corrected text has a fact that is FALSE, or TRUE on a condition only."""
    verdicts = table().set_index("id")["verdict"]
    for correction in ALL:
        computed = [verdicts[name] for name in correction.figures if verdicts[name] in ("TRUE", "FALSE", "CONDITIONAL")]
        assert not computed or set(computed) != {"TRUE"}, correction.said


def test_the_page_shows_the_figures_of_the_table():
    lines = table()
    page = corrections.page(lines)
    assert "`conv1-of-32`: 6.25 positions a side<br>" in page
    lines.loc[lines["id"] == "conv1-of-32", "effect"] = 7.5
    assert "`conv1-of-32`: 7.5 positions a side<br>" in corrections.page(lines)
    assert page.count("\n| ") == len(ALL) + 2 * len(corrections.TOPICS)
    assert all(re.fullmatch(r"\|( [^|]+ \|){4}", line) for line in page.splitlines() if line.startswith("|"))


def test_claims_show_their_verdict_and_open_questions_are_said_to_be_open():
    lines = table()
    claim = lines["id"] == "drop-settles"
    lines.loc[claim, ["verdict", "effect", "low", "high"]] = "SUPPORTED", 0.3, 0.2, 0.4
    page = corrections.page(lines)
    assert "throughout. **SUPPORTED**, +0.3 nats [+0.2, +0.4]" in page
    assert "Still open here: accuracy by resolution." in page and "Read, not computed." in page


def test_a_claim_whose_experiment_is_not_here_is_open():
    nothing = corrections.page(pd.DataFrame(columns=["id", "verdict"]))
    assert "`conv1-of-32`: still open here." in nothing
