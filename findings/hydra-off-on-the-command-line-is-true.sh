#!/usr/bin/env bash
# Package:  hydra-core 1.3.8, omegaconf 2.3.1
# Surprise: `off` and `no` are False in a YAML file of the config and text on the command line: `layer.bias=off` puts
#           the string "off" in the place of a bool, which is true where it is asked. (`on` and `yes` do what they say.)
#           Numbers, too: 0x10 is 16 in the file and the text "0x10" in an override.
# Guess:    an override is read as the file is, so that a value can be moved from the one to the other.
# Hurt:     who switches a part off for an ablation, in a config without types: the part stays on, the run is called
#           "off", and the ablation shows that the part does nothing. A dataclass with `bias: bool` converts the text.
# Date:     2026-11-30
# Source:   own observation; hydra/grammar/OverrideLexer.g4 (BOOL: true, false), omegaconf/_utils.py (YAML 1.1)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding hydra-core==1.3.8 omegaconf==2.3.1 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys
from pathlib import Path

import hydra

Path("conf").mkdir()
target = "layer: {_target_: torch.nn.Linear, in_features: 2, out_features: 2"
Path("conf/config.yaml").write_text(f"{target}, bias: true}}\n")
Path("conf/without.yaml").write_text(f"{target}, bias: off}}\n")


def built(name: str, *overrides: str) -> tuple[object, bool]:
    """The value, and whether the layer has a bias."""
    cfg = hydra.compose(name, overrides=list(overrides))
    return cfg.layer.bias, hydra.utils.instantiate(cfg.layer).bias is not None


with hydra.initialize_config_dir(str(Path("conf").absolute()), version_base=None):
    file = built("without")
    words = {word: built("config", f"layer.bias={word}") for word in ("false", "off", "no")}
print("Described: a layer has no bias with `bias: off` in the file and layer.bias=false, and one with layer.bias=off.")
print("Seen: bias: off in the file:", repr(file[0]), "; the layer has a bias:", file[1])
for word, (value, bias) in words.items():
    print(f"Seen: layer.bias={word}:", repr(value), "; the layer has a bias:", bias)
as_text = words["off"] == ("off", True) and words["no"] == ("no", True)
sys.exit(not (file == words["false"] == (False, False) and as_text))
PY
