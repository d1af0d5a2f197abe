"""The hostname gate: the service, and the middleware and servers around it."""

from mtlskit.gate import asgi, servers
from mtlskit.gate.events import Refused, Stage, Unenforced
from mtlskit.gate.gate import Gate
from mtlskit.gate.hostnames import Hostnames
from mtlskit.gate.recording import Recording

__all__ = ["Gate", "Hostnames", "Recording", "Refused", "Stage", "Unenforced", "asgi", "servers"]
