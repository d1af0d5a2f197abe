"""What outlives the process: the last authentic list of each source, and when the source last gave it.

Owns which list is kept, when it is written, and what becomes of failures; `kept_files.py` has the files.

Who answers for an `http:` source can give out a forged list with a huge number. In memory such a one stands beside
the last authentic list (`reading.py`); here is room for one only. So a list is written not when it was read but when
somebody has found it authentic (`LoadedList.is_confirmed`): at the thread's next look after that, when another list
takes its place, and on `close`. One that nobody was ever judged by is not kept. What is found here after a restart was
found authentic once: it stays beside a newer list until that one is authentic too, and no list of the source goes
back behind it, even when it has run out.

That holds for lists in files too. A file is its own memory, but not of having been newer: what fills it may have got
an older list, and it may be gone after a restart of the machine.

A process writes no list that goes back behind the one that another process kept. Nothing raises for the disk's sake.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from mtlskit.errors import CertificateError, ConfigurationError
from mtlskit.revocation import kept_files
from mtlskit.revocation.feed import Feed, FeedState, utc_now
from mtlskit.revocation.reading import LoadedList, check_order, read_list
from mtlskit.revocation.schedule import ListLimits
from mtlskit.revocation.sources import ListSource

_LOGGER = logging.getLogger("mtlskit.revocation")
_TOUCH_EVERY: Final = timedelta(minutes=1)  # a file source says `still good` every two seconds
_RETRY_SECONDS: Final = 60.0  # a full disk is not written at every look
_PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})  # the disk's fault, not the setting's


class Kept(NamedTuple):
    """A list, and when its source last gave it."""

    listed: LoadedList
    moment: datetime


class _Failure(NamedTuple):
    """What went wrong, and when (by time.monotonic) it may be tried again."""

    told: str
    again: float


class Keeping:
    """The directory. Made where it is missing, with mode 0700; raises ConfigurationError for one that cannot serve.

    For the thread that reads lists alone.
    """

    def __init__(self, directory: os.PathLike[str] | str, *, limits: ListLimits, tolerance: timedelta) -> None:
        self._path = _absolute(directory)
        self._limits = limits
        self._tolerance = tolerance
        self._known: WeakKeyDictionary[Feed, Kept] = WeakKeyDictionary()  # what is in the source's file
        self._failures: WeakKeyDictionary[Feed, _Failure] = WeakKeyDictionary()
        self._is_swept = False
        self._prepare()

    def recalled(self, feed: Feed) -> Kept | None:
        """What is kept of the source, past its time or not; None where nothing is that can be used."""
        try:
            with kept_files.opened(self._path) as directory:
                kept = self._read(directory, feed.source)
        except CertificateError as error:
            _ignored(feed.source, error)
            return None
        except (OSError, ConfigurationError) as error:
            self._failed(feed, error)
            return None
        if kept is not None:
            self._known[feed] = kept
        return kept

    def wants(self, feed: Feed, state: FeedState) -> bool:
        """Whether there is something to write for the source in that state. Cheap."""
        known = self._known.get(feed)
        if state.good is None or state.last_success is None or self._is_pausing(feed):
            return False
        if known is None or known.listed is not state.good:
            return state.good.is_confirmed
        return state.last_success - known.moment >= _TOUCH_EVERY

    def keep(self, feed: Feed, state: FeedState) -> None:
        """Writes what `wants` says: the list, or that the source has given it again."""
        if state.good is None or state.last_success is None or not self.wants(feed, state):
            return
        kept = Kept(state.good, state.last_success)
        try:
            with kept_files.opened(self._path) as directory:
                is_done = self._put(directory, feed.source, kept)
        except (OSError, ConfigurationError) as error:
            self._failed(feed, error)
            return
        self._failures.pop(feed, None)
        if is_done:
            self._known[feed] = kept

    # False where another process is writing: the next look tries again.
    def _put(self, directory: int, source: ListSource, kept: Kept) -> bool:
        listed, moment = kept
        # Where it is not there any more, only what was found authentic in this process is written anew.
        if kept_files.touch(directory, source, listed.der, moment) or not listed.is_confirmed:
            return True
        with kept_files.locked(directory) as is_ours:
            if is_ours:
                self._sweep(directory)
                if not self._goes_back(directory, source, listed):
                    kept_files.write(directory, source, listed.der, moment)
        return is_ours

    def _goes_back(self, directory: int, source: ListSource, listed: LoadedList) -> bool:
        try:
            before = self._read(directory, source)
        except (OSError, CertificateError) as error:
            _ignored(source, error)
            return False
        try:
            if before is not None:
                check_order(listed, before.listed)
        except CertificateError:
            return True
        return False

    def _read(self, directory: int, source: ListSource) -> Kept | None:
        found = kept_files.read(directory, source, self._limits)
        if found is None:
            return None
        der, modified = found
        listed = read_list(der, self._limits, self._tolerance)
        return Kept(listed, _moment(modified, listed))

    def _sweep(self, directory: int) -> None:
        if not self._is_swept:
            kept_files.sweep(directory)
            self._is_swept = True

    def _prepare(self) -> None:
        try:
            with kept_files.opened(self._path):
                pass
        except OSError as error:
            if error.errno not in _PASSING:
                raise ConfigurationError(
                    f"expected a directory for revocation lists at {self._path!r}, got {_told(error)}"
                ) from error
            _not_kept(self._path, error)

    def _is_pausing(self, feed: Feed) -> bool:
        failure = self._failures.get(feed)
        return failure is not None and time.monotonic() < failure.again

    # Told once for all sources, and again only after all of them have been written.
    def _failed(self, feed: Feed, error: Exception) -> None:
        told = _told(error)
        if all(each.told != told for each in self._failures.values()):
            _not_kept(str(feed.source), error)
        self._failures[feed] = _Failure(told, time.monotonic() + _RETRY_SECONDS)


def _absolute(directory: os.PathLike[str] | str) -> str:
    path = os.fspath(directory) if isinstance(directory, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"expected the path of a directory for revocation lists, got {directory!r}")
    return os.path.abspath(path)


# A clock that was set back since makes it a moment to come: then it is called as old as it can be, by its thisUpdate.
def _moment(modified: float, listed: LoadedList) -> datetime:
    now = utc_now()
    if modified <= now.timestamp():
        return datetime.fromtimestamp(max(0.0, modified), UTC)
    return min(listed.stated[0], now)


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return str(error)


def _not_kept(where: str, error: Exception) -> None:
    told = {"source": where, "error": _told(error)}
    _LOGGER.warning("revocation lists cannot be kept for the next start", extra={"mtlskit": told})


def _ignored(source: ListSource, error: Exception) -> None:
    told = {"source": str(source), "error": _told(error)}
    _LOGGER.warning("a kept revocation list is ignored", extra={"mtlskit": told})
