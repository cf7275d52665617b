"""The commands of all documents that need systems, document by document in one shell, against the local stack.

A document names these: `orderphase-prod` for the deployed stack, `http://127.0.0.1:8787` for its front door, "$ORDER_ID" and
"$CONTRACT_ID" for an order that is billed and its contract, "$secret" for the webhook's secret, and the stack's outputs by
their names. The secrets behind the outputs are copies: what a document writes into them harms nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.build import ROOT
from sandbox.stack import STACK_NAME, LocalStack
from tests.documents import session
from tests.documents.blocks import claimed
from tests.stack.company import DEADLINE, Company

pytestmark = pytest.mark.stack

AWS = ROOT / ".tools" / "aws" / "bin" / "aws"

CALLED = "orderphase-prod"
FRONT_DOOR = "http://127.0.0.1:8787"


@pytest.fixture(scope="module")
def secrets(stack: LocalStack) -> Iterator[dict[str, str]]:
    """A copy of each secret of the stack, by the name of its output."""
    manager = stack.aws("secretsmanager")
    copies = {}
    for output, secret in stack.outputs.items():
        if output.endswith("SecretArn"):
            known = manager.get_secret_value(SecretId=secret)["SecretString"]
            copies[output] = manager.create_secret(Name=f"documents/{output}", SecretString=known)["ARN"]
    yield copies
    made = [one["Name"] for one in manager.list_secrets()["SecretList"] if one["Name"].startswith(f"{STACK_NAME}/stripe/")]
    for secret in (*copies.values(), *made):
        manager.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)


@pytest.fixture(scope="module")
def variables(stack: LocalStack, secrets: dict[str, str]) -> dict[str, str]:
    """What the documents name, and where the stack's AWS is."""
    company = Company(stack)
    order = company.sell(company.account(), company.entry())
    contract = company.synced(order)["ContractId"]
    # A command that names no stack means the local one in its folder, which this one is not in.
    named = {"ORDERPHASE_STACK": STACK_NAME, "secret": stack.webhook_secret}
    known = {"ORDER_ID": order, "CONTRACT_ID": contract, **named}
    return {**stack.local_aws.environment(), **stack.outputs, **secrets, **known}


@pytest.mark.parametrize("document", sorted({block.document for block in claimed("stack")}), ids=lambda path: path.name)
def test_the_commands_of_a_document_do_what_it_says(
    stack: LocalStack, variables: dict[str, str], document: Path, tmp_path: Path
) -> None:
    folder = session.folder_like_the_root(tmp_path)
    (folder / "bin").mkdir()
    (folder / "bin" / "aws").symlink_to(AWS)
    environment = variables | {"PATH": f"{folder / 'bin'}:/usr/local/bin:/usr/bin:/bin"}
    blocks = [block for block in claimed("stack") if block.document == document]
    session.run(blocks, folder, environment, {CALLED: STACK_NAME, FRONT_DOOR: stack.url})
    # What the commands have queued is nothing that another test expects.
    stack.settle(DEADLINE)
