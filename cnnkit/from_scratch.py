"""A convolutional network in NumPy alone: every forward pass, and the backward pass that belongs to it.

Functions come in pairs: `y, cache = f(x, ...)` computes the output and keeps what the way back will need;
`f_backward(dy, cache)` turns dy = ∂loss/∂y into the gradients of what went in: `dx`, or `dx, dw, db` where there are
weights. A loss returns its value and its gradient at once. A network is a list of `Layer`s, and `fit` trains it.

Images are (images, height, width, channels) and kernels (height, width, channels, filters), as in Keras. Results have
the input's dtype: float64 to check gradients, float32 to train. Wrong shapes, labels and sizes raise `ValueError`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


def pad_widths(size, kernel, stride=1, padding="valid", dilation=1):
    """The pixels to add, ((top, bottom), (left, right)); output size = floor((size + padding - span) / stride) + 1.

    The span is (kernel - 1) · dilation + 1. `padding` is "valid" (none), "same" (output size ceil(size / stride); the
    odd pixel goes to the bottom or right, as in TensorFlow), or the number of pixels to add on each of the four sides.
    """
    _check_positive(stride=stride, dilation=dilation, kernel_height=kernel[0], kernel_width=kernel[1])
    pixels_given = isinstance(padding, int | np.integer) and padding >= 0
    _check(padding in ("valid", "same") or pixels_given, "padding 'valid', 'same' or an integer >= 0", repr(padding))
    pads = []
    for pixels, k in zip(size, kernel, strict=True):
        span = (k - 1) * dilation + 1
        missing = max((math.ceil(pixels / stride) - 1) * stride + span - pixels, 0)
        total = missing if padding == "same" else 0 if padding == "valid" else 2 * padding
        received = f"kernel {k} with dilation {dilation} spanning {span} > image {pixels} + padding {total}"
        _check(pixels > 0 and span <= pixels + total, "a kernel that fits the padded image", received)
        pads.append((total // 2, total - total // 2))
    return pads


def view_windows(padded, kernel, stride, dilation):
    """See images as their windows, (n, rows, columns, kernel height, kernel width, c), without copying anything."""
    span = [(k - 1) * dilation + 1 for k in kernel]
    view = np.lib.stride_tricks.sliding_window_view(padded, span, axis=(1, 2), writeable=True)
    return view[:, ::stride, ::stride, :, ::dilation, ::dilation].transpose(0, 1, 2, 4, 5, 3)


def im2col(x, kernel, *, stride=1, padding="valid", dilation=1, fill=0.0):
    """Copy what each window sees: (n, h, w, c) -> (n, rows, columns, kernel height · width, c), and the cache.

    A pixel that lies in several windows is copied several times. That costs memory and buys speed: a convolution
    becomes one matrix product, a pooling a reduction of one axis. `fill` is the value of padded pixels.
    """
    pads = pad_widths(x.shape[1:3], kernel, stride, padding, dilation)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    view = view_windows(padded, kernel, stride, dilation)
    return view.reshape(*view.shape[:3], -1, x.shape[3]), (x.shape, pads, kernel, stride, dilation)


def col2im(parts, cache, dtype):
    """Add up what the windows send back to each pixel, (n, h, w, c): the way back through `im2col`.

    `parts` has an array (n, rows, columns, c) for each position in the kernel: added one by one, or sums would be lost.
    """
    (n, height, width, channels), ((top, bottom), (left, right)), kernel, stride, dilation = cache
    padded = np.zeros((n, top + height + bottom, left + width + right, channels), dtype)
    view = view_windows(padded, kernel, stride, dilation)
    for (i, j), part in zip(np.ndindex(*kernel), parts, strict=True):
        view[:, :, :, i, j] += part
    return padded[:, top : top + height, left : left + width]


def conv2d(x, w, b, *, stride=1, padding="valid", dilation=1, flip=False):
    """Slide kernels over images: y[p, q, f] = b[f] + Σ_ijc x[p·s + i·d, q·s + j·d, c] · w[i, j, c, f].

    This is cross-correlation, which deep learning calls convolution. The convolution of mathematics turns the kernel by
    180° first (`flip=True`). A kernel that is learnt comes out turned as needed, so networks leave that out.

    Images x (n, h, w, c), kernels w (height, width, c, filters), biases b (filters,); for the rest see `pad_widths`.
    """
    _check_rank(x, 4, "images x (images, height, width, channels)")
    _check_rank(w, 4, "kernels w (height, width, channels, filters)")
    _check(w.shape[2] == x.shape[3], f"kernels w (height, width, {x.shape[3]}, filters), as x has channels", w.shape)
    _check(b.shape == w.shape[3:], f"biases b {w.shape[3:]}, one a filter", b.shape)
    w = w[::-1, ::-1] if flip else w
    seen, places = im2col(x, w.shape[:2], stride=stride, padding=padding, dilation=dilation)
    rows = seen.reshape(-1, w[..., 0].size)  # a row a window
    y = (rows @ w.reshape(-1, w.shape[3]) + b).reshape(*seen.shape[:3], -1)
    return y, (rows, w, places, flip)


def conv2d_backward(dy, cache):
    """The gradients of a convolution. An output is a dot product of window and kernel: each gets the other, times dy.

    dw[i, j, c, f] = Σ_npq x[p·s + i·d, q·s + j·d, c] · dy[p, q, f]    a kernel is used at all places: sum over them
    dx[p·s + i·d, q·s + j·d, c] += Σ_f dy[p, q, f] · w[i, j, c, f]     a pixel is seen by several windows: sum over them
    db[f] = Σ_npq dy[p, q, f]
    """
    rows, w, places, flip = cache
    flat = dy.reshape(-1, dy.shape[3])
    dw = (rows.T @ flat).reshape(w.shape)
    parts = ((flat @ w[i, j].T).reshape(*dy.shape[:3], -1) for i, j in np.ndindex(*w.shape[:2]))
    return col2im(parts, places, dy.dtype), dw[::-1, ::-1] if flip else dw, flat.sum(axis=0)


def dense(x, w, b):
    """Connect every input to every output: y = x w + b, for x (n, inputs), w (inputs, outputs) and b (outputs,)."""
    _check_rank(x, 2, "features x (images, inputs)")
    _check(w.ndim == 2 and len(w) == x.shape[1], f"weights w ({x.shape[1]}, outputs), as x has inputs", w.shape)
    _check(b.shape == w.shape[1:], f"biases b {w.shape[1:]}, one an output", b.shape)
    return x @ w + b, (x, w)


def dense_backward(dy, cache):
    """The gradients of a dense layer: dx = dy wᵀ, dw = xᵀ dy, db = Σ_n dy."""
    x, w = cache
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


def batch_norm(x, gamma, beta, *, running, training, momentum=0.99, epsilon=1e-3):
    """Normalise each channel: x̂ = (x - μ) / σ with σ = √(variance + ε), then y = γ x̂ + β.

    In training μ and variance are the batch's, over images and pixels, in inference `running`, which each training
    batch moves in place by a share 1 - momentum. `x` is (n, ..., channels), the others (channels,).
    """
    for array, name in zip((gamma, beta, *running), ("gamma", "beta", "mean", "variance"), strict=True):
        _check(array.shape == x.shape[-1:], f"{name} {x.shape[-1:]}, one value a channel of x", array.shape)
    mean, variance = running
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axis=axes), x.var(axis=axes)
        running[0][:] += (1 - momentum) * (mean - running[0])
        running[1][:] += (1 - momentum) * (variance - running[1])
    sigma = np.sqrt(variance + epsilon)
    x_hat = (x - mean) / sigma
    return gamma * x_hat + beta, (x_hat, gamma, sigma, training)


def batch_norm_backward(dy, cache):
    """The gradients of batch normalisation: dγ = Σ dy · x̂, dβ = Σ dy, and in inference dx = dy · γ / σ.

    In training μ and σ depend on x as well. The paths through them remove from dy its mean and its part along x̂:
    dx = (dy - mean(dy) - x̂ · mean(dy · x̂)) · γ / σ. So shifting or scaling a channel of x changes nothing.
    """
    x_hat, gamma, sigma, training = cache
    axes = tuple(range(dy.ndim - 1))
    direct = dy - dy.mean(axis=axes) - x_hat * (dy * x_hat).mean(axis=axes) if training else dy
    return direct * gamma / sigma, (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)


def max_pool2d(x, *, pool_size=2, stride=None, padding="valid"):
    """Keep the largest value of each window of `pool_size` × `pool_size` pixels, channel by channel.

    Windows are `stride` apart; None is `pool_size`, less makes them overlap. `"same"` pads with -∞, which never wins.
    """
    seen, places = _see_pools(x, pool_size, stride, padding, fill=-np.inf)
    return seen.max(axis=3), (seen.argmax(axis=3), pool_size, places)


def max_pool2d_backward(dy, cache):
    """The gradient of max pooling: dy goes to the pixel that won; a small change in any other would change nothing.

    Of equal largest pixels the first, row by row, gets it all, as in TensorFlow (at a tie there is no derivative, so
    this is a choice). A pixel that won in several overlapping windows gets the sum.
    """
    winner, pool_size, places = cache
    return col2im((dy * (winner == position) for position in range(pool_size**2)), places, dy.dtype)


def mean_pool2d(x, *, pool_size=2, stride=None, padding="valid"):
    """Average each window, channel by channel; arguments as in `max_pool2d`. Padded pixels are left out of the mean."""
    seen, places = _see_pools(x, pool_size, stride, padding)
    count = _see_pools(np.ones_like(x[:1]), pool_size, stride, padding)[0].sum(axis=3)  # true pixels in each window
    return seen.sum(axis=3) / count, (count, pool_size, places)


def mean_pool2d_backward(dy, cache):
    """The gradient of mean pooling: dy is spread evenly, because each of a window's m pixels moves its mean by 1/m."""
    count, pool_size, places = cache
    return col2im((dy / count for _ in range(pool_size**2)), places, dy.dtype)


