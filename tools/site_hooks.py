"""What the site has beside the pages in `docs/`: the reference of every public module, and pages of the checkout."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent

BESIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "router/deepthrift_router/data/MODEL_CARD.md": "model-card.md",
}
"""Files of the checkout that are pages of the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    if str(ROOT) not in sys.path:  # mkdocs puts the path back after it has read this file
        sys.path.insert(0, str(ROOT))
    from tools.reference import public_modules

    for path, page in BESIDE.items():
        if (ROOT / path).exists():
            files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    for module in public_modules():
        content = f"# {module}\n\n::: {module}\n"
        files.append(File.generated(config, f"api/{module}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave `docs/` at the pages that stand for their files."""
    up = "../" * page.file.src_uri.count("/")

    def target(match: re.Match[str]) -> str:
        path = match[1].removeprefix("../" * (match[1].count("../"))).removeprefix("docs/")
        if path in BESIDE:
            return f"]({up}{BESIDE[path]}{match[2]}"
        if path == "README.md":
            return f"]({up}index.md{match[2]}"
        if page.file.src_uri in BESIDE.values() and not match[1].startswith("http"):
            return f"]({path}{match[2]}"
        return match[0]

    markdown = re.sub(r"\]\(([^)#\s]+)((?:#[^)\s]*)?\))", target, markdown)
    if page.file.src_uri == "reference.md":
        # The plain list of names links to the full entries.
        markdown = re.sub(r"^## `([\w.]+)`$", r"## [`\1`](api/\1.md)", markdown, flags=re.M)
    return markdown
