"""The page as one file: its parts compressed into it, its scripts, and a policy that lets nothing else run or load."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import vl_convert

from harness.store.files import write_bytes

PAGE = Path(__file__).parent / "page"
CACHE = Path(".cache", "report")
EMBED = "window.vegaEmbed = vegaEmbed;"
READY = 'window.dispatchEvent(new Event("vega-ready"));'
LIMIT = 4_000_000  # bytes


def assembled(title: str, parts: Mapping[str, Any]) -> bytes:
    """parts: what JSON can hold, by the id under which the page's scripts find it. Raises ValueError beyond LIMIT."""
    vega = vega_script()
    script = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in scripts())
    blobs = {
        name: compressed(json.dumps(value, allow_nan=False, separators=(",", ":"))) for name, value in parts.items()
    }
    html = "\n".join([
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy([script, vega])}">',
        f"<title>{escape(title)}</title>", f"<style>\n{(PAGE / 'style.css').read_text(encoding='utf-8')}</style>",
        "</head>", "<body>", (PAGE / "body.html").read_text(encoding="utf-8"),
        *[f'<script type="application/octet-stream" id="{name}">{blob}</script>' for name, blob in blobs.items()],
        f'<script type="application/octet-stream" id="vega">{compressed(vega)}</script>',
        f'<script type="module">{script}</script>', "</body>", "</html>", "",
    ])  # fmt: skip
    content = html.encode()
    if len(content) > LIMIT:
        raise ValueError(f"the page has {len(content):,} bytes, more than {LIMIT:,}; --runs names a smaller folder")
    return content


def scripts() -> Sequence[str]:
    """The page's own scripts in the order in which they are put together."""
    return (PAGE / "order.txt").read_text(encoding="utf-8").split()


def compressed(text: str) -> str:
    """gzip, the same bytes each time, as base64."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def policy(run: Sequence[str]) -> str:
    """Only the scripts given run; nothing is loaded, sent or evaluated."""
    sums = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in run)
    return (
        f"default-src 'none'; script-src {sums}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def vega_script() -> str:
    """Vega, Vega-Lite and vega-embed as one script. Putting them together takes seconds, so it is kept in the cache."""
    name = f"vega-{vl_convert.__version__}-{hashlib.sha256((EMBED + READY).encode()).hexdigest()[:8]}.js"
    path = CACHE / name
    if path.exists():
        return path.read_text(encoding="utf-8")
    text = f"{vl_convert.javascript_bundle(EMBED)}\n{READY}"
    write_bytes(path, text.encode())
    return text


def licences() -> list[dict[str, str]]:
    """Of what is in the page that others wrote."""
    versions = {"Vega": vl_convert.get_vega_version(), "Vega-Lite": vl_convert.get_vegalite_versions()[-1],
                "vega-embed": vl_convert.get_vega_embed_version()}  # fmt: skip
    source = f"vl-convert-python {vl_convert.__version__}"
    return [
        {"name": name, "version": version, "licence": "BSD-3-Clause", "use": "figures", "from": source}
        for name, version in versions.items()
    ]
