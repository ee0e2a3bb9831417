"""Local response normalization: a step forward and back, against TensorFlow's own operation."""

import time

from benchmarks.measure import Ratio, in_process

SHAPES = {"caffe_quick's": (64, 16, 16, 32), "AlexNet's": (16, 55, 55, 96)}
REPEATS = 15


def measure():
    """Return a ratio of images a second for the maps of each network; 1 is required."""
    ratios = []
    for name, shape in SHAPES.items():
        seconds, _ = in_process(race, shape)
        ours, theirs = (shape[0] / seconds[key] for key in ("ours", "theirs"))
        what = f"local response normalization and its gradient, {name} maps {'×'.join(map(str, shape[1:]))}, one thread"
        against = "`tf.nn.local_response_normalization`"
        ratios.append(Ratio(what, ours, theirs, "images/s", against, "ratio at least 1", ours >= theirs))
    return ratios


def race(shape):
    """Return the least seconds of a step of each, taken in turn."""
    from cnnkit.lab.startup import import_keras

    import_keras()
    import keras
    import tensorflow as tf

    from cnnkit.lab.provenance import use_one_thread
    from cnnkit.models.layers import LocalResponseNormalization

    use_one_thread()
    layer, x = LocalResponseNormalization(), keras.random.normal(shape, seed=1)
    layer.build(shape)
    seconds = {"ours": [], "theirs": []}

    def step(function):
        @tf.function
        def traced(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(tf.square(function(x)))
            return tape.gradient(loss, x)

        return traced

    def theirs(x):
        return tf.nn.local_response_normalization(x, 2, layer.bias, layer.alpha, layer.beta)

    steps = {"ours": step(layer), "theirs": step(theirs)}
    for _ in range(REPEATS):
        for name, taken in steps.items():
            begun = time.perf_counter()
            taken(x).numpy()
            seconds[name].append(time.perf_counter() - begun)
    return {name: min(times) for name, times in seconds.items()}
