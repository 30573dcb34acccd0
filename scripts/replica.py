"""What the scripts beside this file share: the files of events/, what each must be answered with, and the
local stack's DynamoDB."""

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
# In the order in which they make sense: what the readers are asked holds after the sample events.
FUNCTIONS = {"webhook": "WebhookFunction", "check-access": "CheckAccessFunction", "graphql": "GraphqlFunction"}
# The first build of the local stack takes some minutes.
START_SECONDS = 1200


class Failure(Exception):
    """Something that the person at the terminal is told in a line."""


def main(run):
    """Runs `run`, which answers with an exit code. What it started ends with it, on a signal too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(line_buffering=True)
    try:
        sys.exit(run())
    except Failure as failure:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


def files(function):
    """The files of a function, the webhook's in order."""
    return sorted((ROOT / "events" / function).glob("*.json"))


def function_of(file):
    """The function that a file of events/ is for, which its folder tells."""
    if file.parent.name not in FUNCTIONS:
        raise Failure(f"{file} lies in no folder of events/ that is named after a function")
    return file.parent.name


def read(file):
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{file} cannot be read: {error}") from error


def environment(dynamodb):
    """The functions' environment of events/env.json, with another DynamoDB."""
    variables = read(ROOT / "events" / "env.json")["Parameters"]
    if "DYNAMODB_ENDPOINT" not in variables:
        raise Failure("events/env.json names no DYNAMODB_ENDPOINT that could be replaced")
    return variables | {"DYNAMODB_ENDPOINT": dynamodb}


def judge(file, answer):
    """A word on the answer, and what is wrong with it or None."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return "", f"no answer of HTTP's form: {json.dumps(answer)[:500]}"
    function, status, body = function_of(file), answer["statusCode"], answer.get("body") or ""
    expected = 403 if function == "check-access" and file.name.startswith("denied") else 200
    if status != expected:
        return "", f"in place of {expected}: {body[:500]}"
    if file.name == "graphiql.json":
        return "a page", None if "<html" in body else "no page"
    try:
        body = json.loads(body)
    except ValueError:
        return "", f"no JSON: {body[:500]}"
    if function == "webhook":
        word, due = body.get("outcome"), "ignored" if file.stem.endswith("-ignored") else "applied"
        return word, None if word == due else f"{word} in place of {due}"
    if function == "check-access":
        return body.get("accessDeniedReason") or "granted", None
    errors = body.get("errors")
    return "data", f"errors: {json.dumps(errors)[:500]}" if errors or not body.get("data") else None


class Report:
    """Prints a line a file, and counts."""

    def __init__(self):
        self.passed, self.failed, self.start = 0, 0, time.monotonic()

    def line(self, file, answer, seconds):
        word, wrong = judge(file, answer)
        name = f"{function_of(file)}/{file.stem}"
        status = answer.get("statusCode", "-") if isinstance(answer, dict) else "-"
        print(f"{'FAILED' if wrong else 'ok    '} {name:<58} {status} {wrong or word} ({seconds * 1000:.0f} ms)")
        self.passed, self.failed = self.passed + (not wrong), self.failed + bool(wrong)

    def end(self):
        """The summary, and the exit code."""
        print(f"{self.passed} as expected, {self.failed} not, in {time.monotonic() - self.start:.1f} s")
        return 1 if self.failed or not self.passed else 0


@contextlib.contextmanager
def started(command, log, **options):
    """A process in a group of its own, which is ended with all that it started."""
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
        for kind, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, kind)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)


def wait_for(process, log, ready, seconds, what):
    """Waits until `ready` answers something, and returns it."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.05)
    raise Failure(f"{what} did not start:\n{tail(log)}")


def send(request, seconds):
    """The status and the body of the answer, from this machine itself whatever proxy is set."""
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
    """The local stack's DynamoDB on a free port, with the tables: its endpoint."""
    local = [os.environ["LOCAL_STACK"]] if os.environ.get("LOCAL_STACK") else ["cargo", "run", "--quiet", "--"]
    command = [*local, "--port", "0", "--dynamodb-port", "0", "--dynamodb-address", address]
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder, "stack.log")
        # The variables of its options would have it do something else.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("BYOS_") and k != "DYNAMODB_ENDPOINT"}
        with started(command + ["--seed"] * seeded, log, cwd=ROOT, env=clean) as process:
            told = re.compile(r"^ +DynamoDB +(http\S+)", re.MULTILINE)
            found = wait_for(process, log, lambda: told.search(tail(log)), START_SECONDS, "the local stack")
            yield found.group(1)
