"""State and country picklists: the code and the name of a country or state in an address go together.

Salesforce, help "State and Country/Territory Picklist Field-Syncing Logic": a new code sets the name and a new name the code;
a code and a name that do not agree are refused on update, and on creation the code wins; a removed country takes its state
along; a state is one of its country. The codes' refusal is worded as third parties report it, the other texts are inferred.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from sandbox.salesforce_emulator.errors import SalesforceError, field_integrity
from sandbox.salesforce_emulator.values import Value

COUNTRIES: Mapping[str, str] = {
    "AU": "Australia", "AT": "Austria", "BE": "Belgium", "BR": "Brazil", "CA": "Canada", "CN": "China", "DE": "Germany",
    "DK": "Denmark", "ES": "Spain", "FR": "France", "GB": "United Kingdom", "IE": "Ireland", "IN": "India", "IT": "Italy",
    "JP": "Japan", "MX": "Mexico", "NL": "Netherlands", "PT": "Portugal", "SE": "Sweden", "CH": "Switzerland",
    "US": "United States",
}  # fmt: skip
STATES: Mapping[str, Mapping[str, str]] = {
    "AU": {"NSW": "New South Wales", "QLD": "Queensland", "VIC": "Victoria", "WA": "Western Australia"},
    "CA": {"AB": "Alberta", "BC": "British Columbia", "ON": "Ontario", "QC": "Quebec"},
    "US": {"CA": "California", "IL": "Illinois", "NY": "New York", "TX": "Texas", "WA": "Washington"},
}


def agree(new: dict[str, Value], given: AbstractSet[str], *, created: bool) -> None:
    """Let the codes and names in a row's addresses agree, where it has codes. FIELD_INTEGRITY_EXCEPTION where they cannot."""
    for kind in ("Billing", "Shipping"):
        country, state = f"{kind}Country", f"{kind}State"
        if f"{country}Code" not in new:
            continue
        _agree(new, given, country, COUNTRIES, "country/territory", created=created)
        code = new[f"{country}Code"]
        if code is None and not {state, f"{state}Code"} & given:
            new[state] = new[f"{state}Code"] = None
        _agree(new, given, state, STATES.get(str(code), {}), "state", created=created)
        kept = new[f"{state}Code"]
        if kept is not None and kept not in STATES.get(str(code), {}):
            raise _unavailable(f"{state}Code", str(kept), "state")


def _agree(
    new: dict[str, Value], given: AbstractSet[str], name: str, table: Mapping[str, str], what: str, *, created: bool
) -> None:
    code = f"{name}Code"
    given_code = str(new[code]).upper() if code in given and new[code] is not None else None
    given_name = str(new[name]) if name in given and new[name] is not None else None
    if given_code is not None:
        if given_code not in table:
            raise _unavailable(code, str(new[code]), what)
        if given_name is not None and not created and given_name.casefold() != table[given_code].casefold():
            raise field_integrity(f"{code} and {name} name different values.", code, name)
        new[code], new[name] = given_code, table[given_code]
    elif given_name is not None:
        found = next((key for key, each in table.items() if each.casefold() == given_name.casefold()), None)
        if found is None:
            raise _unavailable(name, given_name, what)
        new[code], new[name] = found, table[found]
    elif {code, name} & given:
        new[code] = new[name] = None


def _unavailable(field: str, value: str, what: str) -> SalesforceError:
    return field_integrity(f"The {field} field contains {value}, which isn't an available {what}.", field)
