#!/usr/bin/env bash
# Package:  Pillow 13.0.0
# Surprise: convert("L") and convert("RGB") of a 16-bit grey image clip at 255 and do not scale, so almost all becomes
#           white.
# Guess:    the range 0..65535 is mapped to 0..255, as by other tools (or the conversion is refused).
# Hurt:     who loads 16-bit PNGs or TIFFs (medical, depth, microscopy) with the usual Image.open(...).convert("RGB"): a
#           model is trained on white images, without a warning.
# Date:     2026-11-30
# Source:   own observation; https://github.com/python-pillow/Pillow/issues/1108 describes it in 2015
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
finding pillow==13.0.0 <<'PY'
import io
import struct
import sys
import warnings

from PIL import Image

warnings.simplefilter("error")
values = [0, 200, 256, 4096, 32768, 65535]
file = io.BytesIO()
Image.frombytes("I;16", (len(values), 1), struct.pack(f"<{len(values)}H", *values)).save(file, "PNG")
image = Image.open(file)
grey = list(image.convert("L").tobytes())
red = list(image.convert("RGB").tobytes())[::3]
print("Described: an 8-bit copy is min(value, 255), not value / 257; no warning.")
print(f"Seen: a PNG of mode {image.mode}, values {values}")
print(f"Seen: convert('L') {grey}; convert('RGB'), red {red}")
print(f"Scaled it would be {[round(v / 257) for v in values]}")
clipped = [min(v, 255) for v in values]
sys.exit(not (image.mode == "I;16" and grey == clipped and red == clipped))
PY
