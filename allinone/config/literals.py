"""Python literals, and ``dict(...)`` of them, read as data."""

import ast

NUMBERS = dict(inf=float('inf'), nan=float('nan'))


def literal(node: ast.expr):
    """The value of a literal as mmengine writes them.

    Raises:
        ValueError: If it holds anything else.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        # Keys that are not identifiers: dict({'cls/top1': 1}, seg=2)
        parts = [literal(part) for part in node.args if isinstance(part, ast.Dict)]
        if len(parts) == len(node.args) <= 1 and all(keyword.arg for keyword in node.keywords):
            named = {part.arg: literal(part.value) for part in node.keywords if part.arg}
            return dict(*parts, **named)
    elif isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        members = zip(node.keys, node.values)
        return {literal(key): literal(value) for key, value in members if key is not None}
    elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(literal(part) for part in node.elts)
    elif isinstance(node, ast.Name) and node.id in NUMBERS:
        return NUMBERS[node.id]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -literal(node.operand)
    elif isinstance(node, ast.Constant):
        return node.value
    raise ValueError(f'line {node.lineno} has {ast.unparse(node)[:60]!r}')
