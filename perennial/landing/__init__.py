"""From a source to the lake: new rows, screened, deduplicated, appended once."""
