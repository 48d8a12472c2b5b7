#!/usr/bin/env python3
"""Rebuilds src/formats/iq-grids.ts, the code books of ggml's IQ formats: python packages/core/golden/make_grids.py

The numbers are part of the file format (ggml-common.h, MIT licence); they are taken from the gguf package.
"""

import base64
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import numpy
from gguf import quants

OUT = Path(__file__).resolve().parent.parent / "src" / "formats" / "iq-grids.ts"
WIDTH = 108


def literal(data):
    """Base64 in lines that fit the page."""
    text = base64.b64encode(data).decode()
    lines = [text[i : i + WIDTH] for i in range(0, len(text), WIDTH)]
    return "\n".join(f"    '{line}'{' +' if i + 1 < len(lines) else ','}" for i, line in enumerate(lines))


def grid(name):
    kind = getattr(quants, name)
    kind.init_grid()
    entries, width = kind.grid_shape
    levels = list(kind.grid_map)
    bits = 2 if len(levels) <= 4 else 4
    index = numpy.searchsorted(levels, kind.grid.reshape(-1, 8 // bits)).astype(numpy.uint8)
    packed = numpy.zeros(len(index), numpy.uint8)
    for i in range(8 // bits):
        packed |= index[:, i] << (bits * i)
    return f"""  {name}: {{
    width: {width},
    bits: {bits},
    levels: [{', '.join(str(int(x)) for x in levels)}],
    data:
{literal(packed.tobytes())}
  }},
"""


OUT.write_text(
    """// The code books of ggml's IQ formats (ggml-common.h, MIT licence). Made by golden/make_grids.py; do not edit.

/**
 * A code book: entry `i` is the numbers [i * width, (i + 1) * width). Each is written as its place among `levels`, in `bits`
 * bits, the lowest bits of a byte first; base64.
 */
export interface PackedBook {
  readonly width: number;
  readonly bits: number;
  readonly levels: readonly number[];
  readonly data: string;
}

/** By type; IQ1_M shares IQ1_S's. */
export const packedBooks = {
"""
    + "".join(grid(name) for name in ("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"))
    + "} as const satisfies Record<string, PackedBook>;\n"
)
