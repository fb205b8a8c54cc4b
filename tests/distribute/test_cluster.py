"""The cluster: read from the environment, waited for, named. Training: tests/experiment/test_pretrain_workers.py."""

import json
import socket
import threading
import time

import pytest
import tensorflow as tf

from barlowtf.distribute import Cluster, cluster_of, is_chief, lost_workers
from barlowtf.distribute.cluster import resolve_cluster, wait_for_workers
from barlowtf.distribute.meeting import Meeting
from barlowtf.errors import ConfigError, TrainingError


def config(index=0, kind="worker", **jobs):
    return json.dumps({"cluster": jobs or {"worker": ["a:1", "b:2"]}, "task": {"type": kind, "index": index}})


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("localhost", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid TF_CONFIG (JSONDecodeError"),
        ("{}", "KeyError('cluster')"),
        (config(index=2), "task index in TF_CONFIG: received 2, expected 0 to 1"),
        (config(index="0"), "task index in TF_CONFIG: received '0'"),
        (config(worker=["a"]), "received 'a', expected host:port"),
        (config(worker=["a:1"], ps=["b:2"]), "jobs ['ps', 'worker']"),
        (config(kind="evaluator"), "KeyError('evaluator')"),
    ],
)
def test_a_tf_config_that_cannot_be_used(text, message):
    with pytest.raises(ConfigError) as caught:
        resolve_cluster({"TF_CONFIG": text})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


SLURM = {
    "SLURM_PROCID": "1",
    "SLURM_JOB_ID": "40007",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_NODELIST": "n[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
}


def slurm(monkeypatch, **changes):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    environment = {**SLURM, **changes}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return resolve_cluster(environment)


def test_a_slurm_step_gives_addresses_and_the_place(monkeypatch):
    resolver = slurm(monkeypatch, SLURMD_NODENAME="n1")
    # The ports follow from the job's number: 20000 + 40007 % 20000.
    assert resolver.cluster_spec().as_dict() == {"worker": ["n1:20007", "n1:20008", "n2:20007"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)


def test_a_slurm_step_whose_nodes_sort_otherwise_is_refused(monkeypatch):
    """TensorFlow's resolver puts n10 before n2."""
    changes = {"SLURM_STEP_NODELIST": "n[2,10]", "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_STEP_NUM_TASKS": "2"}
    with pytest.raises(ConfigError, match="SLURM task 1 runs on n10, but TensorFlow's resolver expects it on n2"):
        slurm(monkeypatch, **changes, SLURMD_NODENAME="n10")


def test_half_a_slurm_step(monkeypatch):
    with pytest.raises(ConfigError, match="SLURM_STEP_TASKS_PER_NODE.*srun"):
        resolve_cluster({"SLURM_PROCID": "0"})


def resolver(ports, index):
    spec = tf.train.ClusterSpec({"worker": [f"localhost:{port}" for port in ports]})
    return tf.distribute.cluster_resolver.SimpleClusterResolver(spec, task_type="worker", task_id=index)


# Seconds until a test that hangs is given up, and nothing else: the machine may be busy with other things.
PATIENCE = 300


def test_workers_wait_for_each_other():
    ports, came, all_there = free_ports(2), [], threading.Barrier(2)

    def worker(index):
        time.sleep(0.3 * index)
        wait_for_workers(resolver(ports, index), seconds=PATIENCE)
        # What TensorFlow's server does next: it takes the same port, where a worker that still looks finds it.
        with socket.create_server(("localhost", ports[index])):
            came.append(index)
            all_there.wait(timeout=PATIENCE)

    other = threading.Thread(target=worker, args=(1,))
    other.start()
    worker(0)
    other.join()
    assert sorted(came) == [0, 1]


def test_a_worker_that_does_not_come_is_named():
    ports = free_ports(2)
    with pytest.raises(TrainingError, match=rf"worker 0 .* waited 0 s for worker 1 \(localhost:{ports[1]}\)"):
        wait_for_workers(resolver(ports, 0), seconds=0.3)


def test_another_program_at_the_port_of_a_worker_is_no_worker():
    """It takes the connection and says nothing, or something else, as web servers do."""
    with socket.create_server(("localhost", 0)) as silent, socket.create_server(("localhost", 0)) as talking:

        def talk():
            connection, _ = talking.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n" * 10)

        talks = threading.Thread(target=talk)
        talks.start()
        ports = [*free_ports(1), silent.getsockname()[1], talking.getsockname()[1]]
        waits = (
            r"waited 0 s for worker 1 \(\S+\), where another program answers; worker 2 \(\S+\), where another program"
        )
        with pytest.raises(TrainingError, match=waits):
            wait_for_workers(resolver(ports, 0), seconds=0.3)
        talks.join()


def test_a_worker_with_another_list_is_told_from_another_program():
    ports = free_ports(3)
    other = Meeting([f"localhost:{port}" for port in (ports[2], ports[1])], 1)
    with other.listening(), pytest.raises(TrainingError, match="where a worker with another list of addresses answers"):
        wait_for_workers(resolver(ports[:2], 0), seconds=0.3)
    assert other.met_by == set()


def test_a_port_that_is_taken():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on port {port}"):
            wait_for_workers(resolver([port, 1], 0), seconds=1)


def test_lost_workers_are_read_from_the_error():
    cluster = Cluster(("a:1", "b:2", "c:3"), 0)
    text = "Error reported from /job:worker/task:2: unhealthy:\n/job:worker/replica:0/task:2\nof /job:worker/task:0"
    assert lost_workers(RuntimeError(text), cluster) == [2]
    assert lost_workers(RuntimeError("something else"), cluster) == []
    assert cluster.name(2) == "worker 2 (c:3)"


def test_one_process_is_its_own_chief(two_replicas):
    for strategy in (two_replicas, tf.distribute.get_strategy()):
        assert cluster_of(strategy) is None
        assert is_chief(strategy)
