"""What callers get wrong: one error of ours that says what came, and shows no key."""

import traceback

import pytest

from fetch.servers import context_of, serving
from mtlskit.core.given import shown
from mtlskit.errors import ConfigurationError, MTLSError
from mtlskit.fetch import CertificateUploads, ChainFiles, ClientCertificate, Environment, RenewedChain
from mtlskit.fetch.bodies import StreamedBody
from mtlskit.ports import Verification
from mtlskit.stores import open_store
from mtlskit.testing.certificates import SERVER_AUTH, Authority

ROOT = Authority.root("Server root")
SERVER = ROOT.leaf("server", sans=("dns:localhost",), usages=(SERVER_AUTH,))
ALICE = Authority.root("Client root").leaf("alice")
PEM = ALICE.to_pem().decode()
LINE = PEM.splitlines()[1]


@pytest.mark.invariant(11)
@pytest.mark.parametrize(
    "make",
    [
        lambda store: Environment({"A": PEM}),
        lambda store: Environment({"A": PEM}, store=store),
        lambda store: Environment({"A": ALICE}, trust=PEM),
        lambda store: Environment({"A": ALICE}, trust=PEM, store=store),
        lambda store: Environment({"A": ALICE}, trust=PEM.encode()),
        lambda store: Environment({"A": ClientCertificate(certificate=PEM.encode())}),
        lambda store: ChainFiles(PEM),
        lambda store: ChainFiles("chain.pem", PEM),
        lambda store: RenewedChain(lambda: PEM),
        lambda store: CertificateUploads(store).get(PEM),
    ],
)
def test_i11_a_key_in_the_wrong_place_is_not_shown(make):
    with pytest.raises(MTLSError) as caught:
        make(open_store("memory://"))

    assert LINE[:40] not in "".join(traceback.format_exception(caught.value))


@pytest.mark.invariant(11)
def test_i11_a_key_in_a_configuration_is_not_shown(tmp_path):
    path = tmp_path / "mtlskit.toml"
    for entry in ("certificate_id = '''{}'''", "chain = '''{}'''", "certificate_id = {{ a = '''{}''' }}"):
        path.write_text("[bindings.A]\n" + entry.format(PEM))
        with pytest.raises(ConfigurationError) as caught:
            Environment.from_file(path, store=open_store("memory://"))
        assert LINE[:40] not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("id", "'id'"), (7, "7"), (b"octets", "6 bytes"), ("a\nb", "3 characters"), ("x" * 300, "300 characters"),
        ("-----BEGIN X", "12 characters"), (["-----BEGIN X"], "list"), (["a"], "['a']"), ("x" * 200, "'" + "x" * 99),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_far_as_it_can_hold_no_key(value, text):
    assert shown(value) == text


# --- files that change while they are sent -------------------------------------------------------------------------


class Changing:
    """A file of ten octets, as far as its length says."""

    def __init__(self, content):
        self._content = [content, b""]

    def tell(self):
        return 0

    def seek(self, _place, whence=0):
        return 10 if whence else 0

    def read(self, _size):
        return self._content.pop(0)


def test_a_file_that_grows_is_sent_as_long_as_it_was(fetch_one):
    with serving(context_of(SERVER, verify=Verification.NONE)) as server:
        fetch_one(
            {"A": ALICE}, "A", server.url(), {"trust": [ROOT.certificate]}, method="PUT", body=Changing(b"x" * 15)
        )

    assert (server.seen[0].body, server.seen[0].headers["content-length"]) == (b"x" * 10, "10")


def test_a_file_that_shrinks_is_told(fetch_one):
    with (
        serving(context_of(SERVER, verify=Verification.NONE)) as server,
        pytest.raises(ConfigurationError, match="expected 10 octets .* got 3 fewer"),
    ):
        fetch_one({"A": ALICE}, "A", server.url(), {"trust": [ROOT.certificate]}, method="PUT", body=Changing(b"x" * 7))


def test_a_file_past_its_end_is_empty(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with path.open("rb") as file:
        file.seek(100)
        from mtlskit.fetch.bodies import body_of

        body, _ = body_of(file, None, None)
        assert isinstance(body, StreamedBody)
        assert (body.length, list(body)) == (0, [])
