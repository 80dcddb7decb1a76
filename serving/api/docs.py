"""The OpenAPI document as a page of ours that loads nothing from elsewhere."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment
from starlette.responses import HTMLResponse, RedirectResponse, Response

router = APIRouter(include_in_schema=False)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ api.info.title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { background: #f4f4f2; padding: .75rem; overflow: auto; max-height: 24rem }
details { border: 1px solid #d4d4d0; border-radius: 6px; margin: .5rem 0; padding: .5rem .75rem }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.5rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0;
  border-bottom: 1px solid #e6e6e2 }
</style></head><body>
<h1>{{ api.info.title }} <small>{{ api.info.version }}</small></h1>
<p>{{ api.info.description }}</p>
<p>Machine-readable: <a href="/openapi.json">openapi.json</a>.
Keys: <code>Authorization: Bearer iv_…</code>, made with
<code>python -m serving key create --role scorer</code>.</p>
{% for path, methods in api.paths.items() %}{% for method, operation in methods.items() %}
<details><summary><b>{{ method | upper }}</b> <code>{{ path }}</code></summary>
<p style="white-space: pre-line">{{ operation.description or operation.summary }}</p>
{% if operation.parameters %}<table><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr>
{% for parameter in operation.parameters %}<tr><td><code>{{ parameter.name }}</code>
{{ "(required)" if parameter.required }}</td><td>{{ parameter.in }}</td>
<td>{{ parameter.description or "" }}</td></tr>{% endfor %}</table>{% endif %}
{% if operation.requestBody %}{% for type, body in operation.requestBody.content.items() %}
<p>Body: <code>{{ type }}</code></p><pre>{{ body.schema | pretty }}</pre>{% endfor %}{% endif %}
<table><tr><th>Answer</th><th>Meaning</th></tr>
{% for status, answer in operation.responses.items() %}<tr><td><code>{{ status }}</code></td>
<td>{{ answer.description }}</td></tr>{% endfor %}</table></details>
{% endfor %}{% endfor %}
<h2>Shapes</h2>
{% for name, schema in api.components.schemas.items() %}
<details><summary><code>{{ name }}</code></summary><pre>{{ schema | pretty }}</pre></details>
{% endfor %}
</body></html>
"""


@router.get("/")
async def front() -> Response:
    """The documentation is the front page."""
    return RedirectResponse("/docs")


@router.get("/docs")
def docs(request: Request) -> Response:
    """Every operation, its parameters, bodies and answers."""
    pages = Environment(autoescape=True, trim_blocks=True)
    pages.filters["pretty"] = _pretty
    page = pages.from_string(PAGE).render(api=request.app.openapi())
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


def _pretty(schema: Any) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False)
