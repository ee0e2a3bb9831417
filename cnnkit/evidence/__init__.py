"""Rows become verdicts: `claims` is the protocol's statistics, `comparison` and `experiment` are the declarations."""
