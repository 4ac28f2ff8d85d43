"""What PEFT does not have. Here: full fine-tuning and the linear probe, which attach nothing to the model."""

from baselines.unadapted import FullFineTuning, HeadOnly

__all__ = ["FullFineTuning", "HeadOnly"]
