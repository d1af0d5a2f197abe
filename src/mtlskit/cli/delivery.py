"""How an issued certificate gets to who wanted it: to one file or stdout, or one file per device in a directory."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mtlskit.authority import IssuedCertificate
from mtlskit.cli.options import Form, read_password
from mtlskit.cli.writing import STDOUT, Existing, check_directory, check_place, write_key
from mtlskit.errors import ConfigurationError

_ENDINGS: Final = {Form.PEM: ".pem", Form.PKCS12: ".p12"}
_LONGEST_NAME: Final = 200  # octets; a file system takes 255, and a draft's name is longer
_OTHERS: Final = re.compile(rb"[^A-Za-z0-9._@-]|^\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """In what form a key and its chain are written. The password encrypts PEM where it is given."""

    form: Form
    password: bytes | None
    existing: Existing

    @classmethod
    def of(cls, form: str, password_file: str | None, replace: bool) -> Delivery:
        """What the options say; raises ConfigurationError for PKCS #12 without a password."""
        parsed = Form(form)
        if parsed is Form.PKCS12 and password_file is None:
            raise ConfigurationError("expected --password-file with --format pkcs12, got none")
        password = None if password_file is None else read_password(password_file)
        return cls(form=parsed, password=password, existing=Existing.of(replace))

    def check(self, path: str | None, as_json: bool) -> str:
        """The place for one certificate; raises ConfigurationError where it cannot be written."""
        if path is None or (as_json and path == STDOUT):
            raise ConfigurationError("expected a file for the key (--out FILE, or --out - for stdout), got none")
        check_place(path, self.existing)
        return path

    def check_directory(self, path: Path) -> Path:
        """The directory for many; made, for its owner alone, where it is not there."""
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"expected a directory at {str(path)!r}, got {error.strerror!r}") from None
        check_directory(path)
        return path

    def place(self, directory: Path, name: str) -> Path:
        """The file for what is called `name`: no other name gets the same, and none leads elsewhere."""
        text = _OTHERS.sub(lambda found: b"%%%02X" % found[0][0], name.encode()).decode("ascii")
        if len(text) > _LONGEST_NAME:
            text = f"{text[:_LONGEST_NAME]}%{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return directory / f"{text}{_ENDINGS[self.form]}"

    def write(self, path: str, issued: IssuedCertificate) -> None:
        """Writes key and chain; raises ConfigurationError."""
        write_key(path, self._content(issued))

    def _content(self, issued: IssuedCertificate) -> bytes:
        match self.form:
            case Form.PEM:
                return issued.to_pem(password=self.password)
            case Form.PKCS12:
                return issued.to_pkcs12(password=self.password or b"")
