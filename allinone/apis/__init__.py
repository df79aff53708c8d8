"""The old place of ``AllInOneInferencer`` and ``run``, for one release."""


def __getattr__(name: str):
    if name == 'AllInOneInferencer':
        from allinone.inference.inferencer import AllInOneInferencer

        return AllInOneInferencer
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
