"""Makes mathematics.woff2, the letters of the report's formulas: those of mathematics.txt, cut out of Latin Modern Math 1.959.

    pip install fonttools brotli
    python3 mathematics.py latinmodern-math.otf
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

here = Path(__file__).parent
options = subset.Options(layout_features=["ssty"], hinting=False, drop_tables=["FFTM"])
font = TTFont(sys.argv[1], recalcTimestamp=False)
cut = subset.Subsetter(options)
cut.populate(text=(here / "mathematics.txt").read_text())
cut.subset(font)
# The licence wants what was changed to have another name.
for name in list(font["name"].names):
    if name.nameID in (1, 3, 4, 6, 16):
        font["name"].setName("gradus-mathematics", name.nameID, name.platformID, name.platEncID, name.langID)
font["CFF "].cff.fontNames = ["gradus-mathematics"]
font.flavor = "woff2"
font.save(here / "mathematics.woff2")
