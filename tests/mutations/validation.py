"""The checks of path validation: what each is there for, and the tests that miss it."""

from mutations import Mutation

_CORE = "core/validation"
_TESTS = "tests/core/validation"
_CHECKS = f"{_TESTS}/test_checks.py"
_MALFORMED = f"{_TESTS}/test_malformed.py"
_PATHS = f"{_TESTS}/test_paths.py"
_RULES = f"{_TESTS}/test_rules.py"
_CONSTRAINTS = f"{_TESTS}/test_constraints.py"
_POLICIES = f"{_TESTS}/test_policies.py"
_LISTS = f"{_TESTS}/test_revocation_lists.py"
_OCSP = f"{_TESTS}/test_ocsp.py"
_REFERENCE = f"{_TESTS}/test_reference.py"
_NAMES = f"{_TESTS}/test_names.py"
_FAULTS = f"{_TESTS}/test_rows_faults.py"
_ROWS = f"{_TESTS}/test_rows_verdicts.py"


def _mutation(file: str, find: str, replace: str, tests: str, why: str) -> Mutation:
    return Mutation(f"{_CORE}/{file}", find, replace, tests, f"validation: {why}")


MUTATIONS = [
    # Each certificate by itself
    _mutation(
        "checks.py", "if certificate.not_before <= moment <= certificate.not_after:",
        "if certificate.not_before <= moment:", _CHECKS, "a certificate ends",
    ),
    _mutation(
        "checks.py", "if certificate.not_before <= moment <= certificate.not_after:",
        "if moment <= certificate.not_after:", _CHECKS, "a certificate begins",
    ),
    _mutation(
        "checks.py", "if certificate.not_before <= moment <= certificate.not_after:",
        "if certificate.not_before < moment <= certificate.not_after:", _CHECKS, "the first second belongs to it",
    ),
    _mutation(
        "checks.py", "if not unknown:", "if unknown or not unknown:", _CHECKS, "unknown critical extensions are refused",
    ),
    _mutation(
        "checks.py", "if frame.inner_algorithm != frame.outer_algorithm:", "if False:", _FAULTS,
        "one algorithm inside and outside",
    ),
    _mutation(
        "checks.py", "return certificate.refused(*found) if isinstance(found, tuple) else None", "return None", _CHECKS,
        "weak signature algorithms are told",
    ),
    _mutation(
        "checks.py", "return None if weakness is None else certificate.refused(Reason.WEAK_KEY, weakness)",
        "return None", _CHECKS, "weak keys are refused",
    ),
    _mutation(
        "checks.py", "if certificate.is_ca and certificate.frame.version == VERSION_3:",
        "if certificate.frame.version == VERSION_3:", _CHECKS, "an issuer has cA TRUE",
    ),
    _mutation(
        "checks.py", "if usage is None or usage.key_cert_sign:", "if True:", _CHECKS, "an issuer's keyUsage has keyCertSign",
    ),
    _mutation(
        "checks.py", "if usages is None or question.purpose.oid in usages:", "if True:", _CHECKS,
        "a leaf is for the purpose",
    ),
    _mutation(
        "checks.py", "if usages is None or question.purpose.oid in usages:",
        "if usages is None or question.purpose.oid in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:",
        _CHECKS, "any purpose alone is none",
    ),
    _mutation(
        "checks.py",
        "if usages is None or question.purpose.oid in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:",
        "if True:", _CHECKS, "purposes nest",
    ),
    _mutation(
        "checks.py", "return reference_fault(certificate, question.reference_name)", "return None", _REFERENCE,
        "a server has the name",
    ),
    _mutation(
        "checks.py",
        'return certificate.refused(Reason.MALFORMED, f"expected a readable subject, got {type(error).__name__}")',
        "return None", f"{_MALFORMED} -k nobody_can_read", "a subject can be read",
    ),
    _mutation(
        "checks.py", "if usages is not None and ExtendedKeyUsageOID.OCSP_SIGNING in usages and", "if",
        f"{_OCSP} -k delegate", "a delegated responder has OCSPSigning",
    ),
    _mutation(
        "checks.py", "    Role.ANCHOR: (*_COMMON, _is_ca, _may_sign),\n", "    Role.ANCHOR: (),\n", _CHECKS,
        "the anchor is checked too",
    ),
    # What is no certificate
    _mutation(
        "frame.py", "if frame.serial < 0 or frame.serial.bit_length() > _SERIAL_BITS:", "if False:", _MALFORMED,
        "serial numbers have a range",
    ),
    _mutation("frame.py", "if frame.issuer == _EMPTY_SEQUENCE:", "if False:", _MALFORMED, "an issuer has a name"),
    _mutation(
        "frame.py", "if frame.extensions is not None and frame.version != VERSION_3:", "if False:", _MALFORMED,
        "extensions are of version 3",
    ),
    _mutation(
        "frame.py", "if tag == der.GENERALIZED_TIME and validity[first : first + 4] < _FIRST_GENERALIZED_YEAR:",
        "if False:", _MALFORMED, "times before 2050 are UTCTime",
    ),
    _mutation("frame.py", "if end != stop:", "if False:", _FAULTS, "a certificate has three fields"),
    _mutation(
        "certificate.py", "complaint = self._usage_complaint() or self._names_complaint()",
        "complaint = self._names_complaint()", _MALFORMED, "keyUsage has a bit",
    ),
    _mutation(
        "certificate.py", 'return "expected a subject or a subject alternative name, got neither" if empty else None',
        "return None", _MALFORMED, "a leaf has some name",
    ),
    _mutation(
        "certificate.py", 'if type(name) is x509.DNSName and "\\0" in name.value:', "if False:", _MALFORMED,
        "no NUL in a dNSName",
    ),
    _mutation("der.py", "if stop != len(data):", "if False:", _FAULTS, "nothing follows a certificate"),
    _mutation(
        "der.py", "if length < _LONG_FORM or data[at] == 0:", "if False:", f"{_TESTS}/test_der.py",
        "lengths have their shortest form",
    ),
    # Keys and signatures
    _mutation(
        "algorithms.py", "SMALLEST_RSA = 2048", "SMALLEST_RSA = 1024", _CHECKS, "RSA has 2048 bits",
    ),
    _mutation("algorithms.py", "LARGEST_RSA = 8192", "LARGEST_RSA = 16384", _CHECKS, "RSA has at most 8192 bits"),
    _mutation("algorithms.py", "if modulus < 0 or modulus % 2 == 0:", "if False:", _CHECKS, "a modulus is odd"),
    _mutation(
        "algorithms.py", "if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > LARGEST_EXPONENT:", "if False:",
        _CHECKS, "an exponent is odd and not 1",
    ),
    _mutation(
        "algorithms.py", "    except (InvalidSignature, UnsupportedAlgorithm, ValueError):\n        return False",
        "    except (InvalidSignature, UnsupportedAlgorithm, ValueError):\n        return True", _CHECKS,
        "a signature verifies",
    ),
    # Paths
    _mutation(
        "builder.py", "if holds(path) and self._is_signed(path.chain) and stands(path):", "if holds(path) and stands(path):",
        _CHECKS, "every link of a path is signed",
    ),
    _mutation(
        "builder.py", "if issuer.parsed.identity not in known:", "if True:", f"{_PATHS} -k loop", "a path is no circle",
    ),
    _mutation(
        "builder.py", "if names_another(certificate, issuer):\n            return False", "if False:\n            return False",
        _RULES, "an AKI names the issuer",
    ),
    _mutation(
        "builder.py", "if deeper <= self.limits.depth and", "if", f"{_PATHS} -k depth", "the configured depth",
    ),
    _mutation("lengths.py", "            if allowed < 0:", "            if False:", f"{_PATHS} -k length", "pathLenConstraint"),
    _mutation(
        "lengths.py", "and position != len(chain) - 1 and not certificate.self_issued:", "and position != len(chain) - 1:",
        f"{_PATHS} -k self_issued", "self-issued certificates do not count",
    ),
    _mutation(
        "verify.py", "if (pinned := self._trust.pinned.get(leaf.der)) is not None:",
        "if (pinned := {p.der: (a, p) for i in self._trust.indices for p, a in i._issuers if a}.get(leaf.der)) is not None:",
        f"{_PATHS} -k leaf_in_the_store", "a leaf in the store is pinned by name only",
    ),
    _mutation(
        "verify.py", "        if found:\n            raise most_telling(found)\n", "", f"{_PATHS} -k pinned",
        "a pinned leaf is judged",
    ),
    _mutation(
        "verify.py", "if (fault := length_fault(chain)) is not None:", "if (fault := None) is not None:", f"{_PATHS} -k length",
        "lengths are looked at",
    ),
    _mutation(
        "verify.py", "if self._trust.revocations is not None:\n            yield from _revoked(chain, self._trust.revocations)",
        "if False:\n            yield", f"{_PATHS} -k revoked", "the store of the authority is asked",
    ),
    _mutation(
        "verify.py", "raise PathError(Reason.STORE_UNAVAILABLE, None, detail) from error", "return None",
        f"{_PATHS} -k cannot_answer", "a store that fails denies",
    ),
    _mutation(
        "verify.py", "not_after = min([",
        "not_after = max([", f"{_PATHS} {_LISTS} {_OCSP} -k not_after_is_the_earliest",
        "a proof ends with the first that ends",
    ),
    _mutation("path.py", "if proof is not _PROOF:", "if False:", f"{_PATHS} -k proof", "nobody else makes a proof"),
    _mutation(
        "verify.py", "if len(presented.ders) > limits.certificates:", "if False:", f"{_MALFORMED} -k limits",
        "presented certificates are counted",
    ),
    _mutation("verify.py", "if size > limits.octets:", "if False:", f"{_MALFORMED} -k limits", "presented octets are counted"),
    _mutation(
        "verify.py", ".replace(microsecond=0)", "", _CHECKS,
        "a moment has whole seconds",
    ),
    _mutation("budget.py", "if self._signatures < 0:", "if False:", f"{_PATHS} -k budget", "signatures are counted"),
    _mutation("budget.py", "if self._candidates < 0:", "if False:", f"{_PATHS} -k budget", "candidates are counted"),
    _mutation("budget.py", "if self._comparisons < 0:", "if False:", f"{_CONSTRAINTS} -k many", "comparisons are counted"),
    _mutation("budget.py", "if self._policy_nodes < 0:", "if False:", f"{_POLICIES} -k budget", "policy nodes are counted"),
    # Rules of the profiles
    _mutation(
        "rules.py", "if role in rule.roles and getattr(profile, rule.name) is Stance.REFUSE", "if False", _RULES,
        "rules are looked at",
    ),
    _mutation(
        "rules.py", "return certificate.frame.serial == 0 or certificate.frame.serial_octets > _SERIAL_OCTETS",
        "return certificate.frame.serial_octets > _SERIAL_OCTETS", f"{_MALFORMED} -k serial", "a serial number is not 0",
    ),
    _mutation(
        "profiles.py", "leaf_without_digital_signature=_R,\n    ca_as_leaf=_R,\n    cert_sign_on_leaf=_A,",
        "leaf_without_digital_signature=_A,\n    ca_as_leaf=_A,\n    cert_sign_on_leaf=_A,", _RULES,
        "COMPATIBLE wants a leaf that signs and is no CA",
    ),
    # Names
    _mutation(
        "names.py", "return first == second or comparable_name(first) == comparable_name(second)",
        "return first == second", f"{_PATHS} {_NAMES}", "names are compared as names",
    ),
    _mutation(
        "constraints.py", "if None in names or None in permitted or None in excluded:", "if False:", _CONSTRAINTS,
        "what cannot be compared is refused",
    ),
    _mutation(
        "constraints.py", "(permitted and inside.isdisjoint(holders)) or", "",
        _CONSTRAINTS, "permitted subtrees bind",
    ),
    _mutation(
        "constraints.py", "or not outside.isdisjoint(holders) or", "or", _CONSTRAINTS,
        "excluded subtrees bind",
    ),
    _mutation(
        "constraints.py", "if above and (is_leaf or not certificate.self_issued):", "if above and is_leaf:",
        _CONSTRAINTS, "intermediates are bound",
    ),
    _mutation(
        "constraints.py", "if above and (is_leaf or not certificate.self_issued):",
        "if above and not certificate.self_issued:", _CONSTRAINTS, "a self-issued leaf is bound",
    ),
    _mutation(
        "constraints.py", "if certificate.frame.subject != EMPTY_NAME:", "if False:", _CONSTRAINTS,
        "the subject is a directoryName",
    ),
    _mutation(
        "constraints.py", 'return lambda name: name.startswith("*.") and name[2:] in parents', "return lambda name: False", f"{_CONSTRAINTS} -k wildcard",
        "a wildcard may stand for an excluded name",
    ),
    _mutation(
        "constraints.py", "if is_leaf and Form.DNS not in found:", "if False:", f"{_CONSTRAINTS} -k common_name",
        "a common name alone is bound",
    ),
    _mutation(
        "reference.py", 'return "." in pattern[2:] and pattern[2:] == name.partition(".")[2]',
        'return name.endswith(pattern[1:])', _REFERENCE, "a wildcard is one label",
    ),
    # Policies
    _mutation(
        "policies.py", "return None if state.explicit or _satisfies(state, inputs) else _refusal(leaf)", "return None",
        _POLICIES, "an acceptable policy is asked for",
    ),
    _mutation(
        "policies.py", "return None if state.explicit or state.levels else _refusal(certificate)", "return None",
        _FAULTS, "an empty graph satisfies nothing",
    ),
    _mutation(
        "policies.py", "if any(_ANY in pair for pair in mappings):", "if False:", _POLICIES, "anyPolicy is not mapped",
    ),
    _mutation(
        "policies.py", "_rename(state, wanted) if state.mapping > 0 else _drop(state, wanted)", "_rename(state, wanted)",
        _POLICIES, "mapping can be inhibited",
    ),
    # Revocation
    _mutation(
        "standing.py", "return next_update is not None and this_update <= moment <= next_update", "return this_update <= moment",
        f"{_LISTS} {_OCSP}", "what is asked is current",
    ),
    _mutation("standing.py", "return this_update <= moment\n", "return True\n", _LISTS, "what is stale was once current"),
    _mutation(
        "revocation_status.py", "if self._asked_for.stale is RevocationFallback.INSECURE_ALLOW:", "if True:", _LISTS,
        "what is stale denies",
    ),
    _mutation(
        "revocation_status.py", "return _revoked(certificate, status) if status.why else None", "return None",
        f"{_LISTS} {_OCSP}", "what a stale list revokes is revoked",
    ),
    _mutation(
        "revocation_status.py", "self._asked_for.stale is RevocationFallback.INSECURE_ALLOW and not status.why", "True", _LISTS,
        "a signer whose status is stale signs only where that counts",
    ),
    _mutation(
        "revocation_status.py", "        return status.standing is Standing.GOOD\n", "        return True\n", _LISTS,
        "a signer of unknown or revoked status signs nothing",
    ),
    _mutation("revocation_status.py", "if listed.has_unknown_critical_extension():", "if False:", _LISTS, "lists hold nothing unknown"),
    _mutation(
        "revocation_status.py", "return self._is_authentic(listed, issuer, anchor)", "return True", _LISTS, "lists are signed",
    ),
    _mutation(
        "revocation_status.py", "if usage is not None and not usage.crl_sign:", "if False:", _LISTS, "a list's signer has cRLSign",
    ),
    _mutation(
        "revocation_status.py", "(own is anchor or self._is_certified(parsed, anchor))", "True", _LISTS,
        "a list's signer is certified",
    ),
    _mutation(
        "revocation_status.py", "(own is anchor or self._is_certified(parsed, anchor)) and self._signed(listed, parsed)",
        "self._signed(listed, parsed) and (own is anchor or self._is_certified(parsed, anchor))", _LISTS,
        "a list remembers no key that nobody vouches for",
    ),
    _mutation(
        "revocation_status.py", "if covered >= ALL_REASONS else UNKNOWN", "if covered else UNKNOWN", _LISTS, "all reasons are covered",
    ),
    _mutation(
        "revocation_status.py", "return delta.base_number <= base.number < delta.number", "return True", _LISTS, "a delta fits its base",
    ),
    _mutation(
        "revocation_status.py", "if self._asked_for.unknown is RevocationFallback.INSECURE_ALLOW:", "if True:", _LISTS,
        "what is unknown denies",
    ),
    _mutation(
        "scope.py", "if not _speaks_for_kind(listed.scope, certificate):", "if False:", _LISTS, "a list speaks for a kind",
    ),
    _mutation("scope.py", "elif listed.name != own:", "elif False:", f"{_LISTS} {_ROWS}", "a list is of the issuer"),
    _mutation("ocsp.py", "if verifies(signer.key, response.algorithm, response.signature, response.tbs):", "if True:", _OCSP, "responses are signed"),
    _mutation(
        "ocsp.py", "return bool(single.issuer_name_hash == name and single.issuer_key_hash == key)",
        "return bool(single.issuer_name_hash == name)", _OCSP, "a CertID matches whole",
    ),
    _mutation(
        "ocsp.py", "if not currency.counts(since, until, moment):", "if False:", _OCSP, "responses are current",
    ),
    _mutation(
        "ocsp.py", "if not _has_critical_extension(tbs, inner, outer)]", "]", _OCSP, "a critical extension spoils an answer",
    ),
    _mutation(
        "ocsp.py", "    except Exception:  # noqa: BLE001 - it says nothing that can be read\n", "    except AttributeError:\n", _OCSP,
        "no foreign exception of a response",
    ),
    _mutation(
        "ocsp.py", "found[OCSPExtensionOID.NONCE].value.nonce == nonce", "True", f"{_OCSP} -k nonce", "the nonce comes back",
    ),
    _mutation(
        "ocsp.py", "and search.is_signed_by(parsed, issuer)", "", f"{_OCSP} -k delegate", "the issuer made the delegate",
    ),
    _mutation(
        "entries.py", "        if data[at + 1] >= _LONG_FORM:\n            self._direct = None\n", "", f"{_TESTS}/test_entries.py",
        "an entry with a long header is looked up with care",
    ),
    _mutation(
        "entries.py", "            self._direct = None\n            self._starts.append(at)\n", "            self._starts.append(at)\n",
        f"{_TESTS}/test_entries.py {_LISTS}", "entries of another issuer are looked up with care",
    ),
    _mutation(
        "entries.py", "[\\x01-\\xfe].|\\0[\\x80-\\xff])", "[\\x00-\\xfe].|\\0[\\x80-\\xff])", f"{_TESTS}/test_entries.py",
        "a serial in another form than its shortest is read with care",
    ),
    _mutation(
        "entries.py", " and data[at + 3] == octets:", ":", f"{_TESTS}/test_entries.py", "a serial that begins like another is not it",
    ),
]  # fmt: skip
