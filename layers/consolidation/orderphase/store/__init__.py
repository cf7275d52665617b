"""DynamoDB: the contract lease with the intent ledger, and the sync log."""
