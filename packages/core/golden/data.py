#!/usr/bin/env python3
"""Data files of every kind, and what pyarrow, datasets and csv read in them: golden/data/.

    pip install pyarrow datasets
    python packages/core/golden/data.py
"""

import csv
import datetime
import decimal
import gzip
import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

out = Path(__file__).parent / "data"
shutil.rmtree(out, ignore_errors=True)
out.mkdir()

# One table in every compression.
table = pa.table(
    {
        "text": ["Été à Gent.", "Two\nlines", ""],
        "label": pa.array([0, 1, -1], pa.int64()),
        "answers": [["a", "b"], [], ["ü"]],
        "translation": [{"en": "one", "fr": "un"}, {"en": "two", "fr": "deux"}, {"en": "three", "fr": "trois"}],
        "maybe": pa.array([None, "x", None], pa.string()),
    }
)
for codec in ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]:
    for version in ["1.0", "2.0"]:
        pq.write_table(table, out / f"{codec}-page{version[0]}.parquet", compression=codec, data_page_version=version)

# Values that are easily changed. `str` is Python's; promot writes dates as ISO 8601.
utc = datetime.timezone.utc
exact = {
    "int64": pa.array([9007199254740993, -9223372036854775808, 7], pa.int64()),
    "uint64": pa.array([18446744073709551615, 0, 7], pa.uint64()),
    "double": pa.array([1.0, 0.1, -0.0], pa.float64()),
    "float": pa.array([1.0, 0.5, -2.0], pa.float32()),
    "doubles": pa.array([[1.0, 2.5], [], [3.0]], pa.list_(pa.float64())),
    "inner": pa.array([{"d": 1.0, "i": 1}, {"d": 2.5, "i": 2}, {"d": 3.0, "i": 3}]),
    "decimal": pa.array([decimal.Decimal("12345678901234567890.10"), decimal.Decimal("-0.05"), decimal.Decimal("1.00")], pa.decimal128(30, 2)),
    "small": pa.array([decimal.Decimal("1.10"), decimal.Decimal("-0.05"), decimal.Decimal("2.00")], pa.decimal128(5, 2)),
    "flag": pa.array([True, False, True]),
}
whole = pa.table(
    {
        **exact,
        "day": pa.array([datetime.date(2020, 2, 29), datetime.date(1969, 12, 31), datetime.date(2000, 1, 1)]),
        "time": pa.array([datetime.datetime(2020, 2, 29, 1, 2, 3, 456789, utc), datetime.datetime(1969, 12, 31, 23, 59, 59, 1, utc), datetime.datetime(2000, 1, 1, tzinfo=utc)], pa.timestamp("us", "UTC")),
        "nan": pa.array([float("nan"), float("inf"), 1.5], pa.float64()),
        "bytes": pa.array([b"\xff\xfe", b"\x80", b"\xc3"], pa.binary()),
    }
)
pq.write_table(whole, out / "exact.parquet", store_decimal_as_integer=True)
pq.write_table(whole, out / "exact-fixed.parquet")


# Fewer bits than Python's own numbers: numpy prints the digits that tell a number from its neighbours.
few = [0.1, 1 / 3, -0.7, 2.0, 100.5, 1e-7]
# Without a zone, as pandas writes them.
local = [datetime.datetime(2020, 2, 29, 1, 2, 3, 456789), datetime.datetime(1969, 12, 31, 23, 59, 59, 1), datetime.datetime(2000, 1, 1)] * 2
times = [datetime.time(1, 2, 3), datetime.time(0, 0, 0, 4000), datetime.time(23, 59, 59, 999000)] * 2
short = {
    "float": pa.array(few, pa.float32()),
    "half": pa.array(few, pa.float16()),
    "ms": pa.array(times, pa.time32("ms")),
    "us": pa.array(times, pa.time64("us")),
    "ns": pa.array(times, pa.time64("ns")),
    "local": pa.array(local, pa.timestamp("us")),
}
pq.write_table(pa.table(short), out / "short.parquet")
digits = {"ms": "milliseconds", "us": "microseconds"}
short = {
    "float": [str(np.float32(x)) for x in few],
    "half": [str(np.float16(x)) for x in few],
    **{key: [time.isoformat(timespec=unit) for time in times] for key, unit in digits.items()},
    "ns": [f"{time.isoformat(timespec='microseconds')}000" for time in times],
    "local": [time.isoformat(timespec="microseconds") for time in local],
}


def as_text(value):
    if isinstance(value, list):
        return [as_text(one) for one in value]
    if isinstance(value, dict):
        return {key: as_text(one) for key, one in value.items()}
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


# Class labels as the datasets library stores them.
features = datasets.Features(
    {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["negative", "positive"]),
        "tags": datasets.List(datasets.ClassLabel(names=["a", "b", "c"])),
    }
)
datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1, -1], "tags": [[2, 0], []]}, features=features).to_parquet(out / "classes.parquet")

# CSV and TSV as Python's csv module reads them.
rows = [
    ["text", "label", "a,b", "__proto__"],
    ['He said "hi", twice', "1.0", "", "p"],
    ["two\nlines\r\nthree", "007", " spaced ", "9007199254740993"],
    ["", "é\u2028x", "tab\there", '"'],
    ["last", "nan", "1e999", "'single'"],
]
for name, delimiter, terminator in [("comma.csv", ",", "\r\n"), ("tab.tsv", "\t", "\n")]:
    with open(out / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, lineterminator=terminator).writerows(rows)
content = (out / "comma.csv").read_bytes()
(out / "bom.csv").write_bytes(b"\xef\xbb\xbf" + content)
(out / "utf16.csv").write_text(content.decode(), encoding="utf-16")
with gzip.GzipFile(out / "comma.csv.gz", "wb", mtime=0) as file:
    file.write(content)
(out / "comma.csv.zst").write_bytes(pa.Codec("zstd").compress(content, asbytes=True))
with pa.CompressedOutputStream(str(out / "unknown-size.csv.zst"), "zstd") as file:
    file.write(content)
# Not quoted by the rules, but as people write it: a quote inside of a value.
(out / "loose.tsv").write_text('text\tlabel\n5" pipe\tgood\nsay "no"\tbad\n')


def read(name, delimiter):
    with open(out / name, newline="", encoding="utf-8-sig") as file:
        return [dict(zip(rows[0], row)) for row in list(csv.reader(file, delimiter=delimiter))[1:]]


expected = {
    "table": table.to_pylist(),
    "short": short,
    "exact": [as_text(row) for row in pa.table(exact).to_pylist()],
    "comma": read("comma.csv", ","),
    "tab": read("tab.tsv", "\t"),
    "loose": [{"text": '5" pipe', "label": "good"}, {"text": 'say "no"', "label": "bad"}],
}
(out / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")
