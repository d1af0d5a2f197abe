"""Imports point inward: rim -> services -> adapters -> ports -> core. Every module's imports are read with `ast`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import mtlskit

pytestmark = pytest.mark.bare

ROOT = Path(mtlskit.__file__).parent
# The innermost first; a module belongs to the longest prefix that fits. A layer may import itself and those before it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("mtlskit.errors", "mtlskit.core"),
    ("mtlskit.ports", "mtlskit.locks", "mtlskit.paging", "mtlskit.sealing", "mtlskit.endings"),
    ("mtlskit.stores", "mtlskit.backends"),
    (
        "mtlskit.authority",
        "mtlskit.gate",
        "mtlskit.fetch",
        "mtlskit.revocation",
        "mtlskit.resealing",
        "mtlskit.forecast",
    ),
    ("mtlskit.gate.servers", "mtlskit.fetch.clients", "mtlskit.cli", "mtlskit.testing"),
)
# The package's own module gathers the public names, and `mtlskit.gate` names its rim for `mtlskit.gate.servers`.
GATHERING = {"mtlskit", "mtlskit.gate"}
NOT_IN_CORE = {"ssl", "socket", "sqlite3", "os", "time", "logging", "asyncio"}
ROOMS: Mapping[str, tuple[str, ...]] = {
    "httpx2": ("mtlskit.revocation.http", "mtlskit.fetch.clients.httpx2"),
    "httpx": ("mtlskit.fetch.clients.httpx",),
    "requests": ("mtlskit.fetch.clients.requests",),
    "niquests": ("mtlskit.fetch.clients.niquests",),
    "urllib3": ("mtlskit.fetch.clients.urllib3",),
    "aiohttp": ("mtlskit.fetch.clients.aiohttp",),
    "grpc": ("mtlskit.fetch.clients.grpc",),
    "httpcore2": ("mtlskit.fetch.engine",),  # comes with httpx2
    "h11": ("mtlskit.fetch.engine",),  # and this with it
    "h2": ("mtlskit.fetch.engine",),
    "anyio": ("mtlskit.fetch.engine",),
    "pyjson5": ("mtlskit.fetch.configuration",),
    "click": ("mtlskit.cli",),
    "rich": ("mtlskit.cli",),
    "uvicorn": ("mtlskit.gate.servers.uvicorn",),
    "pytest": ("mtlskit.testing",),
    "psycopg": ("mtlskit.stores.postgres",),
    "psycopg_pool": ("mtlskit.stores.postgres",),
    "pkcs11": ("mtlskit.authority.pkcs11",),
    "OpenSSL": ("mtlskit.backends",),
    "tomli_w": ("mtlskit.core.policy.files",),
}
HTTP_ENGINES = (
    "mtlskit.fetch.engine",
    "mtlskit.revocation.http",
)  # each is imported by a function of its package, when it is needed
REQUIRED = {"cryptography", "OpenSSL", "certifi", "idna", "typing_extensions"}


def name_of(path: Path) -> str:
    """The module's dotted name."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(source: str, *, only_when_run: bool = False) -> Iterator[str]:
    """The dotted names that a module imports, those inside functions too; of `from a import b`, `a` and `a.b`.

    `only_when_run` leaves out what is for type checkers and what a function imports when it is called.
    """
    yield from _found(ast.parse(source), only_when_run)


def _found(node: ast.AST, only_when_run: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide where they point to"
        yield node.module or ""
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        if not (only_when_run and _is_not_run(child)):
            yield from _found(child, only_when_run)


def _is_not_run(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return True
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def layer_of(module: str) -> int:
    """The number of the layer that a module of ours belongs to."""
    fitting = [
        (len(prefix), number)
        for number, prefixes in enumerate(LAYERS)
        for prefix in prefixes
        if module == prefix or module.startswith(f"{prefix}.")
    ]
    assert fitting, f"{module} belongs to no layer"
    return max(fitting)[1]


def our_imports(name: str, *, only_when_run: bool = False) -> set[str]:
    """The modules of ours that a module imports."""
    return {found for found in imports(MODULES[name].read_text(), only_when_run=only_when_run) if found in MODULES}


def outward(name: str, found: set[str]) -> set[str]:
    """Those of the imports that point outward."""
    return {each for each in found if each != "mtlskit" and layer_of(each) > layer_of(name)}


@pytest.mark.parametrize("name", sorted(set(MODULES) - GATHERING))
def test_imports_point_inward(name: str) -> None:
    assert outward(name, our_imports(name)) == set()


@pytest.mark.parametrize("name", sorted(set(MODULES) - GATHERING))
def test_no_module_imports_the_package_that_gathers_them(name: str) -> None:
    assert "mtlskit" not in set(imports(MODULES[name].read_text()))


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("mtlskit.core")])
def test_core_is_pure(name: str) -> None:
    found = {each.partition(".")[0] for each in imports(MODULES[name].read_text())}
    assert found & NOT_IN_CORE == set()
    assert {each for each in our_imports(name) if not each.startswith(("mtlskit.core", "mtlskit.errors"))} <= {
        "mtlskit"
    }


