"""The protections of bindings: where their certificates come from, how these change, and what uploads are taken."""

from __future__ import annotations

from mutations import Mutation

_SOURCES = "tests/fetch/test_sources.py"
_ROTATION = "tests/fetch/test_rotation.py"
_CHECKS = "tests/fetch/test_upload_checks.py"
_REPLACING = "tests/fetch/test_upload_replacing.py"

MUTATIONS = [
    Mutation(
        "fetch/binding.py", "return lane if lane.chain is chain else self._changed_to(chain)", "return lane",
        f"{_ROTATION} -k i14", "I14: the next call goes out with the new certificate",
    ),
    Mutation(
        "fetch/binding.py", "            new = self._certified = self._make_lane(chain)\n",
        "            self._certified.chain = chain\n            new = self._certified\n", f"{_ROTATION} -k i14",
        "I14: a connection that was opened with another certificate is not used",
    ),
    Mutation(
        "fetch/binding.py", "        old.retire()\n", "", f"{_ROTATION} -k idle", "idle connections of the old one are closed",
    ),
    Mutation(
        "fetch/lanes.py", "            is_over = not self._running[os.getpid()]\n", "            is_over = True\n",
        f"{_ROTATION} -k peace", "a call that runs when the certificate changes ends in peace",
    ),
    Mutation(
        "fetch/lanes.py", "                is_over = self._is_retired and not self._running[process]\n",
        "                is_over = False\n", f"{_ROTATION} -k peace", "a connection of the old one is closed after its last call",
    ),
    Mutation(
        "fetch/lanes.py", "loop.call_soon_threadsafe(self._close_if_idle, loop)", "pass", f"{_ROTATION} -k loop",
        "the connections of another loop are closed too",
    ),
    Mutation(
        "fetch/sources.py", "        if self._is_gone:\n", "        if False:\n", f"{_SOURCES} -k deleted",
        "an upload that was deleted is not used any more",
    ),
    Mutation(
        "fetch/sources.py", "            self._seen = found  # not before", "            pass  # not before",
        f"{_SOURCES} -k once_a_second", "files that did not change are not read again",
    ),
    Mutation(
        "fetch/sources.py", "            self._chain = self._load()\n            self._seen = found",
        "            self._seen = found\n            self._chain = self._load()", f"{_SOURCES} -k read_once",
        "a chain whose key has not come yet is looked at again",
    ),
    Mutation(
        "fetch/sources.py", "reference = topic_of(self._id), weakref.ref(self)", "reference = topic_of(self._id), lambda: self",
        f"{_SOURCES} -k nobody_has", "a source that nobody has is not kept",
    ),
    Mutation(
        "fetch/renewal.py", "            if self._clock() >= self._chain.certificate.not_valid_after_utc:\n                self",
        "            if True:\n                self", f"{_SOURCES} -k whoever", "of many who ask one issues",
    ),
    Mutation(
        "fetch/renewal.py", "        self._renew_at = now + wait\n", "", f"{_SOURCES} -k tried_again",
        "a renewal that fails is not tried on every call",
    ),
    Mutation(
        "fetch/renewal.py", "logging.ERROR if is_late else", "logging.WARNING if is_late else", f"{_SOURCES} -k tried_again",
        "a renewal that is late is loud",
    ),
    Mutation(
        "fetch/upload_checks.py", "    if keys > 1:\n", "    if False:\n", "tests/fetch/test_upload_pkcs12.py",
        "of several keys none is taken",
    ),
    Mutation(
        "fetch/upload_checks.py", "        if certificate in certificates[:place]:\n", "        if False:\n", _CHECKS,
        "a certificate does not come twice",
    ),
    Mutation(
        "fetch/upload_checks.py", "    if len(given.octets()) > LARGEST:\n", "    if False:\n", _CHECKS, "uploads have a bound",
    ),
    Mutation(
        "fetch/upload_records.py", "        if found.version != old.version:\n", "        if False:\n", _REPLACING,
        "who replaces an upload has seen what stands",
    ),
]  # fmt: skip
