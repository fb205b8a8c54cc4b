"""Where and how something was made: what every record of a result holds."""

from pydantic import Field

from barlowtf.records.files import Record
from barlowtf.records.ranges import Size


class Machine(Record):
    """The computer."""

    processor: str = Field(description="model name")
    cores: Size | None = Field(description="logical processors")
    system: str = Field(description="operating system and its version")


class Surroundings(Record):
    """Command, versions, machine, devices and source commit of the process that wrote a record."""

    command: str = Field(description="the command line")
    versions: dict[str, str] = Field(description="package -> version, and python")
    machine: Machine = Field(description="the computer")
    devices: tuple[str, ...] = Field(description="devices that TensorFlow sees")
    replicas: Size = Field(description="replicas that trained together")
    git_commit: str | None = Field(description="source commit, + when files differ; null: installed package")
