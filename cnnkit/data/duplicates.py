"""Images that occur twice, byte by byte, within a split or across splits: `python -m cnnkit datasets --check NAME`."""

import hashlib

import pandas as pd

PAIRS = (("train", "train"), ("val", "val"), ("test", "test"), ("val", "train"), ("test", "train"), ("test", "val"))


def check_duplicates(dataset):
    """Return a frame, how many `images` of a split have an equal in another or the same one, and a sentence on it."""
    frames, lines = {}, []
    for split in ("train", "val", "test"):
        digests = [hashlib.blake2b(image, digest_size=16).digest() for image in getattr(dataset, f"x_{split}")]
        frames[split] = pd.DataFrame({"image": digests, "label": getattr(dataset, f"y_{split}")})
    for of, also_in in PAIRS:
        groups = frames[also_in].groupby("image")["label"].agg(["size", "min", "max"])
        found = frames[of].join(groups, on="image", how="inner")
        if of == also_in:  # every image is equal to itself
            found = found[found["size"] > 1]
        other_label = (found["min"] != found["label"]) | (found["max"] != found["label"])
        lines.append({"of": of, "also_in": also_in, "images": len(found), "other_label": int(other_label.sum())})
    counts = pd.DataFrame(lines)
    if counts["images"].sum() == 0:
        return counts, f"{dataset.name}: no image occurs twice, byte by byte, within or across train, val and test."
    of, num_test = counts.set_index(["of", "also_in"]), len(dataset.y_test)
    leaked, mislabelled = of.loc[("test", "train")]
    return counts, (
        f"{dataset.name}: {leaked:,} of {num_test:,} test images ({leaked / num_test:.2%}) are also in train, "
        f"{mislabelled:,} of them under another label; {of['images']['val', 'train']:,} validation images are also in "
        f"train; {of['images']['train', 'train']:,} training images have an equal in train. "
        "An image seen in training measures memory, not skill."
    )
