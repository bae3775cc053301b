"""Budgets at the gateway: reserve the worst case before a call, settle to what it cost at its end."""
