#!/usr/bin/env python3
"""Holds test data to Stigg's own models, those of its Python client (PyPI: stigg-api-client-v2): the states of
the fake of its API, and the events of events/. The client has no models of events, so what an event says is
put into the words of the API first."""

import json
import pathlib
import sys

from pydantic import ValidationError
from stigg.generated import GetEntitlementsState
from stigg.generated.enums import PaymentCollection, SubscriptionStatus

ROOT = pathlib.Path(__file__).resolve().parents[2]
PERIOD = ("usagePeriodAnchor", "usagePeriodStart", "usagePeriodEnd", "resetPeriod")
# GraphQL's union for each reset period, and the member that says what an event calls accordingTo.
RESETS = {"MONTH": "Monthly", "WEEK": "Weekly", "YEAR": "Yearly"}


def stand_in_states():
    """The state that every response of the fake is made from, with its entitlements in both lists."""
    state = json.loads((ROOT / "cli/tests/commands/import/state.json").read_text())
    features = [entitlement | {"__typename": "FeatureEntitlement"} for entitlement in state["entitlements"]]
    yield "cli/tests/commands/import/state.json", state | {"entitlementsV2": features + state["entitlementsV2"]}


def feature(sent):
    meter = {"INCREMENTAL": "Incremental", "FLUCTUATING": "Fluctuating", "NONE": "None"}
    return {
        "__typename": "EntitlementFeature",
        "refId": sent["id"],
        "displayName": sent.get("name"),
        "description": sent.get("description"),
        "featureType": sent.get("featureType"),
        "meterType": sent.get("meterType") and meter[sent["meterType"].upper()],
        "featureUnits": sent.get("unit"),
        "featureUnitsPlural": sent.get("units"),
    }


def reset_configuration(sent):
    configuration, period = sent.get("resetPeriodConfiguration"), RESETS.get(sent.get("resetPeriod"))
    if not configuration or not period:
        return None
    return {"__typename": f"{period}ResetPeriodConfig", f"{period.lower()}AccordingTo": configuration["accordingTo"]}


def entitlement(sent, typename="FeatureEntitlement"):
    numbers = ("usageLimit", "hasSoftLimit", "currentUsage", "enumValues", *PERIOD)
    balance = sent.get("creditBalance")
    return {
        "__typename": typename,
        "isGranted": True,
        "hasUnlimitedUsage": sent.get("hasUnlimitedUsage", False),
        **{name: sent.get(name) for name in numbers},
        "resetPeriodConfiguration": reset_configuration(sent),
        "feature": feature(sent["feature"]),
        "creditRate": balance and {"amount": 1, "currencyId": balance["creditCurrency"]["id"]},
    }


def wallet(balance):
    currency = balance["creditCurrency"]
    return {
        "__typename": "CreditEntitlement",
        "isGranted": True,
        "currency": {"currencyId": currency["id"], "displayName": currency["name"], "description": currency.get("description")},
        "usageLimit": balance["totalGranted"],
        "currentUsage": balance["totalGranted"] - balance["remainingBalance"],
        "hasSoftLimit": False,
    }


def state(entitlements, wallets=()):
    return {
        "__typename": "EntitlementsState",
        "entitlements": [entitlement(sent, "Entitlement") for sent in entitlements],
        "entitlementsV2": [entitlement(sent) for sent in entitlements] + [wallet(balance) for balance in wallets],
        "accessDeniedReason": None if entitlements or wallets else "NoActiveSubscription",
    }


def event_states():
    """What each event of events/ says of entitlements, as a state."""
    for file in sorted((ROOT / "events/webhook").glob("*.json")):
        event = json.loads(json.loads(file.read_text())["body"])
        kind = event["type"]
        if kind == "entitlements.updated":
            sent = event["entitlements"]
            yield file.name, state(sent, [one["creditBalance"] for one in sent if one.get("creditBalance")])
        elif kind in ("measurement.reported", "entitlement.usage_exceeded"):
            yield file.name, state([event])
        elif kind.startswith("credit_balance."):
            yield file.name, state([], [event])
        elif kind.startswith("subscription."):
            SubscriptionStatus(event["status"])
            if event.get("paymentCollection"):
                PaymentCollection(event["paymentCollection"])


def main():
    states = [*stand_in_states(), *event_states()]
    failed = 0
    for name, said in states:
        try:
            read = GetEntitlementsState.model_validate({"entitlementsState": said}).entitlements_state
            assert len(read.entitlements_v_2) == len(said["entitlementsV2"])
        except ValidationError as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr)
    print(f"{len(states) - failed} of {len(states)} states are accepted by Stigg's models")
    return 1 if failed or len(states) < 8 else 0


sys.exit(main())
