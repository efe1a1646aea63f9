"""Whether a built site keeps to itself and is whole: what its pages load lies beside them, its menu leads to pages."""

import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

LOADED = {'script': 'src', 'img': 'src', 'iframe': 'src', 'source': 'src', 'video': 'src', 'audio': 'src'}
LOADED_LINKS = {'stylesheet', 'preload', 'prefetch', 'preconnect', 'dns-prefetch', 'icon', 'modulepreload'}


def requests(site: Path) -> list[str]:
    """Returns 'page: what it asks of another host' for every such thing; [] if there is none.

    Links that a reader may follow are no requests. Raises: ValueError if there is no page.
    """
    pages = sorted(site.rglob('*.html'))
    if not pages:
        raise ValueError(f'{site}: no page there; build the site first with make docs')
    return [f'{page}: {found}' for page in pages for found in _Loads.of(page)] + [
        f'{sheet}: {line.strip()[:80]}'
        for sheet in sorted(site.rglob('*.css'))
        for line in sheet.read_text(encoding='utf-8').split('}')
        if 'url(http' in line or 'url(//' in line or '@import "http' in line
    ]


def absent(site: Path, config: Path) -> list[str]:
    """Returns the pages of the menu, as the site's configuration (zensical.toml) names them, that the site lacks."""
    menu = tomllib.loads(config.read_text(encoding='utf-8'))['project']['nav']
    return [page for page in _pages(menu) if not (site / page).with_suffix('.html').is_file()]


def _pages(menu: Any) -> Iterator[str]:
    if isinstance(menu, str):
        yield menu
    else:
        for one in menu.values() if isinstance(menu, dict) else menu:
            yield from _pages(one)


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    @classmethod
    def of(cls, page: Path) -> list[str]:
        parser = cls()
        parser.feed(page.read_text(encoding='utf-8'))
        return parser.found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or '' for name, value in attrs}
        address = given.get(LOADED.get(tag, ''), '')
        if tag == 'link' and LOADED_LINKS & set(given.get('rel', '').split()):
            address = given.get('href', '')
        if address.startswith(('http:', 'https:', '//')):
            self.found.append(f'<{tag}> {address}')
