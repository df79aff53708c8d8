"""What else balancers and schedules are called, for suggestions in messages."""

import difflib
from collections.abc import Iterable

# Names in papers and other libraries, in lower case and without anything but letters and digits
OTHER_NAMES = {
    'dwa': 'DynamicWeightAverage',
    'dynamicweightaveraging': 'DynamicWeightAverage',
    'dtp': 'DynamicTaskPrioritization',
    'uw': 'Uncertainty',
    'kendall': 'Uncertainty',
    'uncertaintyweighting': 'Uncertainty',
    'homoscedasticuncertainty': 'Uncertainty',
    'rlw': 'RandomWeights',
    'randomlossweighting': 'RandomWeights',
    'gls': 'GeometricMean',
    'geometriclossstrategy': 'GeometricMean',
    'gradientsurgery': 'PCGrad',
    'gradientvaccine': 'GradVac',
    'graddrop': 'GradDrop',
    'gradsigndropout': 'GradDrop',
    'nash': 'NashMTL',
    'imtl': 'IMTLG',
    'multiplegradientdescent': 'MGDA',
    'equal': 'FixedWeights',
    'equalweights': 'FixedWeights',
    'equalweighting': 'FixedWeights',
    'ew': 'FixedWeights',
    'sum': 'FixedWeights',
    'scalarization': 'FixedWeights',
    'linearscalarization': 'FixedWeights',
    'orthogonality': 'GradientOrthogonality',
    'all': 'AllTasks',
    'simultaneous': 'AllTasks',
    'alternating': 'RoundRobin',
    'cyclic': 'RoundRobin',
    'proportional': 'SizeProportional',
    'uniform': 'FixedProportions',
    'annealing': 'AnnealedSampling',
}


def near_name(name, names: Iterable[str]) -> str | None:
    """The name that was probably meant; None if there is none.

    Args:
        name: What is not among the names.
        names: The valid names.
    """
    if not isinstance(name, str):
        return None
    short = _plain(name.rpartition('.')[2])
    plain = {_plain(known): known for known in names}
    if short in plain:
        return plain[short]
    if OTHER_NAMES.get(short) in plain.values():
        return OTHER_NAMES[short]
    return next((plain[near] for near in difflib.get_close_matches(short, plain, 1)), None)


def _plain(name: str) -> str:
    return ''.join(filter(str.isalnum, name)).casefold()
