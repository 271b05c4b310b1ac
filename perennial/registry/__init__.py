"""Models outside the ledger: canonical bytes by digest, and MLflow as a projection."""
