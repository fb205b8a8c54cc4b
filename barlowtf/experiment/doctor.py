"""`barlowtf doctor`: what is wrong with this machine, or with a run."""

from pathlib import Path

from pydantic import Field

from barlowtf.experiment.diagnosis import explain_findings, explain_row, find_in
from barlowtf.experiment.machine_diagnoses import MACHINE_DIAGNOSES
from barlowtf.experiment.machine_facts import MachineFacts, read_machine
from barlowtf.experiment.run_diagnoses import RUN_DIAGNOSES
from barlowtf.experiment.run_facts import RunFacts, read_run
from barlowtf.records import Finding, Record


class Health(Record):
    """A machine or a run, and what is wrong with it."""

    run: str | None = Field(description="the run folder; null: the machine was looked at")
    status: str | None = Field(
        description="of the run: not started, running, killed, interrupted or finished; null: no run"
    )
    step: int | None = Field(description="last step of the run that was recorded or saved; null: no run")
    figures: dict[str, float] = Field(description="last value of each metric of the run; of the machine: none")
    verdict: str | None = Field(description="the sentence with which the run ended; null: it has not, or no run")
    machine: MachineFacts | None = Field(description="the machine; null: a run was looked at")
    findings: tuple[Finding, ...] = Field(description="what is wrong, worst first")


def diagnose(run: str | Path | None = None) -> Health:
    """Returns the health of a run, or of this machine and installation.

    Args:
        run: A run folder, finished or not; None: the machine.

    Raises:
        CheckpointError: It is not a run folder, or one of its files is damaged.
    """
    if run is None:
        machine = read_machine(Path("runs"))
        return Health(
            run=None,
            status=None,
            step=None,
            figures={},
            verdict=None,
            machine=machine,
            findings=find_in(machine, MACHINE_DIAGNOSES),
        )
    facts = read_run(Path(run))
    return Health(
        run=str(run),
        status=facts.status,
        step=facts.step,
        figures=_figures(facts),
        verdict=_verdict(facts),
        machine=None,
        findings=find_in(facts, RUN_DIAGNOSES),
    )


def _verdict(run: RunFacts) -> str | None:
    """Returns the sentence with which a run has ended."""
    result = None if run.info is None else run.info.result
    return None if result is None or result.verdict is None else result.verdict.sentence


def _figures(run: RunFacts) -> dict[str, float]:
    """Returns the last finite value of each metric."""
    last = {name: value for line in run.metrics for name, value in line.items()}
    return {name: value for name, value in last.items() if isinstance(value, int | float) and abs(value) < float("inf")}


def explain_health(health: Health) -> str:
    """Returns health as lines of text: what was looked at, then what is wrong, worst first."""
    rows = _machine_rows(health.machine) if health.machine is not None else _run_rows(health)
    return "\n".join([*(explain_row(*row) for row in rows), *explain_findings(health.findings)])


def _run_rows(health: Health) -> list[tuple[str, str]]:
    figures = health.figures
    rows = [("run", str(health.run)), ("status", f"{health.status}, step {health.step:,}")]
    if "loss" in figures:
        rows.append(("loss", f"{figures['loss']:.4g}"))
    if "effective_rank" in figures:
        dead = f", {figures.get('dead_dimensions', 0):.0f} dead dimensions"
        rows.append(("rank", f"{figures['effective_rank']:.1f}{dead}"))
    if "knn_top1" in figures:
        rows.append(("kNN", f"{100 * figures['knn_top1']:.1f} %"))
    if "images_per_second" in figures:
        wait = f", {100 * figures['input_wait']:.1f} % of it waiting for images" if "input_wait" in figures else ""
        rows.append(("speed", f"{figures['images_per_second']:.4g} images/s{wait}"))
    if health.verdict is not None:
        rows.append(("verdict", health.verdict))
    return rows


def _machine_rows(machine: MachineFacts) -> list[tuple[str, str]]:
    main = ("python", "barlowtf", "tensorflow", "keras", "numpy")
    devices = ", ".join(device.name for device in machine.devices) or "no GPU"
    memory = "" if machine.device_memory is None else f", {machine.device_memory / 1e9:.0f} GB each"
    missing = [extra for extra, purpose in machine.extras.items() if purpose is None]
    present = [extra for extra, purpose in machine.extras.items() if purpose is not None]
    rows = [
        ("versions", ", ".join(f"{name} {machine.versions[name]}" for name in main if name in machine.versions)),
        ("devices", f"{devices}{memory}"),
        ("processor", f"{machine.cores} of {machine.all_cores} cores, {machine.memory / 1e9:.0f} GB"),
        ("precision", f"{'mixed_bfloat16' if machine.bfloat16 else 'float32'} is the fastest here"),
        ("disk", f"{machine.disk_free / 1e9:.0f} GB free at {machine.disk}"),
        ("extras", f"{', '.join(present) or 'none'}; not installed: {', '.join(missing) or 'none'}"),
    ]
    if machine.variables:
        rows.append(("variables", " ".join(f"{name}={value}" for name, value in machine.variables.items())))
    return rows
