"""What pages and figures are made from. Their tables are small, so text is quicker as Python's than as Arrow's."""

import pandas as pd

pd.set_option("mode.string_storage", "python")
