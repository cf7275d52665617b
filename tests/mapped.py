"""What the tables of the mapping are about."""

from __future__ import annotations

from orderphase.mapping import FieldMapping

OBJECTS = {
    "account": "Account",
    "contract": "Contract",
    "order": "Order",
    "order_item": "OrderItem",
    "product": "Product2",
    "price_book_entry": "PricebookEntry",
    "sync_log": FieldMapping().sync_log.object,
}
"""The object whose fields a table names. The mirrors, which another package brings, are left out."""
