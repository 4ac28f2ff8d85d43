"""What every run shares and that names no method and no task: config, model loading, adaptation, training, evaluation, record."""
