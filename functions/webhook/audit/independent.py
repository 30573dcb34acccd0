#!/usr/bin/env python3
"""Tests the webhook's binary against independent implementations: moto's Secrets Manager and SQS, accessed with boto3, and
signatures of the standardwebhooks package.

Runs the binary with a fake Lambda Runtime API and the local stack's DynamoDB. Requires the packages of
.ci/requirements-moto.txt and the built binary:

    cargo build --bin webhook && functions/webhook/audit/independent.py target/debug/webhook
"""

import base64
import contextlib
import datetime
import gzip
import http.server
import json
import logging
import pathlib
import queue
import sys
import tempfile
import threading
import uuid

import boto3
from moto.server import ThreadedMotoServer
from standardwebhooks import Webhook

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "scripts"))
from replica import ROOT, Failure, dynamodb, files, main, read, started, tail  # noqa: E402

ANSWER_SECONDS = 60
UNAVAILABLE = "http://127.0.0.1:1"
KEY, PREVIOUS, OTHER = ("whsec_" + base64.b64encode(bytes([n] * 32)).decode() for n in (1, 2, 3))


def run():
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1]).is_file():
        raise Failure("usage: independent.py BINARY (cargo build --bin webhook builds target/debug/webhook)")
    binary = pathlib.Path(sys.argv[1]).resolve()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        with dynamodb() as store:
            audit = Audit(binary, store, f"http://{host}:{port}")
            audit.secrets_manager()
            audit.standard_webhooks()
            audit.sqs()
    finally:
        moto.stop()
    print(f"{audit.passed} passed, {audit.failed} failed")
    return 1 if audit.failed or not audit.passed else 0


class Audit:
    def __init__(self, binary, store, aws):
        self.binary, self.store, self.aws, self.passed, self.failed = binary, store, aws, 0, 0
        self.events = [read(file) for file in files("webhook")][:3]

    def expect(self, what, actual, expected):
        passed = actual == expected
        print(f"{'ok    ' if passed else 'FAILED'} {what}" + ("" if passed else f": {actual} instead of {expected}"))
        self.passed, self.failed = self.passed + passed, self.failed + (not passed)

    def client(self, service):
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        return boto3.client(service, endpoint_url=self.aws, **keys)

    def function(self, **variables):
        """Starts the function; yields a callable that invokes it."""
        tables = {f"{table.upper()}_TABLE": f"byos-{table}" for table in ("customers", "subscriptions", "receipts")}
        common = {"DYNAMODB_ENDPOINT": self.store, "SECRETS_MANAGER_ENDPOINT": self.aws, "SQS_ENDPOINT": self.aws}
        return function(self.binary, tables | common | variables)

    def secrets_manager(self):
        manager, event = self.client("secretsmanager"), self.events[0]
        arn = manager.create_secret(Name="webhook", SecretString='{"secret":""}')["ARN"]
        with self.function(SECRET_ARN=arn) as invoke:
            self.expect("an empty secret", invoke(event)["statusCode"], 503)
        manager.put_secret_value(SecretId=arn, SecretString='{"secret":"another","previousSecret":"local-secret"}')
        with self.function(SECRET_ARN=arn) as invoke:
            self.expect("the previous secret", status_and_outcome(invoke(event)), (200, "applied"))
            self.expect("a wrong secret", invoke(with_headers(event, {"stigg-webhooks-secret": "x"}))["statusCode"], 401)
        with self.function(SECRET_ARN=arn + "-none") as invoke:
            self.expect("no secret in Secrets Manager", invoke(event)["statusCode"], 503)

    def standard_webhooks(self):
        keys = {"secret": "local-secret", "signingKey": KEY, "previousSigningKey": PREVIOUS}
        arn = self.client("secretsmanager").create_secret(Name="signed", SecretString=json.dumps(keys))["ARN"]
        now, event = datetime.datetime.now(datetime.timezone.utc), self.events[1]
        later = datetime.timedelta(minutes=6)
        with self.function(SECRET_ARN=arn) as invoke:
            for what, signed, status in [
                ("an unsigned event", event, 401),
                ("a signature by another key", sign(event, OTHER, now), 401),
                ("a signature of six minutes ago", sign(event, KEY, now - later), 401),
                ("a signature of six minutes ahead", sign(event, KEY, now + later), 401),
                ("an altered body", sign(event, KEY, now) | {"body": event["body"] + " "}, 401),
                ("a signature by the current key", sign(event, KEY, now), 200),
                ("a signature by the previous key", sign(event, PREVIOUS, now), 200),
                ("a signed body in base64", in_base64(sign(event, KEY, now)), 200),
            ]:
                self.expect(what, invoke(signed)["statusCode"], status)

    def sqs(self):
        sqs, event = self.client("sqs"), self.events[2]
        url = sqs.create_queue(QueueName="events")["QueueUrl"]
        secret = {"STIGG_WEBHOOK_SECRET": "local-secret", "QUEUE_URL": url}
        with self.function(DYNAMODB_ENDPOINT=UNAVAILABLE, **secret) as invoke:
            self.expect("an unavailable store", status_and_outcome(invoke(event)), (202, "queued"))
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        self.expect("the number of parked messages", len(messages), 1)
        parked, sent = json.loads(messages[0]["Body"]), json.loads(event["body"])
        self.expect("the parked body", gzip.decompress(base64.b64decode(parked["body"])).decode(), event["body"])
        self.expect("the parked type and messageId", (parked["type"], parked["messageId"]), (sent["type"], sent["messageId"]))
        message = {"messageId": messages[0]["MessageId"], "receiptHandle": messages[0]["ReceiptHandle"], "body": messages[0]["Body"],
                   "attributes": {}, "messageAttributes": {}, "md5OfBody": messages[0]["MD5OfBody"], "eventSource": "aws:sqs",
                   "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:events", "awsRegion": "us-east-1"}  # fmt: skip
        broken = message | {"messageId": "broken", "body": "not an event"}
        with self.function(**secret) as invoke:
            failures = invoke({"Records": [message, broken]})
            self.expect("the batch's failures", failures, {"batchItemFailures": [{"itemIdentifier": "broken"}]})
            self.expect("a redelivery of the parked event", status_and_outcome(invoke(event)), (200, "stale"))
        aside = sqs.create_queue(QueueName="set-aside")["QueueUrl"]
        invalid = event | {"body": json.dumps(sent | {"entitlements": "none", "customer": {"id": "c"}, "type": "entitlements.updated"})}
        with self.function(**secret, SET_ASIDE_QUEUE_URL=aside) as invoke:
            self.expect("an event that can't be applied", status_and_outcome(invoke(invalid)), (202, "set_aside"))
        messages = sqs.receive_message(QueueUrl=aside, MaxNumberOfMessages=10).get("Messages", [])
        body = json.loads(messages[0]["Body"])["body"]
        self.expect("the body set aside", gzip.decompress(base64.b64decode(body)).decode(), invalid["body"])
        with self.function(DYNAMODB_ENDPOINT=UNAVAILABLE, **(secret | {"QUEUE_URL": url + "-none"})) as invoke:
            self.expect("neither a store nor a queue", invoke(event)["statusCode"], 503)


