"""Keep the front of a sweep as a record: what `prune report --json` says, and on what it ran.

    prune report --json | python benchmarks/sweep_front.py sweep_squad [--device cuda] [--out DIR]

Folders of the machine are left out: of each path stands its last name.
"""

import argparse
import datetime
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from common import RECORDED, environment

FOLDERS = re.compile(r"(?<![\w.}])(/[^\s',]+)")


def without_folders(value: Any) -> Any:
    """Texts in lists and dictionaries too; overrides and those within `experiment:...` as well."""
    if isinstance(value, str):
        return FOLDERS.sub(lambda found: Path(found[1]).name, value)
    if isinstance(value, list):
        return [without_folders(each) for each in value]
    if isinstance(value, dict):
        return {key: without_folders(each) for key, each in value.items()}
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the file: recorded/NAME.json")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RECORDED, help="a folder for the JSON")
    asked = parser.parse_args()
    report = json.load(sys.stdin)
    if not any(task["points"] for task in report["tasks"]):
        sys.exit("the report has no points: nothing was recorded")
    device = torch.cuda.get_device_name() if asked.device == "cuda" else ""
    content = {
        "benchmark": asked.name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "environment": environment(torch.get_num_threads(), device),
        "report": without_folders(report),
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / f"{asked.name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
