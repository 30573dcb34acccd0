"""Shared code of the scripts: the sample events with their expected responses, and the local stack's DynamoDB."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
# In this order: the readers' sample requests expect the webhook's sample events.
FUNCTIONS = {"webhook": "WebhookFunction", "check-access": "CheckAccessFunction", "graphql": "GraphqlFunction"}
# The first build of the local stack takes some minutes.
START_SECONDS = 1200


class Failure(Exception):
    """An error message for the terminal."""


def main(run):
    """Runs `run`, and exits with the code that it returns. Started processes end too, also after a signal."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)
    try:
        sys.exit(run())
    except Failure as failure:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


def files(function):
    """A function's sample events, sorted by file name."""
    return sorted((ROOT / "events" / function).glob("*.json"))


def function_of(file):
    """The function of a sample event, which is the name of its folder."""
    if file.parent.name not in FUNCTIONS:
        raise Failure(f"{file} is not in a function's folder in events/")
    return file.parent.name


def read(file):
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{file} cannot be read: {error}") from error


def environment(dynamodb):
    """The functions' environment from events/env.json, with another DynamoDB endpoint."""
    variables = read(ROOT / "events" / "env.json")["Parameters"]
    if "DYNAMODB_ENDPOINT" not in variables:
        raise Failure("events/env.json has no DYNAMODB_ENDPOINT")
    return variables | {"DYNAMODB_ENDPOINT": dynamodb}


def judge(file, answer):
    """Checks the response to a sample event. Returns its outcome in a word, and an error message or None."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return "", f"not an HTTP response: {json.dumps(answer)[:500]}"
    function, status, body = function_of(file), answer["statusCode"], answer.get("body") or ""
    expected = 403 if function == "check-access" and file.name.startswith("denied") else 200
    if status != expected:
        return "", f"instead of {expected}: {body[:500]}"
    if file.name == "graphiql.json":
        return "HTML page", None if "<html" in body else "no HTML page"
    try:
        body = json.loads(body)
    except ValueError:
        return "", f"not JSON: {body[:500]}"
    if function == "webhook":
        outcome, expected = body.get("outcome"), "ignored" if file.stem.endswith("-ignored") else "applied"
        return outcome, None if outcome == expected else f"{outcome} instead of {expected}"
    if function == "check-access":
        return body.get("accessDeniedReason") or "granted", None
    errors = body.get("errors")
    return "data", f"errors: {json.dumps(errors)[:500]}" if errors or not body.get("data") else None


class Report:
    """Prints one line per file, and counts results."""

    def __init__(self):
        self.passed, self.failed, self.start = 0, 0, time.monotonic()

    def line(self, file, answer, seconds):
        outcome, error = judge(file, answer)
        name = f"{function_of(file)}/{file.stem}"
        status = answer.get("statusCode", "-") if isinstance(answer, dict) else "-"
        print(f"{'FAILED' if error else 'ok    '} {name:<58} {status} {error or outcome} ({seconds * 1000:.0f} ms)")
        self.passed, self.failed = self.passed + (not error), self.failed + bool(error)

    def end(self):
        """Prints the summary. Returns the exit code."""
        print(f"{self.passed} passed, {self.failed} failed, in {time.monotonic() - self.start:.1f} s")
        return 1 if self.failed or not self.passed else 0


@contextlib.contextmanager
def started(command, log, **options):
    """Runs a process in its own process group, and ends the group afterwards."""
    try:
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
    except OSError as error:
        raise Failure(f"{command[0]} cannot be started: {error}") from error
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)


def wait_for(process, log, ready, seconds, what):
    """Polls `ready` until it returns a true value, and returns that."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.05)
    raise Failure(f"{what} did not start:\n{tail(log)}")


def send(request, seconds):
    """Sends a request without a proxy. Returns the response's status and body."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=seconds) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()
    except OSError as error:
        return None, str(error)


def tail(log, characters=4000):
    """The end of a log."""
    return pathlib.Path(log).read_text(encoding="utf-8", errors="replace")[-characters:]


@contextlib.contextmanager
def dynamodb(address="127.0.0.1", seeded=False):
    """Runs the local stack's DynamoDB with the tables on a free port. Yields its endpoint."""
    local = [os.environ["LOCAL_STACK"]] if os.environ.get("LOCAL_STACK") else ["cargo", "run", "--quiet", "--"]
    command = [*local, "--port", "0", "--dynamodb-port", "0", "--dynamodb-address", address]
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder, "stack.log")
        # Without the variables that configure the local stack.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("BYOS_") and k != "DYNAMODB_ENDPOINT"}
        with started(command + ["--seed"] * seeded, log, cwd=ROOT, env=clean) as process:
            printed = re.compile(r"^ +DynamoDB +(http\S+)", re.MULTILINE)
            found = wait_for(process, log, lambda: printed.search(tail(log)), START_SECONDS, "the local stack")
            yield found.group(1)
