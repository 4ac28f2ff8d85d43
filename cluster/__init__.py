"""Many runs on a SLURM cluster: submitted once, with frozen configurations, and followed until the last is done."""
