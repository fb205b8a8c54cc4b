"""Which devices a run uses: a `tf.distribute.Strategy` from its name."""

import tensorflow as tf

from barlowtf.errors import ConfigError


def make_strategy(name: str, replicas: int | None = None) -> tf.distribute.Strategy:
    """The strategy called `name` on the devices of this machine.

    Args:
        name: "one": a single device, the first GPU where there is one, else the CPU. "mirrored": one replica on each
            GPU of this machine, or on `replicas` of them; with `replicas` and no GPU, on that many logical CPU devices.
        replicas: Number of replicas, >= 1. None: all that the machine has.

    Returns:
        The strategy. Build model and optimizer inside its `scope()`.

    Raises:
        ConfigError: The name is unknown or of a later version, or the machine cannot give so many replicas.
    """
    if replicas is not None and replicas < 1:
        raise ConfigError(f"Received {replicas} replicas. Expected at least 1.")
    if name == "one":
        return _one(replicas)
    if name == "mirrored":
        return _mirrored(replicas)
    if name in ("multiworker", "tpu"):
        raise ConfigError(f'Strategy "{name}" is not in this version. Use "one" or "mirrored".')
    raise ConfigError(f'Received strategy "{name}". Expected "one" or "mirrored".')


def _one(replicas: int | None) -> tf.distribute.Strategy:
    if replicas not in (None, 1):
        raise ConfigError(f'Strategy "one" has 1 replica, received {replicas}. Use "mirrored" for more.')
    # TensorFlow's default strategy places on the first GPU by itself, costs nothing, and lets XLA compile the step.
    if tf.distribute.has_strategy():
        raise ConfigError('Strategy "one" was asked for inside the scope of another strategy. Leave that scope first.')
    return tf.distribute.get_strategy()


def _mirrored(replicas: int | None) -> tf.distribute.Strategy:
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus == 0 and replicas is None:
        raise ConfigError(
            'Strategy "mirrored" found no GPU. Use "one", or set the number of replicas to split the CPU.'
        )
    if gpus == 0:
        _split_cpu(replicas)
        return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(replicas)])
    wanted = gpus if replicas is None else replicas
    found = len(tf.config.list_logical_devices("GPU"))
    if wanted > found:
        raise ConfigError(f'Strategy "mirrored" was asked for {wanted} replicas and found {found} GPUs. Ask for fewer.')
    return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(wanted)])


def _split_cpu(replicas: int) -> None:
    """Makes at least `replicas` logical CPU devices, which TensorFlow allows only before it has started."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    found = len(tf.config.get_logical_device_configuration(cpu) or [None])
    if found >= replicas:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    except RuntimeError as error:
        raise ConfigError(
            f'Strategy "mirrored" was asked for {replicas} replicas and found {found} CPU device(s); TensorFlow has '
            "started and can split no more. Make the strategy before any tensor, or ask for fewer replicas."
        ) from error
