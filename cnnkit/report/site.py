"""The site: front page, gallery and notebooks as static HTML that asks nobody for anything, from any folder or path.

Formulas become MathML, which browsers draw by themselves; styles stand in one file of the site; what a page links to in
this repository is copied beside it.
"""

import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jinja2
import nbformat
from bs4 import BeautifulSoup
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter

from cnnkit import CHECKOUT

PAGES = ("README.md", "results/*.md", "results/*/README.md", "*/README.md", "notebooks/*.ipynb")
MOST = 60 * 2**20  # bytes of the whole site
# Code and what looks like it is no formula.
MATH = re.compile(
    r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<line>[^$\n]+(?:\n[^$\n]+)?)\$", re.DOTALL
)
MARKDOWN = str.maketrans({sign: f"&#{ord(sign)};" for sign in "|*_`[]"})  # what Markdown would read inside a formula
PAGE = jinja2.Template((Path(__file__).parent / "site.html").read_text(), autoescape=True)
CELLS = """{% extends "basic/index.html.j2" %}
{% block input_group %}
{%- if "hide-input" in cell.metadata.get("tags", []) %}<details><summary>code</summary>{{ super() }}</details>
{%- else %}{{ super() }}{% endif %}
{%- endblock %}
{% block in_prompt %}{% endblock %}
{% block output_area_prompt %}{% endblock %}"""


def build(folder):
    """Write the site into `folder` and return how many pages it has; a ValueError unless the folder is empty or new."""
    root, folder = CHECKOUT, Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"Expected an empty or new folder for the site. Received: {folder}, which holds something.")
    sources = [path.relative_to(root) for pattern in PAGES for path in sorted(root.glob(pattern))]
    targets = {source: _target(source) for source in sources if ".venv" not in source.parts}
    notebooks, linked = [source for source in sources if source.suffix == ".ipynb"], set()
    for source, target in targets.items():
        read = _notebook if source.suffix == ".ipynb" else _markdown
        body = BeautifulSoup(read((root / source).read_text()), "html.parser")
        title = body.h1.get_text().rstrip("¶") if body.h1 else "cnnkit"
        linked |= _point(body, source, targets)
        _describe(body)
        place = notebooks.index(source) if source in notebooks else None
        names = ["", *(source.stem for source in notebooks), ""]
        beside = {} if place is None else {"back": names[place], "on": names[place + 2]}
        up = os.path.relpath(".", target.parent)
        first = next((p.get_text(" ", strip=True) for p in body.find_all("p") if len(p.get_text()) > 60), title)
        page = PAGE.render(title=title, description=first[:160], up=up, body=str(body), **beside)
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        (folder / target).write_text(page)
    for path in sorted(linked):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, folder / path)
    style = (Path(__file__).parent / "site.css").read_text()
    (folder / "site.css").write_text(style + HtmlFormatter().get_style_defs(".highlight"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MOST:
        raise ValueError(f"Expected a site of at most {MOST >> 20} MiB. Received: {size >> 20} MiB in {folder}.")
    return len(targets)


def _target(source):
    """Where a page goes: beside its source's place, a README as the index of its folder."""
    return source.with_name("index.html") if source.name == "README.md" else source.with_suffix(".html")


def _markdown(text):
    return markdown2html(_formulas(re.sub(r"<!--.*?-->", "", text, flags=re.S)))


def _notebook(text):
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _formulas(cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = _formulas(data["text/markdown"])
    how = {"template_name": "basic", "template_file": "cells.html.j2"}
    exporter = HTMLExporter(**how, extra_loaders=[jinja2.DictLoader({"cells.html.j2": CELLS})])
    return exporter.from_notebook_node(notebook)[0]


def _formulas(text):
    """Return Markdown with its LaTeX as MathML."""

    def written(found):
        if found["code"]:
            return found["code"]
        display = "block" if found["block"] else "inline"
        return convert(found["block"] or found["line"], display=display).translate(MARKDOWN)

    return MATH.sub(written, text)


def _point(body, source, targets):
    """Let a page's links and pictures point into the site; return the files they need, relative to the repository."""
    needed = set()
    pairs = [(tag, attribute) for attribute in ("href", "src") for tag in body.find_all(attrs={attribute: True})]
    for tag, name in pairs:
        link = urlsplit(tag[name])
        if link.scheme or link.netloc or not link.path:
            continue
        path = Path(os.path.normpath(source.parent / unquote(link.path)))
        if (CHECKOUT / path).is_dir():
            path /= "README.md"
        if path in targets:
            goal = Path(os.path.relpath(targets[path], targets[source].parent)).as_posix()
            tag[name] = goal + (f"#{link.fragment}" if link.fragment else "")
        elif (CHECKOUT / path).is_file():
            needed.add(path)
            tag[name] = Path(os.path.relpath(path, targets[source].parent)).as_posix()
        else:
            del tag[name]
    return needed


def _describe(body):
    """Give every picture a text: its own, or the heading it stands under; tables and formulas scroll by themselves."""
    heading = "cnnkit"
    for tag in body.find_all(["h1", "h2", "h3", "h4", "img", "table", "math"]):
        if tag.name == "img":
            own = tag.get("alt", "")
            tag["alt"] = f"Figure: {heading}" if not own or own.startswith("No description") else own
            tag["loading"] = "lazy"
        elif tag.name == "table" or tag.get("display") == "block":
            tag.wrap(body.new_tag("span", attrs={"class": "wide"}))
        elif tag.name == "math":
            tag.wrap(body.new_tag("span", attrs={"class": "formula"}))
        else:
            heading = tag.get_text().rstrip("¶")
