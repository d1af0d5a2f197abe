"""The protections of taking an authority over, of ending trust without keys, and of keys that somebody else has."""

from mutations import Mutation

_TAKEOVER = "tests/authority/test_takeover.py"
_WITHOUT = "tests/authority/test_without_keys.py"
_COMPROMISED = "tests/authority/test_compromised_keys.py"
_POSSESSION = "tests/authority/test_possession.py"
_HIERARCHY = "tests/authority/test_hierarchy.py"

MUTATIONS = [
    # The last list from before.
    Mutation(
        "authority/list_records.py", "_start(transaction, issuing.key_id) + transaction", "transaction", _TAKEOVER,
        "I10: takeover: no list's number goes back",
    ),
    Mutation(
        "authority/creation.py",
        "        inherit(IssuerLedger(plan.name, plan.key_id, store), last, requester=plan.requester, now=plan.now)\n", "",
        _TAKEOVER, "takeover: what was revoked stays revoked",
    ),
    Mutation(
        "authority/creation.py",
        "        inherit(IssuerLedger(plan.name, plan.key_id, store), last, requester=plan.requester, now=plan.now)\n"
        "    _store(record, plan, store, issued, last)\n",
        "        pass\n"
        "    _store(record, plan, store, issued, last)\n"
        "    if last is not None:\n"
        "        inherit(IssuerLedger(plan.name, plan.key_id, store), last, requester=plan.requester, now=plan.now)\n",
        f"{_TAKEOVER} -k interrupted", "takeover: never an authority without its revocations",
    ),
    Mutation(
        "authority/creation.py", "    if last is not None:\n        _check_new(plan, store)\n",
        "    if last is not None:\n", f"{_TAKEOVER} -k there_is", "takeover: no list for an authority that there is",
    ),
    Mutation(
        "authority/inheritance.py", "    if parsed.name != comparable_name(frame.subject):", "    if False:",
        f"{_TAKEOVER} -k refused", "takeover: a list of another issuer",
    ),
    Mutation(
        "authority/inheritance.py", '    if not parsed.is_signed_by(frame.spki, cast("PublicKey", issuer.public_key())):',
        "    if False:", f"{_TAKEOVER} -k refused", "takeover: a list that somebody else signed",
    ),
    Mutation(
        "authority/inheritance.py", "    if parsed.is_delta:", "    if False:", f"{_TAKEOVER} -k refused",
        "takeover: a delta list is no list",
    ),
    Mutation(
        "authority/inheritance.py", "    if parsed.scope is not None:", "    if False:", f"{_TAKEOVER} -k refused",
        "takeover: a list of a part is no list of all",
    ),
    Mutation(
        "authority/inheritance.py", "    if parsed.has_unknown_critical_extension():", "    if False:",
        f"{_TAKEOVER} -k refused", "takeover: a list that says what nobody here knows",
    ),
    Mutation(
        "authority/inheritance.py", "    if not 0 <= number < _MOST:", "    if False:", f"{_TAKEOVER} -k long",
        "takeover: there is room for numbers above it",
    ),
    Mutation(
        "authority/inheritance.py", "    for _ in found.revocations():\n        pass", "    if True:\n        pass",
        f"{_TAKEOVER} -k refused", "takeover: refused before anything is written",
    ),
    Mutation(
        "authority/inheritance.py", "        serial = checked_serial(entry.serial_number)",
        "        serial = entry.serial_number", f"{_TAKEOVER} -k refused", "takeover: an entry that no list can repeat",
    ),
    Mutation(
        "authority/scope.py", "role in (None, _ROLES[self.subjects])", "_ROLES[self.subjects] is role",
        f"{_TAKEOVER} -k both_kinds", "takeover: whoever nobody knows is missed on no list",
    ),
    Mutation(
        "authority/revocation.py", "for kind in (RESERVATION, REVOCATION)):", "for kind in (RESERVATION,)):",
        f"{_TAKEOVER} -k hold", "takeover: a hold from before can be ended",
    ),
    # What was issued before.
    Mutation(
        "authority/takeover.py", "    checked_serial(certificate.serial_number)\n", "", f"{_TAKEOVER} -k serial",
        "takeover: one odd certificate spoils no list",
    ),
    Mutation(
        "authority/takeover.py", "    for issuer, ledger in reversed(issuers):", "    for issuer, ledger in issuers[-1:]:",
        f"{_TAKEOVER} -k rotations", "takeover: what was issued before is of an older generation",
    ),
    Mutation(
        "authority/takeover.py", "        if is_issued_by(certificate, issuer):\n            return ledger",
        "        if True:\n            return ledger", f"{_TAKEOVER} -k rotations", "takeover: of strangers nothing is recorded",
    ),
    # Keys that have to show themselves, and keys that must not be asked for.
    Mutation(
        "authority/creation.py", "    check_possession(signer)\n    return signer", "    return signer", _POSSESSION,
        "possession: no certificate for a key that nobody has",
    ),
    Mutation(
        "authority/takeover.py", "    check_possession(signer)\n", "", _POSSESSION,
        "possession: nothing is taken over without its key",
    ),
    Mutation(
        "authority/possession.py", "_SIGNED + secrets.token_bytes(32)", "_SIGNED", _POSSESSION,
        "possession: no signature serves twice",
    ),
    Mutation(
        "authority/registry.py", "            with suppress(NotFound):\n                return work(ledger, serial, der)",
        "            with suppress(NotFound):\n                self._opened.issuing(self._opened.latest().active)\n"
        "                return work(ledger, serial, der)",
        _WITHOUT, "revoke and release ask for no key",
    ),
    Mutation(
        "authority/authority.py", '_OPENING = ("signer", "clock", "authorize")', '_OPENING = ("clock", "authorize")',
        f"{_HIERARCHY} -k ensure", "ensure takes the signer with it",
    ),
    Mutation(
        "authority/authority.py", '        check_constraints(name, found.certificate, settings.get("constraints"))\n', "",
        f"{_HIERARCHY} -k ensure", "ensure gives no authority with other constraints",
    ),
    Mutation(
        "core/profiles/values.py", "self.role is Role.END_ENTITY and self.name in _RESERVED", "False",
        "tests/core/test_profiles.py -k stands_for", "no profile of one's own passes for an authority's",
    ),
    # Keys that somebody else has.
    Mutation(
        "authority/issuance.py", "                _check_keys(transaction, drafts)\n", "", _COMPROMISED,
        "I10: compromised: such a key is not certified again",
    ),
    Mutation(
        "authority/revocation.py", "    for kind in (RESERVATION, CERTIFICATE):", "    for kind in (CERTIFICATE,):",
        f"{_COMPROMISED} -k meanwhile", "compromised: nor does leave what was being signed",
    ),
    Mutation(
        "authority/revocation.py", "    for kind in (RESERVATION, CERTIFICATE):",
        "    for kind in (CERTIFICATE, RESERVATION):", f"{_COMPROMISED} -k between", "compromised: in the order of records",
    ),
    Mutation(
        "authority/creation.py", "    if is_compromised(transaction, plan.key_id):", "    if False:", _COMPROMISED,
        "compromised: nor is it a root's",
    ),
    Mutation(
        "authority/batches.py", "            for at in error.at:", "            for at in range(len(wanted)):",
        f"{_COMPROMISED} -k batch", "compromised: the others of a batch go on",
    ),
    Mutation(
        "authority/revocation.py", "            for each in others:\n", "            for each in ():\n",
        f"{_COMPROMISED} -k all_generations", "compromised: its other certificates end with it",
    ),
    Mutation(
        "authority/registry.py", "                ledger, self._ledgers(), serial,", "                ledger, [ledger], serial,",
        f"{_COMPROMISED} -k all_generations", "compromised: in all generations",
    ),
    Mutation(
        "authority/revocation.py",
        "    if RevocationReason.KEY_COMPROMISE in (reason, revocation.reason):\n        with",
        "    if reason is RevocationReason.KEY_COMPROMISE:\n        with", f"{_COMPROMISED} -k interrupted",
        "compromised: a second call finishes the first",
    ),
    Mutation(
        "authority/revocation.py",
        "    if certificate is not None and RevocationReason.KEY_COMPROMISE in (reason, revocation.reason):",
        "    if certificate is not None and revocation.reason == RevocationReason.KEY_COMPROMISE:",
        f"{_COMPROMISED} -k already", "compromised: it may be said later",
    ),
    Mutation(
        "authority/revocation.py", "reservation.not_after <= now or", "reservation is None or",
        f"{_COMPROMISED} -k ended", "compromised: lists do not grow by what has ended",
    ),
    Mutation(
        "authority/compromised_keys.py", "x.to_bytes((key.curve.key_size + 7) // 8)",
        "y.to_bytes((key.curve.key_size + 7) // 8)", f"{_COMPROMISED} -k writes",
        "compromised: in whatever form a certificate writes it",
    ),
    Mutation(
        "authority/takeover.py", "            found.update(_compromised(transaction, ledger, record, now))\n", "",
        f"{_COMPROMISED} -k later", "compromised: what is recorded later ends with it",
    ),
    Mutation(
        "authority/takeover.py",
        "        for _, ledger in issuers:\n            revoke_twins(ledger, key, requester=requester, now=now)\n",
        "        pass\n", f"{_COMPROMISED} -k last_list", "compromised: as the last list from before tells it",
    ),
]  # fmt: skip
