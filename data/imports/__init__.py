"""Usage that other programs have written down, read into the ledger."""