@pytest.mark.parametrize("adapters", ["mtlskit.stores", "mtlskit.backends"])
def test_the_two_kinds_of_adapter_do_not_know_each_other(adapters: str) -> None:
    other = {"mtlskit.stores": "mtlskit.backends", "mtlskit.backends": "mtlskit.stores"}[adapters]
    for name in MODULES:
        if name.startswith(adapters):
            assert {each for each in our_imports(name) if each.startswith(other)} == set()


@pytest.mark.parametrize("distribution", sorted(ROOMS))
def test_third_party_packages_stay_in_their_rooms(distribution: str) -> None:
    users = {
        name
        for name, path in MODULES.items()
        if distribution in {each.partition(".")[0] for each in imports(path.read_text())}
    }
    assert {user for user in users if not user.startswith(ROOMS[distribution])} == set()


def test_only_known_third_party_packages_are_imported() -> None:
    found = {each.partition(".")[0] for path in MODULES.values() for each in imports(path.read_text())}
    foreign = {each for each in found if each not in sys.stdlib_module_names and each not in ("mtlskit", "_ssl")}
    assert foreign <= REQUIRED | set(ROOMS)


def test_no_cycle_among_the_modules() -> None:
    graph = {name: our_imports(name, only_when_run=True) - GATHERING - {name} for name in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"a cycle of imports: {' -> '.join((*above[above.index(name) :], name))}"
        if name not in done:
            for each in sorted(graph[name] - _packages_of(name)):
                visit(each, (*above, name))
            done.add(name)

    for name in sorted(set(MODULES) - GATHERING):
        visit(name, ())


def _packages_of(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


OPTIONAL = ("httpx2", "httpcore2", "h11", "click", "rich", "uvicorn", "pytest", "psycopg", "psycopg_pool", "pkcs11")
OPTIONAL += ("httpx", "requests", "urllib3", "aiohttp", "grpc")
BLOCKED = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError('No module named ' + repr(name), name=name)
sys.meta_path.insert(0, Block())
"""


def run(code: str) -> str:
    """Runs code in a process where nothing optional can be imported."""
    done = subprocess.run([sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_imports_and_works_without_any_extra() -> None:
    code = """
import mtlskit, mtlskit.cli
from mtlskit.backends import get_backend
store = mtlskit.open_store("memory://")
acme = mtlskit.CertificateAuthority.create("Acme", store=store)
gate = mtlskit.Gate(store)
gate.hostnames.add("pay.acme.example", trust=[acme.certificate])
pem = acme.issue_client("device").chain_pem()
print(type(gate.explain("pay.acme.example", certificate=pem)).__name__, get_backend("ssl").name)
"""
    assert run(code) == "Allow ssl\n"


def test_every_module_imports_without_extras_or_says_which_one_it_wants() -> None:
    code = f"""
import importlib
from mtlskit.errors import ConfigurationError
for name in {sorted(MODULES)!r}:
    try:
        importlib.import_module(name)
    except ConfigurationError as error:
        assert str(error).startswith(("expected the extra", "expected the distribution")), (name, error)
        print(name)
    except ModuleNotFoundError as error:
        assert name.startswith(("mtlskit.cli.", "mtlskit.testing.", *{HTTP_ENGINES!r})), (name, error)
        print(name)
"""
    wanting = set(run(code).split())
    assert {"mtlskit.gate.servers.uvicorn", "mtlskit.fetch.engine", "mtlskit.cli.commands"} <= wanting
    rim = {name for name in set(MODULES) - GATHERING if layer_of(name) == len(LAYERS) - 1}
    of_extras = ("mtlskit.stores.postgres", "mtlskit.authority.pkcs11")
    assert wanting <= rim | {name for name in MODULES if name.startswith((*of_extras, *HTTP_ENGINES))}


def test_a_store_in_postgresql_says_which_extra_it_wants() -> None:
    code = """
import mtlskit
try:
    mtlskit.open_store("postgresql://user:secret@localhost/db")
except mtlskit.ConfigurationError as error:
    print(error)
"""
    assert "expected the extra 'postgres'" in run(code)
    assert "secret" not in run(code)


def test_the_rules_here_see_what_they_forbid() -> None:
    assert set(imports("def f():\n    import ssl")) == {"ssl"}
    assert set(imports("def f():\n    import ssl", only_when_run=True)) == set()
    assert outward("mtlskit.core.names", {"mtlskit.gate.gate", "mtlskit.errors"}) == {"mtlskit.gate.gate"}
    assert outward("mtlskit.gate.gate", {"mtlskit.gate.servers.uvicorn"}) == {"mtlskit.gate.servers.uvicorn"}
