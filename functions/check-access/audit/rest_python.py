"""Runs Stigg's newest Python client, unmodified, against a running replica: its models must strictly validate every response,
and its decisions must equal those of /check-access.

    WORLD=world.json REPLICA_URL=http://127.0.0.1:8080 API_TOKEN=local-token python rest_python.py

WORLD is the file that edge.mjs writes: checks with their decisions. Exits with 1 on a difference.
"""

import asyncio
import json
import os

import stigg
from stigg import AsyncStigg, Stigg

URL = os.environ.get("REPLICA_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("API_TOKEN", "local-token")
# Raises if a response does not match the client's model.
OPTIONS = {"base_url": URL, "max_retries": 0, "_strict_response_validation": True}


def arguments_of(request):
    """The client's optional arguments for a check."""
    names = {"resourceId": "resource_id", "requestedUsage": "requested_usage", "requestedValues": "requested_values"}
    return {names[name]: value for name, value in request.items() if name in names and value is not None}


def main():
    with open(os.environ["WORLD"], encoding="utf-8") as file:
        checks = json.load(file)
    client = Stigg(api_key=TOKEN, **OPTIONS)
    scopes, granted, currencies, quirks = {}, 0, 0, 0
    for check in checks:
        request, decision = check["request"], check["decision"]
        scopes.setdefault((request["customerId"], request.get("resourceId")), []).append(check)
        one = client.v1.customers.check_entitlement(request["customerId"], feature_id=request["featureId"], **arguments_of(request)).data
        context = f"{request}: client {one}, replica {decision}"
        assert one.type == "FEATURE", context
        assert one.is_granted == decision["hasAccess"], context
        assert one.access_denied_reason == decision["accessDeniedReason"], context
        assert one.current_usage == decision["currentUsage"], context
        assert one.feature is None or one.feature.id == request["featureId"], context
        granted += one.is_granted
    listed = 0
    for (customer, resource), of_scope in scopes.items():
        arguments = {} if resource is None else {"resource_id": resource}
        data = client.v1.customers.retrieve_entitlements(customer, **arguments).data
        assert data == asyncio.run(asynchronous(customer, arguments)), (customer, resource)
        by_id = {one.feature.id: one for one in data.entitlements if one.type == "FEATURE"}
        for check in of_scope:
            if check["request"].get("requestedUsage") or check["request"].get("requestedValues"):
                continue
            shown, decision = by_id.get(check["request"]["featureId"]), check["decision"]
            assert (shown is not None and shown.is_granted) == decision["hasAccess"], (check, shown)
            if shown is not None:
                assert shown.access_denied_reason == decision["accessDeniedReason"], (check, shown)
        listed += len(by_id)
        for credit in data.entitlements:
            if credit.type != "CREDIT":
                continue
            currency = {"currency_id": credit.currency.currency_id, **arguments}
            assert client.v1.customers.check_entitlement(customer, **currency).data.to_dict() == credit.to_dict(), credit
            more = client.v1.customers.check_entitlement(customer, requested_usage=1_000, **currency).data
            paid = [check for check in of_scope if check["request"]["featureId"] == "credit paid"]
            assert not more.is_granted or any(check["decision"]["hasSoftLimit"] for check in paid), (credit, more)
            currencies += 1
        reasons = {check["decision"]["accessDeniedReason"] for check in of_scope}
        if (scope_reason := data.access_denied_reason) is not None:
            if reasons == {"CustomerResourceNotFound"}:
                quirks += 1
                reasons = {"NoActiveSubscription"}
            assert reasons == {scope_reason}, (customer, resource, reasons, scope_reason)
        else:
            assert data.entitlements, (customer, resource)

    refused(stigg.AuthenticationError, "wrong", lambda: Stigg(api_key="another", **OPTIONS).v1.customers.retrieve_entitlements("c"))
    read_only = "Stigg's own host"
    refused(stigg.APIStatusError, read_only, lambda: client.v1.customers.retrieve("c"))
    refused(stigg.APIStatusError, read_only, lambda: client.v1.customers.archive("c"))
    refused(stigg.APIStatusError, read_only, lambda: client.v1.features.list_features())
    refused(stigg.BadRequestError, read_only,
            lambda: client.v1.customers.check_entitlement("c", currency_id="c", reserve_amount=1, reservation_id="r"))
    assert granted > 80 and listed > 100 and currencies > 5, (granted, listed, currencies)
    print(
        f"stigg {stigg.__version__}: {len(checks)} decisions equal /check-access's ({granted} granted), {listed} entitlements "
        f"of {len(scopes)} scopes, {currencies} credits"
    )
    print(f"  known quirk, {quirks} times: the list's model has no CustomerResourceNotFound, so it is NoActiveSubscription")


def refused(error, message, call):
    try:
        call()
    except error as raised:
        assert message in str(raised), raised
    else:
        raise AssertionError(f"{message} was expected")


async def asynchronous(customer, arguments):
    async with AsyncStigg(api_key=TOKEN, **OPTIONS) as client:
        return (await client.v1.customers.retrieve_entitlements(customer, **arguments)).data


main()
