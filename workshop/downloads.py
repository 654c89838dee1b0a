"""mkdocs hook: the bundle's archives, and what the page *Your own servers* works with."""

from __future__ import annotations

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from workshop import bundle, manifest
from workshop.errors import WorkshopError

FOLDER = "downloads"
DATA = "assets/own-servers-data.js"  # a script: a page opened from disk may read no JSON


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the archives, and the rendered files with tokens."""
    labs = manifest.labs(Path(config.config_file_path).parent / "labs")
    if not labs:
        return files
    try:
        tokened = bundle.token_files(labs)
        for name, data in bundle.archives(labs, tokened=tokened).items():
            files.append(File.generated(config, f"{FOLDER}/{name}", content=data))
        described = bundle.description(labs, tokened)
    except WorkshopError as error:
        raise PluginError(str(error)) from None
    text = json.dumps(described, ensure_ascii=True, separators=(",", ":"))
    script = f"var OWN_SERVERS_DATA = {text}\n"
    files.append(File.generated(config, DATA, content=script))
    return files
