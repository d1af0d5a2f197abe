"""Random hierarchies of certificates: a sound one, and up to three deviations from it, each with a name.

A seed always gives the same shape; keys and serial numbers are new in every run. The name of a deviation is what a
difference between two engines is explained by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_network
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlskit.testing.certificates import CLIENT_AUTH, SERVER_AUTH, build, name_of
from support.der import Fields, der_of, encode, extension, integer, oid, seq

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
BASIC, SAN = "2.5.29.19", "2.5.29.17"
SHA1 = seq(oid("1.2.840.10045.4.1"))

_KINDS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
    "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
    "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
}
SOUND_KINDS = ("P-256", "P-384", "P-521", "Ed25519", "Ed448", "RSA-2048")


@cache
def key_of(kind: str, number: int) -> Any:
    """One of a few keys of a kind: generating one for each certificate would cost more than all the rest."""
    return _KINDS[kind]()


@dataclass
class Part:
    """One certificate to be made."""

    name: str
    key: Any
    options: dict[str, Any] = field(default_factory=dict)
    patches: list[Callable[[Fields], Fields]] = field(default_factory=list)
    is_damaged: bool = False

    def add(self, value: x509.ExtensionType, *, critical: bool = False) -> None:
        """Puts an extension in, in the place of one of its type."""
        self.options.setdefault("extensions", []).append((value, critical))

    def drop(self, kind: type[x509.ExtensionType]) -> None:
        """Leaves an extension out."""
        self.options.setdefault("without", []).append(kind)


@dataclass(frozen=True)
class Hierarchy:
    """What is presented, leaf first, with the leaf's key; who is trusted; and the deviations that are in it."""

    seed: int
    presented: tuple[bytes, ...]
    key: Any
    anchors: tuple[x509.Certificate, ...]
    deviations: frozenset[str]


