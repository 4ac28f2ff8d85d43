"""What training costs: every method beside the others in one process, timed, and its memory counted."""
