#!/usr/bin/env python3
"""Writes python_json.json beside this file: what Python's own json.dumps makes of values that trip verifiers.

Each vector has the JSON as an SDK sends it (insertion order, ASCII), the same JSON as another client may send it
(UTF-8), and the two texts that are signed. Run it again only to add a value; the output is committed.
"""

import json
from pathlib import Path

VALUES = {
    "one point zero": {"value": 1.0},
    "ten to the eighteen": {"value": 10**18},
    "an integer beyond 64 bits": {"value": 10**30, "negative": -(10**30)},
    "1e-07": {"value": 1e-07},
    "1e+16": {"value": 1e16},
    "negative zero": {"value": -0.0, "integer": 0},
    "shortest floats": {"value": [0.1, 0.30000000000000004, 1e22, 1.5e300, 5e-324, 123456789.123]},
    "non-ASCII": {"straße": "Zürich", "name": "東京", "empty": ""},
    "astral": {"rocket": "🚀", "𝔸": "clef \U0001d11e"},
    "astral names sort by code point": {"\uffff": 1, "\U00010000": 2, "z": 3},
    "control characters": {"text": "".join(chr(code) for code in range(32))},
    "DEL and C1": {"text": "\x7f\x80\x9f\xa0"},
    "quotes, backslashes and slashes": {"text": "\"quoted\" \\ back / slash", "path": "C:\\dir\\file"},
    "markup is not escaped": {"text": "<b>&amp;</b> 'x' \u2028\u2029"},
    "separators inside strings": {"text": "a,b: {\"c\":[1,2]}", "a\":b": ","},
    "nested empties": {"list": [], "object": {}, "both": [{}, [], [[]], {"a": {}}]},
    "literals": {"yes": True, "no": False, "nothing": None},
    "deep sorting": {"b": {"z": 1, "a": [{"y": 2, "x": {"n": 1, "m": 2}}]}, "a": 0},
    "upper case before lower case": {"b": 1, "B": 2, "a": 3, "A": 4, "_": 5, "1": 6},
    "strings of digits sort as text": {"10": "ten", "9": "nine", "2": "two"},
    "spaces and tabs": {" lead": "  ", "tab\t": "\t"},
    "the empty object": {},
    "the empty list": [],
    "a bare string": "é",
    "a bare number": 3.0,
    "null": None,
}

# Python sorts int keys by value and only then writes them as strings.
INTEGER_NAMES = {
    "integer names": {10: "ten", 9: "nine", 2: "two", 100: {"10": 1}},
    "negative integer names": {-1: 1, 0: 2, -10: 3, 7: 4, 10**20: 5, -(10**20): 6},
    "integer names inside": {"rows": [{11: 1, 3: 2}], "first": {}},
}


def vector(name, value):
    return {
        "name": name,
        "sent": json.dumps(value),
        "sent_utf8": json.dumps(value, ensure_ascii=False),
        "spaced": json.dumps(value, sort_keys=True),
        "compact": json.dumps(value, sort_keys=True, separators=(",", ":")),
    }


def main():
    document = {
        "vectors": [vector(name, value) for name, value in VALUES.items()],
        "integer_names": [vector(name, value) for name, value in INTEGER_NAMES.items()],
    }
    target = Path(__file__).with_name("python_json.json")
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
