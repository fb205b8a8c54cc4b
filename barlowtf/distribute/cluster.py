"""The processes that train together: read from TF_CONFIG or SLURM, checked, waited for and named."""

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import tensorflow as tf

from barlowtf.distribute.meeting import Answer, Meeting
from barlowtf.errors import ConfigError, TrainingError

_LOG = logging.getLogger("barlowtf")
# Under SLURM every task listens on a port that follows from the job's number, so that two jobs on a node do not meet.
_SLURM_FIRST_PORT, _SLURM_PORTS = 20_000, 20_000
_WAIT_SECONDS = 600.0
_LINE_SECONDS = 15.0


@dataclass(frozen=True)
class Cluster:
    """The processes of a multi-worker run, and the index of this one.

    Attributes:
        addresses: "host:port" of each process, the chief first.
        index: Index of this process, in [0, len(addresses)).
    """

    addresses: tuple[str, ...]
    index: int

    def name(self, index: int) -> str:
        """Returns the name of a process in messages: "worker 1 (host:port)"; worker 0 is the chief."""
        return f"worker {index} ({self.addresses[index]})"


def cluster_of(strategy: tf.distribute.Strategy) -> Cluster | None:
    """Returns the processes of a strategy; None where one process holds all replicas."""
    resolver = strategy.cluster_resolver
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) or not resolver.cluster_spec():
        return None
    return _cluster(resolver)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes checkpoints and logs and shows progress."""
    cluster = cluster_of(strategy)
    return cluster is None or cluster.index == 0


def resolve_cluster(
    environment: Mapping[str, str] = os.environ,
) -> tf.distribute.cluster_resolver.ClusterResolver:
    """Returns the cluster that the environment describes: by TF_CONFIG, else by SLURM.

    Args:
        environment: Environment variables.

    Raises:
        ConfigError: The environment describes no cluster, or one that cannot be used.
    """
    if environment.get("TF_CONFIG"):
        _check_tf_config(environment["TF_CONFIG"])
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    elif "SLURM_PROCID" in environment:
        resolver = _slurm(environment)
    else:
        raise ConfigError(
            'Invalid strategy: received "multiworker", expected TF_CONFIG or a SLURM step in the environment. Start it '
            "with srun, set TF_CONFIG on each machine, or rehearse on this one: barlowtf launch --workers 2 -- pretrain"
        )
    return resolver


def wait_for_workers(resolver: tf.distribute.cluster_resolver.ClusterResolver, seconds: float = _WAIT_SECONDS) -> None:
    """Returns when every process of the cluster can be reached.

    TensorFlow waits too, but in native code that ignores signals and does not name the missing process.

    Args:
        resolver: Resolver of the cluster.
        seconds: Maximum waiting time, s.

    Raises:
        ConfigError: The address of this process is taken or not its own.
        TrainingError: A process was not reachable in time; the message names it.
    """
    cluster = _cluster(resolver)
    meeting = Meeting(cluster.addresses, cluster.index)
    answers: dict[int, Answer] = {index: "nobody" for index in range(len(cluster.addresses)) if index != cluster.index}
    started = logged = time.monotonic()
    with _listening(meeting, cluster):
        while missing := _missing(answers, meeting, cluster):
            now = time.monotonic()
            if now - started > seconds:
                raise TrainingError(
                    f"{cluster.name(cluster.index)} waited {seconds:.0f} s for {missing}. Start every worker with the "
                    "same list of addresses, and open the ports between the machines."
                )
            if now - logged > _LINE_SECONDS:
                logged = now
                _LOG.warning("%s is waiting for %s.", cluster.name(cluster.index), missing)
            for index, answer in answers.items():
                if answer != "met":
                    answers[index] = meeting.ask(index)
            time.sleep(0.1)


def _missing(answers: Mapping[int, Answer], meeting: Meeting, cluster: Cluster) -> str:
    """Returns the names of the workers to wait for, with what is known of each; "": there are none."""
    names = []
    for index, answer in answers.items():
        if answer == "met" and index not in meeting.met_by:
            names.append(f"{cluster.name(index)}, which does not reach this one")
        elif answer == "nobody":
            names.append(cluster.name(index))
        elif answer != "met":
            names.append(f"{cluster.name(index)}, where {answer} answers")
    return "; ".join(names)


def lost_workers(error: BaseException, cluster: Cluster) -> list[int]:
    """Returns the indices of the processes that a collective's error names as lost, ascending; may be empty."""
    found = {int(number) for number in re.findall(r"/job:(?:worker|chief)/(?:replica:\d+/)?task:(\d+)", str(error))}
    return sorted(found & (set(range(len(cluster.addresses))) - {cluster.index}))


def _cluster(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> Cluster:
    jobs = resolver.cluster_spec().as_dict()
    chiefs = list(jobs.get("chief", []))
    index = resolver.task_id if resolver.task_type != "worker" else len(chiefs) + resolver.task_id
    return Cluster((*chiefs, *jobs.get("worker", [])), index)


def _check_tf_config(text: str) -> None:
    form = '{"cluster": {"worker": ["host0:port", "host1:port"]}, "task": {"type": "worker", "index": 0}}'
    try:
        config = json.loads(text)
        workers = config["cluster"]["worker"]
        kind, index = config["task"]["type"], config["task"]["index"]
        addresses = config["cluster"][kind]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"Invalid TF_CONFIG ({error!r}): received {text[:200]}, expected {form}.") from error
    wrong = [address for address in [*workers, *addresses] if not re.fullmatch(r".+:\d+", str(address))]
    if wrong:
        raise ConfigError(f"Invalid address in TF_CONFIG: received {wrong[0]!r}, expected host:port.")
    if kind not in ("worker", "chief") or set(config["cluster"]) - {"worker", "chief"}:
        raise ConfigError(
            f"Invalid TF_CONFIG: received jobs {sorted(config['cluster'])} and task type {kind!r}, expected {form}."
        )
    if not isinstance(index, int) or not 0 <= index < len(addresses):
        raise ConfigError(f"Invalid task index in TF_CONFIG: received {index!r}, expected 0 to {len(addresses) - 1}.")


def _slurm(environment: Mapping[str, str]) -> tf.distribute.cluster_resolver.ClusterResolver:
    port = _SLURM_FIRST_PORT + int(environment.get("SLURM_JOB_ID", "0")) % _SLURM_PORTS
    try:
        # SLURM has given each task its GPUs already; told of one GPU per task, the resolver assigns none.
        tasks = max(int(number) for number in re.findall(r"\d+", environment["SLURM_STEP_TASKS_PER_NODE"]))
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        address = _cluster(resolver).addresses[_cluster(resolver).index]
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(f"Cannot read the SLURM step: {error}. Start each worker with srun.") from error
    node = environment.get("SLURMD_NODENAME", "")
    if node and address.rpartition(":")[0] != node:
        # The resolver sorts nodes by name, n10 before n2; SLURM numbers its tasks in the order of the node list.
        raise ConfigError(
            f"SLURM task {environment['SLURM_PROCID']} runs on {node}, but TensorFlow's resolver expects it on "
            f"{address}: it sorts the names of nodes as text. Request nodes whose names sort in their order, or set "
            "TF_CONFIG."
        )
    return resolver


@contextmanager
def _listening(meeting: Meeting, cluster: Cluster) -> Iterator[None]:
    """Listens on this process' own port, so that the others can reach it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(meeting.listening())
        except OSError as error:
            raise ConfigError(
                f"{cluster.name(cluster.index)} cannot listen on port {meeting.port}: {error.strerror}. "
                "Choose another port, or end the process that uses it."
            ) from error
        yield
