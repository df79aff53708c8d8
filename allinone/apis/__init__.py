"""Using the suite from Python and from the tools."""

__all__ = ['AllInOneInferencer']


def __getattr__(name: str):
    # The libraries take seconds to import, and most of this package does without the inferencer.
    if name == 'AllInOneInferencer':
        from .inferencer import AllInOneInferencer

        return AllInOneInferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
