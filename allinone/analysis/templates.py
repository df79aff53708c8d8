"""Frame and style of the HTML pages. All text from a run is escaped."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

# The policy blocks all external content, for any text in a run's names.
BASE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1500px;
       margin: 2em auto; padding: 0 1.5em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2.2em; }
h3 { font-size: 1.1em; margin-top: 1.8em; } h4 { font-size: 1em; margin: 1.4em 0 .4em; }
h1, h2, h3, code { overflow-wrap: anywhere; }
img { max-width: 100%; display: block; margin: 1em 0; }
.wide { overflow: auto; max-height: 42em; }
.examples { display: grid; gap: 0 2em;
            grid-template-columns: repeat(auto-fill, minmax(min(100%, 32em), 1fr)); }
.plots { display: flex; flex-wrap: wrap; gap: 0 2em; align-items: flex-start; }
figure { margin: 0; min-width: 0; max-width: 100%; }
figure img { margin: .6em 0 .2em; }
.examples img { width: 100%; }
figcaption { max-width: 36em; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
th, td { padding: .35em .8em; text-align: right; border-bottom: 1px solid #ddd;
         white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.runs th:nth-child(2), .runs td:nth-child(2) { text-align: left; }
th { border-bottom: 2px solid #888; position: sticky; top: 0; background: #fff; }
tr.alone { color: #777; }
small, .note { color: #666; font-size: .85em; }
@media (max-width: 600px) { body { padding: 0 .8em; margin: 1em auto; }
                            th, td { padding: .3em .5em; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{%- block content %}{% endblock %}
</body>
</html>
"""


def render(name: str, templates: Mapping[str, str], **content: Any) -> str:
    """Render a page.

    Args:
        name: That of ``templates`` which is the page; it may extend ``'base'`` and import macros of
            ``'evaluation'``.
        templates: Jinja templates by name.
        content: What the page shows.
    """
    from .evaluation.page import EVALUATION

    environment = Environment(
        loader=DictLoader(dict(templates, base=BASE, evaluation=EVALUATION)),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.globals['cell'] = cell
    return environment.get_template(name).render(content)


def cell(value: str | float | None, form: str | Sequence[str], column: int = 0) -> str:
    """A value of a table as text.

    Args:
        value: None is a dash.
        form: Its format, or those of all columns.
        column: Which of them.
    """
    if value is None:
        return '–'
    form = form if isinstance(form, str) else form[column]
    if isinstance(value, str) or not form:
        return str(value)
    text = format(value, form)
    return text.replace('-', '') if not text.strip('-0.,') else text
