"""Metrics of retrieval tasks, in percent."""

import inspect
import logging
import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray

from allinone.errors import ConfigError, DataError
from allinone.io.identity_lists import PairLine, pair_lines
from allinone.registry import METRICS
from allinone.registry.options import check_count, check_number

from .ranking import RANKS, RankedQueries, ranked_embeddings, ranked_queries, relations
from .re_ranking import check_options, check_rows, re_rank
from .recall import KS, ranked_among_others, recall_values
from .verification import tar_at_far, verification_accuracy


class RetrievalMetric(BaseMetric):
    """Collects the embedding, identity, camera and path of each image.

    Attributes:
        needs_gallery: Whether a gallery is given by :meth:`RankMetrics.set_gallery`.
        image_values: ``{name: (N,)}`` of each image of the last evaluation, whose means without NaN
            are the metrics of these names; for intervals.
    """

    default_prefix = 'retrieval'
    needs_gallery = False

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None):
        super().__init__(collect_device, prefix)
        self.image_values: dict[str, NDArray] = {}

    def names(self) -> set[str]:
        """Names of all values of the metric."""
        raise NotImplementedError(f'{type(self).__name__} does not define names()')

    def process(self, data_batch: Any, data_samples: Sequence[Mapping]) -> None:
        for sample in data_samples:
            feature = sample['pred_feature'].detach().float().cpu().numpy().reshape(-1)
            length = np.linalg.norm(feature)
            path = sample.get('img_path')
            if not np.isfinite(length) or length == 0:
                raise DataError(
                    f'the embedding of {path or "an image"} is not finite, or has only zeros; the '
                    'model has diverged, or its weights are wrong'
                )
            self.results.append(
                dict(
                    embedding=feature / length,
                    identity=sample.get('identity'),
                    camera=sample.get('camera'),
                    path=path,
                )
            )

    def _identities(self, results: Sequence[Mapping]) -> list[str]:
        found = [result['identity'] for result in results]
        if None in found:
            path = results[found.index(None)]['path']
            raise ConfigError(
                f'{type(self).__name__} needs the identity of {path}, which its data set does not '
                "tell; use type='allinone.IdentityDataset'"
            )
        return found


@METRICS.register_module()
class RankMetrics(RetrievalMetric):
    """Rank-k, mAP and mINP of queries in a gallery
    (:func:`~allinone.evaluation.retrieval.rank_metrics`), in percent.

    The data set that is evaluated has the queries, and ``val_cfg.references.TASK`` the gallery.

    Args:
        ranks: The k of Rank-k.
        cameras: Whether images of the same identity and camera as the query are left out. None: if
            both sets have cameras.
        re_rank: Options of :func:`~allinone.evaluation.retrieval.re_rank`, or True for the usual
            ones; None or False: no re-ranking.
        collect_device: As in mmengine.
        prefix: As in mmengine.

    Raises:
        ConfigError: If re-ranking has no such option, or one out of its range.
    """

    needs_gallery = True

    def __init__(
        self,
        ranks: Sequence[int] = RANKS,
        cameras: bool | None = None,
        re_rank: bool | Mapping | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device, prefix)
        self.ranks, self.cameras = _counts('ranks', ranks), cameras
        self.re_rank = _re_rank_options(re_rank)
        self.gallery: dict[str, Any] | None = None

    def names(self) -> set[str]:
        return {*(f'rank{k}' for k in self.ranks), 'mAP', 'mINP'}

    def check_gallery(self, dataset: Any, gallery: Any) -> None:
        """Compare the data sets before anything is computed.

        Raises:
            ConfigError: If one of them tells no identities.
            DataError: If they share no identity, have no cameras where they are needed, or are too
                large for re-ranking.
        """
        infos = [_infos(part) for part in (dataset, gallery)]
        if not all(infos):
            return
        identities = [{info.get('identity') for info in part} for part in infos]
        if None in identities[0] | identities[1]:
            raise ConfigError(
                f'{type(self).__name__} needs the identity of each image, which the data set does '
                "not tell; use type='allinone.IdentityDataset' for queries and gallery"
            )
        if not identities[0] & identities[1]:
            raise DataError(
                f'query and gallery share no identity ({len(identities[0])} and '
                f'{len(identities[1])}, such as {infos[0][0]["identity"]!r} and '
                f'{infos[1][0]["identity"]!r}); check the two lists'
            )
        if self._uses_cameras(*[[info.get('camera') for info in part] for part in infos]):
            _check_other_cameras(*infos)
        if self.re_rank is not None:
            check_rows(sum(map(len, infos)))

    def set_gallery(
        self,
        embeddings: NDArray,
        identities: Sequence[str],
        cameras: Sequence[str | None],
        names: Sequence[str],
    ) -> None:
        """Take the gallery of the coming evaluation.

        Args:
            embeddings: Float32 ``(G, D)``, L2-normalised.
            identities: Of each row.
            cameras: Of each row, or None.
            names: Paths of the images.
        """
        self.gallery = dict(embeddings=embeddings, identities=identities, cameras=cameras)

    def compute_metrics(self, results: list) -> dict[str, float]:
        if self.gallery is None:
            raise ConfigError(
                f'{type(self).__name__} searches a gallery, but has none; give its dataloader as '
                'references of the loop, as in val_cfg.references'
            )
        queries = np.stack([result['embedding'] for result in results])
        identities = self._identities(results)
        cameras = [result['camera'] for result in results]
        used = self._uses_cameras(cameras, self.gallery['cameras'])
        labels = (
            identities,
            self.gallery['identities'],
            *((cameras, self.gallery['cameras']) if used else (None, None)),
        )
        rows = self.gallery['embeddings']
        if self.re_rank is None:
            found = ranked_embeddings(queries, rows, *labels)
        else:
            distances = re_rank(queries, rows, **self.re_rank)
            same, left_out = relations(*labels)
            sizes = len(queries), len(rows)
            found = ranked_queries(lambda part: -distances[part], same, left_out, sizes)
        return self._means(found)

    def _means(self, found: RankedQueries) -> dict[str, float]:
        self.image_values = {name: 100 * value for name, value in found.values(self.ranks).items()}
        return _means(self.image_values, 'query')

    def _uses_cameras(self, *sides: Sequence[str | None]) -> bool:
        if self.cameras is False:
            return False
        lacking = [side.count(None) for side in map(list, sides)]
        if self.cameras is None and all(count == len(side) for count, side in zip(lacking, sides)):
            return False
        for what, count, side in zip(('query', 'gallery'), lacking, sides):
            if count:
                raise DataError(
                    f'{count} of {len(side)} images of the {what} have no camera, but images of '
                    "the query's camera are to be left out; give all of them one, or set "
                    'cameras=False of RankMetrics'
                )
        return True


