"""What every run shares, naming no method and no task: configuration, models, training, evaluation, the record."""
