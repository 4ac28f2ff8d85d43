#!/usr/bin/env bash
# Package:  albumentations 2.0.8 (torch 2.15.0, DataLoader on Linux)
# Surprise: a Compose in a DataLoader with workers draws the same augmentations in every epoch, and the same in all
#           workers: its generators are its own, are copied to each worker as they are, and are not among those that
#           torch seeds there. Without workers each call draws anew. (Here without a seed; a seed changes nothing, and
#           persistent_workers=True the first half alone.)
# Guess:    torch gives each worker and epoch its own seed (NumPy's, too), so that augmentations differ.
# Hurt:     who trains on images with workers: with W of them only each W-th crop, flip or colour is another, and the
#           same few come back in each epoch: the augmentation that one pays for is mostly not there.
# Date:     2026-12-01
# Source:   https://github.com/albumentations-team/AlbumentationsX/issues/266 (reported of 2.0.8 and
#           mended in the successor of albumentations)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/_python.sh"
export NO_ALBUMENTATIONS_UPDATE=1
finding albumentations==2.0.8 torch==2.15.0 numpy==2.4.6 <<'PY'
import sys

import albumentations
import numpy as np
import torch

rows, columns = np.indices((200, 200), dtype=np.uint8)
image = np.stack([rows, columns, 0 * rows], axis=-1)  # a pixel is its own place


class Crops(torch.utils.data.Dataset):
    def __init__(self):
        self.crop = albumentations.Compose([albumentations.RandomCrop(1, 1)])

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> str:
        row, column, _ = self.crop(image=image)["image"][0, 0]
        return f"{row},{column}"


found = {}
print("Described: without workers all 16 crops of 2 epochs differ; 2 workers give 4 crops, each twice in each epoch.")
for workers in (0, 2):
    loader = torch.utils.data.DataLoader(Crops(), batch_size=None, num_workers=workers)
    found[workers] = [list(loader) for _ in range(2)]
    for epoch, places in enumerate(found[workers], 1):
        print(f"Seen: {workers} workers, epoch {epoch}: {' '.join(places)}")
first, second = found[2]
sys.exit(not (len({*found[0][0], *found[0][1]}) > 14 and first == second and first[::2] == first[1::2]))
PY
