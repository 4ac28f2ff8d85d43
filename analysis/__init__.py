"""Records and printed values to tables and figures; of the project only the record schema is imported."""
