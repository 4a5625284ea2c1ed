"""The money of accounts: transfers, what is between them and the outside, and the fees that volume earns."""
