"""Memory as runs go by: of the parent, and of a process that trains as a worker does."""

import os
import tempfile

from benchmarks.measure import Ratio, in_process

FEW, MANY = 10, 40  # runs of the parent
RUNS, IMAGES = 50, 300  # runs of a worker, digits each
PARENT_LIMIT, WORKER_LIMIT = 0.25, 300  # MB a run: what a row, its history and its future hold; MB in all


def measure():
    """Return three ratios of resident memory."""
    with tempfile.TemporaryDirectory() as folder:
        (few, many), _ = in_process(parent, CNNKIT_RESULTS_DIR=folder)
    growth = (many - few) / (MANY - FEW)
    ratios = [
        Ratio(
            f"the parent after {MANY} runs",
            many,
            few,
            "MB",
            f"the same process after {FEW}",
            f"under {PARENT_LIMIT} MB a run",
            growth < PARENT_LIMIT,
        )
    ]
    for words, trained in (("one architecture", kept), ("a step traced anew every run", traced_anew)):
        (first, last), _ = in_process(trained)
        required = f"under {WORKER_LIMIT} MB more"
        against = "the same process after its first"
        what = f"a worker after {RUNS} runs of LeNet-5, {words}"
        ratios.append(Ratio(what, last, first, "MB", against, required, last - first < WORKER_LIMIT))
    (first, last), _ = in_process(plain_keras)
    what, against = "the same in plain Keras: a new model every run", "the same process after its first"
    return [*ratios, Ratio(what, last, first, "MB", against)]


def parent():
    """Return the memory of a process whose `run_all` has had `FEW` runs trained, and then `MANY`."""
    from cnnkit.lab.startup import import_keras

    import_keras()
    from cnnkit.lab import sweeps
    from cnnkit.lab.config import RunConfig

    base = RunConfig(model="softmax", train_size=100, epochs=1)
    configs, sizes = [base.replace(seed=seed) for seed in range(1, MANY + 1)], []
    with sweeps.cluster(2) as client:
        for count in (FEW, MANY):
            sweeps.run_all(configs[:count], "benchmark", client=client)
            sizes.append(resident())
    return sizes


def kept():
    """Return the memory after the first and the last of `RUNS` runs that share one traced model."""
    return train_all(schedule="constant")


def traced_anew():
    """Return the same where every run has another schedule, whose numbers are part of the traced step."""
    return train_all(schedule="cosine")


def train_all(**settings):
    from cnnkit.lab.startup import import_keras

    import_keras()
    from cnnkit.lab import training
    from cnnkit.lab.config import RunConfig
    from cnnkit.lab.provenance import use_one_thread

    use_one_thread()
    base = RunConfig(train_size=IMAGES, epochs=1, **settings)
    return sizes_after(lambda run: training.train(base.replace(learning_rate=0.001 * run), keep_traced=True))


def plain_keras():
    """Return the same of a loop in Keras alone, as a notebook would have it."""
    import keras

    from cnnkit import data, models

    dataset = data.load_dataset("digits", train_size=IMAGES)

    def train(run):
        model = models.create_model("lenet5_modern", dataset.input_shape, dataset.num_classes)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.001 * run), loss, metrics=["accuracy"])
        validation = dataset.x_val / 255, dataset.y_val
        model.fit(dataset.x_train / 255, dataset.y_train, epochs=1, validation_data=validation, verbose=0)

    return sizes_after(train)


def sizes_after(train):
    train(1)
    first = resident()
    for run in range(2, RUNS + 1):
        train(run)
    return first, resident()


def resident():
    """Return this process's resident memory, in MB."""
    import psutil

    return psutil.Process(os.getpid()).memory_info().rss / 1e6