class Draft:
    """A hierarchy in the making. `parts` go from the leaf to the root."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        height = rng.choice((0, 1, 1, 1, 2, 2, 3))
        kinds = rng.choices(SOUND_KINDS, k=height + 2)
        names = ["device", *(f"Floor {floor}" for floor in range(height)), "Root"]
        self.parts = [
            Part(name, key_of(kind, number)) for number, (name, kind) in enumerate(zip(names, kinds, strict=True))
        ]
        self.leaf.options.update(sans=["dns:device.example"], usages=(CLIENT_AUTH,))
        for part in self.parts[1:]:
            part.options["ca"] = True
        self.arrange: list[Callable[[list[bytes]], list[bytes]]] = []
        self.trust: Callable[[list[x509.Certificate]], list[x509.Certificate]] = lambda made: [made[-1]]
        self.extra: list[bytes] = []

    @property
    def leaf(self) -> Part:
        return self.parts[0]

    @property
    def root(self) -> Part:
        return self.parts[-1]

    def any_part(self) -> Part:
        return self.rng.choice(self.parts)

    def ca(self) -> Part:
        """An intermediate, or the root where there is none."""
        return self.rng.choice(self.parts[1:-1] or self.parts[-1:])

    def make(self, seed: int, deviations: frozenset[str]) -> Hierarchy:
        made: list[bytes] = []
        for position in range(len(self.parts) - 1, -1, -1):
            made.insert(0, self._made(position, made))
        certificates = [x509.load_der_x509_certificate(der) for der in made[1:]]
        presented = [*made[:-1], *self.extra]
        for arrange in self.arrange:
            presented = arrange(presented)
        return Hierarchy(seed, tuple(presented), self.leaf.key, tuple(self.trust(certificates)), deviations)

    def _made(self, position: int, above: list[bytes]) -> bytes:
        part = self.parts[position]
        issuer = self.parts[min(position + 1, len(self.parts) - 1)]
        certificate = build(
            subject=name_of(part.name), issuer=name_of(issuer.name), public_key=part.key.public_key(),
            signing_key=issuer.key, **part.options,
        )  # fmt: skip
        der = der_of(certificate)
        if part.patches:
            fields, hashing = Fields.of(der), None
            for patch in part.patches:
                fields = patch(fields)
            if fields.algorithm == SHA1:
                hashing = hashes.SHA1()
            der = fields.sign(issuer.key, algorithm=hashing)
        return der[:-1] + bytes((der[-1] ^ 1,)) if part.is_damaged else der


Deviation = Callable[[Draft], str | None]


def expired(draft: Draft) -> str:
    part = draft.any_part()
    part.options.update(not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    return "expired anchor" if part is draft.root else "expired"


def not_yet_valid(draft: Draft) -> str:
    part = draft.any_part()
    part.options.update(not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    return "future anchor" if part is draft.root else "future"


def leaf_usages(draft: Draft) -> str:
    name, usages = draft.rng.choice([
        ("no leaf EKU", ()), ("server leaf EKU", (SERVER_AUTH,)), ("any leaf EKU", (ANY,)),
        ("any beside leaf EKU", (CLIENT_AUTH, ANY)), ("two leaf EKUs", (SERVER_AUTH, CLIENT_AUTH)),
    ])  # fmt: skip
    draft.leaf.options["usages"] = usages
    return name


def critical_leaf_usages(draft: Draft) -> str:
    draft.leaf.options.pop("usages")
    draft.leaf.add(x509.ExtendedKeyUsage([CLIENT_AUTH]), critical=True)
    return "critical leaf EKU"


def ca_usages(draft: Draft) -> str:
    name, usage = draft.rng.choice([("client", CLIENT_AUTH), ("server", SERVER_AUTH), ("any", ANY)])
    part = draft.rng.choice(draft.parts[1:])
    part.options["usages"] = (usage,)
    return f"{name} {'anchor' if part is draft.root else 'CA'} EKU"


def key_usage(*bits: str) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in bits for name in names})


def leaf_key_usage(draft: Draft) -> str:
    choice = draft.rng.choice(["no leaf KU", "leaf KU without digitalSignature", "leaf KU with keyCertSign"])
    match choice:
        case "no leaf KU":
            draft.leaf.drop(x509.KeyUsage)
        case "leaf KU without digitalSignature":
            draft.leaf.add(key_usage("key_agreement"), critical=True)
        case _:
            draft.leaf.add(key_usage("digital_signature", "key_cert_sign"), critical=True)
    return choice


def ca_key_usage(draft: Draft) -> str:
    part = draft.rng.choice(draft.parts[1:])
    which = "anchor" if part is draft.root else "CA"
    if draft.rng.random() < 0.5:
        part.drop(x509.KeyUsage)
        return f"no {which} KU"
    part.add(key_usage("crl_sign"), critical=True)
    return f"{which} KU without keyCertSign"


def path_length(draft: Draft) -> str:
    part = draft.rng.choice(draft.parts[1:])
    part.options["path_length"] = draft.rng.choice((0, 1))
    return "path length"


def many_floors(draft: Draft) -> str:
    count = draft.rng.choice((6, 7, 8, 9))
    between = [Part(f"Storey {n}", key_of("P-256", n), {"ca": True}) for n in range(count)]
    draft.parts[1:1] = between
    return "many intermediates"


# Each with the names that it permits, or excludes.
_BASES: dict[str, x509.GeneralName] = {
    "DNS": x509.DNSName("example"),
    "other DNS": x509.DNSName("test"),
    "dotted DNS": x509.DNSName(".example"),
    "URI": x509.UniformResourceIdentifier("example"),
    "e-mail": x509.RFC822Name("example"),
    "IP": x509.IPAddress(ip_network("10.0.0.0/8")),
    "directory": x509.DirectoryName(name_of("device")),
    "other directory": x509.DirectoryName(name_of("somebody")),
}


def name_constraints(draft: Draft) -> str:
    part = draft.rng.choice(draft.parts[1:])
    form = draft.rng.choice([*_BASES])
    base = [_BASES[form]]
    permits = draft.rng.random() < 0.6
    part.add(
        x509.NameConstraints(base, None) if permits else x509.NameConstraints(None, base),
        critical=draft.rng.random() < 0.8,
    )
    return f"{form} constraint{' on the anchor' if part is draft.root else ''}"


def names(draft: Draft) -> str | None:
    name, sans = draft.rng.choice([
        ("URI SAN", ["uri:spiffe://example/device"]), ("URN SAN", ["uri:urn:example:device"]),
        ("e-mail SAN", ["email:device@example"]), ("IP SAN", ["ip:10.0.0.1"]),
        ("several SANs", ["dns:a.example", "uri:spiffe://test/a", "ip:192.0.2.1"]), ("wildcard SAN", ["dns:*.a.example"]),
    ])  # fmt: skip
    draft.leaf.options["sans"] = sans
    return name


def no_san(draft: Draft) -> str:
    draft.leaf.options["sans"] = ()
    return "no SAN"


def empty_subject(draft: Draft) -> str:
    critical = draft.rng.random() < 0.5
    draft.leaf.patches.append(
        lambda f: f.but(subject=seq()).instead(SAN, seq(encode(0x82, b"device.example")), critical=critical)
    )
    return "empty subject" if critical else "empty subject, SAN not critical"


def critical_san(draft: Draft) -> str:
    draft.leaf.patches.append(lambda f: f.instead(SAN, seq(encode(0x82, b"device.example")), critical=True))
    return "critical SAN"


def odd_dns_name(draft: Draft) -> str:
    name, octets = draft.rng.choice([
        ("underscore SAN", b"a_b.example"), ("NUL in SAN", b"a.example\0.test"), ("empty DNS name", b""),
        ("DNS name with a space", b"a b.example"),
    ])  # fmt: skip
    draft.leaf.patches.append(lambda f: f.instead(SAN, seq(encode(0x82, octets))))
    return name


def key_identifiers(draft: Draft) -> str | None:
    part = draft.any_part()
    kind = draft.rng.choice([x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier])
    part.drop(kind)
    role = "leaf" if part is draft.leaf else "anchor" if part is draft.root else "CA"
    return f"no {'AKI' if kind is x509.AuthorityKeyIdentifier else 'SKI'} on the {role}"


def wrong_aki(draft: Draft) -> str:
    part = draft.any_part()
    part.add(x509.AuthorityKeyIdentifier(b"somebody else", None, None))
    return "wrong AKI on the anchor" if part is draft.root else "wrong AKI"


def wrong_aki_serial(draft: Draft) -> str:
    part = draft.any_part()
    issuer = draft.parts[min(draft.parts.index(part) + 1, len(draft.parts) - 1)]
    ski = x509.SubjectKeyIdentifier.from_public_key(issuer.key.public_key()).digest
    part.add(x509.AuthorityKeyIdentifier(ski, [x509.DirectoryName(name_of("Nobody"))], 7))
    return "issuer and serial in the anchor's AKI" if part is draft.root else "wrong issuer and serial in an AKI"


def unknown_critical(draft: Draft) -> str:
    critical = draft.rng.random() < 0.7
    part = draft.any_part()
    part.patches.append(lambda f: f.plus(extension("1.2.3.4", b"\5\0", critical=critical)))
    where = " on the anchor" if part is draft.root else ""
    return f"unknown critical extension{where}" if critical else "unknown extension"


def basic_constraints(draft: Draft) -> str:
    part = draft.rng.choice(draft.parts[1:])
    role = "anchor" if part is draft.root else "CA"
    choice = draft.rng.choice(["absent", "false", "plain"])
    if choice == "absent":
        part.drop(x509.BasicConstraints)
        return f"no basicConstraints on the {role}"
    part.add(x509.BasicConstraints(choice == "plain", None), critical=choice == "false")
    return f"cA FALSE on the {role}" if choice == "false" else f"basicConstraints of the {role} not critical"


def ca_as_leaf(draft: Draft) -> str:
    draft.leaf.options["ca"] = True
    draft.leaf.add(key_usage("digital_signature", "key_cert_sign"), critical=True)
    return "CA as leaf"


def version_1(draft: Draft) -> str:
    part = draft.any_part()
    part.patches.append(lambda f: f.but(version=b"", extensions=None))
    return "version 1 leaf" if part is draft.leaf else "version 1 anchor" if part is draft.root else "version 1 CA"


def weak_key(draft: Draft) -> str:
    part = draft.any_part()
    kind = draft.rng.choice(("RSA-1024", "secp256k1"))
    part.key = key_of(kind, 0)
    return f"{kind} {'leaf' if part is draft.leaf else 'CA'}"


def weak_signature(draft: Draft) -> str:
    part = draft.any_part()
    position = draft.parts.index(part)
    issuer = draft.parts[min(position + 1, len(draft.parts) - 1)]
    issuer.key = key_of("P-256", 7)
    part.patches.append(lambda f: f.but(algorithm=SHA1))
    return "SHA-1 on the anchor" if part is draft.root else "SHA-1"


def damaged(draft: Draft) -> str:
    part = draft.any_part()
    part.is_damaged = True
    return "damaged anchor" if part is draft.root else "damaged"


def two_algorithms(draft: Draft) -> str:
    part = draft.any_part()
    part.patches.append(lambda f: f.but(outer_algorithm=seq(oid("1.2.840.10045.4.3.4"))))
    return "two algorithms in the anchor" if part is draft.root else "two algorithms"


def odd_serial(draft: Draft) -> str:
    name, value = draft.rng.choice(
        [("serial 0", 0), ("long serial", 2**160 - 1), ("longer serial", 2**160), ("negative serial", -5)]
    )
    part = draft.any_part()
    part.patches.append(lambda f: f.but(serial=integer(value)))
    return f"{name} on the anchor" if part is draft.root else name


def odd_times(draft: Draft) -> str:
    early = encode(0x18, b"20200101000000Z"), encode(0x18, b"20400101000000Z")
    part = draft.any_part()
    part.patches.append(lambda f: f.but(validity=seq(*early)))
    return "GeneralizedTime before 2050 on the anchor" if part is draft.root else "GeneralizedTime before 2050"


def same_extension_twice(draft: Draft) -> str:
    part = draft.any_part()
    twice = extension("1.2.3.5", b"\5\0")
    part.patches.append(lambda f: f.plus(twice, twice))
    return "the same extension twice"


def strange_trust(draft: Draft) -> str:
    choice = draft.rng.choice(["a namesake trusted", "an intermediate trusted", "nobody trusted", "a namesake beside"])
    namesake = build(
        subject=name_of("Root"), issuer=name_of("Root"), public_key=key_of("P-256", 5).public_key(),
        signing_key=key_of("P-256", 5), ca=True,
    )  # fmt: skip
    trusts: dict[str, Callable[[list[x509.Certificate]], list[x509.Certificate]]] = {
        "a namesake trusted": lambda made: [namesake],
        "an intermediate trusted": lambda made: [made[0]],
        "nobody trusted": lambda made: [],
        "a namesake beside": lambda made: [namesake, made[-1]],
    }
    draft.trust = trusts[choice]
    return choice


def arrangement(draft: Draft) -> str | None:
    choice = draft.rng.choice(["reversed", "repeated", "stranger beside", "look-alike beside", "intermediate missing"])
    if choice == "look-alike beside" and len(draft.parts) > 2:
        fake = key_of("P-256", 6)
        lookalike = build(
            subject=name_of(draft.parts[1].name), issuer=name_of(draft.parts[2].name), public_key=fake.public_key(),
            signing_key=fake, ca=True,
        )  # fmt: skip
        draft.arrange.append(lambda ders: [ders[0], der_of(lookalike), *ders[1:]])
        return choice
    stranger = build(
        subject=name_of("Stranger"), issuer=name_of("Stranger"), public_key=key_of("P-256", 6).public_key(),
        signing_key=key_of("P-256", 6), ca=True,
    )  # fmt: skip
    arrangements: dict[str, Callable[[list[bytes]], list[bytes]]] = {
        "reversed": lambda ders: [ders[0], *reversed(ders[1:])],
        "repeated": lambda ders: [*ders, *ders],
        "stranger beside": lambda ders: [ders[0], der_of(stranger), *ders[1:]],
        "intermediate missing": lambda ders: [ders[0], *ders[2:]],
    }
    if choice not in arrangements:
        return None
    draft.arrange.append(arrangements[choice])
    return choice


def crossed(draft: Draft) -> str | None:
    """The lowest intermediate once more, from another root that is trusted too; one of the two may be expired."""
    if len(draft.parts) < 3:
        return None
    low, other = draft.parts[1], key_of("P-384", 4)
    second_root = build(
        subject=name_of("Second root"),
        issuer=name_of("Second root"),
        public_key=other.public_key(),
        signing_key=other,
        ca=True,
    )
    late = draft.rng.random() < 0.5
    again = build(
        subject=name_of(low.name), issuer=name_of("Second root"), public_key=low.key.public_key(), signing_key=other,
        ca=True, not_before=NOW - 9 * DAY, not_after=NOW - DAY if late else NOW + DAY,
    )  # fmt: skip
    draft.extra.append(der_of(again))
    if draft.rng.random() < 0.5:
        draft.arrange.append(lambda ders: [ders[0], ders[-1], *ders[1:-1]])
    before = draft.trust
    draft.trust = lambda made: [*before(made), second_root]
    return "crossed, expired" if late else "crossed"


def rolled_over(draft: Draft) -> str:
    """The root's new key, certified by its old one: a self-issued intermediate."""
    old = Part("Root", key_of("P-256", 3), {"ca": True, "path_length": draft.rng.choice((None, len(draft.parts) - 2))})
    draft.parts.append(old)
    return "rolled over"


