"""What the suite asks of a kind of task, with answers that suit most kinds."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils.data import Dataset

from allinone.config.build_errors import accepted_keys
from allinone.config.feature_maps import FeatureMap
from allinone.errors import ConfigError, DataError
from allinone.io.text import cut_short
from allinone.registry.kinds import derives, registered_kinds
from allinone.visualization.draw import Drawing
from allinone.visualization.palette import ClassTable

from .analyses import TaskAnalysis
from .annotated_classes import ANNOTATED
from .class_lists import METAINFO, ClassLists
from .class_numbers import set_num_classes
from .image_statistics import ImageStatistics
from .joined_labels import JoinedLabels
from .label_maps import digest_of_label_maps
from .labels import check_class_labels, digest_of_labels, label_of
from .neck_wiring import wire_shared_neck
from .probe import FeatureMaps, longest_side, probe_heads
from .pseudo_labels import PseudoLabels
from .synchronised import averages_over_processes
from .wiring import Wiring

if TYPE_CHECKING:
    from mmengine.model import BaseModel

Json = dict | list | str | float | int | bool | None


class TaskKind:
    """One kind of task: what models, data, predictions and labels of it have in common.

    A kind of one's own inherits from this class, or from the kind that it resembles, and is
    registered in ``TASK_KINDS``. It is chosen for a task by the class of the task's model, or by
    ``kind='NAME'`` in the task's config. A kind that only trains needs ``models``; one whose
    predictions are recorded and drawn also ``predicts``, ``to_record``, ``from_record``,
    ``schema`` and ``draw``.

    A kind has no state but its options, and is built anew at each look-up.

    Attributes:
        models: Dotted names of the model classes, with all that inherit from them, whose tasks are
            of this kind by default.
        datasets: The same of data set classes, for tools that have no model.
        entry: The argument and attribute of the model that takes the shared backbone.
        library: Scope in which the names below are looked up; None: ``allinone``.
        sample_type: Dotted name of the class of the model's data samples.
        preprocessor: Type of the default data preprocessor.
        heads: Attributes of a model; the first present one is named when feature maps do not fit.
        class_heads: Dotted attributes of a model that may have ``num_classes``.
        apart: Keys of a model's config below which ``num_classes`` counts other classes.
        class_layers: Names of layers of heads whose rows are classes.
        box_layers: Names of layers of heads with the four rows of a box for each class.
        merger: Config of the model that merges the views of test-time augmentation.
        main_metrics: Short names of the metrics that stand for the kind in plots.
        image_statistics: Forms of what its metrics are computed from, image by image, of which
            intervals are computed.
        pseudo_labels: How predictions are calibrated and become labels; None: they do not.
        analysis: How predictions compare with the ground truth, in tables and curves; None: they
            are not analysed.
        packer: The transform that ends a pipeline of this kind.
        annotation_loader: Config of the transform that loads the labels; None where the data set
            gives them itself.
        joined_labels: How transforms see the labels of several tasks on one image; None where no
            transform changes labels.
        visualizer: Type of the visualizer in upstream configs.
        upstream_types: ``{type of this suite: type of the library}`` for upstream configs.
        upstream_evaluates: Whether upstream configs have the data and metrics of tests.
        outputs: ``{'logits' or 'scores': dotted attribute}`` of the module whose output
            distillation compares.
        sees_whole_images: Whether test images are whole images, not crops.
        finds_boxes: Whether predictions have boxes, which ``boxes_of`` gives.
        classifies_boxes: Whether a model may classify crops, by ``--classify-boxes``.
        embeds: Whether predictions are embeddings, which ``embedding_of`` gives.
        track1_section: Section of a Track 1 submission that ``track1_content`` is for.
    """

    models: Sequence[str] = ()
    datasets: Sequence[str] = ()
    entry = 'backbone'
    library: str | None = None
    sample_type = 'mmengine.structures.BaseDataElement'
    preprocessor = 'ImgDataPreprocessor'
    heads: Sequence[str] = ('head',)
    class_heads: Sequence[str] = ('head',)
    apart: Sequence[str] = ()
    class_layers: Sequence[str] = ()
    box_layers: Sequence[str] = ()
    merger: Mapping | None = None
    main_metrics: Sequence[str] = ()
    image_statistics: Sequence[type[ImageStatistics]] = ()
    pseudo_labels: type[PseudoLabels] | None = None
    analysis: type[TaskAnalysis] | None = None
    packer: str | None = None
    annotation_loader: Mapping | None = None
    joined_labels: type[JoinedLabels] | None = None
    visualizer: str | None = None
    upstream_types: Mapping[str, str] = {}
    upstream_evaluates = True
    outputs: Mapping[str, str] = {}
    sees_whole_images = True
    finds_boxes = False
    classifies_boxes = False
    embeds = False
    track1_section: str | None = None

    @property
    def name(self) -> str:
        """The name in ``TASK_KINDS``, or that of the class."""
        names = [name for name, cls in registered_kinds().items() if cls is type(self)]
        return names[0] if names else type(self).__name__

    # ------------------------------------------------------------------ the model

    @classmethod
    def fits(cls, model_class: type) -> bool:
        """Whether ``kind=`` may name this kind for models of a class."""
        return derives(model_class, cls.models)

    def of_model(self, model: 'BaseModel') -> 'TaskKind':
        """The kind of a task once its model is built: this one, or a more special one."""
        return self

    def model_defaults(self, cfg: ConfigDict) -> ConfigDict:
        """The config of a task's model with what the kind can add to it."""
        return cfg

    def preprocessor_config(
        self, scope: str, cfg: Mapping | None, normalisation: Mapping
    ) -> ConfigDict:
        """A task's data preprocessor, with the joint model's values where it sets none itself.

        Args:
            scope: In which the task's model is built.
            cfg: The task's own config.
            normalisation: ``mean``, ``std``, ``bgr_to_rgb`` and ``pad_size_divisor`` of the joint
                model.
        """
        cfg = dict(cfg or {})
        prefix = f'{self.library}.' if self.library not in (None, scope) else ''
        merged = ConfigDict(type=cfg.get('type', prefix + self.preprocessor))
        for name in ('mean', 'std'):
            if name in normalisation:
                merged[name] = normalisation[name]
        named = merged.type if '.' in str(merged.type) else f'{scope}.{merged.type}'
        cls = MMENGINE_MODELS.get(named) if isinstance(merged.type, str) else merged.type
        # Libraries, and classes of one library, name the same thing differently.
        swaps = cls is not None and 'to_rgb' in accepted_keys(cls)
        merged['to_rgb' if swaps else 'bgr_to_rgb'] = normalisation.get('bgr_to_rgb', False)
        merged.update(self.padding(normalisation.get('pad_size_divisor', 1)))
        merged.update(cfg)
        return merged

    def padding(self, divisor: int) -> dict:
        """Options of the data preprocessor that pad images to multiples of ``divisor`` pixels."""
        return dict(pad_size_divisor=divisor)

    def probe_size(self, model: 'BaseModel', size: int) -> int:
        """Height and width of the image for :meth:`probe`: ``size``, or the multiple it needs."""
        return size

    def training_size(self, model: 'BaseModel') -> int | None:
        """Longest side of the training images where the data preprocessor fixes it, else None."""
        return longest_side(getattr(getattr(model, 'data_preprocessor', None), 'size', None))

    def probe(self, key: str, model: 'BaseModel', image: Tensor, maps: FeatureMaps) -> None:
        """Run one image through the model, given its feature maps.

        Args:
            key: The config key of the task, for messages.
            model: The task's model; its backbone answers ``image`` with ``maps``.
            image: ``(1, 3, S, S)``.
            maps: Those of the shared backbone's feature maps ``(1, C_i, H_i, W_i)`` that the task
                selects; one map, without a tuple, where the model fails with a tuple.

        Raises:
            ConfigError: If a part of the model does not fit the feature maps that it gets.
            Exception: What the model raises for another reason, which is logged.
        """
        height, width = image.shape[-2:]
        samples = self.samples(image, [(height, width)])
        probe_heads(key, model, self.heads, image, samples, maps)

    def run_network(
        self, model: 'BaseModel', image: Tensor, samples: list[BaseDataElement]
    ) -> None:
        """Run all layers of a model on images, without what reads predictions from them.

        Args:
            model: Of this kind, in evaluation mode.
            image: ``(N, 3, H, W)``, normalised.
            samples: As :meth:`samples` gives them.
        """
        model(image, samples, mode='tensor')

    def num_classes(self, model: 'BaseModel') -> int | None:
        """``num_classes`` of the model's head; None where it has none."""
        for path in self.class_heads:
            part = model
            for name in path.split('.'):
                part = getattr(part, name, None)
            if isinstance(part, nn.ModuleList) and len(part):
                part = part[-1]
            number = getattr(part, 'num_classes', None)
            if isinstance(number, int):
                return number
        return None

    def set_num_classes(self, key: str, cfg: ConfigDict, count: int) -> list[str] | None:
        """Set the number of classes in the config of a model, in place.

        Args:
            key: The config key of the task, for messages.
            cfg: Its config.
            count: The number of classes.

        Returns:
            What changed, in words; None if the model has no number of classes.

        Raises:
            ConfigError: If something that depends on the number cannot follow.
        """
        return set_num_classes(key, cfg, self.class_heads, self.apart, count)

    def wire(
        self,
        key: str,
        cfg: Any,
        maps: Callable[[], Sequence[FeatureMap]],
        of_neck: bool = False,
    ) -> str:
        """Fill channels, strides and levels that a task's config leaves out, in place.

        Args:
            key: The config key of the task, for messages.
            cfg: Its config.
            maps: Gives the backbone's feature maps; called if something is left out.
            of_neck: Whether they are those of the shared neck.

        Returns:
            What was filled, in words; empty if nothing was.

        Raises:
            ConfigError: If the backbone has no map that the task wants.
        """
        wiring = Wiring(key, cfg, maps, of_neck)
        self.wire_parts(wiring)
        return wiring.words()

    def wire_neck(self, key: str, cfg: Any, maps: Callable[[], Sequence[FeatureMap]]) -> str:
        """As :meth:`wire`, of the config of a shared neck."""
        wiring = Wiring(key, cfg, maps)
        wire_shared_neck(wiring)
        return wiring.words()

    def wire_parts(self, wiring: Wiring) -> None:
        """What :meth:`wire` does for this kind; by default nothing."""

    def samples(
        self,
        batch: Tensor,
        sizes: Sequence[tuple[int, int]],
        metainfo: Sequence[Mapping] | None = None,
    ) -> list[BaseDataElement]:
        """A data sample for each image that comes without a data set.

        Args:
            batch: Normalised images ``(N, 3, H, W)``, padded at the right and bottom.
            sizes: ``(H_i, W_i)`` of each before padding.
            metainfo: Overrides for each image, e.g. ``ori_shape`` (H, W) and ``scale_factor``
                (width, height).
        """
        module, _, name = self.sample_type.rpartition('.')
        sample_type = getattr(import_module(module), name)
        height, width = batch.shape[-2:]
        samples = []
        for index, (h, w) in enumerate(sizes):
            info = dict(
                img_shape=(h, w),
                ori_shape=(h, w),
                pad_shape=(height, width),
                batch_input_shape=(height, width),
                scale_factor=(1.0, 1.0),
                padding_size=[0, width - w, 0, height - h],
                flip=False,
            )
            samples.append(sample_type(metainfo=info | dict(metainfo[index] if metainfo else {})))
        return samples

    def set_no_labels(self, sample: BaseDataElement, like: BaseDataElement | None) -> None:
        """Give a data sample labels of an image without objects; by default those of ``like``.

        Such an image stands in a batch for one without labels of the task, and does not enter the
        loss. The loss on it must be finite.

        Args:
            sample: Of an image, with its metadata alone; changed in place.
            like: A sample with labels, whose fields and types the new ones have; None: the usual
                ones of the kind.
        """
        if like is not None:
            sample.update(like.new(metainfo=sample.metainfo))

    def label_map_size(self, sample: BaseDataElement) -> tuple[int, int] | None:
        """Height and width of the label maps of a data sample; None if it has none."""
        return None

    def check_partly_annotated(self, key: str, model: 'BaseModel') -> None:
        """Check that the model can be trained on data that annotates only some of its classes.

        Args:
            key: The config key of the task, for messages.
            model: A model of this kind.

        Raises:
            ConfigError: If its loss cannot leave out the others (:meth:`only_annotated`).
        """
        raise ConfigError(
            f'{key} is of the kind {self.name!r}, whose loss cannot leave out classes; remove '
            f'metainfo.{ANNOTATED} from its training data'
        )

    def leaves_out_regions(self, model: 'BaseModel') -> bool:
        """Whether :meth:`only_annotated` leaves out ignored regions of images."""
        return False

    def only_annotated(
        self, model: 'BaseModel', samples: Sequence[BaseDataElement], labels: Sequence[int] | None
    ) -> AbstractContextManager:
        """Inside, the model's loss has no term, and no gradient, of what is not annotated.

        Args:
            model: Of this kind, after :meth:`check_partly_annotated`.
            samples: Data samples of a batch, which may be changed. Where their metainfo has
                ``ignored_regions``, ignored boxes are regions in which their class is in doubt.
            labels: The classes that the data of the batch annotates; None: all.
        """
        return nullcontext()

    def averages_over_processes(self, model: 'BaseModel') -> bool:
        """Whether the model's losses are divided by a mean over the processes."""
        return averages_over_processes(model)

    def output_of(self, what: str, model: 'BaseModel') -> str:
        """The module whose output distillation compares.

        Args:
            what: ``'logits'``, ``'scores'`` or ``'features'``.
            model: A model of this kind.

        Raises:
            ConfigError: If the kind has no such module.
        """
        if what == 'features':
            return self.entry if getattr(model, 'neck', None) is None else 'neck'
        if what not in self.outputs:
            others = ', '.join(self.outputs) or 'none'
            raise ConfigError(
                f'module is not set, and models of the kind {self.name!r} have no usual one for '
                f'{what} (for others: {others}); name the module, or use another loss'
            )
        return self.outputs[what]

    def export_head(self, model: 'BaseModel') -> nn.Module:
        """The model's neck and head as a function of feature maps, decoding included, without NMS.

        Args:
            model: In evaluation mode.

        Returns:
            A module ``(feature maps, size=None) -> {name: Tensor}``; ``size`` is ``(H, W)`` of the
            input image in pixels, to which maps are resized and boxes are clipped.

        Raises:
            ConfigError: If the model's head has no such form.
        """
        raise ConfigError(
            f'{type(model).__name__} cannot be exported: its kind {self.name!r} has no export_head'
        )

    def export_predictions(self, model: 'BaseModel') -> nn.Module:
        """As :meth:`export_head`, to what the model predicts, such as boxes after NMS.

        Its outputs have fixed shapes for a size of the images, and those of an image are what
        :meth:`from_outputs` takes.
        """
        return self.export_head(model)

    def export_options(self, model: 'BaseModel') -> dict[str, Json]:
        """What predictions depend on beside the outputs of an exported graph, or what made them.

        Such as thresholds, in JSON types; they are kept with the graph.
        """
        return {}

    def from_outputs(
        self, outputs: Mapping[str, np.ndarray], sample: Any, options: Mapping[str, Any]
    ) -> BaseDataElement:
        """Set the prediction of an image from the outputs of an exported graph.

        Args:
            outputs: ``{name: array}`` of :meth:`export_predictions`, without the batch dimension.
            sample: A data sample of the image. Its metainfo has ``img_shape``, (H, W) of the image
                in the graph's input, at whose top left it lies; ``ori_shape``, that of the file;
                and ``scale_factor`` (width, height).
            options: As :meth:`export_options` gave them.

        Returns:
            The sample, with what ``predict`` of the task's model sets.

        Raises:
            ConfigError: If predictions of the kind do not come from exported graphs.
        """
        raise ConfigError(f'the kind {self.name!r} has no from_outputs, so no graph predicts it')

    # ------------------------------------------------------------------ data

    def dataset_defaults(
        self, cfg: dict, dataset_class: type[BaseDataset] | None, num_classes: int
    ) -> dict:
        """The config of a data set with what the kind can add to it."""
        return cfg

    def class_lists(self, dataset: Dataset) -> ClassLists:
        """``{what numbers the labels: class names in their order}`` of a data set.

        Names that are numbers in disguise are left out.
        """
        names = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
        if names and names != [str(label) for label in range(len(names))]:
            return {METAINFO: names}
        return {}

    def unloaded_class_lists(self, dataset: Dataset) -> ClassLists:
        """As :meth:`class_lists`, of a data set before ``full_init``; its files may be absent."""
        return self.class_lists(dataset)

    def check_labels(
        self,
        dataset: BaseDataset,
        infos: Sequence[dict],
        num_classes: int | None,
        skip_corrupt: bool = False,
    ) -> None:
        """Compare the labels of a data set with its images and with the head.

        Args:
            dataset: After ``full_init``; no wrapper.
            infos: Its ``get_data_info`` of all samples.
            num_classes: Of the head; None: labels are not compared with it.
            skip_corrupt: Leave label files that cannot be read for training to skip.

        Raises:
            DataError: Naming the file and the value.
        """
        classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
        check_class_labels(dataset, infos, classes, num_classes)

    def label_of(self, info: dict) -> tuple:
        """The labels of a sample as plain values, for :meth:`further_digests`."""
        return label_of(info)

    def further_digests(self, dataset: BaseDataset, in_file: bool) -> Iterator[tuple[str, str]]:
        """Place and SHA-256 of labels outside the annotation file.

        Of label maps, one over all of them. Of a data set whose labels are in a file an image (XML)
        or in the names of folders, one over the labels that it gives.

        Args:
            dataset: After ``full_init``, not empty.
            in_file: Whether there is an annotation file, whose digest is taken already.
        """
        first = dataset.get_data_info(0)
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        if first.get('seg_map_path'):
            yield from digest_of_label_maps(info.get('seg_map_path') for info in infos)
        elif not in_file or 'xml_path' in first:
            folders = getattr(dataset, 'data_prefix', {}).values()
            place = next(filter(None, folders), type(dataset).__name__)
            yield place, digest_of_labels(infos, self.label_of)

    def check_training(self, key: str, model: 'BaseModel', dataset: Dataset) -> None:
        """Compare a training set with the task's model.

        Args:
            key: Where its config stands, for messages.
            model: The task's.
            dataset: After :meth:`check_labels`.

        Raises:
            ConfigError: If the model cannot be trained on this set.
        """

    # ------------------------------------------------------------------ evaluation

    def prepare_metric(
        self, metric: BaseMetric, dataset: Dataset, num_classes: int | None = None
    ) -> None:
        """Check a metric that was just built against its data set, and fit it to it, in place.

        Args:
            metric: One of the task's.
            dataset: What is evaluated.
            num_classes: Of the task's head, where it has classes.

        Raises:
            ConfigError: If the metric cannot be computed on this data set.
        """

    def prepare_references(
        self, key: str, metric: BaseMetric, dataset: Dataset, references: Dataset | None
    ) -> None:
        """Check what :meth:`before_evaluation` is to read, before anything runs.

        Args:
            key: Where its dataloader stands, or would stand, for messages.
            metric: One of the task's.
            dataset: What is evaluated.
            references: What is read before; None: nothing.

        Raises:
            ConfigError: If the metric cannot be computed with it.
            DataError: If data set and references do not go together.
        """

    def metric_names(self, metric: BaseMetric) -> set[str] | None:
        """Short names of all values that a metric gives; None where they are not known."""
        return None

    def statistics_of(
        self, metric: BaseMetric, results: Sequence, images: Sequence[str]
    ) -> list[ImageStatistics]:
        """What a metric was computed from, image by image; empty where that is not known.

        Args:
            metric: One of the task's, after its evaluation.
            results: What it was computed from, one for each image.
            images: Names of the images, in the order of the results.
        """
        return [
            statistics
            for form in self.image_statistics
            for statistics in form.of_metric(metric, results, images)
        ]

    def before_evaluation(
        self, model: 'BaseModel', batches: Iterable[Mapping], evaluator: Evaluator
    ) -> None:
        """What runs before each evaluation of a task that has ``references`` in its loop.

        Args:
            model: The task's model, in evaluation mode, without gradients.
            batches: Collated batches of the second loader (a gallery, prompts), of this process
                alone; the attribute ``dataset`` is its data set.
            evaluator: Of the task, whose metrics may be given what is computed here.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define before_evaluation()')

    @property
    def takes_references(self) -> bool:
        return type(self).before_evaluation is not TaskKind.before_evaluation

    # ------------------------------------------------------------------ predictions

    @classmethod
    def predicts(cls, sample: BaseDataElement) -> bool:
        """Whether a data sample has predictions of this kind."""
        return False

    def to_record(self, sample, table: ClassTable, masks: str = 'rle') -> Json | np.ndarray:
        """A prediction as plain numbers, strings, lists and dictionaries; see :meth:`schema`.

        Args:
            sample: The data sample.
            table: Names of the classes.
            masks: How masks are written: ``'rle'``, or ``'array'`` where the kind has arrays.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define to_record()')

    def from_record(self, record: Any) -> BaseDataElement:
        """A prediction of a record, as far as drawing needs it."""
        raise NotImplementedError(f'{type(self).__name__} does not define from_record()')

    def result(self, record: Any, table: ClassTable, sample: BaseDataElement | None = None) -> Any:
        """The record with attributes, a :class:`TaskResult`; by default the record alone.

        Args:
            record: As :meth:`to_record` makes it.
            table: Names of the classes.
            sample: The data sample that it was made from; None: it was read from a file.
        """
        return record

    @classmethod
    def schema(cls) -> dict:
        """JSON schema (draft 2020-12) of a record; the default fits none."""
        return {'not': {}}

    def ground_truth(self, sample, info: Mapping | None = None) -> BaseDataElement:
        """Annotations in the form that predictions have, so that they are drawn like them.

        Args:
            sample: A data sample with annotations; without any, the result has no fields.
            info: What the data set knows of the image. Its labels are in pixels of the file, while
                those of the sample are in pixels of the model's input.
        """
        return BaseDataElement()

    def draw(
        self, drawing: Drawing, task: str, sample, table: ClassTable, score_thr: float
    ) -> None:
        """Add a prediction to a drawing.

        Args:
            drawing: Of the image.
            task: Name of the task.
            sample: The data sample, in pixels of the image.
            table: Names and colours of the classes.
            score_thr: Leave out what has a lower score, where the kind has many predictions.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define draw()')

    def boxes_of(self, sample):
        """``InstanceData`` with ``bboxes`` of a prediction, where the kind finds boxes."""
        raise NotImplementedError(f'{type(self).__name__} does not define boxes_of()')

    def embedding_of(self, sample) -> np.ndarray:
        """L2-normalised float32 ``(D,)`` of a prediction, where the kind embeds.

        Raises:
            DataError: If it is not finite, or has only zeros.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define embedding_of()')

    def track1_content(self, sample, cat_ids: Sequence[int] | None = None):
        """What a Track 1 submission holds of a prediction, in its ``track1_section``."""
        raise NotImplementedError(f'{type(self).__name__} does not define track1_content()')

    # ------------------------------------------------------------------ final

    def require(self, sample, what: str = 'the prediction') -> None:
        """Refuse a data sample that this kind does not make.

        Raises:
            DataError: If so.
        """
        if not self.predicts(sample):
            raise DataError(
                f'{what} has the fields {sorted(sample.keys())}, which are no prediction of the '
                f"kind {self.name!r}; give the task's kind, or register one (docs/add_a_kind.md)"
            )

    def read_record(self, task: str, record: Json) -> BaseDataElement:
        """:meth:`from_record`, of a record that is checked first.

        Raises:
            DataError: If the record does not fit the schema, as one of another kind does not.
        """
        if (misfit := self.misfit(record)) is not None:
            raise DataError(
                f'the record of task {task} is no prediction of the kind {self.name!r}: {misfit}'
            )
        return self.from_record(record)

    def misfit(self, record: Json) -> str | None:
        """Where a record does not fit the schema; None if it does."""
        kind: type = type(self)
        error = best_match(_validator(kind).iter_errors(record))
        if error is None:
            return None
        where = ''.join(f'[{part!r}]' for part in error.absolute_path)
        return f'record{where}: {cut_short(error.message, 120)}'


@functools.cache
def _validator(kind: type[TaskKind]) -> Draft202012Validator:
    return Draft202012Validator(kind.schema())


def label_entry_schema(**more: dict) -> dict:
    """Schema of ``{'label', 'name'}`` of a class, with further properties; all are required."""
    properties = dict(label=dict(type='integer'), name=dict(type='string'), **more)
    return dict(type='object', properties=properties, required=list(properties))
