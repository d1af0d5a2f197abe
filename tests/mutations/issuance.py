"""The protections of issuing: the order of its steps, what is refused, who is asked, and where keys do not show."""

from mutations import Mutation

_ENCODING = "tests/core/test_encoding.py"
_PROFILES = "tests/core/test_profiles.py"
_VALUES = "tests/core/test_profile_values.py"
_AUTHORITY = "tests/authority/test_authority.py"
_REQUESTS = "tests/authority/test_requests.py"
_HIERARCHY = "tests/authority/test_hierarchy.py"
_AUTHORIZATION = "tests/authority/test_authorization.py"
_LOCATIONS = "tests/authority/test_locations.py"
_BATCHES = "tests/authority/test_batches.py"
_RENEWAL = "tests/authority/test_renewal.py"
_ROTATION = "tests/authority/test_rotation.py"
_BROKEN = "tests/authority/test_broken_stores.py"
_KILLED = "tests/authority/test_killed.py"
_ISSUED = "tests/authority/test_issued.py"
_SECRETS = "tests/authority/test_secrets.py"

MUTATIONS = [
    # What is written for a certificate.
    Mutation(
        "core/profiles/encoding.py",
        "critical=names.common_name is None)",
        "critical=False)",
        _ENCODING,
        "names are critical where there is no subject",
    ),
    Mutation(
        "core/profiles/encoding.py",
        "serial_number.bit_length() // 8 + 1",
        "(serial_number.bit_length() + 7) // 8",
        _ENCODING,
        "no serial number is negative",
    ),
    Mutation(
        "core/profiles/encoding.py", "_FIRST_GENERALIZED_YEAR: Final = 2050", "_FIRST_GENERALIZED_YEAR: Final = 2051",
        _ENCODING, "years from 2050 on have four digits",
    ),
    Mutation(
        "core/profiles/encoding.py", "return text if text and _subject(text) == subject else None",
        "return text or None", _ENCODING, "only a subject of one common name is read the short way",
    ),
    Mutation(
        "core/profiles/building.py", "now.astimezone(UTC).replace", "now.replace", f"{_PROFILES} -k utc",
        "moments are in UTC",
    ),
    Mutation(
        "core/profiles/building.py", "    if now.tzinfo is None:\n", "    if False:\n", f"{_PROFILES} -k utc",
        "a moment without a zone is refused",
    ),
    Mutation(
        "core/profiles/locations.py", ' and "@" not in parts.netloc', "", f"{_PROFILES} -k location",
        "no password stands in a certificate",
    ),
    Mutation(
        "core/profiles/locations.py", "(_PARTITION in url) is (self.partitions == 1)", "False",
        f"{_PROFILES} -k partitions", "each of several lists has its own URL",
    ),
    Mutation(
        "authority/opened.py", "state.record.locations.of_generation(generation.number, generation.key_id)",
        "state.record.locations.of_generation(1, generation.key_id)", _LOCATIONS, "each generation has its own list",
    ),
    Mutation(
        "core/profiles/values.py",
        "        if self.role is Role.END_ENTITY and self.key_usages & {KeyUsage.KEY_CERT_SIGN, KeyUsage.CRL_SIGN}:",
        "        if False:",
        _PROFILES,
        "no profile of an end entity signs certificates",
    ),
    Mutation(
        "core/profiles/names.py",
        "    if text.isprintable() and not _AMBIGUOUS.search(text):\n",
        "    if True:\n",
        f"{_PROFILES} -k names",
        "different names have different texts",
    ),
    Mutation(
        "core/spiffe.py",
        "    return len(uri) <= LONGEST_SPIFFE_ID and _SPIFFE_ID.fullmatch(uri) is not None\n",
        "    return len(uri) <= LONGEST_SPIFFE_ID\n",
        f"{_PROFILES} -k spiffe",
        "SPIFFE: an id has the grammar of one",
    ),
    Mutation(
        "core/spiffe.py",
        "    return len(uri) <= LONGEST_SPIFFE_ID and _SPIFFE_ID",
        "    return _SPIFFE_ID",
        f"{_PROFILES} -k spiffe",
        "SPIFFE: an id has a greatest length",
    ),
    Mutation(
        "core/spiffe.py", r"(?!\.{1,2}(?:/|$))", "", f"{_PROFILES} -k spiffe",
        "SPIFFE: no segment leads back",
    ),
    Mutation(
        "core/names.py", '        if "%" not in value:\n', "        if True:\n", "tests/core/test_names.py -k san",
        "no address in a certificate has a zone",
    ),
    Mutation(
        "core/profiles/values.py", '    return "%" not in base  #', "    return True  #", f"{_PROFILES} -k zone",
        "no network of a rule has a zone",
    ),
    Mutation(
        "core/profiles/constraints.py", '    if "%" in base:\n', "    if False:\n", f"{_PROFILES} -k zone",
        "no network of a constraint has a zone",
    ),
    Mutation(
        "core/profiles/values.py",
        '        object.__setattr__(self, "type", member(SanType, self.type, "the type of a rule"))\n', "",
        f"{_VALUES} -k rule", "a rule with a text for its type binds",
    ),
    Mutation(
        "core/profiles/values.py",
        "            object.__setattr__(self, field, read(getattr(self, field), field))\n", "            pass\n",
        f"{_VALUES} -k texts", "what the texts of a profile say is held",
    ),
    Mutation(
        "core/names.py", "        if type(self.type) is not SanType:\n", "        if False:\n", f"{_VALUES} -k by_hand",
        "a name whose type is a text is bound by the rules",
    ),
    Mutation(
        "core/given.py", "    if isinstance(values, str | bytes):\n", "    if False:\n", f"{_VALUES} -k error",
        "one text is not several",
    ),
    Mutation(
        "core/profiles/constraints.py", "ExtendedKeyUsage.SERVER_AUTH, excluded=_EVERY_ADDRESS)",
        "ExtendedKeyUsage.SERVER_AUTH)", f"{_HIERARCHY} -k address",
        "the authority of a hostname's servers certifies no address",
    ),
    Mutation(
        "core/profiles/constraints.py", ', NameSubtree(SanType.IP, "::/0"))', ",)", f"{_HIERARCHY} -k address",
        "the authority of a hostname's servers certifies no IPv6 address",
    ),
    Mutation(
        "authority/drafting.py", "        constraints=order.constraints,\n    )\n    try:\n", "    )\n    try:\n",
        f"{_AUTHORIZATION} -k may_issue", "the hook is told what an authority may issue",
    ),
    # What a request is refused for.
    Mutation(
        "authority/requests.py", "_LONGEST_REQUEST: Final = 40 * 1024", "_LONGEST_REQUEST: Final = 64 * 1024",
        f"{_REQUESTS} -k 60", "I12: the length of a request",
    ),
    Mutation(
        "authority/requests.py", "> 1 and len(_extension_requests(request)) > 1:", "> 99:", _REQUESTS,
        "one attribute asks for extensions",
    ),
    Mutation(
        "authority/requests.py", "case x509.BasicConstraints(ca=True):", "case x509.BasicConstraints(ca=None):",
        _REQUESTS, "no request for an authority",
    ),
    Mutation(
        "authority/requests.py", "case x509.KeyUsage(key_cert_sign=True) | x509.KeyUsage(crl_sign=True):",
        "case x509.KeyUsage(crl_sign=True):", _REQUESTS, "no request for keyCertSign",
    ),
    Mutation(
        "authority/requests.py", "        if extension.critical and extension.oid not in _KNOWN:", "        if False:",
        _REQUESTS, "no unknown critical extension",
    ),
    Mutation(
        "authority/requests.py", "    if not verifies_by(scheme, key, request.signature, request.information):",
        "    if False:", _REQUESTS, "the proof of possession",
    ),
    Mutation(
        "authority/requests.py", "    strong_key(request.spki)\n", "", _REQUESTS, "weak keys are refused",
    ),
    Mutation(
        "authority/requests.py", "signature=data[der.unsigned_bits(data, bits, end) : end]",
        "signature=data[bits + 1 : end]", f"{_REQUESTS} -k unused", "a signature has one spelling",
    ),
    Mutation(
        "authority/requests.py", "    if len(names) > profile.most_sans:", "    if False:", f"{_REQUESTS} -k names",
        "I12: the number of names, before each is looked at",
    ),
    Mutation(
        "authority/orders.py", "    asked_for = requests.checked_names(parsed)\n",
        "    found = (each.value for each in parsed.parsed.extensions)\n"
        "    asked_for = next((each for each in found if isinstance(each, x509.SubjectAlternativeName)), None)\n",
        _REQUESTS, "the extensions of a request are looked at",
    ),
    Mutation(
        "authority/orders.py", "    if profile.role is not Role.END_ENTITY:", "    if False:",
        f"{_HIERARCHY} {_BATCHES}", "no order makes an authority",
    ),
    # What the profile and the issuer allow, and who is asked.
    Mutation(
        "authority/drafting.py", "    check_names(order.profile, order.names)\n", "", f"{_REQUESTS} {_HIERARCHY}",
        "names are under the profile",
    ),
    Mutation(
        "authority/drafting.py", "    issuing.limits.check_profile(order.profile, order.constraints)\n", "", _HIERARCHY,
        "purposes are under the issuer",
    ),
    Mutation(
        "authority/drafting.py", "    if issuing.limits.constrain_names:\n", "    if False:\n", _REQUESTS,
        "names are under the issuer's constraints",
    ),
    Mutation(
        "authority/limits.py", "wanted - {_OCSP_SIGNING} <= usages if wanted else profile.role is Role.AUTHORITY",
        "wanted <= usages or profile.role is Role.AUTHORITY", f"{_AUTHORITY} -k purposes",
        "an authority below has no other purposes",
    ),
    Mutation(
        "authority/limits.py", "wanted - {_OCSP_SIGNING} <= usages if wanted else profile.role is Role.AUTHORITY",
        "wanted <= usages", f"{_AUTHORITY} -k purposes",
        "an end entity without purposes is not issued under some",
    ),
    Mutation(
        "authority/drafting.py", "    if issuing.authorize is not None:", "    if False:", _AUTHORIZATION,
        "the hook is asked",
    ),
    Mutation(
        "authority/authorization.py",
        '            raise IssuanceError(f"authorization: expected Granted or Denied, got {type(answer).__name__}")\n',
        "            return\n", _AUTHORIZATION, "I4: what is no clear yes is a no",
    ),
    Mutation(
        "authority/authorization.py",
        '        raise IssuanceError(f"authorization: expected a decision, got {type(error).__name__}") from error\n',
        "        return\n", _AUTHORIZATION, "I4: a hook that raises denies",
    ),
    Mutation(
        "authority/drafting.py",
        '            transaction.append_audit("certificate.denied", order_details(issuing, order) | {"reason": str(error)})\n',
        "            pass\n", _AUTHORIZATION, "what was denied is written down",
    ),
    Mutation(
        "authority/opened.py", "authorize=self.authorize,", "authorize=None,", _AUTHORIZATION,
        "the hook that was given is the one that is asked",
    ),
    # The order of the steps.
    Mutation(
        "authority/issuance.py", "                _check_current(transaction, issuing)\n", "", _ROTATION,
        "nothing is issued under an old record",
    ),
    Mutation(
        "authority/issuance.py",
        "    (draft,) = reserve_all(issuing, [draft_of(issuing, order, draw=draw)], draw=draw)\n"
        "    der = sign(issuing.assembly, draft)\n",
        "    draft = draft_of(issuing, order, draw=draw)\n"
        "    der = sign(issuing.assembly, draft)\n"
        "    (draft,) = reserve_all(issuing, [draft], draw=draw)\n",
        f"{_KILLED} {_AUTHORITY}", "I10: reserved before signed",
    ),
    Mutation(
        "authority/issuance.py", "    if not all(record_all(issuing, [(draft, der)])):\n", "    if False:\n",
        _KILLED, "I10: recorded before it leaves",
    ),
    Mutation(
        "authority/issuance.py", "    if not all(record_all(issuing, [(draft, der)])):\n",
        "    if not record_all(issuing, [(draft, der)]):\n", f"{_AUTHORITY} -k meanwhile",
        "what was revoked meanwhile does not leave",
    ),
    Mutation(
        "authority/issuance.py",
        'transaction.append_audit("certificate.reserved", _reserved_details(issuing, draft))\n', "pass\n",
        f"{_BATCHES} {_AUTHORITY}", "a row of the log for each certificate",
    ),
    Mutation(
        "authority/issuance.py", "            check_unrevoked(transaction, draft.order.renews)\n", "            pass\n",
        f"{_RENEWAL} -k between", "I10: a revocation that comes before the reservation counts",
    ),
    Mutation(
        "authority/batches.py", "    _record(issuing, [slot for slot in batch if slot.der])\n", "", _BATCHES,
        "I10: recorded before the batch leaves",
    ),
    Mutation(
        "authority/batches.py",
        "    issuing = opened.with_latest(lambda: _reserve(opened.issuing(), batch))\n"
        "    failure = _sign(issuing, [slot for slot in batch if slot.draft is not None], each)\n",
        "    issuing = opened.issuing()\n"
        "    for slot in batch:\n"
        "        if slot.prepared is not None:\n"
        "            slot.draft, slot.error = _drafted(issuing, slot.prepared)\n"
        "    failure = _sign(issuing, [slot for slot in batch if slot.draft is not None], each)\n"
        "    reserve_all(issuing, [slot.draft for slot in batch if slot.draft is not None])\n",
        f"{_BATCHES} {_KILLED}", "I10: reserved before the batch is signed",
    ),
    Mutation(
        "authority/batches.py", "        if not was_there:\n", "        if False:\n", f"{_BATCHES} -k meanwhile",
        "what was revoked meanwhile does not leave a batch",
    ),
    Mutation(
        "authority/batches.py", "list(islice(slots, batch_size))", "list(islice(slots, 10_000))",
        f"{_BATCHES} {_KILLED} -k batch", "I12: one batch in memory, and pending after a crash",
    ),
    Mutation(
        "authority/batches.py", "    return error.with_traceback(None)\n", "    return error\n",
        f"{_BATCHES} -k bad", "an outcome keeps no frames",
    ),
    Mutation(
        "authority/batches.py", "    error.__cause__ = error.__context__ = None\n", "", f"{_BATCHES} -k somebody",
        "an outcome keeps no frames by what it was raised from",
    ),
    Mutation(
        "authority/batches.py",
        "    error.__cause__ = error.__context__ = None\n    return error.with_traceback(None)\n",
        "    from copy import copy\n\n    return copy(error)\n", f"{_BATCHES} -k somebody",
        "an error that cannot be copied spoils no other order",
    ),
    Mutation(
        "authority/batches.py", "IssuanceError(str(failures[0]))", "failures[0]", f"{_BATCHES} -k signer",
        "a signer's failure is raised with what it came from",
    ),
    Mutation(
        "authority/batches.py", "        if not failures and slot.draft is not None:",
        "        if slot.draft is not None:", f"{_BATCHES} -k signer", "a signer that failed is asked no more",
    ),
    # Renewing.
    Mutation(
        "authority/renewal.py", " or der not in (None, record.der):", ":", f"{_RENEWAL} -k forged",
        "what is renewed is what is on record",
    ),
    Mutation(
        "authority/renewal.py", "            if generation.state is GenerationState.RETIRED:", "            if False:",
        f"{_RENEWAL} -k retired", "nothing of a retired generation is renewed",
    ),
    Mutation(
        "authority/renewal.py", "    if now - end > wanted.after_expiry:", "    if False:", f"{_RENEWAL} -k expired",
        "what has expired is not renewed",
    ),
    Mutation(
        "authority/renewal.py", "    if name not in (found.name, RECORDED):", "    if False:", f"{_RENEWAL} -k profile",
        "the profile stays the same",
    ),
    Mutation(
        "authority/renewal.py", "    if _is_authority(old.certificate):", "    if False:", f"{_RENEWAL} -k authority",
        "no authority becomes a client",
    ),
    Mutation(
        "authority/renewal.py", " or names.subject != certificate.subject:", ":", f"{_RENEWAL} -k other_names",
        "all names are renewed or none",
    ),
    Mutation(
        "authority/renewal.py", "    strong_key(spki)\n", "", f"{_RENEWAL} -k weak", "a weak key is not renewed",
    ),
    Mutation(
        "authority/renewal.py", "    if proven.spki == _key_of(old).spki:", "    if False:", f"{_RENEWAL} -k strong",
        "a rekey has another key",
    ),
    # Keys and files.
    Mutation(
        "authority/files.py", "os.O_EXCL | os.O_CLOEXEC, 0o600)", "os.O_EXCL | os.O_CLOEXEC, 0o644)",
        f"{_SECRETS} {_ISSUED}", "I11: mode 0600 from the first octet on",
    ),
    Mutation(
        "core/pem.py", '        return f"<{type(self).__name__}>"', "        return repr(self._content)", _SECRETS,
        "I11: no key in a traceback with its locals",
    ),
    Mutation(
        "authority/issued.py", "        write_private((Path(path), Secret(self.to_pem(password=given.if_any()))))\n",
        "        content = self.to_pem(password=given.if_any())\n"
        "        write_private((Path(path), Secret(content)))\n",
        _SECRETS, "I11: no key in a local variable",
    ),
    Mutation(
        "authority/files.py", "            _put_back(old, path)\n", "            pass\n", _ISSUED, "a pair is all or none",
    ),
    Mutation(
        "authority/files.py", "    if len({_place(path) for path, _ in files}) != len(files):\n", "    if False:\n",
        _ISSUED, "a pair has two files",
    ),
    Mutation(
        "authority/files.py", "        os.fsync(descriptor)\n\n\ndef _sync_directory", "\n\ndef _sync_directory", _SECRETS, "on the disk before it takes its place",
    ),
    Mutation(
        "authority/issued.py",
        "        if not isinstance(self._given, bytes) or not 0 < len(self._given) <= _LONGEST_PASSWORD:",
        "        if False:", _SECRETS, "a password that is none",
    ),
    Mutation(
        "core/profiles/building.py",
        "issuer.not_before <= found.not_before and ",
        "",
        f"{_BROKEN} -k set_back_a_day",
        "I10: a clock that was set back issues nothing from before its authority",
    ),
    Mutation(
        "authority/ledger.py",
        "    transaction.delete_many(RESERVATION, issuer, reserved)\n",
        "",
        f"{_BROKEN}::test_in_memory[refusing-issue-edges]",
        "I10: a certificate that has its record is pending no more",
    ),
    Mutation(
        "authority/orders.py",
        "    if known is not profile and known != profile:\n",
        "    if False:\n",
        f"{_RENEWAL} -k name_of_another",
        "a profile of one's own is not renewed as ours",
    ),
]  # fmt: skip
