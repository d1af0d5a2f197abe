"""The protections of policies: selectors, doubt, precedence, facts of the request, rehearsals, expressions."""

from __future__ import annotations

from mutations import Mutation

_SELECTORS = "tests/core/policy/test_selectors.py"
_NESTING = "tests/core/policy/test_nesting.py"
_REQUESTS = "tests/core/policy/test_requests.py"
_FILES = "tests/core/policy/test_files.py"
_GATE = "tests/gate/test_policies.py"
_RECORDING = "tests/gate/test_recording.py"
_EXPRESSIONS = "tests/core/expressions"
_MATCHING = "core/rules/matching.py"
_COMPILED = "core/policy/compiled.py"

MUTATIONS = [
    Mutation(
        _MATCHING, "            return _not(predicate(negated, doubt.flipped))\n",
        "            return _not(predicate(negated, doubt))\n", f"{_SELECTORS} -k certain", "I9: not: doubt turns round",
    ),
    Mutation(
        _MATCHING, "    unwanted = finder(group.exclude, doubt.flipped)\n", "    unwanted = finder(group.exclude, doubt)\n",
        f"{_SELECTORS} -k certain", "I9: group: doubt turns round in what is excluded",
    ),
    Mutation(
        _MATCHING, "found = otherwise if key is UNREADABLE else look_up(key)", "found = key and look_up(key)",
        f"{_SELECTORS} -k unreadable", "I9: the unreadable counts as whatever shuts out",
    ),
    Mutation(
        _MATCHING, 'and (len(key) <= length or "/" in (key[length - 1], key[length]))', "",
        f"{_SELECTORS} -k does_not_match", "a path prefix ends where a segment does",
    ),
    Mutation(
        _MATCHING, 'trailing(key[key.index("/", len("spiffe://")) :])', "trailing(key)", f"{_SELECTORS} -k does_not_match",
        "SPIFFE: a suffix is of the path",
    ),
    Mutation(
        _MATCHING, "return otherwise if key is UNREADABLE else look_up(key)", "return key and look_up(key)",
        f"{_REQUESTS} -k not_known", "I9: what is not known of a request counts as whatever shuts out",
    ),
    Mutation(
        _MATCHING, "        return in_doubt if since is None else", "        return since is not None and",
        f"{_REQUESTS} -k not_known", "what remains of a life is not known without a moment",
    ),
    Mutation(
        _MATCHING, "        if at is None:\n            return in_doubt\n", "        if at is None:\n            return False\n",
        f"{_REQUESTS} -k not_known", "a window is not known to be closed without a moment",
    ),
    Mutation(
        _MATCHING, "    yesterday = WEEK[(local - _DAY).weekday()]\n", "    yesterday = today\n", f"{_REQUESTS} -k window",
        "a window past midnight belongs to the day on which it starts",
    ),
    Mutation(
        _MATCHING, "_is_at_its_time(window, at.astimezone(zone))", "_is_at_its_time(window, at)", f"{_REQUESTS} -k window",
        "a window is open at the times of its zone",
    ),
    Mutation(
        "core/rules/selectors.py", '    if not text.startswith("."):', "    if False:", f"{_SELECTORS} -k refused",
        "a hostname's end begins with a dot",
    ),
    Mutation(
        "core/rules/selectors.py", "    if authority is not None and authority.end() == len(text):", "    if False:",
        f"{_SELECTORS} -k refused", "the start of a URI has its whole authority",
    ),
    Mutation(
        "core/rules/selectors.py", '    _san(SanType.EMAIL, f"{text}x@a.example")', "    pass", f"{_SELECTORS} -k refused",
        "the start of an e-mail address ends before its domain",
    ),
    Mutation(
        "core/rules/selectors.py", "network.version == 6 and network.subnet_of(_MAPPED)", "False",
        f"{_SELECTORS} -k lets_in_and", "an IPv4-mapped network is one of IPv4",
    ),
    Mutation(
        "core/rules/readers.py", "return uris if len(uris) == 1 and is_spiffe_id(uris[0]) else _UNREADABLE_ONLY",
        "return [uri for uri in uris if is_spiffe_id(uri)]", _SELECTORS, "I9: SPIFFE: there is one URI, and it is an id",
    ),
    Mutation(
        "core/rules/readers.py", "    return (only_value(subject, oid),)\n",
        "    return (str(subject.get_attributes_for_oid(oid)[0].value),)\n", f"{_SELECTORS} -k unreadable",
        "I9: of two organizations neither is it",
    ),
    Mutation(
        "core/rules/values.py", "    for _ in range(_DEEPEST):\n", "    for _ in range(10**6):\n", f"{_SELECTORS} -k nested",
        "rules are not nested without end",
    ),
    Mutation(
        "core/request.py", "or _DOUBTFUL_ESCAPE.search(raw)", "", f"{_REQUESTS} -k more_than_one",
        "I9: a path with an encoded slash or dot has no single reading",
    ),
    Mutation(
        "core/request.py", "or not _DOUBTFUL.isdisjoint(decoded)", "", f"{_REQUESTS} -k more_than_one",
        "I9: a path with a backslash has no single reading",
    ),
    Mutation(
        "core/request.py", "return decoded if is_plain else None", "return decoded", f"{_REQUESTS} -k more_than_one",
        "I9: a path with dot segments has no single reading",
    ),
    Mutation(
        "core/request.py", "isinstance(address, IPv6Address) and address.scope_id", "False", f"{_REQUESTS} -k address",
        "an address of a zone is not known",
    ),
    Mutation(
        _COMPILED, "        turns = sorted(enumerate(policies), key=lambda item: _TURNS[item[1].decision])\n",
        "        turns = list(enumerate(policies))\n", "tests/core/policy/test_policy.py -k deny",
        "a deny is asked first, wherever it stands",
    ),
    Mutation(
        _COMPILED, "[turn for turn in turns if turn[1].decision in _WITHOUT_CERTIFICATE]", "turns", f"{_GATE} -k without",
        "who has no certificate is let in by a bypass alone",
    ),
    Mutation(
        _COMPILED, "                return failed\n", "                continue\n", "tests/core/policy/test_policy.py -k raises",
        "I4: a rule that fails denies",
    ),
    Mutation(
        _COMPILED, "excluded = finder(policy.exclude, doubt.flipped)", "excluded = finder(policy.exclude, doubt)",
        f"{_SELECTORS} -k unreadable", "I9: what is excluded shuts out in doubt",
    ),
    Mutation(
        "core/verdict.py", "    if hostname.client_auth is not ClientAuth.OPTIONAL:\n", "    if False:\n", f"{_GATE} -k required",
        "a required certificate is required of everybody",
    ),
    Mutation(
        "core/verdict.py", "is_lasting = _is_enforced(outcome) and not", "is_lasting = not",
        f"{_GATE} -k marked", "each request that passes unenforced is told",
    ),
    Mutation(
        "core/verdict.py", "outcome.applied is not PolicyDecision.BYPASS", "True", f"{_GATE} -k bypass_is_told",
        "a bypass is marked",
    ),
    Mutation(
        "core/custom_hostname.py", "(Asked.REQUEST, Asked.TIME)", "(Asked.TIME,)", f"{_GATE} -k open_connection",
        "I6: a verdict that hangs on the request is not remembered for the next",
    ),
    Mutation(
        "core/custom_hostname.py", "(Asked.REQUEST, Asked.TIME)", "(Asked.REQUEST,)",
        "tests/core/test_verdict.py -k hangs", "I6: a verdict that hangs on the moment is not remembered",
    ),
    Mutation(
        "gate/gate.py", "return allowed.verdict if again is None else", "return allowed.verdict if again else",
        f"{_GATE} -k i6", "I6: a verdict for one request is not another's",
    ),
    Mutation(
        "gate/asgi.py", "path=readable if readable and readable == path else None", "path=path", f"{_GATE} -k knows",
        "a path is the one that the server reads, or none",
    ),
    Mutation(
        "gate/snapshot.py", "if Asked.ISSUANCE not in self.hostname.admits.asks or", "if True or", f"{_GATE} -k stores",
        "who issued a certificate is looked up",
    ),
    Mutation(
        "authority/issuances.py", "if record is not None and is_it else None", "if record is not None else None",
        "tests/authority/test_issuances.py", "a certificate with another's serial number is not the one in the ledger",
    ),
    Mutation(
        "authority/issuances.py", "if record is None and named is None:", "if record is None:",
        "tests/authority/test_issuances.py", "I9: who issued what is not on record is known by the key",
    ),
    Mutation(
        "core/rules/readers.py", "return fingerprints(identity.certificate, identity.issuers[0] if identity.issuers else None)",
        "return fingerprints(identity.certificate, None)[:1]", "tests/gate/test_policy_attacks.py -k write",
        "I9: both spellings of a certificate have the fingerprint",
    ),
    Mutation(
        "gate/snapshot.py", "if issuance is None or issuance.profile is not None:", "if True:",
        "tests/gate/test_policy_attacks.py -k later", "what is not on record is looked up again",
    ),
    Mutation(
        "gate/asgi.py", "method if method == method.upper() else None", "method", "tests/gate/test_policy_attacks.py -k method",
        "I9: a method in lower case has no single reading",
    ),
    Mutation(
        "gate/asgi.py", "    if root_path and readable is not None:", "    if False:", "tests/gate/test_policy_attacks.py -k root",
        "a path is without what the server put before it",
    ),
    Mutation(
        "gate/gate.py", "return policies(facts_for(evidence, facts(server_name_of(evidence), now), now))",
        "return policies(facts(server_name_of(evidence), now))", "tests/gate/test_policy_attacks.py -k says_the",
        "the gate says the hostname and the moment",
    ),
    Mutation(
        "gate/hostname_records.py", '    if document["format"] != _FORMAT or unknown:', "    if False:",
        "tests/gate/test_policy_attacks.py -k newer", "I4: a restriction of a newer version is not passed over",
    ),
    Mutation(
        "core/policy/values.py", '        check_size((*values["include"], *values["require"], *values["exclude"]))\n', "",
        "tests/gate/test_policy_attacks.py -k groups", "groups in groups do not grow without end",
    ),
    Mutation(
        "gate/recording.py", "_check_private(os.fstat(descriptor), self.path)", "pass",
        "tests/gate/test_policy_attacks.py -k plain", "a recording goes to a file of its owner alone",
    ),
    Mutation(
        "gate/recording.py", "        if self._octets < 0:\n", "        if False:\n",
        "tests/gate/test_policy_attacks.py -k octets", "a recording is bounded in octets",
    ),
    Mutation(
        "gate/hostnames.py", "before.version if version is None else version", "before.version", f"{_GATE} -k by_version",
        "who changes policies has seen what stands",
    ),
    Mutation("gate/recording.py", "_APPENDING, 0o600)", "_APPENDING, 0o666)", _RECORDING, "a recording is its owner's alone"),
    Mutation("gate/recording.py", "        if self._lines <= 0:\n", "        if False:\n", _RECORDING, "a recording has an end"),
    Mutation(
        "core/policy/files.py", "object_pairs_hook=_unique", "object_pairs_hook=dict", f"{_FILES} -k broken",
        "a member that stands twice is not skipped",
    ),
    Mutation(
        "core/policy/document.py", "        if name not in allowed:\n", "        if False:\n", f"{_FILES} -k path",
        "an unknown field is not skipped",
    ),
    Mutation(
        "core/expressions/readings.py", "    if operator.is_partial:\n", "    if False:\n", _EXPRESSIONS,
        "I9: a part of a name may stand for something else",
    ),
    Mutation(
        "core/expressions/readings.py", 'and "\\\\" not in text', "", _EXPRESSIONS, "I9: a part of a name may lie in an escape",
    ),
]  # fmt: skip
