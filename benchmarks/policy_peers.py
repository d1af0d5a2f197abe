"""The policy of `bench_policy` as the policy engines on PyPI evaluate it: each one's program and sets are made once.

Of the ways that an engine has, each one here takes the one that was measured to be the fastest. None is a dependency
of the library: an engine whose distribution is not installed has no `version`, and is left out.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Policy:
    """Allow if the common name is one of `names`, the serial none of `denied`, and a URI SAN begins with `prefix`."""

    names: tuple[str, ...]
    denied: tuple[str, ...]
    prefix: str


@dataclass(frozen=True, slots=True)
class Client:
    """What a policy looks at. The serial is hexadecimal text: integers of CEL and Cedar have 64 bits, serials 160."""

    common_name: str
    serial: str
    uris: tuple[str, ...]


Decide: TypeAlias = Callable[[Client], bool]


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine: the names its distribution has or had, the module to import, and what makes its decision."""

    distributions: tuple[str, ...]
    module: str
    made: Callable[[Any, Policy], Decide]

    @property
    def name(self) -> str:
        """The distribution to install."""
        return self.distributions[0]

    @property
    def version(self) -> str | None:
        """The version that is installed, or None."""
        for distribution in self.distributions:
            try:
                return importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue
        return None

    def decision(self, policy: Policy) -> Decide:
        """The policy, made ready to be asked; raises ImportError where the engine is not installed."""
        return self.made(importlib.import_module(self.module), policy)


def common_expression_language(cel: Any, policy: Policy) -> Decide:
    """Maps, as `in` looks through lists; the client by a resolver, as each change of a context costs by its size."""
    program = cel.compile(
        f"common_name in names && !(serial in denied) && uris.exists(uri, uri.startsWith({json.dumps(policy.prefix)}))"
    )
    context = cel.Context({"names": dict.fromkeys(policy.names, True), "denied": dict.fromkeys(policy.denied, True)})
    asked: dict[str, object] = {}
    context.set_variable_resolver(lambda name: asked.get(name))

    def decide(client: Client) -> bool:
        asked["common_name"], asked["serial"], asked["uris"] = client.common_name, client.serial, client.uris
        return bool(program.execute(context))

    return decide


_CASBIN_MODEL = """
[request_definition]
r = common_name, serial, uris
[policy_definition]
p = uri
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = named(r.common_name) && !denied(r.serial) && prefixed(r.uris, p.uri)
"""


def pycasbin(casbin: Any, policy: Policy) -> Decide:
    """Custom functions with the sets and one policy line: roles cost more, and so does a line for each name."""
    model = casbin.Model()
    model.load_model_from_text(_CASBIN_MODEL)
    enforcer = casbin.Enforcer(model)
    enforcer.add_function("named", frozenset(policy.names).__contains__)
    enforcer.add_function("denied", frozenset(policy.denied).__contains__)
    enforcer.add_function("prefixed", _prefixed)
    enforcer.add_policy(policy.prefix)
    return lambda client: bool(enforcer.enforce(client.common_name, client.serial, client.uris))


def _prefixed(uris: Iterable[str], prefix: str) -> bool:
    return any(uri.startswith(prefix) for uri in uris)


_CEDAR_POLICY = """
permit (principal, action == Action::"connect", resource == Service::"pay")
when { resource.names.contains(context.common_name) && context.uris like "*\\n%s*" }
unless { resource.denied.contains(context.serial) };
"""


def cedarpy(cedar: Any, policy: Policy) -> Decide:
    """The sets are the service's, parsed once. Nothing in Cedar goes through a set: the URIs are one text, by lines."""
    policies = cedar.PolicySet.from_str(_CEDAR_POLICY % policy.prefix)
    service = {"type": "Service", "id": "pay"}
    entity = {"uid": service, "attrs": {"names": policy.names, "denied": policy.denied}, "parents": []}
    entities = cedar.Entities.from_json_str(json.dumps([entity]))
    request = {
        "principal": {"type": "Client", "id": "verified"},
        "action": {"type": "Action", "id": "connect"},
        "resource": service,
    }

    def decide(client: Client) -> bool:
        uris = "\n".join(("", *client.uris))
        context = {"common_name": client.common_name, "serial": client.serial, "uris": uris}
        return bool(cedar.is_authorized({**request, "context": context}, policies, entities).allowed)

    return decide


def cel_python(celpy: Any, policy: Policy) -> Decide:
    """Custom functions with the sets, as `in` goes through them; of the two runners only the interpreter takes such."""
    names, denied = frozenset(policy.names), frozenset(policy.denied)
    environment = celpy.Environment(runner_class=celpy.InterpretedRunner)
    tree = environment.compile(
        f"named(common_name) && !denied(serial) && uris.exists(uri, uri.startsWith({json.dumps(policy.prefix)}))"
    )
    functions = {
        "named": lambda name: celpy.celtypes.BoolType(name in names),
        "denied": lambda serial: celpy.celtypes.BoolType(serial in denied),
    }
    program = environment.program(tree, functions=functions)

    def decide(client: Client) -> bool:
        values = {"common_name": client.common_name, "serial": client.serial, "uris": client.uris}
        return bool(program.evaluate({name: celpy.json_to_cel(value) for name, value in values.items()}))

    return decide


PEERS = (
    Peer(("common-expression-language",), "cel", common_expression_language),
    Peer(("pycasbin", "casbin"), "casbin", pycasbin),
    Peer(("cedarpy",), "cedarpy", cedarpy),
    Peer(("cel-python",), "celpy", cel_python),
)