DEVIATIONS: tuple[Deviation, ...] = (
    expired, not_yet_valid, leaf_usages, critical_leaf_usages, ca_usages, leaf_key_usage, ca_key_usage, path_length,
    many_floors, name_constraints, name_constraints, names, no_san, empty_subject, critical_san, odd_dns_name,
    key_identifiers, wrong_aki, wrong_aki_serial, unknown_critical, basic_constraints, ca_as_leaf, version_1, weak_key,
    weak_signature, damaged, two_algorithms, odd_serial, odd_times, same_extension_twice, strange_trust, arrangement,
    crossed, rolled_over,
)  # fmt: skip


def hierarchy(seed: int) -> Hierarchy:
    """The hierarchy of a seed, with none to three deviations."""
    rng = Random(seed)
    draft = Draft(rng)
    names = {deviate(draft) for deviate in rng.sample(DEVIATIONS, rng.choice((0, 1, 1, 1, 2, 2, 3)))}
    names |= {f"{_role(draft, part)} with an Edwards key" for part in draft.parts if isinstance(part.key, _EDWARDS)}
    return draft.make(seed, frozenset(name for name in names if name))


_EDWARDS = (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)


def _role(draft: Draft, part: Part) -> str:
    return "leaf" if part is draft.leaf else "CA"
