"""Does the protocol keep its promises? 2,000 simulated comparisons of known truth, with collapse and with ties."""

import numpy as np
import pandas as pd

from benchmarks.measure import Ratio, in_process

COMPARISONS, SEEDS, MARGIN, DEVIATION, IMAGES = 2000, 8, 0.01, 0.006, 10_000
CASES = {
    "clean runs": {},
    "1 run in 50 collapses": {"collapse": 0.02},
    "accuracies of 359 images, many ties": {"images": 359},
    "two looks": {"looks": 2},
}


def measure():
    """Return two ratios a case: how many intervals hold the truth, and how many verdicts at the margin are wrong."""
    ratios = []
    for words, case in CASES.items():
        (covered, decided, supported), _ = in_process(simulate, case)
        noise = 3 * np.sqrt(0.05 * 0.95 / max(decided, 1))
        ratios.append(
            Ratio(
                f"intervals that hold the true effect, {words}, {decided:,} comparisons",
                covered,
                0.95,
                "",
                "what they promise",
                f"at least {0.95 - noise:.3f} (3 standard errors)",
                covered >= 0.95 - noise,
            )
        )
        ratios.append(
            Ratio(
                f"SUPPORTED where the true effect is the margin, {words}",
                supported,
                0.025,
                "",
                "what they promise",
                f"at most {0.025 + noise * 0.72:.3f} (3 standard errors)",
                supported <= 0.025 + noise * 0.72,
            )
        )
    return ratios


def simulate(case):
    """Return shares: intervals that hold the truth, and SUPPORTED verdicts; of comparisons whose true effect is the
    margin, in which neither is decided by chance but one time in forty; and how many had an interval.
    """
    from cnnkit.evidence.claims import Claim, decide

    rng, looks = np.random.default_rng(1), case.get("looks", 1)
    claim = Claim("a-beats-b", "", "a", "b", "", margin=MARGIN)
    lines = pd.DataFrame({"run_id": pd.Series(dtype=str), "seconds": pd.Series(dtype=float)})
    covered = decided = supported = 0
    for _ in range(COMPARISONS):
        rows = made_up_rows(rng, 2 * SEEDS if looks == 2 else SEEDS, **case)
        verdict = decide(claim, rows[rows["seed"] < 101 + SEEDS], lines, looks=looks)
        if looks == 2 and verdict["verdict"] == "INCONCLUSIVE":
            verdict = decide(claim, rows, lines, looks=looks)
        if "low" in verdict:
            decided += 1
            covered += verdict["low"] <= MARGIN <= verdict["high"]
            supported += verdict["verdict"] == "SUPPORTED"
    return covered / decided, decided, supported / decided


def made_up_rows(rng, seeds, collapse=0.0, images=IMAGES, looks=1):
    """Return the fresh rows of two arms whose accuracies share what a seed does to both, and differ by the margin."""
    shared = rng.normal(0, DEVIATION, seeds)
    parts = []
    for arm, mean in (("a", 0.9 + MARGIN), ("b", 0.9)):
        accuracy = mean + shared + rng.normal(0, DEVIATION, seeds)
        accuracy = np.where(rng.random(seeds) < collapse, 0.1, accuracy)
        accuracy = np.round(accuracy * images) / images
        ids = [f"{arm}{seed}" for seed in range(seeds)]
        part = {"run_id": ids, "arm": arm, "seed": np.arange(seeds) + 101, "status": "completed"}
        parts.append(pd.DataFrame(part | {"test_accuracy": accuracy, "val_accuracy": accuracy}))
    return pd.concat(parts, ignore_index=True).assign(majority_share=0.1, test_images=images)
