"""Images a second while training: half precision, threads, and steps a call, against what Keras does by default."""

from benchmarks.measure import Ratio, in_process

MODELS = ("caffe_quick", "alexnet_small", "resnet20")
SETTINGS = {
    "mixed_bfloat16": {"precision": "mixed_bfloat16"},
    "16 steps a call": {"steps_per_call": 16},
    "one thread": {"threads": 1},
    "one thread, 16 steps a call, as recorded runs": {"threads": 1, "steps_per_call": 16},
    "one thread, 16 steps a call, mixed_bfloat16": {"threads": 1, "steps_per_call": 16, "precision": "mixed_bfloat16"},
}


def measure():
    """Return a ratio for each network and setting; nothing is required, machines differ."""
    ratios = []
    for model in MODELS:
        theirs, _ = in_process(train, model, {})
        for words, settings in SETTINGS.items():
            ours, _ = in_process(train, model, settings)
            against = "Keras' defaults: float32, all cores, a step a call"
            ratios.append(Ratio(f"{model}, batches of 64: {words}", ours, theirs, "images/s", against))
    return ratios


def train(model, settings):
    """Return the images a second of one setting."""
    from cnnkit.lab.startup import import_keras

    import_keras()
    from cnnkit.lab.provenance import use_one_thread
    from cnnkit.lab.speed import images_per_second

    if settings.pop("threads", None):
        use_one_thread()
    return images_per_second(model, seconds=6.0, **settings)
