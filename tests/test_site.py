"""The site: every link leads somewhere in its folder, nothing is asked of anybody else, a browser has no complaint."""

import re
import shutil
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from cnnkit.report import site

WIDTHS = {"phone": 390, "desktop": 1280}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a path with spaces") / "site"
    site.build(folder)
    return folder


@pytest.fixture(scope="module")
def pages(built):
    return {
        path.relative_to(built).as_posix(): BeautifulSoup(path.read_text(), "html.parser")
        for path in built.rglob("*.html")
    }


def test_all_pages_are_there_and_lead_to_each_other(built, pages):
    notebooks = sorted(path.stem for path in site.CHECKOUT.glob("notebooks/*.ipynb"))
    assert {"index.html", "results/index.html", *(f"notebooks/{name}.html" for name in notebooks)} <= pages.keys()
    follow = [pages[f"notebooks/{name}.html"].find(rel="next") for name in notebooks]
    assert [link["href"] for link in follow[:-1]] == [f"{name}.html" for name in notebooks[1:]] and follow[-1] is None
    assert len({page.title.get_text() for page in pages.values()}) == len(pages)
    assert all(len(page.find("meta", attrs={"name": "description"})["content"]) > 20 for page in pages.values())


def test_every_link_ends_in_the_folder_and_nothing_is_fetched_from_elsewhere(built, pages):
    for name, page in pages.items():
        ids = {tag["id"] for tag in page.find_all(id=True)}
        for tag in page.find_all(href=True) + page.find_all(src=True):
            link = urlsplit(tag.get("href") or tag["src"])
            assert tag.name == "a" or link.scheme in ("", "data"), f"{name} fetches {link.geturl()[:80]}"
            if not link.scheme and link.path:
                assert (built / name).parent.joinpath(unquote(link.path)).is_file(), f"{name} leads to {link.path}"
            elif not link.scheme:
                assert {link.fragment, unquote(link.fragment)} & ids, f"{name} leads to #{link.fragment}"
        assert not page.find_all("script") and "@import" not in page.decode() and "url(http" not in page.decode()


def test_pictures_have_a_text_formulas_are_drawn_and_plumbing_is_folded(pages):
    for name, page in pages.items():
        assert all(image.get("alt") for image in page.find_all("img")), name
        for code in page.find_all(["code", "pre", "details", "script", "math"]):
            code.extract()
        assert not re.search(r"\$[^\s$][^$]*\\[a-z]+|\$\$", page.get_text()), name


def test_a_folder_that_holds_something_is_left_alone(built):
    with pytest.raises(ValueError, match="an empty or new folder"):
        site.build(built)


@pytest.mark.parametrize("text", ["a $x_1$ b $|y|*2$ c", "$$\\frac{1}{2}\n+ x_2$$", "| a |\n|---|\n| $|x|$ |"])
def test_a_formula_survives_markdown(text):
    page = BeautifulSoup(site._markdown(text), "html.parser")
    assert page.find("math") and "$" not in page.get_text() and not page.find("em")


def test_code_is_no_formula():
    assert "math" not in site._markdown("costs `$x$` and\n\n```\n$a$\n```\n")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="no browser: pip install playwright, and Chromium")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no browser: install Chromium")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=path, args=["--no-sandbox"])


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_browser_has_no_complaint(built, pages, browser, width):
    tab, said = browser.new_page(viewport={"width": width, "height": 900}), []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("requestfailed", lambda request: said.append(request.url))
    tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or said.append(request.url))
    for name in pages:
        tab.goto((built / name).as_uri())
        broken = tab.evaluate(
            "async () => { const all = [...document.images]; for (const i of all) i.loading = 'eager';"
            " await Promise.all(all.map(i => i.decode().catch(() => 0)));"
            " return all.filter(i => !i.naturalWidth).map(i => i.src) }"
        )
        wide = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert (broken, wide, said) == ([], 0, []), name
