"""What is published, where and for how long: values that are what they should be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlskit.authority import CertificateAuthority
from mtlskit.authority.publishing import ListName, Publication, StatusService, Updates
from mtlskit.authority.scope import WHOLE
from mtlskit.errors import ConfigurationError
from mtlskit.ports import Store

from .checking import standing

BASE = "http://status.acme.example/pki"


@given(st.integers(1, 999_999_999), st.integers(1, 4_096), st.booleans(), st.data())
def test_a_name_is_read_from_its_path(generation: int, partitions: int, is_delta: bool, data: st.DataObject) -> None:
    name = ListName(generation, data.draw(st.integers(0, partitions - 1)), partitions, is_delta)
    assert ListName.parse(name.path) == name


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/.crl", "/0.crl", "/01.crl", "/1.CRL", "/1.crl/", "/1.crl\n", "//1.crl", "/1", "/-1.crl", "/1.delta",
        "/a.crl",
        "/1/0-of-1.crl", "/1/4-of-4.crl", "/1/00-of-4.crl", "/1/0-of-04.crl", "/1/0-of-0.crl", "/1/0-of-5000.crl",
        "/1/0.crl",
        "/9999999999.crl", "/\uff11.crl", "/1.crl?x", "/../1.crl",
    ],
)  # fmt: skip
def test_what_is_no_path_of_a_list_names_none(path: str) -> None:
    assert ListName.parse(path) is None


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("base_url: expected one", {"partitions": 2}),
    ("base_url: expected one", {"updates": "delta"}),
    ("updates: expected one of complete, delta", {"updates": "often"}),
    ("expired: expected one of keep, drop", {"expired": "forget"}),
    ("partitions: expected 1 to 4096", {"partitions": 0}),
    ("partitions: expected 1 to 4096", {"partitions": "4", "base_url": BASE}),
    ("partitions: expected 1 to 4096", {"partitions": True}),
    ("expected an http", {"base_url": f"{BASE}/"}),
    ("expected an http", {"base_url": f"{BASE}?a"}),
    ("expected an http", {"base_url": f"{BASE}?a=b"}),
    ("expected an http", {"base_url": "https://"}),
    ("expected an http", {"base_url": "ftp://status.acme.example"}),
    ("expected an http", {"base_url": "http://status.acme.example/{generation}"}),
    ("expected an http", {"base_url": "http://[status"}),
    ("expected an http", {"base_url": 1}),
    ("expected timedeltas", {"lifetime": 7}),
    ("a renewal within the lifetime", {"renewal": timedelta(days=7)}),
    ("a renewal within the lifetime", {"renewal": timedelta(0)}),
    ("a renewal within the lifetime", {"delta_renewal": timedelta(days=2)}),
    ("a pause", {"pause": timedelta(days=6)}),
    ("a pause", {"pause": timedelta(seconds=-1)}),
    ("a pause", {"pause": timedelta(hours=12), "updates": "delta", "base_url": BASE}),
    ("a pause", {"max_age": timedelta(seconds=-1)}),
]


@pytest.mark.parametrize(("words", "values"), WRONG)
def test_what_cannot_be_published_is_refused(words: str, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Publication(**values)


def test_the_paths_and_the_scopes_belong_together() -> None:
    publication = Publication(base_url=BASE, partitions=8, updates="delta")  # type: ignore[arg-type]
    assert publication.updates is Updates.DELTA
    name = publication.list_of(3, 1_005)
    assert publication.url(name) == f"{BASE}/3/5-of-8.crl"
    assert publication.delta_url(name) == f"{BASE}/3/5-of-8.delta.crl"
    delta = name._replace(is_delta=True)
    assert publication.scope(name) == publication.scope(delta)
    assert (publication.scope(name).url, publication.scope(name).partition) == (publication.url(name), 5)
    assert publication.scope(ListName(3)) == WHOLE
    assert Publication(base_url=BASE).delta_url(ListName(1)) is None


def test_without_a_base_url_nothing_has_one() -> None:
    for ask in (lambda: Publication().url(ListName(1)), lambda: Publication().locations):
        with pytest.raises(ConfigurationError, match="a base URL"):
            ask()


@pytest.mark.parametrize("partitions", [1, 4])
def test_certificates_say_where_the_service_answers(store: Store, partitions: int) -> None:
    publication = Publication(base_url=BASE, partitions=partitions)
    acme = CertificateAuthority.create("Acme", store=store, locations=publication.locations)
    service = StatusService(acme, publication)
    for number in range(3):
        device = acme.issue_client(f"device-{number}")
        (point,) = device.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        (url,) = [name.value for name in point.full_name or ()]
        assert url == publication.url(publication.list_of(1, device.serial_number))
        (way,) = device.certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
        assert way.access_location.value == f"{BASE}/ocsp"
        for wanted in ("good", "revoked"):
            answer = service.answer("GET", url.removeprefix(BASE), {})
            assert answer.status == 200
            assert standing(acme, device.certificate, [x509.load_der_x509_crl(answer.body)]) == wanted
            acme.revoke(device)
