"""The hostname gate: the service, and the middleware and servers around it."""

from mtlskit.gate import asgi, servers
from mtlskit.gate.events import Refused, Stage
from mtlskit.gate.gate import Gate
from mtlskit.gate.hostnames import Hostnames

__all__ = ["Gate", "Hostnames", "Refused", "Stage", "asgi", "servers"]
