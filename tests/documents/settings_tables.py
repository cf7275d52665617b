"""The tables of docs/configuration.md: parameters, environment variables and secrets, of the template and the settings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from orderphase import settings
from sandbox.build import FLOWS
from tests.documents.described import meaning
from tests.documents.made import code, link, table
from tests.template.cloudformation import load

TEMPLATE = load()

EACH_FLOW = "each flow"
FUNCTIONS: dict[str, tuple[tuple[type[BaseModel], ...], str]] = {
    "SalesforceWebhookFunction": ((settings.WebhookSettings,), "salesforce_webhook"),
    "StripeWebhookFunction": ((settings.StripeWebhookSettings,), "stripe_webhook"),
    "EventBusFunction": ((settings.EventBusSettings, settings.WorkerSettings), "event_bus"),
    **{f"{flow}Function": ((settings.FlowSettings, settings.WorkerSettings), EACH_FLOW) for flow in FLOWS},
    "RollingWindowFunction": ((settings.RollingWindowSettings,), "rolling_window"),
    "PollFunction": ((settings.FlowSettings, settings.PollSettings), "poll"),
    "ReconciliationSweepFunction": ((settings.SweepSettings,), "reconciliation_sweep"),
    "RecoveryFunction": ((settings.FlowSettings, settings.RecoverySettings), "recovery"),
}
"""What each function reads below ORDERPHASE_, and what the documents call it."""

AS_EACH_FLOW = ("poll", "recovery")
"""What these have from the flows' settings is listed once, with the flows."""

SECRETS: dict[str, type[BaseModel]] = {
    "SalesforceWebhookSecret": settings.WebhookSecrets,
    "SalesforceSecret": settings.SalesforceCredentials,
    "StripeSecret": settings.StripeCredentials,
}

NEEDED_FOR = {
    "SALESFORCE_ORG_ID": "for Outbound Messages and AppFlow",
    "SALESFORCE_OUTBOUND_TOKEN": "for Outbound Messages",
    "SALESFORCE_CLIENT_SECRET": "for client credentials",
    "SALESFORCE_USERNAME": "for JWT bearer",
    "SALESFORCE_PRIVATE_KEY": "for JWT bearer",
    "STRIPE_WEBHOOK_SECRET": "for Stripe's events",
}
"""What a key of a secret is for that is not needed everywhere."""

VALUES = {
    "Stage": "2 to 16 small letters and digits",
    "LogRetentionDays": "as CloudWatch allows",
    "AlarmTopicArn": "an SNS topic",
    "OrderAlarmTopicArn": "an SNS topic",
    "StripeAccount": "up to 16 small letters, digits, `_`, `-`",
    "MoreStripeAccounts": "names, commas between them; 50 characters",
    "SalesforceEventSource": "`aws.partner/salesforce.com/…` or `aws.partner/appflow…`, 80 characters",
    "StripeEventSource": "`aws.partner/stripe.com/ed_…`",
    "AllowedSources": "CIDR blocks of IPv4, commas between them; 2000 characters",
    "WebAclArn": "a regional web ACL of WAF",
    "DefaultCurrency": "ISO 4217",
    "TimeZone": "IANA name",
}
"""What a parameter takes, where its pattern says it to machines alone."""

SEE = {
    "GradualDeployment": "[Gradual deployment](deploying.md#gradual-deployment)",
    "MoreStripeAccounts": link("Several Stripe accounts"),
    "IgnoreOwnEvents": link("Loop guard"),
    "AdoptExisting": "[Moving over](moving-over.md)",
}
"""Where more is told."""


def parameters() -> str:
    """Every parameter of the template."""
    rows = []
    for name, given in TEMPLATE["Parameters"].items():
        more = f" See {SEE[name]}." if name in SEE else ""
        rows.append([code(name), code(given["Default"]), values_of(name, given), _emphasised(given["Description"]) + more])
    return table(["Parameter", "Default", "Values", "Meaning"], rows)


def values_of(name: str, given: dict[str, Any]) -> str:
    """What a parameter takes, in words. Raises LookupError where nothing says it."""
    if name in VALUES:
        return VALUES[name]
    if "AllowedValues" in given:
        return ", ".join(code(value) for value in given["AllowedValues"])
    if "MinValue" in given:
        return f"{given['MinValue']} to {given['MaxValue']}" if "MaxValue" in given else f"{given['MinValue']} or more"
    raise LookupError(f"parameter {name}: say what it takes in VALUES (tests/documents/settings_tables.py)")


def secrets() -> str:
    """Every key of every secret."""
    rows = []
    for secret, model in SECRETS.items():
        for field, given in model.model_fields.items():
            key = str(given.alias)
            needed = "yes" if given.is_required() else NEEDED_FOR.get(key, "no")
            rows.append([code(secret), code(key), needed, meaning(model, field)])
    return table(["Secret", "Key", "Needed", "Meaning"], rows)


def environment() -> str:
    """Every variable of every function, and what the template sets it from."""
    shared = {str(field.alias) for field in settings.FlowSettings.model_fields.values()} | {"ORDERPHASE_PROGRESS_TABLE"}
    rows: dict[tuple[str, str], str] = {}
    for function, (_, called) in FUNCTIONS.items():
        for variable, value in TEMPLATE["Resources"][function]["Properties"]["Environment"]["Variables"].items():
            if variable != "POWERTOOLS_SERVICE_NAME" and not (called in AS_EACH_FLOW and variable in shared):
                rows[variable, called] = source_of(value)
    rows["ORDERPHASE_DEAD_LETTER_QUEUE", EACH_FLOW] = "the flow's dead-letter queue"
    for variable, value in TEMPLATE["Globals"]["Function"]["Environment"]["Variables"].items():
        rows[variable, "all"] = source_of(value)
    rows["POWERTOOLS_SERVICE_NAME", "all"] = "the function's name"
    plain = ("all", EACH_FLOW)
    listed = [
        [code(variable), called if called in plain else code(called), source] for (variable, called), source in rows.items()
    ]
    return table(["Variable", "Function", "From"], listed)


def source_of(value: Any) -> str:
    """What a variable is set from, in words."""
    if not isinstance(value, dict):
        return code(value)
    if "Fn::If" in value:
        condition, chosen, otherwise = value["Fn::If"]
        switch, state = TEMPLATE["Conditions"][condition]["Fn::Equals"]
        if (otherwise, state) != ("", "on"):
            raise LookupError(f"{condition}: is no switch of a flow")
        return f"{source_of(chosen)}, empty while `{switch['Ref']}` is off"
    if "Fn::Sub" in value:
        return code(value["Fn::Sub"].replace("${AWS::StackName}", "<stack>"))
    name = value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]
    if name in TEMPLATE["Parameters"]:
        return f"parameter `{name}`"
    kinds = {"AWS::SecretsManager::Secret": "secret", "AWS::DynamoDB::Table": "table", "AWS::SQS::Queue": "queue"}
    return f"{kinds[TEMPLATE['Resources'][name]['Type']]} `{name}`"


def _emphasised(text: str) -> str:
    """Where the template can only write large, the page can print bold."""
    return text.replace("It BILLS what it finds", "**It bills what it finds**")
