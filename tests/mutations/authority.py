"""The protections of revocation, of the lists that are made of it, and of what is published."""

from mutations import Mutation

_HOLD = "tests/authority/test_hold.py"
_SERIALS = "tests/authority/test_revoked_serials.py"
_LISTS = "tests/authority/test_lists.py"
_DELTAS = "tests/authority/test_delta_lists.py"
_SCOPE = "tests/authority/test_scope.py"
_MESSAGES = "tests/authority/test_ocsp_messages.py"
_RESPONDER = "tests/authority/test_ocsp_responder.py"
_PUBLICATION = "tests/authority/test_publication.py"
_PUBLISHED = "tests/authority/test_published_lists.py"
_SERVICE = "tests/authority/test_status_service.py"
_APPS = "tests/authority/test_status_apps.py"
_AUDIT = "tests/test_audit.py"

MUTATIONS = [
    # Revoking and releasing.
    Mutation(
        "authority/revocation.py",
        "        if revocation.reason != RevocationReason.CERTIFICATE_HOLD:\n",
        "        if False:\n",
        _HOLD,
        "release: what lasts cannot be undone",
    ),
    Mutation(
        "authority/revocation.py",
        "    append_change(transaction, key_id, kind, revocation, now)\n",
        "",
        f"{_HOLD} {_SERIALS}",
        "revocation: every change is written down with what it changes",
    ),
    Mutation(
        "authority/revocation.py",
        "    transaction.touch(revocation_topic(bytes.fromhex(key_id)))\n",
        "",
        _HOLD,
        "I6: gates hear of a revocation and of a release",
    ),
    Mutation(
        "authority/revocation.py",
        " or (der is not None and record.der is not None and der != record.der)",
        "",
        _HOLD,
        "revocation: another certificate with the same serial number is not meant",
    ),
    Mutation(
        "authority/serials.py",
        'r"decimal: ?([0-9]+)"',
        'r"(?:decimal: ?)?([0-9]+)"',
        "tests/authority/test_serials.py",
        "serial: digits alone stay hexadecimal",
    ),
    # What gates know.
    Mutation(
        "authority/records.py",
        "                if change.number > self.number:\n",
        "                if True:\n",
        _SERIALS,
        "I6: an older reading never undoes a newer one",
    ),
    Mutation(
        "authority/records.py",
        "            self.read_at = max(self.read_at, touched)\n",
        "            self.read_at = self.touched\n",
        _SERIALS,
        "I6: what changes while it is read is read again",
    ),
    Mutation(
        "authority/records.py",
        """        with store.snapshot() as snapshot:
            number = last_change(snapshot, self._key)
        reasons: dict[int, str] = {}
        for page in read_in_pages(store, self._key):
            reasons.update(map(_reason, page))
""",
        """        reasons: dict[int, str] = {}
        for page in read_in_pages(store, self._key):
            reasons.update(map(_reason, page))
        with store.snapshot() as snapshot:
            number = last_change(snapshot, self._key)
""",
        _SERIALS,
        "I6: pages of different ages are made one state",
    ),
    Mutation(
        "authority/records.py",
        "            if EVERYTHING in topics:\n                self._by_issuer = {}\n                return\n",
        "",
        f"{_SERIALS} tests/authority/test_revocation.py",
        "I6: missed changes drop everything",
    ),
    Mutation(
        "authority/records.py",
        "            with self._loading:\n                if self.number < 0:\n                    self._load(store)\n",
        "            self._load(store)\n",
        _SERIALS,
        "a long list is read once however many threads want it",
    ),
    # Lists.
    Mutation(
        "authority/lists.py",
        "    entries.replace({change.key: change.left for change in _changes(store, issuer, start, record.last_change)})\n",
        "",
        _LISTS,
        "list: the one with the higher number is never the older one",
    ),
    Mutation(
        "authority/lists.py",
        "            if change.number > last:\n                return\n",
        "",
        _LISTS,
        "list: it is what its record says",
    ),
    Mutation(
        "authority/lists.py",
        "    until = min(before.this_update, order.this_update)\n",
        "    until = before.this_update\n",
        _LISTS,
        "list: nothing leaves before its own end",
    ),
    Mutation(
        "authority/entries.py",
        " and record.key not in self._kept",
        "",
        _LISTS,
        "list: what was revoked after its end is listed once",
    ),
    Mutation(
        "authority/list_records.py",
        "    if record.base is None:\n        _put_newest",
        "    if True:\n        _put_newest",
        _DELTAS,
        "list: a delta is nobody's base",
    ),
    Mutation(
        "authority/list_records.py",
        'return self.base is None and self.sha256 != ""',
        "return self.base is None",
        _LISTS,
        "list: one that was not signed is nobody's base",
    ),
    Mutation(
        "authority/list_records.py",
        "found.is_base and found.scope == scope.text",
        "found.is_base",
        _DELTAS,
        "list: a base is of the same scope",
    ),
    Mutation(
        "authority/list_records.py",
        "    elif found.value != scope.encode():\n",
        "    elif False:\n",
        f"{_LISTS} {_SCOPE}",
        "list: a distribution point stands for one scope for ever",
    ),
    Mutation(
        "authority/lists.py",
        "        values.append((x509.DeltaCRLIndicator(record.base), True))\n",
        "        values.append((x509.DeltaCRLIndicator(record.base), False))\n",
        _DELTAS,
        "list: who knows no deltas takes none for a complete list",
    ),
    Mutation(
        "authority/lists.py",
        "        values.append((point, True))\n",
        "        values.append((point, False))\n",
        _SCOPE,
        "list: who knows no scopes takes none for a list of everything",
    ),
    Mutation(
        "authority/lists.py",
        "return removal(change.revocation, change.changed_at) if change.left is None else entry(change.left)",
        "return entry(change.revocation)",
        _DELTAS,
        "list: a delta tells of releases",
    ),
    Mutation(
        "authority/scope.py",
        "        if self.partitions > 1 and self.url is None:\n",
        "        if False:\n",
        _SCOPE,
        "scope: a partition has a name of its own",
    ),
    Mutation(
        "authority/scope.py",
        "int(key, 16) % self.partitions != self.partition",
        "False",
        _SCOPE,
        "scope: a partition has its own revocations alone",
    ),
    # OCSP.
    Mutation(
        "authority/publishing/messages.py",
        "    if not 0 < len(certificates) <= MOST_REQUESTS:\n",
        "    if False:\n",
        _MESSAGES,
        "I12: OCSP: so many certificates in one request",
    ),
    Mutation(
        "authority/publishing/messages.py",
        "if len(values) > 1 or not 0 < stop - start <= LONGEST_NONCE:",
        "if False:",
        _MESSAGES,
        "OCSP: a nonce has 1 to 128 octets",
    ),
    Mutation(
        "authority/publishing/messages.py",
        "    if any(critical and name != _NONCE for name, critical, _ in extensions):\n",
        "    if False:\n",
        _MESSAGES,
        "OCSP: a critical extension that is not known is refused",
    ),
    Mutation(
        "authority/publishing/responder.py",
        "if first is None or any(each is not first for each in others):",
        "if first is None:",
        _RESPONDER,
        "OCSP: one signature speaks for one issuer",
    ),
    Mutation(
        "authority/publishing/responder.py",
        "    is_known = found is not None and CertificateRecord.from_bytes(found.value).der is not None\n",
        "    is_known = found is not None\n",
        _RESPONDER,
        "OCSP: what never was a certificate is not good",
    ),
    Mutation(
        "authority/publishing/responder.py",
        "        if before == said and answer is not None and self._is_fresh(answer, now):\n",
        "        if answer is not None and self._is_fresh(answer, now):\n",
        _RESPONDER,
        "I6: OCSP: an answer that is not true any more is not given again",
    ),
    Mutation(
        "authority/publishing/responder.py",
        "        until = min(now + self._lifetime, voice.not_after)\n",
        "        until = now + self._lifetime\n",
        _RESPONDER,
        "OCSP: no response outlasts its key",
    ),
    Mutation(
        "authority/publishing/responder.py",
        "            if len(self._remembered) >= _MOST_REMEMBERED:\n                self._remembered = {}\n",
        "",
        _RESPONDER,
        "I12: OCSP: what is remembered is bounded",
    ),
    Mutation(
        "authority/publishing/responder.py",
        "        is_reusable = nonce is None and all(each.is_known for each in statuses)\n",
        "        is_reusable = True\n",
        f"{_RESPONDER} {_SERVICE}",
        "OCSP: no cache keeps an answer for one, or that a serial number is unknown",
    ),
    Mutation(
        "authority/publishing/voices.py",
        "    if not any(ExtendedKeyUsageOID.OCSP_SIGNING in usage for usage in usages):\n",
        "    if False:\n",
        _RESPONDER,
        "OCSP: a delegate is one for OCSPSigning",
    ),
    Mutation(
        "authority/publishing/voices.py",
        "            certificate.verify_directly_issued_by(generation.certificate)\n",
        "            pass\n",
        _RESPONDER,
        "OCSP: a delegate is issued by whom it speaks for",
    ),
    Mutation(
        "authority/publishing/voices.py",
        "        if not voice.not_before <= now < voice.not_after:\n",
        "        if False:\n",
        _RESPONDER,
        "OCSP: a key that has ended says nothing",
    ),
    Mutation(
        "authority/publishing/voices.py",
        "        if voice is None or snapshot.get(REVOCATION, generation.key_id, voice.serial) is not None:\n",
        "        if voice is None:\n",
        f"{_RESPONDER} -k responder_that_was_revoked",
        "OCSP: a responder that was revoked says nothing",
    ),
    Mutation(
        "authority/publishing/responder.py",
        "        said = (delegate, status)\n",
        "        said = (None, status)\n",
        f"{_RESPONDER} -k responder_that_was_revoked",
        "I6: OCSP: what a revoked responder signed is not given again",
    ),
    Mutation(
        "authority/limits.py",
        "            _check_no_responder(profile, wanted)\n",
        "            pass\n",
        f"{_RESPONDER} -k answers_for_the_one_above",
        "OCSP: no authority answers for the one above it",
    ),
    Mutation(
        "authority/limits.py",
        "wanted - {_OCSP_SIGNING} <= usages if wanted",
        "_OCSP_SIGNING in wanted or wanted <= usages if wanted",
        f"{_RESPONDER} -k for_one_purpose",
        "OCSP: what else is wanted beside OCSPSigning has to be the issuer's",
    ),
    Mutation(
        "core/profiles/building.py",
        "        fixed.append(_extension(x509.OCSPNoCheck()))\n",
        "        pass\n",
        "tests/core/test_profiles.py -k responder",
        "OCSP: nobody is to ask about a responder",
    ),
    Mutation(
        "core/profiles/values.py",
        "        if self.responder_check is ResponderCheck.NOT_ASKED and not is_responder:\n",
        "        if False:\n",
        "tests/core/test_profiles.py -k nothing_but_a_responder",
        "OCSP: about anything but a responder others ask",
    ),
    Mutation(
        "core/profiles/building.py",
        "        return Locations(issuers=locations.issuers)\n",
        "        return locations\n",
        "tests/core/test_profiles.py -k responder",
        "OCSP: no list is named where nobody is to ask",
    ),
    # What is published.
    Mutation(
        "authority/publishing/published.py",
        "        elif ListRecord.from_json(found.value).number < made.record.number:\n",
        "        elif True:\n",
        _PUBLISHED,
        "published: a number never goes back",
    ),
    Mutation(
        "authority/publishing/published.py",
        "        return self._has_changed(generation, record)\n",
        "        return False\n",
        _PUBLISHED,
        "I6: published: a revocation is in the next answer",
    ),
    Mutation(
        "authority/publishing/published.py",
        "any(self._scope.covers(each.key, each.revocation.role) for each in changes)",
        "any(True for _ in changes)",
        _PUBLISHED,
        "published: no number for nothing",
    ),
    Mutation(
        "authority/publishing/published.py",
        "        with self._lock:\n            now = self._opened.clock()\n",
        "        if True:\n            now = self._opened.clock()\n",
        _PUBLISHED,
        "published: of many who ask at once one makes the list",
    ),
    Mutation(
        "authority/publishing/published.py",
        "                if published is None or now >= published.record.next_update:\n",
        "                if published is None:\n",
        _PUBLISHED,
        "published: a list past its end is not served",
    ),
    Mutation(
        "authority/publishing/published.py",
        " and not self._was_published(name, generation):\n",
        " and False:\n",
        _PUBLISHED,
        "I12: published: nobody makes up partitions",
    ),
    Mutation(
        "authority/publishing/published.py",
        " or record.base != base:\n",
        ":\n",
        _PUBLISHED,
        "published: a delta starts from the complete list beside it",
    ),
    Mutation(
        "authority/publishing/publication.py",
        "        return name if name.path == path and name.partition < name.partitions <= MOST_PARTITIONS else None\n",
        "        return name\n",
        _PUBLICATION,
        "published: one path for each list",
    ),
    Mutation(
        "authority/publishing/service.py",
        "        if len(body) > LARGEST_BODY:\n",
        "        if False:\n",
        _SERVICE,
        "I12: service: size of a body",
    ),
    Mutation(
        "authority/publishing/service.py",
        "        if len(path) > _LONGEST_PATH:\n",
        "        if False:\n",
        _SERVICE,
        "I12: service: length of a path",
    ),
    Mutation(
        "authority/publishing/service.py",
        "        if not answer.is_reusable or answer.next_update is None:\n",
        "        if answer.next_update is None:\n",
        _SERVICE,
        "service: an answer for one is kept by nobody",
    ),
    Mutation(
        "authority/publishing/http.py",
        "    age = max(0, int(min((until - now).total_seconds(), most)))\n",
        "    age = int(most)\n",
        _SERVICE,
        "service: no cache keeps a list beyond its end",
    ),
    Mutation(
        "authority/publishing/http.py",
        '    return etag in tags or tags == ["*"]\n',
        '    return etag in tags or tags == ["*"] or "if-modified-since" in request\n',
        _SERVICE,
        "service: nobody keeps a list by its date",
    ),
    Mutation(
        "authority/publishing/http.py",
        '        ("etag", etag),\n',
        '        ("etag", etag),\n        ("last-modified", _date(now)),\n',
        _SERVICE,
        "service: no cache on the way compares by date",
    ),
    Mutation(
        "authority/publishing/apps.py",
        "    if len(text) > 9 or int(text) > LARGEST_BODY:\n        return _TOO_LARGE\n",
        "",
        _APPS,
        "I12: WSGI: size of a body",
    ),
    Mutation(
        "authority/publishing/apps.py",
        "        if len(body) > LARGEST_BODY:\n            return _TOO_LARGE\n",
        "        if len(body) > 10_000_000:\n            return _TOO_LARGE\n",
        _APPS,
        "I12: ASGI: size of a body",
    ),
    Mutation(
        "authority/publishing/apps.py",
        "await asyncio.to_thread(self._service.answer, scope",
        "self._service.answer(scope",
        _APPS,
        "ASGI: the event loop goes on while a list is signed",
    ),
    # The audit log.
    Mutation(
        "authority/issuance.py",
        '                transaction.append_audit("certificate.issued", _issued_details(issuing, number, der))\n',
        "                pass\n",
        _AUDIT,
        "audit: what was signed has a row of its own",
    ),
    Mutation(
        "authority/publishing/voices.py",
        "            self._note(generation, voice)\n",
        "            pass\n",
        _AUDIT,
        "audit: a responder's first use of a key",
    ),
    Mutation(
        "authority/revocation.py",
        '        "requester": requester,\n',
        "",
        _AUDIT,
        "audit: who revoked",
    ),
    Mutation(
        "gate/hostnames.py",
        '    transaction.append_audit(event, {"hostname": str(pattern), "requester": requester, **details})\n',
        "",
        _AUDIT,
        "audit: every change of a hostname",
    ),
    Mutation(
        "gate/hostname_records.py",
        "    return [name for name, value in _document(after).items() if known.get(name) != value]\n",
        "    return []\n",
        _AUDIT,
        "audit: what of a hostname was changed",
    ),
    Mutation(
        "fetch/uploads.py",
        '            transaction.append_audit("client_certificate.uploaded", _audit_details(uploaded, chain, requester))\n',
        "",
        _AUDIT,
        "audit: what is kept for bindings",
    ),
]