def flatten(x):
    """Turn each image into one row: (n, ...) -> (n, features)."""
    return x.reshape(len(x), -1), x.shape


def flatten_backward(dy, shape):
    """Turn the rows back into images: values only moved, and so do their gradients."""
    return dy.reshape(shape)


def relu(x):
    """y = max(0, x)."""
    return np.maximum(x, 0), x > 0


def relu_backward(dy, positive):
    """dx = dy where x > 0, else 0 (at x = 0 there is no derivative; TensorFlow takes 0 too)."""
    return dy * positive


def sigmoid(x):
    """a = 1 / (1 + e⁻ˣ), by way of tanh since e⁻ˣ can overflow."""
    a = 0.5 * np.tanh(0.5 * x) + 0.5
    return a, a


def sigmoid_backward(dy, a):
    """dx = dy · a (1 - a): at most dy / 4, so gradients shrink with every such layer."""
    return dy * a * (1 - a)


def tanh(x):
    """a = (eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)."""
    a = np.tanh(x)
    return a, a


def tanh_backward(dy, a):
    """dx = dy · (1 - a²): dy itself at x = 0, less elsewhere."""
    return dy * (1 - a * a)


def dropout(x, *, rate, rng, training):
    """In training, zero a share `rate` of values and divide the others by 1 - rate: it keeps the mean for inference."""
    _check(0 <= rate < 1, "0 <= rate < 1, the share of values to drop", rate)
    mask = ((rng.random(x.shape) >= rate) / (1 - rate)).astype(x.dtype) if training else np.ones(1, x.dtype)
    return x * mask, mask


