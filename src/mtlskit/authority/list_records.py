"""What an authority writes down of its revocation lists: each number with what it stands for, before it is signed.

| kind | partition | key | value |
|---|---|---|---|
| `crl` | issuer key id | number, 20 digits | ListRecord: written with the number, and again when it was signed |
| `crl-latest` | issuer key id | scope | the number of the last complete list of that scope that was signed |
| `crl-point` | issuer key id | URL | the scope that this distribution point stands for, for ever |
| `crl-start` | | issuer key id | the number that the last list had before the authority was taken over |

All lists of an issuer, complete and delta, of whatever scope, share one counter: so a number is never given twice, and
each is higher than those before it in any process, and where that was told than those from before a take-over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mtlskit.authority.changes import last_change
from mtlskit.authority.documents import dump, load, unreadable
from mtlskit.authority.issuance import Issuing
from mtlskit.authority.ledger import moment_text
from mtlskit.authority.scope import ListScope
from mtlskit.errors import Conflict, NotFound
from mtlskit.ports import Snapshot, Transaction

LIST: Final = "crl"
LATEST: Final = "crl-latest"
POINT: Final = "crl-point"
START: Final = "crl-start"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRecord:
    """A list: its number, its scope, of a delta the number of its base, and the last change that it has (UTC).

    `sha256` is the hash of its DER in hexadecimal; empty while it is not signed, and for ever if that failed.
    """

    number: int
    scope: str
    base: int | None
    this_update: datetime
    next_update: datetime
    last_change: int
    sha256: str = ""

    @property
    def is_base(self) -> bool:
        """Whether a delta list can be made from it: it is complete, and it was signed."""
        return self.base is None and self.sha256 != ""

    def to_json(self) -> bytes:
        """The stored form."""
        return dump(
            {
                "number": self.number,
                "scope": self.scope,
                "base": self.base,
                "this_update": moment_text(self.this_update),
                "next_update": moment_text(self.next_update),
                "last_change": self.last_change,
                "sha256": self.sha256,
            }
        )

    @classmethod
    def from_json(cls, value: bytes) -> ListRecord:
        """From the stored form; raises StoreError."""
        found = load(value, "a revocation list")
        try:
            times = {name: datetime.fromisoformat(found[name]) for name in ("this_update", "next_update")}
            return cls(**{**found, **times})
        except (KeyError, TypeError, ValueError):
            raise unreadable("a revocation list") from None


def number_list(
    transaction: Transaction, issuing: Issuing, scope: ListScope, this_update: datetime, next_update: datetime,
    base: int | None,
) -> ListRecord:  # fmt: skip
    """The record of a list to be, with the next number and the last change of this moment.

    Raises Conflict for a distribution point that stood for something else, NotFound for a base that is none.
    """
    if scope.url is not None:
        _claim(transaction, issuing.key_id, scope.url, scope.text)
    if base is not None and not is_base_of(transaction, issuing.key_id, scope, base):
        raise no_base(base)
    record = ListRecord(
        # The head is locked first: whoever revokes has it locked to his end.
        last_change=last_change(transaction, issuing.key_id),
        number=_start(transaction, issuing.key_id) + transaction.increment(f"crl:{issuing.key_id}"),
        scope=scope.text,
        base=base,
        this_update=this_update,
        next_update=next_update,
    )
    transaction.insert(LIST, issuing.key_id, _key(record.number), record.to_json())
    transaction.append_audit("crl.numbered", _audit_details(issuing, record))
    return record


def mark_signed(transaction: Transaction, issuing: Issuing, record: ListRecord, der: bytes) -> ListRecord:
    """Writes down that a list was signed: only now it can be the base of others. Gives its record."""
    signed = replace(record, sha256=hashlib.sha256(der).hexdigest())
    transaction.replace(LIST, issuing.key_id, _key(record.number), signed.to_json())
    if record.base is None:
        _put_newest(transaction, issuing.key_id, record)
    details = {"authority": issuing.authority, "issuer_key": issuing.key_id, "number": str(record.number)}
    transaction.append_audit("crl.signed", {**details, "sha256": signed.sha256})
    return signed


def start_above(transaction: Transaction, issuer: str, number: int) -> None:
    """Lets all lists of an issuer that has none yet have numbers above this one."""
    transaction.insert(START, "", issuer, b"%d" % number)


def latest_list(snapshot: Snapshot, issuer: str, scope: ListScope) -> ListRecord | None:
    """The last complete list of that scope that was signed; None before the first."""
    found = snapshot.get(LATEST, issuer, scope.text)
    return None if found is None else find_list(snapshot, issuer, int(found.value))


def find_list(snapshot: Snapshot, issuer: str, number: int) -> ListRecord | None:
    """The list of that number, if there is one."""
    found = snapshot.get(LIST, issuer, _key(number))
    return None if found is None else ListRecord.from_json(found.value)


def is_base_of(snapshot: Snapshot, issuer: str, scope: ListScope, number: int) -> bool:
    """Whether delta lists of that scope can be made from the list of that number."""
    found = find_list(snapshot, issuer, number)
    return found is not None and found.is_base and found.scope == scope.text


def no_base(number: int | None) -> NotFound:
    """The error of a delta list that has nothing to start from."""
    got = "none" if number is None else f"the number {number}"
    return NotFound(f"expected a complete list of this scope that was signed to start from, got {got}")


def _start(snapshot: Snapshot, issuer: str) -> int:
    found = snapshot.get(START, "", issuer)
    return 0 if found is None else int(found.value)


def _claim(transaction: Transaction, issuer: str, url: str, scope: str) -> None:
    found = transaction.get(POINT, issuer, url)
    if found is None:
        transaction.insert(POINT, issuer, url, scope.encode())
    elif found.value != scope.encode():
        # Certificates name this URL: on another list of that name, some of them would be missed.
        raise Conflict(f"expected a distribution point for {found.value.decode()!r} as before, got one for {scope!r}")


def _put_newest(transaction: Transaction, issuer: str, record: ListRecord) -> None:
    number = b"%d" % record.number
    found = transaction.get(LATEST, issuer, record.scope)
    if found is None:
        transaction.insert(LATEST, issuer, record.scope, number)
    elif int(found.value) < record.number:
        transaction.replace(LATEST, issuer, record.scope, number)


def _audit_details(issuing: Issuing, record: ListRecord) -> Mapping[str, str]:
    return {
        "authority": issuing.authority,
        "issuer_key": issuing.key_id,
        "number": str(record.number),
        "scope": record.scope,
        "base": "" if record.base is None else str(record.base),
        "last_change": str(record.last_change),
        "next_update": record.next_update.isoformat(),
    }


def _key(number: int) -> str:
    return f"{number:020d}"
