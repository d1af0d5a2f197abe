"""The protections of what operators do: keys in tokens, keys resealed and exported, the audit log, files with keys."""

from mutations import Mutation

_TOKENS = "tests/authority/test_pkcs11.py"
_RESEALING = "tests/test_resealing.py"
_FORECAST = "tests/test_forecast.py"
_EXPORTING = "tests/authority/test_exporting.py"
_ISSUING = "tests/cli/test_issuing.py"
_BATCHES = "tests/cli/test_batches.py"
_DELIVERY = "tests/cli/test_delivery.py"
_RENEWING = "tests/cli/test_renewing.py"
_LISTS = "tests/cli/test_revocation_lists.py"
_AUDIT = "tests/cli/test_audit.py"
_KEYS = "tests/cli/test_keys.py"

MUTATIONS = [
    Mutation(
        "authority/pkcs11_tokens.py",
        "        if self._refused.get(label) == digest:",
        "        if False:",
        f"{_TOKENS} -k tried_once",
        "a wrong PIN is tried once: tokens lock themselves",
    ),
    Mutation(
        "authority/pkcs11_tokens.py",
        "        if self._process == os.getpid():",
        "        if True:",
        f"{_TOKENS} -k fork",
        "a forked child makes no use of its parent's session",
    ),
    Mutation(
        "authority/pkcs11_tokens.py",
        "        with self._module.lock, _leaving_no_errors():\n"
        "            return _in_our_words(self.label, lambda: self._asked(work))",
        "        with _leaving_no_errors():\n            return _in_our_words(self.label, lambda: self._asked(work))",
        f"{_TOKENS} -k two_threads",
        "a module that was told of no threads is called by one at a time",
    ),
    Mutation(
        "authority/pkcs11_tokens.py",
        "        _EMPTYING.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)\n",
        "        pass\n",
        f"{_TOKENS} -k upon_openssl",
        "what a token's module could not do is not held against TLS",
    ),
    Mutation(
        "authority/pkcs11_tokens.py",
        "            self._module.check_pin(self.label, self._read_pin())\n",
        "            pass\n",
        f"{_TOKENS} -k after_others",
        "a wrong PIN is wrong where the process is logged in",
    ),
    Mutation(
        "authority/pkcs11_tokens.py",
        "            self.check_pin(label, pin)\n            self.sessions[label] = token.open()\n",
        "            self.sessions[label] = token.open()\n",
        f"{_TOKENS} -k others_than_us",
        "a wrong PIN is wrong where the token is logged in",
    ),
    Mutation(
        "authority/pkcs11.py",
        "        if not _verifies(self._public_key, signature, data):",
        "        if False:",
        f"{_TOKENS} -k another_key",
        "a signature of another key is not used",
    ),
    Mutation(
        "authority/pkcs11_keys.py",
        "{Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}",
        "{Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}",
        f"{_TOKENS} -k does_not_leave",
        "I11: a key that is made in a token does not leave it",
    ),
    Mutation(
        "sealing.py",
        "    if found is None or _key_of(records, found) in (None, UNREADABLE, key_id):",
        "    if found is None:",
        f"{_RESEALING} -k meanwhile",
        "a record is read again in the transaction that reseals it",
    ),
    Mutation(
        "sealing.py",
        "            continue  # somebody else was at it: read it again",
        "            raise",
        f"{_RESEALING} -k read_again",
        "a conflict while resealing means: read it again",
    ),
    Mutation(
        "resealing.py",
        "    if not left and isinstance(store, RemembersKey):",
        "    if isinstance(store, RemembersKey):",
        f"{_RESEALING} -k is_left",
        "a store with something under the old key does not give that key up",
    ),
    Mutation(
        "authority/exporting.py",
        "        transaction.append_audit(\n",
        "        dict(\n",
        _EXPORTING,
        "no key leaves without a row in the audit log",
    ),
    Mutation(
        "authority/endings.py",
        "        if record.key != next_revoked:",
        "        if True:",
        f"{_FORECAST} -k counted_by_authority",
        "what is revoked does not count as good",
    ),
    Mutation(
        "cli/writing.py",
        "write_private((Path(path), Secret(content)), directories=directories)",
        "Path(path).write_bytes(content)",
        f"{_ISSUING} -k umask",
        "I11: a key's file is its owner's alone",
    ),
    Mutation(
        "cli/delivery.py",
        "        if self.out is None or (as_json and self.out == STDOUT):\n",
        "        if self.out is None:\n            return Place(STDOUT)\n        if False:\n",
        f"{_ISSUING} -k stdout_only",
        "I11: a key goes to stdout only where it was asked for",
    ),
    Mutation(
        "cli/delivery.py",
        "write_private((Path(place.key), key), (Path(place.certificate), chain), directories=directories)",
        "write_key(place.key, issued.key_pem()), write_key(place.certificate, issued.chain_pem())",
        f"{_DELIVERY} -k second_file",
        "I11: a key and its chain are both written, or neither",
    ),
    Mutation(
        "cli/delivery.py",
        "            _check_pair(place.certificate, place.key)\n",
        "            pass\n",
        f"{_DELIVERY} -k before_anything",
        "two names of one file are told before anything is issued",
    ),
    Mutation(
        "cli/delivery.py",
        "password: bytes | None = field(repr=False)",
        "password: bytes | None",
        f"{_DELIVERY} -k repr",
        "I11: no password shows in a repr",
    ),
    Mutation(
        "cli/batches.py",
        "                self.delivery.check_key_place(place)\n",
        "                pass\n",
        f"{_DELIVERY} -k not_written_over",
        "a key that is there is not lost to one of many new ones",
    ),
    Mutation(
        "cli/writing.py",
        "    if os.path.exists(place) and not os.path.isfile(place):",
        "    if False:",
        f"{_DELIVERY} -k before_anything",
        "no file takes the place of a pipe or a device",
    ),
    Mutation(
        "cli/writing.py",
        '    except ConfigurationError as error:\n        raise ConfigurationError(f"{error}; issued',
        '    except ConfigurationError as error:\n        raise\n        raise ConfigurationError(f"{error}; issued',
        f"{_DELIVERY} -k second_file",
        "of a certificate that nobody got, the serial number is told",
    ),
    Mutation(
        "cli/renewing.py",
        '        "after_expiry": after_expiry or timedelta(0),',
        '        "after_expiry": after_expiry or timedelta.max,',
        f"{_RENEWING} -k what_ended",
        "what has ended is renewed only where that is asked for",
    ),
    Mutation(
        "cli/revocation_lists.py",
        "    _check_kind(delta)\n",
        "",
        f"{_LISTS} -k takes_no_number",
        "what a list cannot be is not passed over: nobody publishes a complete list for a delta, or the reverse",
    ),
    Mutation(
        "cli/delivery.py",
        "[^A-Za-z0-9._@-]|^\\.",
        "[^A-Za-z0-9._@/-]",
        f"{_BATCHES} -k stays_in_the_directory",
        "a name from a file leads to no other directory",
    ),
    Mutation(
        "cli/batches.py",
        "    total = check_rows(path)",
        "    total = 0",
        f"{_BATCHES} -k before_anything",
        "a file with names is looked at before the first certificate is issued",
    ),
    Mutation(
        "cli/audit.py",
        "verify_rows(self._watched(_rows(store)), head=head)",
        "verify_rows(self._watched(_rows(store)), head=None)",
        f"{_AUDIT} -k cut_off",
        "a tail that was cut off shows against a head that was noted",
    ),
    Mutation(
        "cli/audit.py",
        "        except Unavailable:\n            raise\n",
        "",
        f"{_AUDIT} -k no_verdict",
        "a store that does not answer is no verdict on its log",
    ),
    Mutation(
        "stores/encryption.py",
        "            if stat.S_IMODE(found.st_mode) & 0o077:",
        "            if False:",
        f"{_KEYS} -k bad_input",
        "I11: a key file that others can read is refused",
    ),
    Mutation(
        "cli/writing.py",
        '            return b"PRIVATE KEY-----" in file.read(_LARGEST_WITH_KEY)\n',
        "            return False\n",
        f"{_RENEWING} -k no_key_is_written_over",
        "I11: nothing without a key takes a key's place",
    ),
    Mutation(
        "cli/writing.py",
        "            os.fchmod(descriptor, mode)\n",
        "            os.fchmod(descriptor, 0o666)\n",
        f"{_DELIVERY} -k rights",
        "a file that is replaced keeps its mode",
    ),
    Mutation(
        "cli/writing.py",
        "_PUBLIC_MODE, _PRIVATE_MODE = 0o644,",
        "_PUBLIC_MODE, _PRIVATE_MODE = 0o666,",
        f"{_DELIVERY} -k rights",
        "nobody else writes to a new chain, whatever the umask",
    ),
    Mutation(
        "cli/options.py",
        '        with opened_or_made("memory://") as store:\n            work(store)\n',
        "        pass\n",
        "tests/cli/test_authorities.py -k leaves",
        "what fails leaves no store",
    ),
    Mutation(
        "cli/batches.py",
        "        finally:\n            self.directories.sync()\n",
        "        finally:\n            pass\n",
        f"{_BATCHES} -k directories",
        "what is told as written is on the disk",
    ),
    Mutation(
        "cli/audit.py",
        '    if not found:\n        raise ConfigurationError(f"expected an event',
        '    if False:\n        raise ConfigurationError(f"expected an event',
        f"{_AUDIT} -k no_row",
        "an event that no row can have is refused",
    ),
]