def dropout_backward(dy, mask):
    """dx = dy · mask: a dropped value had no influence, a kept one 1 / (1 - rate)."""
    return dy * mask


def softmax_cross_entropy(logits, labels):
    """L = -mean log p[label] in nats, for p_k = e^z_k / Σ_j e^z_j; dL/dz = (p - y) / n with y the one-hot label.

    Logits z are (n, classes), labels integers (n,) in 0 .. classes - 1. With the logarithm no gradient vanishes.
    """
    _check_labels(logits, labels)
    z = logits - logits.max(axis=1, keepdims=True)  # the same p, and e^z cannot overflow
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    p, right = np.exp(log_p), (np.arange(len(labels)), labels)
    p[right] -= 1
    return -log_p[right].mean(), p / len(labels)


def multiclass_hinge(scores, labels, delta=1.0):
    """L = mean Σ_k≠label max(0, s_k - s_label + Δ): a wrong class less than Δ below has gradient 1/n, the right -Σ."""
    _check_labels(scores, labels)
    right = np.arange(len(labels)), labels
    excess = np.maximum(scores - scores[right][:, None] + delta, 0)
    excess[right] = 0
    gradient = (excess > 0).astype(scores.dtype)
    gradient[right] = -gradient.sum(axis=1)
    return excess.sum(axis=1).mean(), gradient / len(labels)


def mean_squared_error(a, targets):
    """L = mean (a - t)² over images and outputs; dL/da = 2 (a - t) / size. Both arrays have one shape."""
    _check(a.shape == targets.shape, f"targets {a.shape} (of labels: np.eye({a.shape[-1]})[labels])", targets.shape)
    return ((a - targets) ** 2).mean(), 2 * (a - targets) / a.size


@dataclass
class Layer:
    """A pair of functions and their arguments: `forward(x, *params, **options)` and `backward(dy, cache)`."""

    forward: Callable
    backward: Callable
    params: list = field(default_factory=list)  # arrays to learn
    options: dict = field(default_factory=dict)
    has_modes: bool = False  # whether forward wants to know if this is training (dropout, batch norm)


def parameters(network):
    """All arrays to learn, from the input side."""
    return [array for layer in network for array in layer.params]


