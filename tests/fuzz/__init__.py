"""Any bytes where bytes come in: nothing but the errors of `driftbus.errors` may come out."""