@METRICS.register_module()
class RecallAtK(RetrievalMetric):
    """Recall@K and mAP of images that are searched among all others of the set
    (:func:`~allinone.evaluation.retrieval.recall_at_k`), in percent.

    Args:
        ks: The K.
        collect_device: As in mmengine.
        prefix: As in mmengine.
    """

    def __init__(
        self, ks: Sequence[int] = KS, collect_device: str = 'cpu', prefix: str | None = None
    ):
        super().__init__(collect_device, prefix)
        self.ks = _counts('ks', ks)

    def names(self) -> set[str]:
        return {*(f'recall{k}' for k in self.ks), 'mAP'}

    def check_dataset(self, dataset: Any) -> None:
        """Check that an identity has two images.

        Raises:
            DataError: If none has.
        """
        identities = [info.get('identity') for info in _infos(dataset)]
        if identities and len(set(identities)) == len(identities):
            raise DataError(
                f'none of the {len(identities)} identities has two images, so none can be found; '
                'check the list'
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        embeddings = np.stack([result['embedding'] for result in results])
        found = ranked_among_others(embeddings, self._identities(results))
        values = recall_values(found, self.ks)
        self.image_values = {name: 100 * value for name, value in values.items()}
        return _means(self.image_values, 'image')


@METRICS.register_module()
class VerificationMetrics(RetrievalMetric):
    """Accuracy of pairs by folds, and true accept rates at false accept rates, in percent.

    ``accuracy`` is the mean over folds
    (:func:`~allinone.evaluation.retrieval.verification_accuracy`), ``accuracy_std`` its standard
    deviation, ``tar_at_far_R`` a rate (:func:`~allinone.evaluation.retrieval.tar_at_far`), and
    ``different_pairs`` the number of pairs that it rests on. With fewer of them than ``1 / R`` the
    rate is NaN.

    Args:
        pairs: A list of lines ``PATH PATH 0|1 [FOLD]``. Without folds, ten of equal size in the
            order of the list.
        data_root: Folder of its paths. Default: that of the list.
        fars: The false accept rates.
        collect_device: As in mmengine.
        prefix: As in mmengine.

    Raises:
        ConfigError: If a rate is not from 0 to 1.
        DataError: If the list cannot be read, or has no pair.
    """

    def __init__(
        self,
        pairs: str,
        data_root: str | None = None,
        fars: Sequence[float] = (1e-3, 1e-2, 1e-1),
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ):
        super().__init__(collect_device, prefix)
        self.pairs = pairs
        self.fars = tuple(check_number(f'fars[{i}]', far, 0, 1) for i, far in enumerate(fars))
        self.root = osp.dirname(pairs) if data_root is None else data_root
        try:
            with open(pairs, encoding='utf-8-sig', newline='') as file:
                self.lines: list[PairLine] = list(pair_lines(pairs, file.read()))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f'{pairs} cannot be read as a list of pairs: {error}') from error
        if not self.lines:
            raise DataError(f'{pairs} lists no pair; give lines "PATH PATH 0" and "PATH PATH 1"')

    def names(self) -> set[str]:
        return {'accuracy', 'accuracy_std', 'different_pairs', *map(_far_name, self.fars)}

    def check_dataset(self, dataset: Any) -> None:
        """Check that the data set has the images of all pairs.

        Raises:
            DataError: Naming the first line whose image it lacks. If the pairs are of one sort, or
                of one fold.
        """
        same = [line.same for line in self.lines]
        if all(same) or not any(same):
            lacking = 'different identities' if all(same) else 'one identity'
            raise DataError(f'{self.pairs} has no pair of {lacking}; give pairs of both sorts')
        folds = {line.fold for line in self.lines}
        if len(folds) == 1 and None not in folds:
            raise DataError(
                f'{self.pairs} has the one fold {folds.pop()!r}, but the threshold of a fold is '
                'chosen on the others; give two or more, or leave the folds out'
            )
        known = {osp.abspath(info['img_path']) for info in _infos(dataset)}
        for line in self.lines if known else ():
            for path in map(self._path, (line.first, line.second)):
                if path not in known:
                    there = 'is not in the data set' if osp.exists(path) else 'does not exist'
                    raise DataError(
                        f'{self.pairs}, line {line.number} names {path}, which {there}; correct '
                        'the path, or give data_root of VerificationMetrics'
                    )

    def compute_metrics(self, results: list) -> dict[str, float]:
        rows = {osp.abspath(result['path']): result['embedding'] for result in results}
        scores, same, folds = [], [], []
        for place, line in enumerate(self.lines):
            first, second = (rows.get(self._path(path)) for path in (line.first, line.second))
            if first is not None and second is not None:  # A dry run has some images alone.
                scores.append(float(first @ second))
                same.append(line.same)
                folds.append(line.fold or str(place * 10 // len(self.lines)))
        others = same.count(False)
        if not others or others == len(same) or len(set(folds)) < 2:
            print_log(
                f'{self.pairs}: {len(same)} pairs of evaluated images are too few',
                'current',
                logging.WARNING,
            )
            return dict.fromkeys(self.names(), float('nan')) | dict(different_pairs=others)
        mean, deviation = verification_accuracy(scores, same, folds)
        found = dict(accuracy=100 * mean, accuracy_std=100 * deviation)
        for far, rate in zip(self.fars, tar_at_far(scores, same, self.fars)):
            found[_far_name(far)] = 100 * rate if far * others >= 1 - 1e-9 else float('nan')
        few = [far for far in self.fars if far * others < 1 - 1e-9]
        if few:
            print_log(
                f'{self.pairs}: {others} pairs of different identities cannot tell the true accept '
                f'rate at false accept rates of {few}, which is NaN',
                'current',
                logging.WARNING,
            )
        return found | dict(different_pairs=others)

    def _path(self, path: str) -> str:
        return osp.abspath(osp.join(self.root, path))


def _re_rank_options(value: bool | Mapping | None) -> dict[str, Any] | None:
    if value is None or value is False:
        return None
    options = {} if value is True else value
    known = inspect.signature(check_options).parameters
    if not isinstance(options, Mapping) or not set(options) <= set(known):
        raise ConfigError(
            f're_rank of RankMetrics is {value!r}; give True, or some of {list(known)}, such as '
            'dict(k1=20)'
        )
    check_options(**options)
    return dict(options)


def _counts(name: str, values: Sequence[int]) -> tuple[int, ...]:
    values = values if isinstance(values, (list, tuple)) else [values]  # type: ignore[list-item]
    return tuple(check_count(f'{name}[{i}]', value) for i, value in enumerate(values))


def _check_other_cameras(queries: Sequence[Mapping], gallery: Sequence[Mapping]) -> None:
    cameras: dict[Any, set] = {}
    for info in gallery:
        cameras.setdefault(info['identity'], set()).add(info['camera'])
    if not any(cameras.get(info['identity'], set()) - {info['camera']} for info in queries):
        raise DataError(
            'no query has an image of its identity in the gallery by another camera, and those of '
            'its own camera are left out; check the cameras, or set cameras=False of RankMetrics'
        )


def _far_name(far: float) -> str:
    return f'tar_at_far_{far:g}'


def _infos(dataset: Any) -> list[Mapping]:
    """What is known of each image; nothing of a data set of another library."""
    if not hasattr(dataset, 'get_data_info'):
        return []
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def _means(values: Mapping[str, NDArray], what: str) -> dict[str, float]:
    """Means of what is defined; NaN, with a warning, where nothing is."""
    if np.isnan(next(iter(values.values()))).all():
        print_log(
            f'no {what} has a match among the images that were evaluated, so the metrics are NaN',
            'current',
            logging.WARNING,
        )
        return dict.fromkeys(values, float('nan'))
    return {name: float(np.nanmean(value)) for name, value in values.items()}
