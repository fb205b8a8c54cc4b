"""The devices that a run uses: a `tf.distribute.Strategy` by name."""

import os

import tensorflow as tf

from barlowtf.distribute.cluster import resolve_cluster, wait_for_workers
from barlowtf.errors import ConfigError
from barlowtf.launching import STRATEGIES


def make_strategy(name: str, replicas: int | None = None) -> tf.distribute.Strategy:
    """Returns the strategy called `name` on the devices of this machine.

    Args:
        name: "one": a single device, the first GPU or, without one, the CPU. "mirrored": one replica on each
            GPU of this machine, or on `replicas` of them; with `replicas` and no GPU, on that many logical CPU devices.
            "multiworker": one replica on each GPU of each process that TF_CONFIG or SLURM names, or on its CPU; waits
            for all of them. "tpu": one replica on each core of the TPU that TPU_NAME names ("local" on a TPU VM).
        replicas: Number of replicas, >= 1. None: one per device.

    Returns:
        The strategy. Build model and optimizer inside its `scope()`.

    Raises:
        ConfigError: The name is unknown, or machine or cluster do not have the devices.
        TrainingError: A worker of the cluster was not reachable in time.
    """
    if replicas is not None and replicas < 1:
        raise ConfigError(f"Invalid replicas: received {replicas}, expected at least 1.")
    if name == "one":
        return _one(replicas)
    if name == "mirrored":
        return _mirrored(replicas)
    if name in ("multiworker", "tpu") and replicas is not None:
        raise ConfigError(
            f'Invalid replicas: received {replicas}, expected none: strategy "{name}" uses every device it finds. '
            "Leave the number out."
        )
    if name == "multiworker":
        return _multiworker()
    if name == "tpu":
        return _tpu()
    raise ConfigError(f'Invalid strategy: received "{name}", expected one of {", ".join(STRATEGIES)}.')


def _one(replicas: int | None) -> tf.distribute.Strategy:
    if replicas not in (None, 1):
        raise ConfigError(
            f'Invalid replicas: received {replicas}, expected 1 with strategy "one". Use "mirrored" for more.'
        )
    # TensorFlow's default strategy places on the first GPU by itself, costs nothing, and lets XLA compile the step.
    if tf.distribute.has_strategy():
        raise ConfigError('Cannot make strategy "one" inside the scope of another strategy. Leave that scope first.')
    return tf.distribute.get_strategy()


def _mirrored(replicas: int | None) -> tf.distribute.Strategy:
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus == 0:
        if replicas is None:
            raise ConfigError(
                'Strategy "mirrored" found no GPU. Use "one", or set the number of replicas to split the CPU.'
            )
        _split_cpu(replicas)
        return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(replicas)])
    wanted = gpus if replicas is None else replicas
    found = len(tf.config.list_logical_devices("GPU"))
    if wanted > found:
        raise ConfigError(f"Invalid replicas: received {wanted}, expected at most {found}, the number of GPUs.")
    return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(wanted)])


def _multiworker() -> tf.distribute.Strategy:
    resolver = resolve_cluster()
    wait_for_workers(resolver)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except RuntimeError as error:
        raise ConfigError(
            f'Strategy "multiworker" cannot start: {str(error).splitlines()[0]} Make the strategy before any tensor.'
        ) from error


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ConfigError(
            f'Strategy "tpu" found no TPU: {(str(error).splitlines() or [repr(error)])[0]} '
            'Run it on a TPU VM, or set TPU_NAME; elsewhere use "one" or "mirrored".'
        ) from error
    return tf.distribute.TPUStrategy(resolver)


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
            f"Invalid replicas: received {replicas}, expected at most {found}: TensorFlow has started and cannot split "
            "the CPU any more. Make the strategy before any tensor, or use fewer replicas."
        ) from error
