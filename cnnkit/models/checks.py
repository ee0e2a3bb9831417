"""What the builders ask of their input before they build."""


def require_size(model, input_shape, smallest):
    """Refuse pictures whose sides are too short to reach the model's last layer.

    Args:
        model: The model's name, for the message.
        input_shape: `(height, width, channels)` in pixels.
        smallest: Integer, the shortest side the model takes, in pixels.
    Raises:
        ValueError: If a side is shorter than `smallest`.
    """
    if min(input_shape[:2]) < smallest:
        raise ValueError(
            f"{model} expected height and width of at least {smallest} pixels. Received: input_shape={input_shape}. "
            "Take larger pictures, or a model without a smallest size: mlp, softmax."
        )
