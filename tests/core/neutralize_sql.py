"""What Odoo's own neutralisation touches, read from the `data/neutralize.sql` of its modules.

`tests/data/odoo/neutralize-19.0.json` holds that of every standard module of Odoo 19. To write it anew:
`python -m tests.core.neutralize_sql ADDONS > tests/data/odoo/neutralize-19.0.json`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

KNOWN = Path(__file__).resolve().parents[1] / "data" / "odoo" / "neutralize-19.0.json"
Touched = dict[str, list[str]]


def statements(text: str) -> list[str]:
    """The statements of a file, without comments."""
    bare = re.sub(r"--[^\n]*", "", text)
    return [" ".join(part.split()) for part in bare.split(";") if part.strip()]


def touched(text: str) -> Touched:
    """Columns that are given a value (`table.column`), tables that are emptied, parameters, tables that get
    rows. Raises ValueError for a statement that is none of these."""
    found: dict[str, set[str]] = {"columns": set(), "emptied": set(), "parameters": set(), "filled": set()}
    for statement in statements(text):
        if match := re.match(r"update (\w+) set (.*)", statement, re.IGNORECASE):
            table, rest = match.groups()
            values, where = _split(rest)
            if table == "ir_config_parameter":
                found["parameters"] |= set(re.findall(r"'([a-z0-9_.]+)'", where))
            else:
                found["columns"] |= {f"{table}.{column}" for column in values}
        elif match := re.match(r"delete from (\w+)(.*)", statement, re.IGNORECASE):
            table, rest = match.groups()
            if table == "ir_config_parameter":
                found["parameters"] |= set(re.findall(r"'([a-z0-9_.]+)'", rest))
            else:
                found["emptied"].add(table)
        elif match := re.match(r"truncate (\w+)", statement, re.IGNORECASE):
            found["emptied"].add(match[1])
        elif match := re.match(r"insert into (\w+) ?\(.*?\) values \( ?'([^']+)'", statement, re.IGNORECASE):
            if match[1] == "ir_config_parameter":
                found["parameters"].add(match[2])
            else:
                found["filled"].add(match[1])
        else:
            raise ValueError(statement)
    return {kind: sorted(names) for kind, names in found.items() if names}


def _split(rest: str) -> tuple[list[str], str]:
    """The columns of a SET list, and what comes after it."""
    starts, depth, end = [0], 0, len(rest)
    lower = rest.lower()
    for place, character in enumerate(rest):
        if lower.startswith("case ", place) or character == "(":
            depth += 1
        elif lower.startswith(" end", place) or character == ")":
            depth -= 1
        elif depth == 0 and character == ",":
            starts.append(place + 1)
        elif depth == 0 and lower.startswith(" where ", place):
            end = place
            break
    return [rest[start:end].split("=")[0].strip().lower() for start in starts], rest[end:]


def of_modules(addons: Path) -> dict[str, Touched]:
    """What the modules in a folder touch."""
    files = sorted(addons.glob("*/data/neutralize.sql"))
    return {path.parts[-3]: touched(path.read_text()) for path in files}


if __name__ == "__main__":
    print(json.dumps(of_modules(Path(sys.argv[1])), indent=1))
