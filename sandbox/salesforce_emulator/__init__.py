"""An emulator of a Salesforce org with Orders, for tests and the local stack.

`SalesforceEmulator` is served by `sandbox.serving.Server`. `SalesforceError` is what its Python methods raise; `Field`
describes a custom field to add.
"""

from sandbox.salesforce_emulator.emulator import SalesforceEmulator
from sandbox.salesforce_emulator.errors import SalesforceError
from sandbox.salesforce_emulator.schema import Field

__all__ = ["Field", "SalesforceEmulator", "SalesforceError"]
