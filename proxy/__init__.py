"""The gateway: forwards every call untouched and keeps the ledger."""
