"""Runs Stigg's Python client, unmodified, against a running replica: its strict models must parse every document, and its
decisions must equal those of /check-access.

    WORLD=world.json REPLICA_URL=http://127.0.0.1:8080 API_TOKEN=local-token python edge_python.py

WORLD is the file that edge.mjs writes: checks with their decisions. Exits with 1 on a difference.
"""

import asyncio
import json
import os

from stigg import Stigg
from stigg.generated import (
    FetchEntitlementQuery,
    FetchEntitlementsQuery,
    GetActiveSubscriptionsInput,
    GraphQLClientHttpError,
    EntitlementOptions,
)

URL = os.environ.get("REPLICA_URL", "http://127.0.0.1:8080")
TOKEN = os.environ.get("API_TOKEN", "local-token")
# Stigg's other APIs: an address where nobody listens.
STIGG = "http://127.0.0.1:1/graphql"


def client(key=TOKEN):
    return Stigg.create_client(api_key=key, api_url=STIGG, edge_api_url=URL)


def reason(entitlement):
    return entitlement.access_denied_reason and entitlement.access_denied_reason.value


def main():
    with open(os.environ["WORLD"], encoding="utf-8") as file:
        checks = json.load(file)
    stigg = client()
    scopes, quirks, granted, features, credits, subscriptions = {}, 0, 0, 0, 0, 0
    for check in checks:
        request, decision = check["request"], check["decision"]
        scopes.setdefault((request["customerId"], request.get("resourceId")), []).append(check)
        if request.get("requestedValues"):
            # The Edge API has no parameter for values.
            continue
        query = FetchEntitlementQuery(
            customer_id=request["customerId"],
            resource_id=request.get("resourceId"),
            feature_id=request["featureId"],
            options=EntitlementOptions(requested_usage=request.get("requestedUsage")),
        )
        entitlement = stigg.get_entitlement(query).entitlement
        context = f"{request}: client {entitlement}, replica {decision}"
        assert entitlement.is_granted == decision["hasAccess"], context
        assert reason(entitlement) == decision["accessDeniedReason"], context
        granted += entitlement.is_granted
    for (customer, resource), of_scope in scopes.items():
        query = FetchEntitlementsQuery(customer_id=customer, resource_id=resource)
        listed = stigg.get_entitlements(query).entitlements
        state = stigg.get_entitlements_state(query).entitlements_state
        assert state == asyncio.run(asynchronous(query)), query
        v2 = [one for one in state.entitlements_v_2 if one.typename__ == "FeatureEntitlement"]
        assert [one.feature.ref_id for one in listed] == [one.feature.ref_id for one in v2], query
        by_id = {one.feature.ref_id: one for one in listed}
        for check in of_scope:
            if check["request"].get("requestedUsage") or check["request"].get("requestedValues"):
                continue
            shown, decision = by_id.get(check["request"]["featureId"]), check["decision"]
            assert (shown is not None and shown.is_granted) == decision["hasAccess"], (check, shown)
            if shown is not None:
                assert reason(shown) == decision["accessDeniedReason"], (check, shown)
        features += len(listed)
        credits += len(state.entitlements_v_2) - len(v2)
        # The reason for denying all features of the scope. The client's model has no CustomerResourceNotFound.
        reasons = {check["decision"]["accessDeniedReason"] for check in of_scope}
        if (scope_reason := state.access_denied_reason) is not None:
            if reasons == {"CustomerResourceNotFound"}:
                quirks += 1
                reasons = {"NoActiveSubscription"}
            assert reasons == {scope_reason.value}, (query, reasons, scope_reason)
        else:
            assert listed, query
        request = GetActiveSubscriptionsInput(customer_id=customer, resource_id=resource)
        subscriptions += len(stigg.get_active_subscriptions_list(request).get_active_subscriptions)
    try:
        client("another-token").get_entitlements(query)
        raise AssertionError("a wrong key was accepted")
    except GraphQLClientHttpError as error:
        assert error.status_code == 401, error
    assert granted > 80 and features > 100 and credits > 5 and subscriptions > 5, (granted, features, credits, subscriptions)
    print(
        f"stigg-api-client-v2: {len(checks)} decisions equal /check-access's ({granted} granted), {features} entitlements of "
        f"{len(scopes)} scopes, {credits} credits, {subscriptions} subscriptions"
    )
    print(f"  known quirk, {quirks} times: the state's model has no CustomerResourceNotFound, so it is NoActiveSubscription")


async def asynchronous(query):
    stigg = Stigg.create_async_client(api_key=TOKEN, api_url=STIGG, edge_api_url=URL)
    return (await stigg.get_entitlements_state(query)).entitlements_state


main()
