"""Failures are told apart by types, attributes and stage, never by message texts."""

import ssl

import pytest

from mtlskit.core.reasons import Reason
from mtlskit.errors import ClientCertificateRefused, FetchError, HandshakeError
from mtlskit.fetch.failures import Circumstances, Failure, Stage, alert_of, explain
from mtlskit.fetch.targets import Target
from mtlskit.testing.certificates import Authority

CERTIFICATE = Authority.root().leaf("device").certificate


def tls_error(reason, kind=ssl.SSLError):
    error = kind(1, "any text at all")
    error.reason = reason
    return error


def told(error, stage, failure=Failure.NETWORK, certificate=CERTIFICATE):
    wrapped = RuntimeError("the engine's")
    wrapped.__cause__ = error
    target = Target.parse("https://a.example/")
    return explain(
        wrapped,
        Circumstances(target=target, stage=stage, failure=failure, certificate=certificate, timeout=5),
    )


@pytest.mark.parametrize(
    ("reason", "alert"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate_required"),
        ("TLSV1_ALERT_UNKNOWN_CA", "unknown_ca"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "bad_certificate"),
        ("SSL/TLS_ALERT_BAD_CERTIFICATE", "bad_certificate"),
        ("WRONG_VERSION_NUMBER", None),
        (None, None),
    ],
)
def test_an_alert_is_known_by_openssls_mnemonic(reason, alert):
    assert alert_of(tls_error(reason)) == alert


REFUSED, HANDSHAKE, OTHER = ClientCertificateRefused, HandshakeError, FetchError


@pytest.mark.parametrize(
    ("reason", "stage", "kind"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", Stage.HANDSHAKE, REFUSED),
        ("TLSV1_ALERT_UNKNOWN_CA", Stage.FRESH, REFUSED),
        ("TLSV1_ALERT_UNKNOWN_CA", Stage.REUSED, REFUSED),
        ("TLSV1_ALERT_UNKNOWN_CA", Stage.ANSWERED, OTHER),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", Stage.HANDSHAKE, HANDSHAKE),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", Stage.FRESH, REFUSED),
        ("TLSV1_ALERT_PROTOCOL_VERSION", Stage.HANDSHAKE, HANDSHAKE),
        ("TLSV1_ALERT_INTERNAL_ERROR", Stage.REUSED, HANDSHAKE),
        ("WRONG_VERSION_NUMBER", Stage.HANDSHAKE, HANDSHAKE),
    ],
)
def test_an_alert_means_what_its_moment_says(reason, stage, kind):
    assert type(told(tls_error(reason), stage)) is kind
    assert type(told(tls_error(reason), stage, certificate=None)) is not REFUSED


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), ssl.SSLEOFError(8, "eof"), None])
def test_the_end_of_a_connection_is_a_refusal_only_where_a_refusal_shows(error):
    for stage in (Stage.HANDSHAKE, Stage.FRESH):
        assert type(told(error, stage, Failure.DISCONNECTED)) is REFUSED
    for stage in (Stage.REUSED, Stage.CONNECTING, Stage.ANSWERED):
        assert type(told(error, stage, Failure.DISCONNECTED)) is not REFUSED


@pytest.mark.parametrize("failure", [Failure.TIMEOUT, Failure.GARBLED, Failure.UNSENDABLE])
def test_other_failures_are_no_refusal(failure):
    for stage in Stage:
        assert type(told(None, stage, failure)) is FetchError


def test_a_rejected_server_is_told_by_openssls_code():
    error = tls_error("CERTIFICATE_VERIFY_FAILED", ssl.SSLCertVerificationError)
    error.verify_code = 62

    found = told(error, Stage.HANDSHAKE)

    assert (type(found), found.reason) == (HandshakeError, Reason.NAME_MISMATCH)


def test_causes_that_go_in_a_circle_end():
    error = RuntimeError("x")
    error.__cause__ = other = RuntimeError("y")
    other.__cause__ = error

    assert type(told(error, Stage.FRESH, Failure.TIMEOUT)) is FetchError
