"""What the parameter check refuses, from Python and from a form, and that it knows the SDK's own types."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe_emulator import StripeError, check, forms, modelled, parameters
from sandbox.stripe_emulator.parameters import Either, Fields, Free, Sequence, Shape

CREATE = "subscription_schedules.create"


def schedule(**phase: Any) -> dict[str, Any]:
    """A schedule that is in order, but for what its only phase is given."""
    return {
        "customer": "cus_1",
        "start_date": "now",
        "end_behavior": "cancel",
        "phases": [{"items": [{"price": "price_1", "quantity": 2}], "end_date": 2_000_000_000, **phase}],
    }


def test_a_complete_request_passes() -> None:
    check(CREATE, schedule(discounts=[{"coupon": "c"}], metadata={"k": ""}, description="D", proration_behavior="none"))
    check("prices.create", {"product": "p", "currency": "usd", "unit_amount_decimal": Decimal("14.285714285714")})
    check("coupons.create", {"percent_off": 10, "duration": "forever"})
    check("customers.update", {"address": "", "metadata": {"k": ""}})
    check("prices.list", {"lookup_keys": ["a"], "created": {"gte": 1}})
    check("invoices.create_preview", {"customer": "cus_1", "schedule_details": {"end_behavior": "cancel"}})


@pytest.mark.parametrize(
    ("operation", "params", "message", "param"),
    [
        (CREATE, schedule(iterations=1), "Received unknown parameter: phases[0][iterations]", "phases[0][iterations]"),
        (CREATE, schedule(coupon="c"), "Received unknown parameter: phases[0][coupon]", "phases[0][coupon]"),
        (CREATE, schedule(start_date=1), "Received unknown parameter: phases[0][start_date]", "phases[0][start_date]"),
        (CREATE, schedule(items=[{"prise": "p"}]), "Received unknown parameter", "phases[0][items][0][prise]"),
        (CREATE, schedule() | {"a": 1, "b": 2}, "Received unknown parameters: a, b", "a"),
        (CREATE, schedule() | {"phases": [{}]}, "Missing required param: phases[0][items].", "phases[0][items]"),
        (CREATE, schedule() | {"phases": []}, "Missing required param: phases.", "phases"),
        (CREATE, {"start_date": "now"}, "Missing required param: customer.", "customer"),
        (CREATE, schedule(items=[]), "Missing required param: phases[0][items].", "phases[0][items]"),
        (CREATE, schedule(items=[{}]), "Missing required param", "phases[0][items][0][price]"),
        (CREATE, schedule() | {"end_behavior": "zzz"}, "must be one of cancel, none, release, or renew", "end_behavior"),
        (CREATE, schedule() | {"start_date": "tomorrow"}, "start_date", "start_date"),
        (CREATE, schedule(items=[{"price": "p", "quantity": "1"}]), "Invalid integer: 1", "phases[0][items][0][quantity]"),
        (CREATE, schedule(items=[{"price": "p", "quantity": True}]), "Invalid integer", "phases[0][items][0][quantity]"),
        (
            CREATE,
            schedule(items=[{"price": "p", "quantity": -1}]),
            "greater than or equal to 0",
            "phases[0][items][0][quantity]",
        ),
        (CREATE, schedule(metadata={"k": 1}), "Metadata values must be strings", "phases[0][metadata][k]"),
        (CREATE, schedule(collection_method=""), "You passed an empty string", "phases[0][collection_method]"),
        (CREATE, schedule() | {"customer": None}, "Invalid string: None", "customer"),
        (CREATE, schedule(items={"price": "p"}), "Invalid array", "phases[0][items]"),
        (CREATE, schedule(duration=3), "Invalid object", "phases[0][duration]"),
        (CREATE, schedule(duration={"interval": "year"}), "You may only specify one of", "phases[0]"),
        (CREATE, schedule(discounts=[{}]), "Missing required param", "phases[0][discounts][0][coupon]"),
        (CREATE, schedule(discounts=[{"coupon": "c", "discount": "d"}]), "You may only specify one", "phases[0][discounts][0]"),
        (CREATE, schedule(discounts=[{"coupon": "c"}] * 21), "at most 20 discounts", "phases[0][discounts]"),
        (CREATE, schedule(items=[{"price": f"p{n}"} for n in range(21)]), "maximum 20 items", "phases[0][items]"),
        (CREATE, schedule(items=[{"price": "p"}] * 2), "same plan: p", "phases[0][items][1][price]"),
        (CREATE, schedule(add_invoice_items=[{"price": "p"}] * 21), "at most 20", "phases[0][add_invoice_items]"),
        (CREATE, schedule() | {"phases": schedule()["phases"] * 11}, "at most 10", "phases"),
        (CREATE, schedule() | {"start_date": 2_000_000_000}, "must be after its `start_date`", "phases[0][end_date]"),
        (CREATE, schedule(end_date=1_900_000_000_000), "Invalid timestamp", "phases[0][end_date]"),
        (CREATE, schedule(collection_method="send_invoice"), "days_until_due", "phases[0][invoice_settings][days_until_due]"),
        (CREATE, schedule() | {"from_subscription": "sub_1"}, "You cannot set `phases` if", "phases"),
        (CREATE, schedule() | {"customer_account": "a"}, "You may only specify one", "customer"),
        (
            CREATE,
            schedule(items=[{"price": "p", "plan": "p"}]),
            "specify one of these parameters: price, plan.",
            "phases[0][items][0]",
        ),
        (
            CREATE,
            schedule(invoice_settings={"days_until_due": 0}),
            "or equal to 1",
            "phases[0][invoice_settings][days_until_due]",
        ),
        (
            CREATE,
            {**schedule(), "phases": [{"items": [{"price": "p"}], "duration": {"interval": "day", "interval_count": 0}}]},
            "or equal to 1",
            "phases[0][duration][interval_count]",
        ),
        (CREATE, schedule() | {"metadata": []}, "Invalid object", "metadata"),
        ("subscription_schedules.update", schedule(), "Received unknown parameters: customer, start_date", "customer"),
        ("subscription_schedules.update", {"phases": schedule()["phases"]}, "missing at least one phase", "phases"),
        ("subscription_schedules.update", {"phases": []}, "Missing required param", "phases"),
        (
            "subscription_schedules.update",
            {"phases": [{"items": [{"price": "p"}], "start_date": 9, "end_date": 9}]},
            "must be after",
            "phases[0][end_date]",
        ),
        ("prices.create", {"currency": "usd", "unit_amount": 1}, "Missing required param", "product"),
        (
            "prices.create",
            {"product": "p", "product_data": {"name": "P"}, "currency": "usd", "unit_amount": 1},
            "You may only specify one",
            "product",
        ),
        (
            "prices.create",
            {"product": "p", "currency": "usd", "unit_amount": 1, "recurring": {"interval": "month", "interval_count": 0}},
            "or equal to 1",
            "recurring[interval_count]",
        ),
        ("prices.update", {"lookup_key": "k" * 201}, "up to 200 characters", "lookup_key"),
        ("prices.list", {"lookup_keys": ["k"] * 11}, "up to 10 lookup keys", "lookup_keys"),
        ("prices.create", {"product": "p", "currency": "usd", "unit_amount": 1.0}, "Invalid integer: 1.0", "unit_amount"),
        ("prices.create", {"product": "p", "currency": "USD", "unit_amount": 1}, "Invalid currency: USD", "currency"),
        ("prices.create", {"product": "p", "currency": "usd", "unit_amount": -1}, "greater than or equal to 0", "unit_amount"),
        ("prices.create", {"product": "p", "currency": "usd"}, "Missing required param", "unit_amount"),
        (
            "prices.create",
            {"product": "p", "currency": "usd", "unit_amount": 1, "unit_amount_decimal": Decimal(1)},
            "You may only specify one of these parameters: unit_amount, unit_amount_decimal.",
            "unit_amount",
        ),
        (
            "prices.create",
            {"product": "p", "currency": "usd", "unit_amount_decimal": Decimal("0.1234567890123")},
            "12 decimal places",
            "unit_amount_decimal",
        ),
        (
            "prices.create",
            {"product": "p", "currency": "usd", "unit_amount_decimal": Decimal("-0.5")},
            "must be at least 0",
            "unit_amount_decimal",
        ),
        (
            "prices.create",
            {"product": "p", "currency": "usd", "unit_amount": 1, "recurring": {"interval": "month", "interval_count": 37}},
            "at most 36",
            "recurring[interval_count]",
        ),
        ("coupons.create", {"percent_off": 10, "amount_off": 5, "currency": "usd"}, "You may only specify one", "amount_off"),
        ("coupons.create", {"amount_off": 5}, "Missing required param: currency.", "currency"),
        ("coupons.create", {"duration": "once"}, "Missing required param", "percent_off"),
        ("coupons.create", {"amount_off": 0, "currency": "usd"}, "or equal to 1", "amount_off"),
        (
            "coupons.create",
            {"percent_off": 10, "duration_in_months": 3},
            "goes with `duration=repeating`",
            "duration_in_months",
        ),
        ("coupons.create", {"percent_off": 10, "name": "n" * 41}, "up to 40 characters", "name"),
        ("coupons.create", {"percent_off": 100.5}, "at most 100", "percent_off"),
        ("coupons.create", {"percent_off": Decimal(10)}, "Invalid decimal", "percent_off"),
        ("coupons.create", {"percent_off": 10, "duration": "repeating"}, "Missing required param", "duration_in_months"),
        ("coupons.create", {"percent_off": 10, "max_redemptions": 0}, "greater than or equal to 1", "max_redemptions"),
        ("customers.create", {"name": ""}, "You passed an empty string for 'name'", "name"),
        ("customers.create", {"metadata": {"k" * 41: "v"}}, "up to 40 characters", "metadata"),
        ("customers.create", {"metadata": {"k": "v" * 501}}, "value that is 501 characters", "metadata[k]"),
        ("customers.create", {"metadata": {str(n): "v" for n in range(51)}}, "up to 50 keys", "metadata"),
        ("customers.list", {"limit": 101}, "between 1 and 100", "limit"),
        ("customers.list", {"starting_after": "a", "ending_before": "b"}, "You may only specify one", "ending_before"),
        ("subscription_schedules.list", {"scheduled": True, "completed_at": 1}, "completed_at, scheduled.", "completed_at"),
    ],
)
def test_refusals_name_the_parameter(operation: str, params: dict[str, Any], message: str, param: str) -> None:
    with pytest.raises(StripeError) as refused:
        check(operation, params)
    assert message in str(refused.value)
    assert refused.value.param == param
    assert param in str(refused.value)
    assert refused.value.status == 400


@pytest.mark.parametrize("operation", ["unicorns.create", "customers", "customers.frobnicate"])
def test_an_operation_that_the_sdk_does_not_have(operation: str) -> None:
    with pytest.raises(ValueError, match="the SDK has no"):
        check(operation, {})


def test_a_form_becomes_python_values() -> None:
    form = (
        "phases[0][items][0][price]=price_1&phases[0][items][0][quantity]=2&phases[0][items][1][price]=price_2"
        "&phases[0][metadata][0]=zero&phases[0][discounts]=&start_date=now&customer=cus_1&phases[0][trial]=false&expand[]=a&expand[]=b"
    )
    assert parameters.read(CREATE, forms.decode(form)) == {
        "customer": "cus_1",
        "start_date": "now",
        "expand": ["a", "b"],
        "phases": [
            {
                "items": [{"price": "price_1", "quantity": 2}, {"price": "price_2"}],
                "metadata": {"0": "zero"},
                "discounts": "",
                "trial": False,
            }
        ],
    }
    assert parameters.read("prices.create", forms.decode("currency=usd&unit_amount_decimal=-12.345"))[
        "unit_amount_decimal"
    ] == Decimal("-12.345")


@pytest.mark.parametrize(
    ("operation", "form", "message"),
    [
        (CREATE, "phases[0][items][0][quantity]=1.0", "Invalid integer: 1.0"),
        (CREATE, "phases[0][items][0][quantity]=1_0", "Invalid integer: 1_0"),
        (CREATE, "phases[0][trial]=yes&phases[0][items][0][price]=p", "Invalid boolean: yes"),
        (CREATE, "phases[0][collection_method]=&phases[0][items][0][price]=p", "cannot be unset"),
        (CREATE, "phases=x", "Invalid array"),
        (CREATE, "phases[a][items][0][price]=p", "Invalid array"),
        (CREATE, "phases[0]=x", "Invalid object"),
        (CREATE, "metadata[a][b]=c", "Metadata values must be strings"),
        ("coupons.create", "percent_off=nan", "Invalid decimal: nan"),
        ("customers.create", "name[first]=A", "Invalid string"),
        ("customers.create", "shipping[address]=&shipping[name]=A", "cannot be unset"),
        ("customers.list", "created=", "cannot be unset"),
        ("products.create", "name=P&metadata=", "cannot be unset"),
        ("customers.create", "name=A&name[first]=B", "Invalid object"),
        ("customers.create", "name[first]=B&name=A", "Invalid object"),
        ("customers.create", "address[city=A", "Invalid parameter name"),
    ],
)
def test_refusals_of_a_form(operation: str, form: str, message: str) -> None:
    with pytest.raises(StripeError, match=message.replace("[", r"\[")):
        parameters.read(operation, forms.decode(form))


def test_a_change_of_the_schedule_alone_passes() -> None:
    check("subscription_schedules.update", {"end_behavior": "release", "metadata": {"k": ""}})
    check(CREATE, {"from_subscription": "sub_1"})


@given(st.integers())
def test_integers_survive_the_form(number: int) -> None:
    assert parameters.read("customers.list", forms.decode(f"limit={number}")) == {"limit": number}


def test_what_is_modelled_exists_in_the_sdk() -> None:
    for operation, names in modelled._OPERATIONS.items():
        _assert_known(parameters.shape(operation), names, operation)


def _assert_known(shape: Shape, names: modelled.Modelled, path: str) -> None:
    while isinstance(shape, Sequence | Either):
        shape = shape.of if isinstance(shape, Sequence) else next(a for a in shape.arms if isinstance(a, Fields | Sequence))
    assert isinstance(shape, Fields), path
    for name, below in names.items():
        assert name in shape.known, f"{path}: {name}"
        if below is not None:
            assert not isinstance(shape.known[name], Free)
            _assert_known(shape.known[name], below, f"{path}[{name}]")


@pytest.mark.parametrize(
    ("operation", "params", "said"),
    [
        ("customers.create", {"phone": "0" * 21}, "at most 20 characters"),
        ("customers.create", {"name": "x" * 257}, "at most 256 characters"),
        ("customers.update", {"description": "x" * 5001}, "at most 5000 characters"),
        ("customers.create", {"shipping": {"name": "x", "address": {}, "phone": "0" * 21}}, "at most 20 characters"),
        ("customers.create", {"address": {"country": "Germany"}}, "Country 'Germany' is unknown"),
        ("coupons.create", {"amount_off": 1234, "currency": "kwd"}, "multiples of 10"),
        ("coupons.create", {"amount_off": 950, "currency": "isk"}, "multiples of 100"),
        ("prices.create", {"product": "p", "currency": "isk", "unit_amount": 950}, "multiples of 100"),
        ("prices.create", {"product": "p", "currency": "kwd", "unit_amount_decimal": Decimal("1230.5")}, "multiples of 10"),
        ("prices.create", {"product": "p", "currency": "usd", "unit_amount": 10**12}, "at most 12 digits"),
        ("products.create", {"name": "P", "statement_descriptor": "x" * 23}, "up to 22 characters"),
        ("customers.update", {"email": "a@example"}, "Invalid email address: a@example"),
        ("customers.create", {"email": "a b@example.com"}, "Invalid email address"),
        ("customers.create", {"email": f"{'x' * 512}@example.com"}, "at most 512 characters"),
    ],
)
def test_what_stripe_finds_too_long_or_too_fine(operation: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(StripeError, match=said):
        check(operation, params)


def test_what_just_fits() -> None:
    check("customers.create", {"phone": "0" * 20, "name": "x" * 256, "address": {"country": "DE"}})
    check("coupons.create", {"amount_off": 1230, "currency": "kwd"})
    check("prices.create", {"product": "p", "currency": "ugx", "unit_amount": 500})
    check("prices.create", {"product": "p", "currency": "jpy", "unit_amount": 10**12 - 1})
    check("customers.create", {"email": "o'hara+1@mail.example.com"})


def test_the_code_of_an_amount_and_of_an_address() -> None:
    for operation, params, code in (
        ("prices.create", {"product": "p", "currency": "usd", "unit_amount_decimal": Decimal(10**12)}, "amount_too_large"),
        ("customers.create", {"email": "a"}, "email_invalid"),
    ):
        with pytest.raises(StripeError) as refused:
            check(operation, params)
        assert refused.value.code == code
