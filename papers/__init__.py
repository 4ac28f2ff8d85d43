"""What the papers' tables consist of and count, worked out by the code of a run for analysis/ to read."""
