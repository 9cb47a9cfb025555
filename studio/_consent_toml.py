"""How a consent record is laid out on the page: keys in reading order, each explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.items import Table

if TYPE_CHECKING:
    from studio.consent import Consent

__all__ = ["to_toml"]

_TOP = (
    ("id", "names this record in the ledger, the credentials and the disclosure sheet"),
    ("person", "whose voice or face it is"),
    ("project", "one production; another needs its own consent"),
    ("uses", "voice-fit, -say, -alter; face-fit, -say, -alter; nothing else is allowed"),
    ("description", "what was agreed, in words specific enough to be held to"),
    ("lines", "the exact lines that may be spoken; empty: those the description covers"),
    ("languages", "languages the person may be made to speak"),
    ("territories", "where the result may be shown: country codes, or worldwide"),
    ("media", "in what it may be shown: film, television, streaming, ..., or all media"),
    ("signed", "the day the document was signed"),
    ("start", "first day on which work may be done"),
    ("expiry", "last day on which work may be done"),
    ("revoked", "the day from which nothing more may be made; add it when consent is withdrawn"),
    ("contact", "whom to ask"),
    ("compensation", "reference of the agreement on pay"),
)


def to_toml(record: Consent) -> str:
    """The record as commented TOML text that `studio.consent.load_consent` reads back."""
    values = record.model_dump(mode="python")
    document = tomlkit.document()
    document.add(tomlkit.comment("Wildline consent record. Checked before every job; every check"))
    document.add(
        tomlkit.comment("is logged. It stands for a signed paper and does not replace it.")
    )
    document.add(tomlkit.nl())
    for key, meaning in _TOP:
        value = values[key]
        if value is None:
            document.add(tomlkit.comment(f"{key} = 2030-01-31  # {meaning}"))
            continue
        document.add(key, _item(value, meaning))
    document.add(tomlkit.nl())
    document.add("rights_holder", _rights_holder(values["rights_holder"]))
    document.add("document", _paper(values["document"]))
    return tomlkit.dumps(document)


def _item(value: Any, meaning: str) -> Any:
    item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
    item.comment(meaning)
    return item


def _rights_holder(values: dict[str, Any]) -> Table:
    table = tomlkit.table()
    table.add("name", _item(values["name"], "who signed"))
    table.add("relation", _item(values["relation"], "self, estate or guardian"))
    table.add(tomlkit.nl())
    return table


def _paper(values: dict[str, Any]) -> Table:
    table = tomlkit.table()
    if values["path"]:
        table.add("path", _item(values["path"], "relative to this file"))
    table.add("sha256", _item(values["sha256"], "of the signed document"))
    return table
