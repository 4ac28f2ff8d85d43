"""Training. transformers' Trainer is loaded without the library `datasets`, which no rows here are of.

It would load it to look whether rows are of it, and with it pandas: half a second of every run.
"""

from importlib import import_module

from transformers import utils

_is_available = utils.is_datasets_available
utils.is_datasets_available = lambda: False
try:
    import_module("transformers.trainer")
finally:
    utils.is_datasets_available = _is_available
