"""HTML template of a report. All text from a run is escaped."""

from .templates import render as render_template

PAGE = """\
{% extends 'base' %}
{% from 'evaluation' import evaluation, table %}
{% block content %}
<p class="note">Written {{ written }} by tools/analyze.py.</p>

<h2>Values</h2>
<div class="wide runs">
<table>
<tr><th>Run</th><th>Method</th><th>Iterations</th>
{%- for key in metrics %}<th>{{ key }}</th>{% endfor %}
{%- if scored %}<th>Score</th>{% endif %}
{%- if singles %}<th>&Delta;<sub>m</sub> %, lower is better</th>{% endif %}
<th>s / step</th></tr>
{%- for row in rows %}
<tr{% if loop.index <= singles|length %} class="alone"{% endif %}>
<td>{{ row.name }}</td><td>{{ row.method }}</td><td>{{ row.iterations }}</td>
{%- for value, change in row.cells %}
<td>{{ value or '–' }}{% if change %} <small>({{ change }})</small>{% endif %}</td>
{%- endfor %}
{%- if scored %}<td>{{ row.score or '–' }}</td>{% endif %}
{%- if singles %}<td>{{ row.delta or '–' }}</td>{% endif %}
<td>{{ row.seconds or '–' }}</td></tr>
{%- endfor %}
</table>
</div>
<p class="note">Each run's values are those of
{{ 'the validation with its best score' if best else 'its last validation' }}, in percent
where the metric is a share.
Seconds per step are the median of the log. Method is <code>model.balancer.type</code>.
{%- if singles %}
In brackets: the change against the task alone in percent of it. &Delta;<sub>m</sub> is its mean
over the metrics of a task, then over the tasks {{ singles|join(', ') }}, with the sign turned where
more is better: <b>lower is better</b>, and below 0 beats single-task training.
{%- if without_base %} No change is known where the task alone has 0: {{ without_base|join(', ') }}.
{%- endif %}
{%- else %} &Delta;<sub>m</sub> needs single-task runs: <code>--single TASK=WORK_DIR</code>.
{%- endif %}</p>
{%- if overview %}
<img src="{{ overview }}" alt="Validation metrics of all runs over iterations">
{%- endif %}

{%- for part in class_tables %}{{ table(part) }}{% endfor %}

{%- for run in sections %}
<h2>{{ run.name }}</h2>
<p>{{ run.method }} on {{ run.tasks|join(', ') }}; {{ run.iterations }} iterations;
<code>{{ run.work_dir }}</code></p>
<img src="{{ run.curves }}" alt="Losses, weights, gradients and metrics over iterations">
{%- if run.conflicts %}
<img src="{{ run.conflicts }}" alt="Conflicts between the tasks' gradients">
<p class="note">Backbone gradients of the tasks, over the measured steps of the whole training.</p>
{%- else %}
<p class="note">{{ run.no_conflicts }}</p>
{%- endif %}
{%- if run.evaluation %}
<p class="note">The predictions are those of <code>{{ run.evaluation.checkpoint }}</code>.</p>
{{ evaluation(run.evaluation, 'h3') }}
{%- else %}
<p class="note">{{ run.no_evaluation }}</p>
{%- endif %}
{%- endfor %}
{% endblock %}
"""


def render(**content) -> str:
    """Render the page; ``PAGE`` shows the keys of ``content``."""
    return render_template('report', dict(report=PAGE), **content)
