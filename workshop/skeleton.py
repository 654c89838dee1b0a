"""A new lab: a small one that passes the contract tests, to be changed into a real one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from workshop import manifest
from workshop.errors import WorkshopError

FILES = {
    "lab.toml": """\
title = "{title}"
summary = "One sentence: what a reader can do afterwards."
nodes = ["web1"]

[variables]
greeting = "hello from lab {number}"
""",
    "steps.md": """\
# {title}

Say why before how: what goes wrong without this, and whom it hurts.

## Build

### A file, and what it does

```install on=web1
/etc/workshop/{slug}
```

```sh on=web1
cat /etc/workshop/{slug}
```

```expect
hello from lab {number}
```

## Try

```sh on=web1 watch
cat /etc/workshop/{slug}
```

```expect within=5s
lab {number}
```
""",
    "files/web1/etc/workshop/{slug}.j2": "{{{{ greeting }}}}\n",
    "checks.py": '''\
"""What must be true once the lab is built."""


def check_the_file_says_hello(cluster):
    """The file is there and says what the lab promises."""
    file = cluster.host("web1").file("/etc/workshop/{slug}")
    assert file.exists, "there is no /etc/workshop/{slug}"
    wanted = cluster.variables["greeting"]
    assert wanted in file.content_string, f"it says {{file.content_string!r}}"
''',
    "mutations.toml": """\
[check_the_file_says_hello]
on = "web1"
file = "/etc/workshop/{slug}"
replace = "hello"
by = "goodbye"
""",
}


def create(slug: str, labs: Path = manifest.LABS) -> Path:
    """The folder of a new lab, numbered after the last one; WorkshopError where the name is
    no good or taken."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", slug):
        raise WorkshopError(f"{slug!r}: a lab's name is made of small letters, digits and -")
    there = manifest.lab_folders(labs)
    if any(folder.name[3:] == slug for folder in there):
        raise WorkshopError(f"there is a lab {slug!r} already")
    number = max((int(folder.name[:2]) for folder in there), default=0) + 1
    folder = labs / f"{number:02}-{slug}"
    words = {"title": slug.replace("-", " ").capitalize(), "number": number, "slug": slug}
    try:
        for name, text in FILES.items():
            path = folder / name.format(**words)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.format(**words))
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder
