"""What each method of conf/method costs and keeps, measured beside LoRA of rank 8 in one process: `make methods`."""
