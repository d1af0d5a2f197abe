"""The protections of bindings: where their certificates come from, how these change, and what uploads are taken."""

from __future__ import annotations

from mutations import Mutation

_SOURCES = "tests/fetch/test_sources.py"
_ROTATION = "tests/fetch/test_rotation.py"
_CHECKS = "tests/fetch/test_upload_checks.py"
_REPLACING = "tests/fetch/test_upload_replacing.py"
_AUTHORITIES = "tests/fetch/test_upload_authorities.py"
_DERIVATION = "tests/core/test_key_derivation.py"
_TRUST = "tests/fetch/test_trust.py"

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
        "fetch/lanes.py", "            is_over = place.is_left and not place.calls\n", "            is_over = place.is_left\n",
        "tests/fetch/test_closing.py", "a call that runs when the certificate changes ends in peace",
    ),
    Mutation(
        "fetch/lanes.py", "            is_over = place.is_left and not place.calls\n",
        "            is_over = False\n", f"{_ROTATION} -k peace", "a connection of the old one is closed after its last call",
    ),
    Mutation(
        "fetch/lanes.py", "loop.call_soon_threadsafe(self._close_soon, loop)", "pass", f"{_ROTATION} -k loop",
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
        "fetch/upload_checks.py", "demand is not None and demand.keys > 1", "False", "tests/fetch/test_upload_pkcs12.py",
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
    Mutation(
        "core/pem.py", "    if demand.iterations > MOST_ITERATIONS:\n", "    if False:\n", f"{_DERIVATION} -k counts_together",
        "what takes minutes is not opened",
    ),
    Mutation(
        "core/pem.py", "    if demand is None:\n", "    if False:\n", f"{_DERIVATION} -k cannot_be_read",
        "what it would take to open cannot be read: it is not opened",
    ),
    Mutation(
        "core/key_derivation.py", "            elif tag & _CONSTRUCTED:\n", "            elif False:\n", f"{_DERIVATION} -k added_up",
        "iterations are found however deep they are",
    ),
    Mutation(
        "core/key_derivation.py", "before == _OID and name == _DATA", "False", f"{_DERIVATION} -k every_key",
        "iterations are found in what is packed",
    ),
    Mutation(
        "core/key_derivation.py", "        if not tag & _CONSTRUCTED:\n", "        if True:\n", f"{_DERIVATION} -k every_key",
        "iterations are found in pieces",
    ),
    Mutation(
        "core/key_derivation.py", "tag & ~_CONSTRUCTED for tag, _ in found", "tag for tag, _ in found",
        f"{_DERIVATION} -k pieces", "iterations are found behind a salt in pieces",
    ),
    Mutation(
        "core/key_derivation.py", "            return _SCRYPT * n * r * p\n", "            return n\n", f"{_DERIVATION} -k scrypt",
        "of scrypt all that costs counts",
    ),
    Mutation(
        "core/key_derivation.py", "self._left < 0 or ", "", f"{_DERIVATION} -k bounded", "reading what it takes to open is bounded",
    ),
    Mutation(
        "core/key_derivation.py", "    def _until_end(self, data: memoryview, depth: int) -> int:\n",
        "    def _until_end(self, data: memoryview, depth: int) -> int:\n        depth = 0\n", f"{_DERIVATION} -k bounded",
        "what has an end instead of a length is not as deep as it likes",
    ),
    Mutation(
        "core/pem.py", "pem.octets(), None, unsafe_skip_rsa_key_validation=True", "pem.octets(), None",
        "tests/fetch/test_environment.py -k rsa", "a thousand bindings with RSA are loaded in time",
    ),
    Mutation(
        "fetch/environment.py", "configuration.trusted(store) if trust is None else trust", "trust or 'certifi'", _TRUST,
        "servers are trusted as the file says",
    ),
    Mutation(
        "fetch/environment.py", "configuration.trusted(store) if trust is None else trust", "configuration.trusted(store)",
        _TRUST, "code has the last word on whom to trust",
    ),
    Mutation(
        "fetch/trust.py", "    except NotFound:\n", "    except KeyError:\n", _TRUST, "an id that is not there is an error of the configuration",
    ),
    Mutation(
        "fetch/trust.py", "    if store is None:\n", "    if False:\n", _TRUST, "without a store there are no uploads",
    ),
    Mutation(
        "fetch/own_file.py", "    return section, where\n", "    return {**document, **section}, where\n", _TRUST,
        "a named environment inherits nobody's trust",
    ),
    Mutation(
        "fetch/own_file.py", '"file": str(file), **others} if file and not others', '"file": str(file)}', _TRUST,
        "trust is one thing or an error",
    ),
    Mutation(
        "fetch/upload_authorities.py", "uploaded, _value(uploaded, certificates), old)",
        "uploaded, _value(uploaded, certificates), self._shelf.record(old.key))", _AUTHORITIES,
        "who replaces CA certificates has seen what stands",
    ),
    Mutation(
        "fetch/upload_authorities.py", "    upload_checks.check_authorities(certificates, now)\n", "", _AUTHORITIES,
        "CA certificates are looked at, the first and those that replace them",
    ),
    Mutation(
        "fetch/upload_authorities.py",
        '            transaction.append_audit("ca_certificate.replaced", _audit_details(uploaded, certificates[0], requester))\n',
        "", _AUTHORITIES, "a replacement of CA certificates stands in the audit log",
    ),
    Mutation(
        "fetch/endings.py", "chain(_of_clients(store), _of_authorities(store))", "_of_clients(store)", "tests/test_forecast.py",
        "the ends of CA certificates are told",
    ),
    Mutation(
        "cli/doctor.py", "        found.trusted(store)  # told now if there are no such roots\n", "", "tests/cli/test_doctor.py",
        "doctor tells of roots that are not there",
    ),
    Mutation(
        "fetch/configuration.py", 'encoding="utf-8-sig"', 'encoding="utf-8"', "tests/fetch/test_documented_configurations.py",
        "a mark before a configuration is passed over",
    ),
]  # fmt: skip
