"""Messages of the libraries from which nothing follows for the user, by their whole text."""

import re

# Only what varies from call to call is a pattern: times, and the class that a message names.
_MESSAGES = (
    # mmengine
    r'The prefix is not set in metric class \w+\.',
    r'"FileClient" will be deprecated in future\. Please use io functions in '
    r'https://\S+/api/fileio\.html#file-io',
    r'"HardDiskBackend" is the alias of "LocalBackend" and the former will be deprecated in '
    r'future\.',
    # mmcv, mmdet, mmseg
    r'DeprecationWarning: `num_anchors` is deprecated, for consistency or also use '
    r'`num_base_priors` instead',
    r"Only use 'alpha' for pillow backend\.",
    r'Default ``avg_non_ignore`` is False, if you would like to ignore the certain label and '
    r'average loss over non-ignore labels, which is the same with PyTorch official '
    r'cross_entropy, set ``avg_non_ignore=True``\.',
    # torch
    r'torch\.meshgrid: in an upcoming release, it will be required to pass the indexing argument\. '
    r'\(Triggered internally at \S+\)',
    # pycocotools, which prints
    r'loading annotations into memory\.\.\.',
    r'Done \(t=[\d.]+s\)',
    r'creating index\.\.\.',
    r'index created!',
    r'Loading and preparing results\.\.\.',
    r'DONE \(t=[\d.]+s\)\.?',
)
_NOISE = re.compile('|'.join(f'(?:{message})' for message in _MESSAGES))


def is_noise(text: str) -> bool:
    """Whether ``text`` is one of the messages, from its first character to its last."""
    return _NOISE.fullmatch(text.strip()) is not None
