"""What wrangler's documentation shows loads unchanged: every form of the binding, among every kind of other key.

Of the pages on configuration, environments, mTLS bindings, remote bindings and Pages, and of wrangler's own tests. Only the
id of the certificate is another one: that of the store.
"""

import pytest

from mtlskit.errors import ConfigurationError
from mtlskit.fetch import AsyncEnvironment, CertificateUploads, Environment
from mtlskit.stores import open_store
from mtlskit.testing.certificates import Authority

LEAF = Authority.root().leaf("device")

# --- the forms of the binding ---------------------------------------------------------------------------------------

FORMS = {
    "an array of inline tables": (
        "wrangler.toml",
        """
mtls_certificates = [
  { binding = "MY_CERT", certificate_id = "<CERTIFICATE_ID>" }
]
""",
    ),
    "an array of inline tables with a comma behind": (
        "wrangler.toml",
        """
mtls_certificates = [
  { binding = "MY_CERT", certificate_id = "<CERTIFICATE_ID>" }, # uploaded in spring
]
""",
    ),
    "tables": (
        "wrangler.toml",
        """
[[mtls_certificates]]
binding = "MY_CERT"
certificate_id = "<CERTIFICATE_ID>"
""",
    ),
    "JSON": (
        "wrangler.json",
        """
{
  "mtls_certificates": [
    {
      "binding": "MY_CERT",
      "certificate_id": "<CERTIFICATE_ID>"
    }
  ]
}
""",
    ),
    "JSONC with tabs, a schema and commas behind": (
        "wrangler.jsonc",
        """
{
\t"$schema": "./node_modules/wrangler/config-schema.json",
\t"mtls_certificates": [
\t\t{
\t\t\t"binding": "MY_CERT",
\t\t\t"certificate_id": "<CERTIFICATE_ID>",
\t\t},
\t],
}
""",
    ),
    "JSON with comments": (
        "wrangler.json",
        """
/**
 * For more details on how to configure Wrangler, refer to:
 * https://developers.cloudflare.com/workers/wrangler/configuration/
 */
{
  "name": "my-worker", // "comments" in texts stay: see below
  "vars": { "URL": "https://example.com/*not*/a//comment" },
  "mtls_certificates": [{ "binding": "MY_CERT", "certificate_id": "<CERTIFICATE_ID>" }]
  /* "mtls_certificates": [] */
}
""",
    ),
    "a remote binding": (
        "wrangler.jsonc",
        """
{
  "mtls_certificates": [
    { "binding": "MY_CERT", "certificate_id": "<CERTIFICATE_ID>", "remote": true }
  ]
}
""",
    ),
    "a remote binding in TOML": (
        "wrangler.toml",
        """
[[mtls_certificates]]
binding = "MY_CERT"
certificate_id = "<CERTIFICATE_ID>"
remote = true
""",
    ),
    "lines that end as on Windows": (
        "wrangler.toml",
        '[[mtls_certificates]]\r\nbinding = "MY_CERT"\r\ncertificate_id = "<CERTIFICATE_ID>"\r\n',
    ),
    "a mark before it": (
        "wrangler.toml",
        '\ufeff[[mtls_certificates]]\nbinding = "MY_CERT"\ncertificate_id = "<CERTIFICATE_ID>"\n',
    ),
    "a mark before JSON": (
        "wrangler.jsonc",
        '\ufeff{ "mtls_certificates": [{ "binding": "MY_CERT", "certificate_id": "<CERTIFICATE_ID>" }], }',
    ),
    "a file of another name": (
        "wrangler.production.toml",
        'mtls_certificates = [{ binding = "MY_CERT", certificate_id = "<CERTIFICATE_ID>" }]',
    ),
}

# --- among other keys -----------------------------------------------------------------------------------------------

