"""Runs OpenFeature's Python SDK with its OFREP provider, unmodified, against a running replica, and compares the flags with
the decisions of /check-access.

    WORLD=world.json REPLICA_URL=http://127.0.0.1:8080 API_TOKEN=local-token python openfeature_python.py

WORLD is the file that edge.mjs writes: checks with their decisions. Exits with 1 on a difference.
"""

import json
import os

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

URL = os.environ.get("REPLICA_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("API_TOKEN", "local-token")


def main():
    with open(os.environ["WORLD"], encoding="utf-8") as file:
        checks = json.load(file)
    api.set_provider(OFREPProvider(URL, headers_factory=lambda: {"Authorization": f"Bearer {TOKEN}"}))
    client, granted, numbers = api.get_client(), 0, 0
    for check in checks:
        attributes, decision = dict(check["request"]), check["decision"]
        customer, feature = attributes.pop("customerId"), attributes.pop("featureId")
        context = EvaluationContext(targeting_key=customer, attributes=attributes)
        details = client.get_boolean_details(feature, not decision["hasAccess"], context)
        message = f"{check['request']}: SDK {details}, replica {decision}"
        assert details.value == decision["hasAccess"], message
        assert details.variant == (decision["accessDeniedReason"] or "granted"), message
        granted += details.value
        if decision["currentUsage"] is not None:
            usage = client.get_float_value(f"{feature}.usage", -1.0, context)
            assert usage == decision["currentUsage"], f"{usage}, {message}"
            numbers += 1
    print(f"openfeature-provider-ofrep: {len(checks)} decisions equal /check-access's ({granted} granted), {numbers} usages")


main()