def forward(network, x, training=False):
    """Give each layer the output of the one before. Returns the last output and every layer's cache."""
    caches = []
    for layer in network:
        mode = {"training": training} if layer.has_modes else {}
        x, cache = layer.forward(x, *layer.params, **layer.options, **mode)
        caches.append(cache)
    return x, caches


def backward(network, dy, caches):
    """Give each layer the dx of the one after. Returns the gradients in the order of `parameters`."""
    grads = []
    for layer, cache in zip(reversed(network), reversed(caches), strict=True):
        dy = layer.backward(dy, cache)
        if layer.params:
            dy, *own = dy
            grads = own + grads
    return grads


def sgd(params, grads, velocities, *, learning_rate, momentum=0.0):
    """Step downhill, in place: v ← m v - η g, w ← w + v. Momentum m lets steps on an even slope add up."""
    for w, g, v in zip(params, grads, velocities, strict=True):
        v *= momentum
        v -= learning_rate * g
        w += v


def fit(network, x, y, *, epochs, loss=softmax_cross_entropy, batch_size=32, seed=1, on_epoch=None, **step):
    """The training loop: change a network's parameters in place, and return the mean loss of each epoch.

    `y` is what `loss` compares outputs with; `seed` orders the images, anew in each epoch; `**step` goes to `sgd`.
    `on_epoch`, a function of (epoch, network), is called after each epoch, to look at what is being learnt.
    """
    _check_positive(epochs=epochs, batch_size=batch_size, images=len(x))
    _check(len(x) == len(y), f"one label an image, {len(x)}", len(y))
    rng, params, history = np.random.default_rng(seed), parameters(network), []
    velocities = [np.zeros_like(w) for w in params]
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in np.split(rng.permutation(len(x)), range(batch_size, len(x), batch_size)):  # the input
            outputs, caches = forward(network, x[batch], training=True)
            value, dy = loss(outputs, y[batch])
            grads = backward(network, dy, caches)
            sgd(params, grads, velocities, **step)  # the update
            total += value * len(batch)  # the last batch may be smaller
        history.append(total / len(x))
        if on_epoch:
            on_epoch(epoch, network)
    return history


def lenet(num_classes=10, *, seed=1, dtype="float32") -> list[Layer]:
    """Today's LeNet-5 (ReLU, max pooling; 61,706 parameters for 10 classes), for images (n, 28, 28, 1) -> logits."""
    rng = np.random.default_rng(seed)

    def learnt(pair, *shape, **options):  # Glorot's uniform weights, which keep the size of signals, and zero biases
        limit = np.sqrt(6 / (np.prod(shape[:-2]) * (shape[-2] + shape[-1])))
        return Layer(*pair, [rng.uniform(-limit, limit, shape).astype(dtype), np.zeros(shape[-1], dtype)], options)

    convolution, fully_connected = (conv2d, conv2d_backward), (dense, dense_backward)
    activation, pooling = Layer(relu, relu_backward), Layer(max_pool2d, max_pool2d_backward)
    first = [learnt(convolution, 5, 5, 1, 6, padding="same"), activation, pooling]  # 28×28×6, then 14×14×6
    second = [learnt(convolution, 5, 5, 6, 16), activation, pooling]  # 10×10×16, then 5×5×16
    hidden = [learnt(fully_connected, 400, 120), activation, learnt(fully_connected, 120, 84), activation]
    output = learnt(fully_connected, 84, num_classes)
    return [*first, *second, Layer(flatten, flatten_backward), *hidden, output]


def _check(holds, expected, received):
    if not holds:
        raise ValueError(f"Expected {expected}. Received: {received}.")


def _check_positive(**values):
    for name, value in values.items():
        _check(isinstance(value, int | np.integer) and value >= 1, f"an integer {name} >= 1", repr(value))


def _check_rank(array, rank, what):
    holds = array.ndim == rank and array.dtype.kind == "f"
    _check(holds, f"{what} of floating-point numbers", f"{array.dtype} {array.shape}")


def _check_labels(scores, labels):
    _check_rank(scores, 2, "scores (images, classes)")
    integers = labels.dtype.kind in "iu" and labels.shape == scores.shape[:1]
    received = f"{labels.dtype} {labels.shape} from {labels.min()} to {labels.max()}"
    holds = integers and labels.min() >= 0 and labels.max() < scores.shape[1]
    _check(holds, f"integer labels {scores.shape[:1]} in 0 .. {scores.shape[1] - 1}", received)


def _see_pools(x, pool_size, stride, padding, fill=0.0):
    _check_rank(x, 4, "images x (images, height, width, channels)")
    _check(padding in ("valid", "same"), "padding 'valid' or 'same' in pooling", repr(padding))
    return im2col(x, (pool_size, pool_size), stride=stride or pool_size, padding=padding, fill=fill)