WORKER = """
#:schema node_modules/wrangler/config-schema.json
name = "my-worker"
main = "src/index.js"
account_id = "<ACCOUNT_ID>"
compatibility_date = "2022-07-12"
compatibility_flags = [ "nodejs_compat", "nodejs_compat_v2" ]
workers_dev = false
preview_urls = false
keep_vars = true
send_metrics = false
logpush = true
minify = true
no_bundle = false
find_additional_modules = true
base_dir = "src"
preserve_file_names = true
upload_source_maps = true
tsconfig = "./tsconfig.json"
route = { pattern = "example.org/*", zone_name = "example.org" }
rules = [
  { type = "Text", globs = ["**/*.md"], fallthrough = true }
]
assets = { directory = "./public", binding = "ASSETS", html_handling = "force-trailing-slash", not_found_handling = "404-page" }

kv_namespaces = [
  { binding = "<MY_NAMESPACE>", id = "<KV_ID>" }
]

[vars]
API_HOST = "example.com"
API_ACCOUNT_ID = "example_user"
SERVICE_X_DATA = { URL = "service-x-api.dev.example", MY_ID = 123 }

[triggers]
crons = ["* * * * *"]

[observability]
enabled = true
head_sampling_rate = 0.1 # 10% of requests are logged

[build]
command = "npm run build"
cwd = "build_cwd"
watch_dir = "build_watch_dir"

[build.upload]
format = "modules"
dir = "dist"

[limits]
cpu_ms = 100

[placement]
mode = "smart"

[dev]
ip = "192.168.1.1"
port = 8080
local_protocol = "http"

[site]
bucket = "./public"
include = ["upload_dir"]
exclude = ["ignore_dir"]

[alias]
"foo" = "./replacement-module-filepath"

[define]
"process.env.NODE_ENV" = "'production'"

[browser]
binding = "<BINDING_NAME>"

[ai]
binding = "AI" # available in your Worker code on `env.AI`

[images]
binding = "IMAGES"
remote = true

[version_metadata]
binding = "CF_VERSION_METADATA"

[[durable_objects.bindings]]
name = "<BINDING_NAME>"
class_name = "<CLASS_NAME>"

[[migrations]]
tag = "v1" # Should be unique for each entry
new_classes = ["DurableObjectExample"]

[[migrations]]
tag = "v2"
renamed_classes = [{from = "DurableObjectExample", to = "UpdatedName" }]
deleted_classes = ["DeprecatedClass"]

[[d1_databases]]
binding = "<BINDING_NAME>"
database_name = "<DATABASE_NAME>"
database_id = "<DATABASE_ID>"

[[r2_buckets]]
binding = "<BINDING_NAME1>"
bucket_name = "<BUCKET_NAME1>"

[[queues.producers]]
  binding = "<BINDING_NAME>"
  queue = "<QUEUE_NAME>"
  delivery_delay = 60

[[queues.consumers]]
  queue = "my-queue"
  max_batch_size = 10
  dead_letter_queue = "my-queue-dlq"

[[vectorize]]
binding = "<BINDING_NAME>"
index_name = "<INDEX_NAME>"

[[hyperdrive]]
binding = "<BINDING_NAME>"
id = "<ID>"

[[services]]
binding = "<BINDING_NAME>"
service = "<WORKER_NAME>"
entrypoint = "<ENTRYPOINT_NAME>"

[[analytics_engine_datasets]]
binding = "<BINDING_NAME>"
dataset = "<DATASET_NAME>"

[[dispatch_namespaces]]
binding = "<BINDING_NAME>"
namespace = "<NAMESPACE_NAME>"
outbound = {service = "<WORKER_NAME>", parameters = ["params_object"]}

[[send_email]]
name = "<NAME_FOR_BINDING>"
allowed_destination_addresses = ["<YOUR_EMAIL>@example.com"]

[[tail_consumers]]
service = "<TAIL_WORKER_NAME>"

[[workflows]]
binding = "<BINDING_NAME>"
name = "<WORKFLOW_NAME>"
class_name = "<CLASS_NAME>"

[[secrets_store_secrets]]
binding = "<BINDING_NAME>"
store_id = "<STORE_ID>"
secret_name = "<SECRET_NAME>"

[[unsafe.bindings]]
name = "RATE_LIMITER"
type = "ratelimit"
namespace_id = "1001"
simple = { limit = 100, period = 60 }

[[mtls_certificates]]
binding = "<BINDING_NAME1>"
certificate_id = "<CERTIFICATE_ID>"

[[mtls_certificates]]
binding = "<BINDING_NAME2>"
certificate_id = "<CERTIFICATE_ID>"

[env.staging]
name = "my-worker-staging"
route = { pattern = "staging.example.org/*", zone_name = "example.org" }
vars = { API_HOST = "staging.example.com" }

kv_namespaces = [
  { binding = "<MY_NAMESPACE>", id = "<STAGING_KV_ID>" }
]

[[env.staging.mtls_certificates]]
binding = "STAGING_CERT"
certificate_id = "<CERTIFICATE_ID>"

[env.production]
workers_dev = true
routes = [
  "example.com/foo/*",
  { pattern = "shop.example.com", custom_domain = true },
  { pattern = "subdomain.example.com/*", zone_id = "<YOUR_ZONE_ID>" },
]
mtls_certificates = [
  { binding = "PRODUCTION_CERT", certificate_id = "<CERTIFICATE_ID>", remote = false }
]

[env.empty]
"""

