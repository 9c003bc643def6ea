"""The page that shows the description of the API: plain HTML without scripts or other files."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root { color-scheme: light dark; --line: #d4d7dd; --soft: #f4f5f7; --text: #1c2024; --dim: #5a6270;
  --get: #0b6bcb; --post: #1a7f37; --delete: #b3261e; --back: #fff; }
@media (prefers-color-scheme: dark) { :root { --line: #3a3f47; --soft: #1f2329; --text: #e6e8eb;
  --dim: #a2abb8; --get: #6cb6ff; --post: #57c271; --delete: #ff8a80; --back: #15181c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 6rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; text-transform: capitalize; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--get); }
nav a { margin-right: 1rem; text-transform: capitalize; }
code, pre { font: 13.5px/1.45 ui-monospace, Menlo, Consolas, monospace; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px;
  padding: .6rem .8rem; overflow-x: auto; margin: .3rem 0 .8rem; max-height: 26rem; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .45rem 0; }
summary { cursor: pointer; padding: .55rem .8rem; display: flex; gap: .8rem; flex-wrap: wrap;
  align-items: baseline; }
summary:hover, summary:focus-visible { background: var(--soft); }
details[open] > summary { border-bottom: 1px solid var(--line); }
.inside { padding: .4rem .9rem .8rem; }
.method { font-weight: 700; min-width: 3.9rem; }
.get { color: var(--get); } .post { color: var(--post); } .delete { color: var(--delete); }
.path { overflow-wrap: anywhere; }
.dim { color: var(--dim); }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 .8rem; }
th, td { text-align: left; vertical-align: top; overflow-wrap: anywhere;
  padding: .3rem .6rem .3rem 0;  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--dim); overflow-wrap: normal; }
h3 { font-size: .95rem; margin: 1rem 0 .2rem; }
"""
_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""The page may load nothing, run nothing and be shown in no frame."""
_METHODS: Final = ("get", "post", "put", "patch", "delete")


def reference_page(document: Mapping[str, Any]) -> str:
    """Return the page; every text of the document is escaped."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                tag = (operation.get("tags") or ["other"])[0]
                groups.setdefault(tag, []).append(_operation(method, path, operation, document))
    links = "".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a> ' for tag in groups)
    parts = "".join(
        f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>{"".join(shown)}'
        for tag, shown in groups.items()
    )
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>activityctl API</title><style>{_STYLE}</style></head><body>"
        f'<h1>activityctl API <span class="dim">{escape(info["version"])}</span></h1>'
        f"<p>{_prose(info['description'])}</p>"
        "<p>Send a token in the header <code>Authorization: Bearer TOKEN</code>, unless a path says"
        ' that it needs none. Programs read the same as <a href="/v1/openapi.json">OpenAPI'
        f" {escape(document['openapi'])}</a>.</p><nav>{links}</nav>{parts}</body></html>"
    )


def _operation(
    method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> str:
    needs = "needs a token" if operation.get("security") else "needs no token"
    paragraphs = operation.get("description", "").split("\n\n")
    parts = [
        "".join(f"<p>{_prose(part)}</p>" for part in paragraphs),
        f'<p class="dim">This path {needs}.</p>',
        _parameters(operation.get("parameters", ())),
        "".join(_body(operation.get("requestBody", {}))),
        "<h3>Answers</h3>",
        "".join(_answers(operation["responses"], document)),
    ]
    return (
        f'<details><summary><span class="method {method}">{method.upper()}</span>'
        f'<code class="path">{escape(path)}</code>'
        f'<span class="dim">{escape(operation.get("summary", ""))}</span></summary>'
        f'<div class="inside">{"".join(parts)}</div></details>'
    )


def _parameters(parameters: Any) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['in'])}</td>"
        f"<td>{escape(_type(each['schema']))}</td>"
        f"<td>{_prose(each.get('description') or '')}</td></tr>"
        for each in parameters
    )
    head = "<tr><th>Parameter</th><th>In</th><th>Type</th><th></th></tr>"
    return f"<table>{head}{rows}</table>"


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a parameter in words."""
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"] if each != {"type": "null"})
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"{_type(schema['items'])}, several times"
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS if key in schema]
    kind = str(schema.get("format") or schema.get("type") or "any")
    default = [f"default {json.dumps(schema['default'])}"] if schema.get("default") else []
    return ", ".join([kind, *bounds, *default])


_BOUNDS: Final = (("minimum", "from"), ("maximum", "to"))


def _body(body: Mapping[str, Any]) -> Iterator[str]:
    for media_type, content in body.get("content", {}).items():
        yield f"<h3>Body: {escape(media_type)}</h3>{_fields(content.get('schema', {}))}"
        yield from _examples(content)


def _fields(schema: Mapping[str, Any]) -> str:
    described = {
        name: field
        for name, field in schema.get("properties", {}).items()
        if "description" in field
    }
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{_prose(field['description'])}</td></tr>"
        for name, field in described.items()
    )
    return f"<table><tr><th>Field</th><th></th></tr>{rows}</table>" if rows else ""


def _answers(responses: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    problems = []
    for status, answer in responses.items():
        if "$ref" in answer:
            shared = document["components"]["responses"][status]
            problems.append(
                f"<tr><td>{escape(status)}</td><td>{_prose(shared['description'])}</td></tr>"
            )
            continue
        yield f"<p><b>{escape(status)}</b> {_prose(answer['description'])}</p>"
        for content in answer.get("content", {}).values():
            yield from _examples(content)
    if problems:
        yield f"<table><tr><th>Problem</th><th></th></tr>{''.join(problems)}</table>"


def _examples(content: Mapping[str, Any]) -> Iterator[str]:
    found = [content["example"]] if "example" in content else []
    found += [each["value"] for each in content.get("examples", {}).values()]
    for example in found:
        text = example if isinstance(example, str) else json.dumps(example, indent=2)
        yield f"<pre>{escape(text)}</pre>"


def _prose(text: str) -> str:
    """Return the text with its parts in backticks as code."""
    parts = escape(" ".join(text.split())).split("`")
    return "".join(
        f"<code>{part}</code>" if place % 2 and place < len(parts) - 1 else part
        for place, part in enumerate(parts)
    )


def _anchor(tag: str) -> str:
    return escape(tag.replace(" ", "-"))
