"""Revocation lists that arrive, age and change while a service runs: sources, loading, schedule.

Everything that reads a list is here; what a list means for a certificate is `verify_path`'s to say.
"""

from mtlskit.revocation.lists import RevocationLists, WatchedLists
from mtlskit.revocation.schedule import ListLimits, Schedule
from mtlskit.revocation.sources import FileSource, GivenList, ListSource, WebSource, source_of
from mtlskit.revocation.status import ListStanding, ListStatus

__all__ = [
    "FileSource",
    "GivenList",
    "ListLimits",
    "ListSource",
    "ListStanding",
    "ListStatus",
    "RevocationLists",
    "Schedule",
    "WatchedLists",
    "WebSource",
    "source_of",
]
