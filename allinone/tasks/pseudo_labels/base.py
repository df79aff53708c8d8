"""What all forms of pseudo labels have in common."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

from mmengine.dataset import BaseDataset

from .thresholds import HeldOutScores, Threshold


@dataclass(frozen=True)
class ClassRule:
    """What becomes of predictions of a class.

    Attributes:
        label: From which score on they are labels; None: no score is good enough.
        ignore: From which score on they are regions that training ignores; None: none are.
        held_out: Number of all held-out predictions of the class.
    """

    label: Threshold | None
    ignore: Threshold | None = None
    held_out: int = 0

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping) -> 'ClassRule':
        label, ignore = (
            Threshold(**content[name]) if content[name] else None for name in ('label', 'ignore')
        )
        return cls(label, ignore, content['held_out'])


class HeldOutPart:
    """Labelled images that the teacher has not seen.

    Args:
        dataset: After ``full_init``; its pipeline has the transforms that load labels, and no
            others.
    """

    def __init__(self, dataset: BaseDataset):
        self.dataset = dataset
        self.infos = [dataset.get_data_info(index) for index in range(len(dataset))]

    @property
    def images(self) -> list[str]:
        """Paths of the images."""
        return [info['img_path'] for info in self.infos]

    def loaded(self, index: int) -> dict:
        """What the data set knows of an image, with the labels that transforms load."""
        return self.dataset.pipeline(self.dataset.get_data_info(index))


@dataclass(frozen=True)
class LabelledImage:
    """An image that a teacher has predicted.

    Attributes:
        name: Its path below the folder of all images, with ``/``.
        stem: The same without its suffix, where all images have one suffix.
        width: In pixels, as height.
        height: In pixels.
        result: What :meth:`PseudoLabels.label` gave for it.
    """

    name: str
    stem: str
    width: int
    height: int
    result: dict


class OwnClasses(Protocol):
    """Classes of a data set that annotates some of them.

    Attributes:
        annotated: Names of these.
        classes: Names of all, in the order of their numbers.
    """

    @property
    def annotated(self) -> Sequence[str]: ...

    @property
    def classes(self) -> Sequence[str]: ...


class PseudoLabels(ABC):
    """How predictions of a kind of task are compared with held-out labels, and become labels.

    A kind of task names its form in ``TaskKind.pseudo_labels``. An object is of one task.

    Args:
        classes: Names of the classes.

    Attributes:
        ignores: Whether doubtful predictions become regions that training ignores, by a second,
            lower threshold.
        completes: Whether labels of some classes that an image has can be completed by the others.
        takes_views: Whether predictions that are merged of several views (``TestTimeAug``) have
            scores.
    """

    ignores: ClassVar[bool] = False
    completes: ClassVar[bool] = False
    takes_views: ClassVar[bool] = True

    def __init__(self, classes: Sequence[str]):
        self.classes = list(classes)

    @abstractmethod
    def compare(self, sample: Any, part: HeldOutPart, index: int) -> Any:
        """What :meth:`add` needs of a held-out image. May run in several threads at once.

        Args:
            sample: The predicted data sample.
            part: The held-out part.
            index: Of the image in it.
        """

    @abstractmethod
    def add(self, compared: Any) -> None:
        """Take in a result of :meth:`compare`, in the order of the images."""

    @abstractmethod
    def held_out_scores(self, part: HeldOutPart) -> list[HeldOutScores]:
        """Of each class, of all images that were added.

        Raises:
            DataError: If no image has a label.
        """

    @abstractmethod
    def label(self, sample: Any, rules: Sequence[ClassRule], path: str) -> dict:
        """Make the labels of an image, in JSON types, after a file of its own is written, if any.

        May run in several threads at once.

        Args:
            sample: The predicted data sample.
            rules: Of each class.
            path: Where a file of the image may be written, without its suffix.
        """

    def complete(self, result: Mapping, info: Mapping, own: OwnClasses) -> dict:
        """The labels of an image with its own ones, of some classes, in place of the teacher's.

        Args:
            result: What :meth:`label` gave.
            info: What the data set knows of the image.
            own: The classes of the data set.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define complete()')

    @abstractmethod
    def write(self, folder: str, images: Sequence[LabelledImage]) -> None:
        """Write the annotations of all images.

        Args:
            folder: Of the task.
            images: In their order.
        """

    @abstractmethod
    def counts(self, result: Mapping) -> dict[str, tuple[int, int]]:
        """``{class: (labels, ignored ones)}`` of what :meth:`label` gave for an image."""

    @abstractmethod
    def dataset_config(
        self, folder: str, images: str, suffix: str | None, labelled: Collection[str]
    ) -> dict:
        """Config of a data set that reads what :meth:`write` wrote.

        Args:
            folder: Of the task.
            images: Folder of all images.
            suffix: Of all images; None where they have different ones.
            labelled: Classes that have labels: from the teacher, or their own.
        """
