"""Metrics as a table of plain text."""


def format_table(metrics: dict[str, float]) -> str:
    """Task, metric, value: a line for each."""
    rows = [('task', 'metric', 'value')]
    for name, value in metrics.items():
        task, slash, metric = name.partition('/')
        if slash:
            rows.append((task, metric, f'{value:.4f}'))
    if 'score' in metrics:
        rows.append(('all', 'score', f'{metrics["score"]:.4f}'))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return '\n'.join(f'{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}' for a, b, c in rows)
