"""From the protocols, the variant and the settings of a request to protocols ready to be measured."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from barlowtf.config.explaining import as_sentence, causes, explain, in_one_line, name_nearest
from barlowtf.config.load import override, split_override
from barlowtf.config.section import Section
from barlowtf.errors import ConfigError
from barlowtf.evaluation.contract import Protocol
from barlowtf.tables import PROTOCOLS


class Chosen(NamedTuple):
    """A protocol and how it is measured.

    Attributes:
        protocol: The protocol.
        variant: Name of its variant.
        settings: Settings of the variant, with overrides.
        changes: A line for each setting that an override changed.
    """

    protocol: Protocol
    variant: str
    settings: Section
    changes: tuple[str, ...]


def open_protocol(spec: str) -> Protocol:
    """Returns the protocol that a text names.

    Args:
        spec: A key of `PROTOCOLS`, "package.module:name" or "file.py:name".

    Raises:
        ConfigError: There is no such protocol, or a user's own has the name of one of the package.
    """
    protocol = PROTOCOLS.open(spec)
    if not isinstance(protocol, Protocol):
        raise ConfigError(
            f"Invalid protocol {spec!r}: received {type(protocol).__name__}, expected a barlowtf.evaluation.Protocol."
        )
    if protocol.name in PROTOCOLS and spec not in PROTOCOLS:
        raise ConfigError(
            f"Invalid name of protocol {spec!r}: received {protocol.name!r}, which is a protocol of the package. "
            "Choose another name."
        )
    return protocol


def choose_variants(
    specs: Sequence[str], variant: str | None, overrides: Iterable[str], *, preferred: str | None = None
) -> list[Chosen]:
    """Returns the protocols of a request with their settings.

    Args:
        specs: See `open_protocol`.
        variant: Name of a variant, for the protocols that have it; the others take their first. None: all take their
            first.
        overrides: `KEY=VALUE` for all protocols that have the key, `PROTOCOL.KEY=VALUE` for one.
        preferred: Name of the variant that fits the data, for the protocols that have it, where `variant` is None.

    Raises:
        ConfigError: No such protocol, no protocol has the variant, or an override does not fit.
    """
    protocols = [open_protocol(spec) for spec in dict.fromkeys(specs)]
    having = [protocol for protocol in protocols if variant in protocol.variants]
    if variant is not None and not having:
        known = dict.fromkeys(name for protocol in protocols for name in protocol.variants)
        raise ConfigError(
            f"Invalid variant: received {variant!r}, expected one of {', '.join(known)} "
            f"for {', '.join(protocol.name for protocol in protocols)}."
        )
    texts = split_overrides(overrides, protocols)
    wanted = variant or preferred
    return [
        choose_variant(protocol, wanted if wanted in protocol.variants else None, texts[protocol.name])
        for protocol in protocols
    ]


def choose_variant(protocol: Protocol, variant: str | None, overrides: Iterable[str]) -> Chosen:
    """Returns a protocol with the settings of a variant and `key=value` overrides.

    Raises:
        ConfigError: Unknown key, wrong type or range.
    """
    name = variant or next(iter(protocol.variants))
    before = protocol.variants[name]
    tables: dict[str, Any] = before.model_dump()
    for text in overrides:
        override(tables, text)
    kind = type(before)
    fitted = {key: tuple(value) if isinstance(value, list) else value for key, value in tables.items()}
    try:
        settings = kind.model_validate(fitted)
    except ValidationError as error:
        lines = in_one_line([explain(fault, list(kind.model_fields)) for fault in causes(error.errors())])
        raise ConfigError(as_sentence(f"Invalid settings of protocol {protocol.name}: {lines}")) from error
    changes = tuple(
        f"{key} = {value} (variant: {getattr(before, key)})"
        for key, value in settings.model_dump().items()
        if value != getattr(before, key)
    )
    return Chosen(protocol, name, settings, changes)


def split_overrides(overrides: Iterable[str], protocols: Sequence[Protocol]) -> dict[str, list[str]]:
    """Returns the overrides of each protocol, by its name.

    Raises:
        ConfigError: None of the protocols has the key.
    """
    texts: dict[str, list[str]] = {protocol.name: [] for protocol in protocols}
    for text in overrides:
        key, value = split_override(text)
        name, dot, rest = key.partition(".")
        if dot and name in texts:
            texts[name].append(f"{rest}={value}")
            continue
        takers = [
            protocol.name for protocol in protocols if key in type(next(iter(protocol.variants.values()))).model_fields
        ]
        if not takers:
            known = [key for protocol in protocols for key in type(next(iter(protocol.variants.values()))).model_fields]
            raise ConfigError(
                f"Unknown setting: received {key!r}, expected KEY=VALUE or PROTOCOL.KEY=VALUE with a setting of "
                f"{', '.join(texts)}.{name_nearest(key, known)} docs/reference/protocols.md lists them."
            )
        for taker in takers:
            texts[taker].append(text)
    return texts
