"""What must be true of the data: our own guards first, then Great Expectations."""
