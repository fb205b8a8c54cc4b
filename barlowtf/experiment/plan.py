"""`barlowtf pretrain --dry-run`: what a run would do, without training."""

from pydantic import Field

from barlowtf import choosing, runs
from barlowtf.distribute import make_strategy
from barlowtf.encoders.building import build_model, check_encoder, settle_loss
from barlowtf.experiment.data import open_split
from barlowtf.experiment.pretrain import PretrainRequest
from barlowtf.experiment.starting import find_start
from barlowtf.experiment.step_memory import estimate_step_memory, host_memory
from barlowtf.experiment.training_data import open_labeled
from barlowtf.records import Record
from barlowtf.train.stepping import count_steps_per_epoch


class Plan(Record):
    """What a run would do."""

    images: int = Field(description="number of training images")
    labels: bool = Field(
        description="whether there are labels, of these images or of monitor.labels, which the kNN monitor needs"
    )
    replicas: int = Field(description="replicas that train together")
    steps_per_epoch: int = Field(description="optimizer steps of one pass over the data")
    total_steps: int = Field(description="optimizer steps of the whole run")
    unseen_per_epoch: int = Field(description="images that each epoch leaves out, others each time")
    encoder_parameters: int = Field(description="parameters and running statistics of the encoder")
    projector_parameters: int = Field(description="parameters and running statistics of the projector")
    peak_learning_rate: float = Field(description="largest learning rate of the weights, per step")
    peak_bias_learning_rate: float = Field(description="the same for biases and normalization parameters")
    memory_bytes_per_replica: dict[str, int] = Field(description="part of a training step -> its memory, bytes")
    host_bytes: int = Field(
        description="memory of the framework and of the copy for saves, once, without GPUs; 0 with them, bytes"
    )
    has_gpus: bool = Field(description="whether the replicas have GPUs of their own")
    machine_memory_bytes: int = Field(description="memory of the GPU or, without one, of the machine, bytes")


def plan(request: PretrainRequest) -> Plan:
    """Returns what a run would do, without training: steps, parameters, learning rates, memory.

    Raises:
        BarlowTFError: Input or machine would not allow the run to start.
    """
    recipe = settle_loss(request.recipe)
    check_encoder(recipe)
    strategy = make_strategy(request.strategy, request.replicas)
    train, replicas = recipe.train, strategy.num_replicas_in_sync
    source = open_split(recipe.data.source, "train")
    steps_per_epoch = count_steps_per_epoch(
        source.size, batch_size=train.batch_size, replicas=replicas, micro_batch=train.micro_batch
    )
    start = find_start(recipe, runs.RunFolder(request.run_dir))
    model = build_model(recipe, steps_per_epoch, start.weights)
    machine = choosing.describe_machine()
    parts = estimate_step_memory(recipe, model, replicas)
    rate = train.batch_size / 256
    bias_rate = getattr(recipe.optimizer, "bias_learning_rate", None) or recipe.optimizer.learning_rate
    return Plan(
        images=source.size,
        labels=open_labeled(recipe, source) is not None,
        replicas=replicas,
        steps_per_epoch=steps_per_epoch,
        total_steps=steps_per_epoch * train.epochs,
        unseen_per_epoch=source.size - steps_per_epoch * train.batch_size,
        encoder_parameters=model.encoder.count_params(),
        projector_parameters=model.projector.count_params(),
        peak_learning_rate=recipe.optimizer.learning_rate * rate,
        peak_bias_learning_rate=bias_rate * rate,
        memory_bytes_per_replica=parts,
        host_bytes=0 if machine.gpus else host_memory(parts),
        has_gpus=machine.gpus > 0,
        machine_memory_bytes=machine.gpu_memory or machine.memory,
    )