WORKER_IN_JSON = """
{
  "$schema": "node_modules/wrangler/config-schema.json",
  "name": "my-worker",
  "main": "src/index.ts",
  "compatibility_date": "2025-03-07",
  "compatibility_flags": ["nodejs_compat"],
  "observability": {
    "enabled": true,
    "head_sampling_rate": 1,
    "logs": { "enabled": true, "invocation_logs": true },
  },
  /**
   * Smart Placement
   */
  // "placement": { "mode": "smart" },
  "routes": [
    "example.com/*",
    { "pattern": "shop.example.com", "custom_domain": true },
    { "pattern": "subdomain.example.com/*", "zone_name": "example.com" },
  ],
  "vars": { "MY_VARIABLE": "production_value", "NESTED": { "list": [1, 2.5, null, true] } },
  "kv_namespaces": [{ "binding": "KV" }], // an id is given to it when it is deployed
  "durable_objects": { "bindings": [{ "name": "MY_DO", "class_name": "MyDo" }] },
  "queues": { "producers": [{ "binding": "MY_QUEUE", "queue": "my-queue" }] },
  "vpc_services": [{ "binding": "PRIVATE_API", "service_id": "<SERVICE_ID>", "remote": true }],
  "containers": [{ "class_name": "MyContainer", "image": "./Dockerfile", "max_instances": 5 }],
  "ratelimits": [{ "name": "LIMITER", "namespace_id": "1001", "simple": { "limit": 100, "period": 60 } }],
  "mtls_certificates": [
    { "binding": "MTLS", "certificate_id": "<CERTIFICATE_ID>" },
    { "binding": "MY_CLIENT_CERT_FETCHER", "certificate_id": "<CERTIFICATE_ID>", "remote": true },
  ],
  "previews": { "vars": { "MY_VARIABLE": "preview" } },
  "env": {
    "staging": {
      "vars": { "MY_VARIABLE": "staging_value" },
      "mtls_certificates": [{ "binding": "MTLS", "certificate_id": "<CERTIFICATE_ID>" }],
    },
    "production": {},
  },
}
"""

PAGES = """
name = "my-pages-app"
pages_build_output_dir = "./dist"
compatibility_date = "2023-10-12"
compatibility_flags = ["nodejs_compat"]

[[kv_namespaces]]
binding = "KV"
id = "<NAMESPACE_ID>"

[[mtls_certificates]]
binding = "MY_CERT"
certificate_id = "<CERTIFICATE_ID>"

[vars]
API_KEY = "1234567asdf"

[[env.preview.kv_namespaces]]
binding = "KV"
id = "<PREVIEW_NAMESPACE_ID>"

[[env.preview.mtls_certificates]]
binding = "PREVIEW_CERT"
certificate_id = "<CERTIFICATE_ID>"

[env.preview.vars]
API_KEY = "8901234bfgd"

[[env.production.mtls_certificates]]
binding = "PRODUCTION_CERT"
certificate_id = "<CERTIFICATE_ID>"
"""

# A file, and the bindings of it and of each of its named environments.
WHOLE = {
    "a Worker": (
        "wrangler.toml",
        WORKER,
        {
            None: ["<BINDING_NAME1>", "<BINDING_NAME2>"],
            "staging": ["STAGING_CERT"],
            "production": ["PRODUCTION_CERT"],
            "empty": [],
        },
    ),
    "a Worker in JSONC": (
        "wrangler.jsonc",
        WORKER_IN_JSON,
        {None: ["MTLS", "MY_CLIENT_CERT_FETCHER"], "staging": ["MTLS"], "production": []},
    ),
    "a Worker in JSON with comments": ("wrangler.json", WORKER_IN_JSON, {"staging": ["MTLS"]}),
    "Pages": (
        "wrangler.toml",
        PAGES,
        {None: ["MY_CERT"], "preview": ["PREVIEW_CERT"], "production": ["PRODUCTION_CERT"]},
    ),
    "a Worker without a certificate": ("wrangler.toml", 'name = "your-worker"\nroute = "example.com"\n[env.dev]\n', {
        None: [], "dev": [],
    }),
}  # fmt: skip


@pytest.fixture
def load(tmp_path):
    store = open_store("memory://")
    certificate_id = CertificateUploads(store).upload(LEAF.to_pem()).id

    def loaded(name, text, kind=Environment, **options):
        path = tmp_path / name
        path.write_bytes(text.replace("<CERTIFICATE_ID>", certificate_id).encode())
        return kind.from_file(path, store=store, **options)

    yield loaded
    store.close()


@pytest.mark.parametrize("kind", [Environment, AsyncEnvironment])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_binding_loads_without_a_word(load, caplog, form, kind):
    env = load(*FORMS[form], kind)
    assert list(env) == ["MY_CERT"]
    assert env.MY_CERT.certificate == LEAF.certificate
    assert not env.MY_CERT.origins
    assert caplog.records == []


@pytest.mark.parametrize("file", WHOLE)
def test_it_loads_among_every_kind_of_other_key(load, file):
    name, text, expected = WHOLE[file]
    found = {environment: list(load(name, text, environment=environment)) for environment in expected}
    assert found == expected


def test_a_named_environment_that_is_not_there_is_an_error_as_in_wrangler(load):
    with pytest.raises(ConfigurationError, match="expected the environment 'produktion' under 'env', got none"):
        load("wrangler.toml", WORKER, environment="produktion")


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0"])
def test_another_encoding_is_an_error_as_in_wrangler(load, tmp_path, mark):
    path = tmp_path / "wrangler.toml"
    path.write_bytes(mark + "mtls_certificates = []".encode("utf-16-le"))
    with pytest.raises(ConfigurationError, match="Could not read file"):
        Environment.from_file(path, store=open_store("memory://"))
