"""I11: no secret is in a local variable of what failed, nor in an exception that it is chained to."""

from mutations import Mutation

_CERTIFICATES = "tests/core/test_certificates.py -k local_variable"
_TOKENS = "tests/authority/test_pkcs11.py -k local_variable"
_UPLOADS = "tests/fetch/test_uploads.py -k local_variable"

MUTATIONS = [
    Mutation(
        "core/certificates.py",
        "        del chain, private_key, password\n",
        "",
        _CERTIFICATES,
        "I11: exposure: the PEM and the password of a chain",
    ),
    Mutation(
        "core/certificates.py",
        "        del data, password\n",
        "",
        _CERTIFICATES,
        "I11: exposure: PKCS #12 and its password",
    ),
    Mutation(
        "core/certificates.py",
        "            encryption = serialization.BestAvailableEncryption(password)\n        del password\n",
        "            encryption = serialization.BestAvailableEncryption(password)\n",
        _CERTIFICATES,
        "I11: exposure: the password that a key is to be written under",
    ),
    Mutation(
        "core/pem.py",
        "    del data, password\n",
        "",
        _CERTIFICATES,
        "I11: exposure: the PEM of a key",
    ),
    Mutation(
        "core/pem.py",
        "    given = Secret(pem)\n    del pem\n",
        "    given = Secret(pem)\n",
        _CERTIFICATES,
        "I11: exposure: a key among certificates",
    ),
    Mutation(
        "core/pem.py",
        '    return f"<{type(self).__name__}>"\n',
        '    return f"<{type(self).__name__} {self._content!r}>"\n',
        _CERTIFICATES,
        "I11: exposure: a secret shows nothing",
    ),
    Mutation(
        "core/pem.py",
        '        problem = "a certificate that does not parse"\n',
        '        raise CertificateError(f"expected {what} in PEM, got one that does not parse")\n',
        _CERTIFICATES,
        "I11: exposure: what another library raised is not chained to ours",
    ),
    Mutation(
        "authority/pkcs11.py",
        "        hidden = HiddenPin.of(pin)\n        del pin\n        self._token",
        "        hidden = HiddenPin.of(pin)\n        self._token",
        _TOKENS,
        "I11: exposure: a signer's PIN",
    ),
    Mutation(
        "authority/pkcs11.py",
        "        hidden = HiddenPin.of(pin)\n        del pin\n        parsed",
        "        hidden = HiddenPin.of(pin)\n        parsed",
        _TOKENS,
        "I11: exposure: the PIN that a key is made with",
    ),
    Mutation(
        "authority/pkcs11_tokens.py",
        "        ours = _told(label, error)\n    raise ours from None\n",
        "        raise _told(label, error) from None\n",
        _TOKENS,
        "I11: exposure: what the token raised is not chained to ours",
    ),
    Mutation(
        "authority/pkcs11_tokens.py",
        "        return hmac.digest(_SALT, str(self._pin)",
        "        return str(self._pin).encode() or hmac.digest(_SALT, str(self._pin)",
        _TOKENS,
        "I11: exposure: no refused PIN is kept",
    ),
    Mutation(
        "authority/issued.py",
        "        del password\n        write_private((Path(path), Secret(self.to_pkcs12(",
        "        write_private((Path(path), Secret(self.to_pkcs12(",
        "tests/authority/test_secrets.py",
        "I11: exposure: the password of a file",
    ),
    Mutation(
        "authority/authority.py",
        "        del password  # no traceback is to have it (I11)\n",
        "",
        "tests/authority/test_secrets.py -k export",
        "I11: exposure: the password of an export",
    ),
    Mutation(
        "fetch/uploads.py",
        "        del chain_pem, private_key_pem, password\n",
        "",
        _UPLOADS,
        "I11: exposure: what is uploaded",
    ),
]
