"""Many photos, one verdict: rows from photos, conclusions from rows."""
