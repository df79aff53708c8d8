"""The analysis of a checkpoint as HTML: a page of its own, and for the report of runs."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allinone.io.atomic import write_whole

from ..templates import render
from .stored import PAGE, embedded

OWN_PAGE = """\
{% extends 'base' %}
{% from 'evaluation' import evaluation %}
{% block content %}
<p class="note">Written {{ written }} by tools/analyze.py evaluate. Config
<code>{{ found.config }}</code>, checkpoint <code>{{ found.checkpoint }}</code>.</p>
<h2>Values of the test</h2>
<div class="wide"><table>
<tr><th>Metric</th><th>Value</th></tr>
{%- for name, value in found.metrics.items() %}
<tr><td>{{ name }}</td><td>{{ cell(value, '.4g') }}</td></tr>
{%- endfor %}
</table></div>
{{ evaluation(found, 'h2') }}
{% endblock %}
"""

# A macro: level is the heading of a task
EVALUATION = """\
{% macro table(part) %}
<h4>{{ part.title }}</h4>
<div class="wide"><table>
<tr>{% for name in part.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{%- for row in part.rows %}
<tr>{% for value in row %}<td>{{ cell(value, part.columns.values()|list, loop.index0) }}</td>
{%- endfor %}</tr>
{%- endfor %}
</table></div>
{%- if part.note %}
<p class="note">{{ part.note }}</p>
{%- endif %}
{% endmacro %}

{% macro plots(parts) %}
<div class="plots">
{%- for part in parts if part.image is defined %}
<figure><img src="{{ part.image }}" alt="{{ part.title }}">
<figcaption class="note">{{ part.note }}</figcaption></figure>
{%- endfor %}
</div>
{% endmacro %}

{% macro examples(title, entries, quality) %}
{%- if entries %}
<h4>{{ title }}</h4>
<div class="examples">
{%- for entry in entries %}
<figure><img src="{{ entry.image }}" alt="Ground truth and prediction">
<figcaption class="note">{{ cell(entry.value, '.1f') }} % {{ quality }}:
<code>{{ entry.path }}</code></figcaption></figure>
{%- endfor %}
</div>
{%- endif %}
{% endmacro %}

{% macro evaluation(found, level) %}
{%- for task, part in found.tasks.items() %}
<{{ level }}>{{ task }}: {{ part.kind.replace('_', ' ') }}</{{ level }}>
{%- if part.labelled %}
<p>{{ '{:,}'.format(part.images) }} test images
{%- if part.labelled < part.images %}, of which {{ '{:,}'.format(part.labelled) }} have labels of
this task{% endif %}.
{%- for name, value in part.summary.items() %} {{ name.removesuffix(' %') }}
<b>{{ cell(value, '.1f') }} %</b>{{ ',' if not loop.last else '.' }}
{%- endfor %}</p>
{%- for entry in part.parts if entry.form == 'table' %}{{ table(entry) }}{% endfor %}
{{ plots(part.parts) }}
{{ examples('Worst images', part.worst, part.quality) }}
{{ examples('Best images', part.best, part.quality) }}
{%- else %}
<p>No test image has labels of this task, so its predictions cannot be compared.</p>
{%- endif %}
{%- for entry in part.labels if entry.form == 'table' %}{{ table(entry) }}{% endfor %}
{{ plots(part.labels) }}
{%- if part.label_note %}<p class="note">{{ part.label_note }}</p>{% endif %}
{%- endfor %}
{%- for task, note in found.notes.items() %}
<{{ level }}>{{ task }}</{{ level }}>
<p class="note">{{ note }}</p>
{%- endfor %}
{% endmacro %}
"""


def write_page(content: Mapping[str, Any], folder: Path) -> None:
    """Write the page of one evaluation beside its images, which are also inside it."""
    page = render(
        'own',
        dict(own=OWN_PAGE),
        title=content['checkpoint'],
        written=time.strftime('%Y-%m-%d %H:%M'),
        found=embedded(content, folder),
    )
    write_whole(folder / PAGE, page.encode())


def class_tables(evaluations: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The main value of each class in several runs, a table a task.

    Args:
        evaluations: ``{run: its evaluation}``.

    Returns:
        Tables of the form of ``Part.to_json``, of the tasks that two or more runs have.
    """
    tasks: dict[str, list[str]] = {}
    for run, found in evaluations.items():
        for task, part in found['tasks'].items():
            if part['class_values']:
                tasks.setdefault(task, []).append(run)
    return [
        _class_table(task, {run: evaluations[run]['tasks'][task] for run in runs})
        for task, runs in tasks.items()
        if len(runs) > 1
    ]


def _class_table(task: str, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    first = next(iter(parts.values()))
    # Another kind of task of this name has other values.
    runs = [run for run, part in parts.items() if part['class_metric'] == first['class_metric']]
    names = list(dict.fromkeys(name for run in runs for name in parts[run]['class_values']))
    rows: list[Sequence] = [
        [name, *(parts[run]['class_values'].get(name) for run in runs)] for name in names
    ]
    return dict(
        form='table',
        title=f'{task}: {first["class_metric"]} of each class',
        columns={'Class': '', **dict.fromkeys(runs, '.1f')},
        rows=rows,
        note='',
    )