def status_and_outcome(answer):
    return answer["statusCode"], json.loads(answer["body"]).get("outcome")


def with_headers(event, headers):
    return event | {"headers": event["headers"] | headers}


def in_base64(event):
    return event | {"body": base64.b64encode(event["body"].encode()).decode(), "isBase64Encoded": True}


def sign(event, key, at):
    """The event with a signature by the standardwebhooks package."""
    message = f"msg_{uuid.uuid4()}"
    signature = Webhook(key).sign(msg_id=message, timestamp=at, data=event["body"])
    headers = {"webhook-id": message, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    return with_headers(event, headers)


@contextlib.contextmanager
def function(binary, variables):
    """Runs the binary with a fake Runtime API; yields a callable that sends an event and returns the response."""
    events, answers = queue.Queue(), queue.Queue()

    class RuntimeApi(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = json.dumps(events.get()).encode()
            self.send_response(200)
            self.send_header("lambda-runtime-aws-request-id", str(uuid.uuid4()))
            self.send_header("lambda-runtime-deadline-ms", str(int(datetime.datetime.now().timestamp() * 1000) + 28_000))
            self.send_header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:webhook")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            answer = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or "null")
            answers.put(answer if self.path.endswith("/response") else Failure(f"the function reported {answer}"))
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    def invoke(event):
        events.put(event)
        try:
            answer = answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise Failure(f"the function did not answer:\n{tail(log)}") from None
        if isinstance(answer, Failure):
            raise answer
        return answer

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """Ignored: the function's connection breaks when its process ends."""

    server = Server(("127.0.0.1", 0), RuntimeApi)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = variables | {
        "AWS_LAMBDA_RUNTIME_API": "%s:%d" % server.server_address,
        "AWS_LAMBDA_FUNCTION_NAME": "webhook",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_REGION": "us-east-1",
    }
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder, "webhook.log")
        try:
            with started([binary], log, cwd=ROOT, env=variables):
                yield invoke
        finally:
            server.shutdown()
            server.server_close()


main(run)
