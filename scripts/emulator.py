"""The emulated AWS of scripts/emulated-deployment, reachable by AWS's host names.

The emulator is ministack with IAM enforced. It runs in its own namespaces: network (all host names resolve to the loopback
interface), mounts (a temporary CA replaces Lambda's certificates) and processes (no process outlives the run). So clients
need no endpoint configuration.
"""

import contextlib
import datetime
import ipaddress
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from replica import Failure, tail

REGION = "us-east-1"
# The emulator treats this key as the account's root, with any secret.
ROOT_KEY = "test"
# The functions' SSL_CERT_FILE in template.yaml.
LAMBDA_CERTIFICATES = pathlib.Path("/etc/pki/tls/certs/ca-bundle.crt")
# The first path that openssl-probe tries on Linux.
SYSTEM_CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
# The address of Stigg's host names: another one than the emulator's, which uses port 443.
STIGG_ADDRESS = "127.0.0.2"
INSIDE = "EMULATED_AWS_IS_HERE"


def why_impossible():
    """Why this machine does not support the namespaces, or None."""
    if not sys.platform.startswith("linux"):
        return "requires Linux"
    if os.geteuid() != 0:
        return "namespaces require root"
    for tool in ("unshare", "mount", "ip"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    probe = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return None if probe.returncode == 0 else f"unshare failed: {probe.stderr.strip()}"


NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


def enter():
    """Restarts this program in its own namespaces, and exits with its exit code."""
    command = [*NAMESPACES, sys.executable, *sys.argv]
    sys.exit(subprocess.run(command, env=os.environ | {INSIDE: "1"}, check=False).returncode)


def is_inside():
    return INSIDE in os.environ


@contextlib.contextmanager
def running(folder, ministack):
    """Runs the emulator. Yields the environment for its clients. `folder` must be empty."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    ca, certificate, key = certificates(folder)
    take_over_etc(folder, ca)
    resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    resolver.bind(("127.0.0.1", 53))
    threading.Thread(target=resolve, args=(resolver,), daemon=True).start()
    home = folder / "home"
    home.mkdir()
    common = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "SSL_CERT_FILE": str(ca),
    }
    log = folder / "ministack.log"
    server = common | {
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificate),
        "MINISTACK_SSL_KEY": str(key),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": "4566",
        "MINISTACK_HOST": f"{REGION}.amazonaws.com",
        "MINISTACK_REGION": REGION,
        "LOG_LEVEL": "INFO",
    }
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [ministack], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=server, cwd=folder
        )
    try:
        end = time.monotonic() + 60
        while not listens(443):
            if process.poll() is not None or time.monotonic() > end:
                raise Failure(f"the emulator did not start:\n{tail(log)}")
            time.sleep(0.1)
        yield common | {
            "AWS_CA_BUNDLE": str(ca),
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_CHECK_VERSION": "0",
            # Seconds between polls of a deployment, which is immediate here.
            "SAM_CLI_POLL_DELAY": "0.2",
        }
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


def certificates(folder):
    """Creates a CA, and a certificate with its key for AWS's host names."""
    names = [
        "*.amazonaws.com",  # the emulator's own host name, and AWS's global services
        f"*.{REGION}.amazonaws.com",
        f"*.execute-api.{REGION}.amazonaws.com",
        f"*.ddb.{REGION}.amazonaws.com",
        f"*.s3.{REGION}.amazonaws.com",
        "*.s3.amazonaws.com",
        f"*.lambda-url.{REGION}.on.aws",
        "*.example.com",
        "*.stigg.io",
        "*.api.stigg.io",
    ]
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject, issuer, public_key, signer, extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def named(name):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = named("Temporary CA of an emulated AWS")
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(root.public_key())
    ca = folder / "ca.pem"
    ca.write_bytes(
        certificate(
            issuer,
            issuer,
            root.public_key(),
            root,
            [(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True), (identifier, False)],
        )
    )
    hosts = [x509.DNSName(name) for name in names] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    path, key = folder / "server.pem", folder / "server.key"
    path.write_bytes(
        certificate(
            named("Emulated AWS"),
            issuer,
            own.public_key(),
            root,
            [
                (x509.SubjectAlternativeName(hosts), False),
                (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False),
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), False),
            ],
        )
    )
    key.write_bytes(
        own.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return ca, path, key


def take_over_etc(folder, ca):
    """Mounts a copy of /etc over it, with this run's resolver and certificates."""
    copy = folder / "etc"
    subprocess.run(["cp", "-a", "/etc", copy], check=True)
    for file, text in (("resolv.conf", "nameserver 127.0.0.1\n"), ("hosts", "127.0.0.1 localhost\n")):
        (copy / file).unlink(missing_ok=True)
        (copy / file).write_text(text)
    bundle = copy / LAMBDA_CERTIFICATES.relative_to("/etc")
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.unlink(missing_ok=True)
    shutil.copy(ca, bundle)
    # The system's certificates, which the functions fall back to.
    system = copy / SYSTEM_CERTIFICATES.relative_to("/etc")
    system.parent.mkdir(parents=True, exist_ok=True)
    with open(system, "ab") as file:
        file.write(b"\n" + ca.read_bytes())
    subprocess.run(["mount", "--bind", copy, "/etc"], check=True)


def resolve(resolver):
    """A DNS server: answers A queries with 127.0.0.1, or STIGG_ADDRESS for Stigg's host names, and others with no records."""
    while True:
        query, client = resolver.recvfrom(512)
        if len(query) < 17:
            continue
        end = query.find(b"\0", 12) + 5
        asks_for_ipv4 = query[end - 4 : end] == b"\0\1\0\1"
        counts = b"\0\1" + (b"\0\1" if asks_for_ipv4 else b"\0\0") + b"\0\0\0\0"
        address = STIGG_ADDRESS if query[12:end].lower().endswith(b"\5stigg\2io\0\0\1\0\1") else "127.0.0.1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address) if asks_for_ipv4 else b""
        resolver.sendto(query[:2] + b"\x81\x80" + counts + query[12:end] + answer, client)


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def adapt(template):
    """Works around the emulator's limitations in a template that `sam build` wrote.

    It rejects alarms on metric expressions: these alarms watch their first metric instead. It resolves a `Ref` to a secret to
    the secret's name instead of its ARN. It resolves a `Ref` to a number to text, which its queue poller can't compare.
    """
    resources = template["Resources"]
    for resource in resources.values():
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            properties = resource["Properties"]
            first = next(metric["MetricStat"] for metric in properties.pop("Metrics") if "MetricStat" in metric)
            properties |= first["Metric"] | {"Period": first["Period"], "Statistic": first["Stat"]}
        if resource["Type"] == "AWS::Lambda::EventSourceMapping":
            scaling = resource["Properties"]["ScalingConfig"]
            scaling["MaximumConcurrency"] = template["Parameters"][scaling["MaximumConcurrency"]["Ref"]]["Default"]
    secrets = {name for name, resource in resources.items() if resource["Type"] == "AWS::SecretsManager::Secret"}
    return replaced(template, lambda value: with_arn(value, secrets))


def with_arn(value, secrets):
    if isinstance(value, dict) and value.keys() == {"Ref"} and value["Ref"] in secrets:
        return {"Fn::GetAtt": [value["Ref"], "Id"]}
    return value


def replaced(value, change):
    """A template with `change` applied to all its values, innermost first."""
    if isinstance(value, dict):
        value = {key: replaced(member, change) for key, member in value.items()}
    elif isinstance(value, list):
        value = [replaced(member, change) for member in value]
    return change(value)


def read_template(path):
    """Reads a template that `sam build` wrote: it has the long form of intrinsic functions."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def write_template(template, path):
    path.write_text(yaml.safe_dump(template, sort_keys=False, allow_unicode=True), encoding="utf-8")
