"""The benchmarks: what they count and compare; times only as far as that they are there."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT, TOY_CONFIG, tiny
from mmpretrain.structures import DataSample
from torch import nn

import allinone.training.runner as engine_runner
from allinone.config.loading import load_config
from allinone.data.storage.packs import PackBackend
from allinone.errors import ConfigError, DataError
from allinone.registry import BALANCERS
from allinone.step.backbone_gradients import BackboneGradients
from benchmarks import batch_norm, measure, overhead, precision
from benchmarks.balancers import balancers_table, choose, measure_balancers, method_configs
from benchmarks.data import data_table, measure_data
from benchmarks.dist import Link, dist_table, fit, scaling, step_model
from benchmarks.infer import infer_table, measure_infer, same_predictions
from benchmarks.infer_metrics import infer_metrics_table, measure_infer_metrics
from benchmarks.measure import OwnTime, at_most, median_interval, peak_memory, time_ratio
from benchmarks.overhead import (
    COPY,
    SAVED,
    Checks,
    judge_checks,
    judge_saves,
    measure_overhead,
    overhead_table,
)
from benchmarks.resume import compare_starts, measure_resume, resume_table
from benchmarks.run import run_benchmark
from benchmarks.shared import KINDS, _ratios, measure_shared, shared_table
from benchmarks.step import measure_step
from benchmarks.torchjd import BASELINES, OurStep, SmallModel, measure_torchjd, torchjd_table

CPU = torch.device('cpu')
MIB = 2**20
FLOATS = MIB // 4


def allocate():
    first = torch.empty(3 * FLOATS)
    second = torch.empty(2 * FLOATS)
    view = second[:7].view(7, 1)  # no memory of its own
    del first
    third = torch.empty(4 * FLOATS)
    return view, third


def test_peak_memory_of_known_allocations():
    """5 MiB, then 2 MiB, then 6 MiB."""
    assert peak_memory(allocate, CPU) == 6 * MIB


def test_peak_memory_sees_the_inside_of_operators():
    """It answers two numbers, from a copy of the values (1 MiB) and their indices (2 MiB)."""
    values = torch.ones(FLOATS)
    peak = peak_memory(lambda: values.kthvalue(7), CPU)
    assert 3 * MIB <= peak < 3.1 * MIB


def test_median_interval():
    assert median_interval([3.0]) == (3, 3, 3)
    assert median_interval(range(1, 8)) == (4, 1, 7)
    # Of 20 values the 6th and 15th enclose the median with probability 0.959.
    assert median_interval(range(1, 21)) == (10.5, 6, 15)


def test_ratio_of_whole_steps_and_of_their_own_time(monkeypatch):
    monkeypatch.setattr(measure, 'device', lambda: CPU)
    taken, reference = [(6.0, 0.5), (3.0, 0.4), (8.0, 0.6)], [(2.0, 0.1), (3.0, 0.3), (4.0, 0.2)]
    found = time_ratio(taken, reference)
    assert found['whole_ratio'] == 2 and found['whole_interval'] == [1, 3]
    assert found['own_s'] == pytest.approx(0.3) and found['time_ratio'] == pytest.approx(1.1)
    with pytest.raises(ValueError):
        time_ratio(taken, reference[:1])


def test_own_time(monkeypatch):
    """Of 10 s of one call and 3 s of another, less the 4 s of a third that the first makes."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(measure.time, 'perf_counter', lambda: clock.now)

    def lasting(seconds, *calls):
        def call():
            clock.now += seconds
            for name in calls:
                getattr(work, name)()

        return call

    work = SimpleNamespace(
        outer=lasting(1, 'inner', 'other'), inner=lasting(5), other=lasting(4), small=lasting(3)
    )
    before = dict(vars(work))
    with OwnTime() as own:
        for name in ('outer', 'inner', 'small'):
            own.within(work, name)
        own.without(work, 'other')
        work.outer(), work.other(), work.small()
        assert clock.now == 17 and own.take() == 6 + 3 and own.take() == 0
    assert vars(work) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason='own time is of the CPU')
@pytest.mark.parametrize(
    'kind, owner, name',
    [
        ('PCGrad', BALANCERS.get('PCGrad'), 'combine'),
        ('GradNorm', BALANCERS.get('GradNorm'), 'update'),
        ('FAMO', BALANCERS.get('FAMO'), 'factor'),
        ('PCGrad', BackboneGradients, 'take'),
        ('PCGrad', BackboneGradients, 'put'),
    ],
)
def test_own_time_has_all_that_a_method_does(toy_cfg, monkeypatch, kind, owner, name):
    """What FixedWeights does not do, made longer by a third of a second."""
    call = getattr(owner, name)

    def slow(*args, **kwargs):
        time.sleep(1 / 3)
        return call(*args, **kwargs)

    monkeypatch.setattr(owner, name, slow)
    (row,) = measure_balancers(toy_cfg, 1, [kind])['methods'].values()
    assert row['own_s'] > 0.3


def test_every_method_has_a_config():
    configs = method_configs(['signs', 'cars'])
    assert set(configs) == set(BALANCERS.module_dict)
    for cfg in configs.values():
        BALANCERS.build(cfg).bind(['signs', 'cars'])
    assert configs['STCH']['log'] and configs['GradNorm']['optimizer'] == 'adam'
    timed = choose(configs, None)
    assert set(configs) - set(timed) == {'UpdateEvery', 'SmoothedTaskWeights', 'WarmUp'}
    with pytest.raises(ConfigError, match=r"--methods has \['Hope'\]; the methods are \['Aligned"):
        choose(configs, ['Hope'])


def test_balancers(toy_cfg):
    names = ['CoBa', 'GradNorm', 'GradientOrthogonality']
    found = measure_balancers(toy_cfg, 1, names)
    assert list(found['methods']) == names
    assert found['tasks'] == 3 and found['rounds'] == 1 and found['fixed_s'] > 0
    assert MIB < found['backbone_gradient_bytes'] < 3 * MIB
    assert found['grad_similarity_interval'] == 50
    ratio = found['compared']['time_ratio']
    assert found['amortised_ratio'] == pytest.approx(1 + (ratio - 1) / 50)
    limits = {
        name: (row['time_limit'], row['memory_limit']) for name, row in found['methods'].items()
    }
    assert limits == dict(CoBa=(1.02, 0), GradNorm=(1.05, 4), GradientOrthogonality=(2.0, None))
    rows = found['methods']
    assert 0 < rows['GradNorm']['own_s'] < found['fixed_s']
    orthogonal = rows['GradientOrthogonality']
    assert orthogonal['time_ratio'] == orthogonal['whole_ratio']
    memory = {name: row['memory'] for name, row in found['methods'].items()}
    assert abs(memory['CoBa']) < 0.01
    # Three rows instead of the one sum in .grad.
    assert 1.5 < memory['GradNorm'] < 4
    assert memory['GradientOrthogonality'] > memory['GradNorm']
    table = balancers_table(found).splitlines()
    assert len([line for line in table if line.startswith('|')]) == 2 + len(names) + 1


GRADIENT_METHODS = [
    name
    for name in method_configs('abc')
    if BALANCERS.build(method_configs('abc')[name]).requires != 'losses'
]


@pytest.mark.parametrize('name', GRADIENT_METHODS)
def test_memory_where_the_backbone_is_all_there_is(name):
    """Activations hide nothing here: the end of the step is the peak."""

    def wide():
        model = SmallModel()
        model.backbone = nn.Sequential(model.backbone, nn.Linear(128, 8192), nn.Linear(8192, 128))
        model.images = {task: image[:1] for task, image in model.images.items()}
        model.labels = {task: labels[:1] for task, labels in model.labels.items()}
        return model

    peaks = []
    for cfg in (dict(type='FixedWeights'), method_configs('abc')[name]):
        model = wide()
        peaks.append(peak_memory(OurStep(model, cfg), CPU))
    unit = sum(4 * param.numel() for param in model.backbone.parameters())
    assert (peaks[1] - peaks[0]) / unit <= 3 + 1


def test_baselines_give_the_same_gradient():
    model = SmallModel()
    step = OurStep(model, dict(type='PCGrad'))
    step()
    conflicts = [
        value for key, value in step.log.items() if key.startswith('grad_conflict/') and value > 0
    ]
    assert conflicts, 'without a conflict half of the methods are the sum'
    rows = measure_torchjd(1)
    assert list(rows) == list(BASELINES)
    compared = {name: row for name, row in rows.items() if 'skipped' not in row}
    assert len(compared) >= len(BASELINES) - 3  # of which the solvers may not be installed
    for name, row in compared.items():
        assert row['difference'] < 1e-3 if name in ('UPGrad', 'CAGrad', 'NashMTL') else 1e-5, name
        assert row['time_ratio'] > 0
    for row in rows.values():
        if 'skipped' in row:
            assert 'installed' in row['skipped']
    assert len(torchjd_table(rows).splitlines()) == 2 + len(rows)


def test_step(toy_cfg):
    found = measure_step(toy_cfg, 1)
    assert set(found['upstream_s']) == {'cls', 'det', 'seg'} and found['joint_s'] > 0
    assert found['joint_parameters'] < sum(found['upstream_parameters'].values())


def test_shared(toy_root, toy_cfg):
    cfg = load_config(str(TOY_CONFIG.with_name('mobilenetv2_toy_shared.py')))
    cfg.train_dataloader.street.update(batch_size=2, num_workers=0)
    found = measure_shared(cfg, 1)
    assert found['tasks'] == ['det', 'seg', 'drivable', 'cls'] and found['batch'] == 2
    assert {kind: set(ratios) for kind, ratios in found['kinds'].items()} == {
        'loss weighting': {'parts', 'loop', 'separate'},
        'features': {'parts', 'separate'},
        'backbone': {'parts', 'separate'},
    }
    sizes = found['bytes']
    heads = [size for name, size in sizes.items() if name.startswith('H ')]
    assert sizes['backbone'] < sizes['step'] <= sizes['backbone'] + max(heads) + sizes['maps']
    assert sizes['step'] < sizes['loop']
    lines = shared_table(found).splitlines()
    assert 'undecided' in lines[5] and lines[-1].startswith('saved tensors: step')
    with pytest.raises(ConfigError, match='each of one task; give a config with a source'):
        measure_shared(toy_cfg, 1)


def test_the_parts_of_a_shared_step():
    """A backward pass of the backbone for each task where their gradients are compared there."""
    seconds = {'F': [2.0], 'B': [3.0], 'H a': [1.0], 'H b': [4.0], 'separate': [40.0]}
    times = {f'{kind}: {name}': found for kind in KINDS for name, found in seconds.items()}
    times |= dict.fromkeys(KINDS, [20.0]) | dict(loop=[5.0])
    ratios = {kind: _ratios(times, kind, ['a', 'b']) for kind in KINDS}
    assert ratios['loss weighting'] == dict(parts=[2] * 3, separate=[0.5] * 3, loop=[4] * 3)
    assert ratios['features']['parts'] == [2] * 3
    assert ratios['backbone']['parts'] == [20 / 13] * 3


def test_overhead(toy_cfg, monkeypatch):
    switched = []
    switch = Checks.switch

    def recorded(self, on):
        switch(self, on)
        names = {type(hook).__name__ for hook in self.runner.hooks}
        switched.append(
            dict(
                on=set(on),
                finite=self.step._guard is not None,
                bad_steps='NonFiniteHook' in names,
                loaders=self.loop.dataloader._iterators is self.iterators,
                seeds=self.loop.seeded,
            )
        )

    monkeypatch.setattr(Checks, 'switch', recorded)
    monkeypatch.setattr(overhead, 'SAVES', 1)
    found = measure_overhead(toy_cfg, 1)
    for state in switched:
        on = state.pop('on')
        assert {name for name, is_on in state.items() if is_on} == on
    # One not measured, one without before each, and the saves with all.
    assert [state['finite'] for state in switched[:4]] == [False, False, True, False]
    assert len(switched) == 1 + 2 * (1 + len(Checks.NAMES)) + 1
    assert set(found['checks']) == {'all', *Checks.NAMES}
    assert all(row['time_ratio'] > 0 for row in found['checks'].values())
    assert 0 < found['checks']['all']['own_s'] < found['plain_s']
    assert list(found['saves']) == list(SAVED) and found['checkpoint_bytes'] > MIB
    assert found['saves_hold'] is None  # One round tells nothing.
    table = overhead_table(found).splitlines()
    assert len([line for line in table if line.startswith('|')]) == 2 + 5 + 2 + 5


@pytest.mark.parametrize('own, holds', [(0.009, True), (0.011, False)])
def test_the_limit_of_the_checks(own, holds, monkeypatch):
    """Steps of 1 s, and of 2 s on a slow moment; only what all checks add together is judged."""
    monkeypatch.setattr(measure, 'device', lambda: CPU)
    plain = dict.fromkeys(('all', 'finite'), [(1.0, 0.0), (2.0, 0.0), (1.0, 0.0)])
    guarded = dict(all=[(1.1, own), (1.0, own), (2.0, own)], finite=[(1.0, 0.5)] * 3)
    found = judge_checks(guarded, plain)
    assert found['holds'] is holds and found['plain_s'] == 1
    assert found['checks']['all']['time_ratio'] == pytest.approx(1 + own)


@pytest.mark.parametrize(
    'more, holds',
    [
        ([0.0] * 7, True),
        ([-0.3] * 7, True),
        ([0.02] * 7, False),
        # As the whole machine varies: the medians are equal, and nothing is known.
        ([-0.4, -0.2, -0.1, 0.0, 0.1, 0.3, 0.4], None),
        ([0.0] * 5, None),
    ],
)
def test_what_the_timings_of_saves_tell(more, holds):
    """Rounds are compared in themselves, so slow ones, which are slow for all, do not count."""
    copied = [0.1, 0.9, 0.1, 0.5, 0.2, 0.1, 0.7][: len(more)]
    values = {name: copied for name, (_, thread) in SAVED.items() if thread}
    values['pth, async'] = [a + b for a, b in zip(copied, more)]
    values['pth, at once'] = [2.0, 3.0]
    found = judge_saves(values, margin_s=0.01)
    assert found['saves_hold'] is holds
    row = found['saves']['pth, async']
    assert row['more_s'] == pytest.approx(more[len(more) // 2])
    assert row['more_interval'] == pytest.approx([more[0], more[-1]])
    assert 'more_s' not in found['saves'][COPY] and 'more_s' not in found['saves']['pth, at once']


def test_late_starts_are_compared_round_by_round():
    found = compare_starts([1.0, 3.0, 8.5], [2.0, 3.5, 9.0])
    assert (found['fresh_s'], found['late_s'], found['more_s']) == (3, 3.5, 0.5)
    assert found['more_interval'] == [0.5, 1.0]


@pytest.mark.parametrize(
    'low, high, values, holds',
    [(-1, 1, 6, True), (1.1, 2, 6, False), (0.5, 1.1, 6, None), (1, 1.1, 6, None), (0, 1, 5, None)],
)
def test_what_an_interval_tells_of_a_limit(low, high, values, holds):
    assert at_most(1, low, high, values) is holds


def test_resume(toy_cfg, monkeypatch):
    read = []
    own = engine_runner.read_resumable
    monkeypatch.setattr(
        engine_runner, 'read_resumable', lambda path: read.append(path) or own(path)
    )
    found = measure_resume(toy_cfg, 1)
    assert found['step'] == 1_000_000 and found['holds'] is None
    assert len(read) == 2 and all('iter_1000000' in path for path in read)
    for times in (found, found['starts']):
        assert times['more_s'] == pytest.approx(times['late_s'] - times['fresh_s'])
    for kind in ('fresh_s', 'late_s'):
        assert 0 < found[kind] < found['starts'][kind]
    assert 'going on from step 1,000,000' in resume_table(found)


def two_processes():
    """The backbone, 500 bytes, takes .4 s more than one number."""
    row = dict(bytes=1100, messages=4, overlap_s=3.2, blocking_s=4.0, silent_s=3.0)
    row |= dict(ratio=0.8, ratio_interval=(0.5, 1.0))
    found = dict(processes=2, tasks=3, backbone=500, heads=600, methods=dict(FixedWeights=row))
    return found | dict(number_s=0.1, backbone_s=0.5)


def test_a_ring_sends_each_byte_almost_twice():
    link = Link(bandwidth=1000, latency=0.01)
    assert link.all_reduce(1000, 1, 1) == 0
    assert link.all_reduce(1000, 3, 2) == pytest.approx(1 + 2 * 3 * 0.01)
    assert link.all_reduce(1000, 3, 4) == pytest.approx(1.5 + 6 * 3 * 0.01)


def test_the_model_is_fitted_to_what_was_measured():
    found = two_processes()
    link = fit(found)
    assert (link.bandwidth, link.latency) == pytest.approx((1250, 0.05))
    measured, given = scaling(found, dict(fast=Link(1e9, 0)))
    assert measured['steps'][1] == 3
    # Late are 700 bytes in 2 messages, .56 + .2 s; 400 bytes hide behind 2 s of computing.
    assert measured['steps'][2] == pytest.approx(3.76)
    # 126 turns: the late ones take 13.7025 s, and the early ones 13.23 s, of which 2 s hide.
    assert measured['steps'][64] == pytest.approx(3 + 13.7025 + 13.23 - 2)
    assert given['steps'][64] == pytest.approx(3, abs=1e-5)
    assert '50000 us a turn' in dist_table(found)


def test_no_more_hides_than_the_other_tasks_take():
    assert step_model(compute=3, early=1, late=0.5, tasks=3) == 3.5
    assert step_model(compute=3, early=10, late=0.5, tasks=3) == 11.5
    assert step_model(compute=3, early=1, late=0.5, tasks=1) == 4.5


def test_data(toy_cfg, monkeypatch):
    reads = Counter()
    content = PackBackend.content

    def counted(self, filepath):
        reads[self.SCHEME] += 1
        return content(self, filepath)

    monkeypatch.setattr(PackBackend, 'content', counted)
    found = measure_data(toy_cfg, 'seg', 1, images=3)
    # Of 3 images the image and the label map, in 2 rounds, in each of the stages
    assert reads == {'pack://': 3 * 2 * 2 * 3, 'lmdb://': 3 * 2 * 2 * 3}
    assert list(found) == ['seg'] and found['seg']['files'] == 2 * 16
    for of in found['seg']['stages'].values():
        assert list(of) == ['files', 'pack', 'lmdb'] and of['files']['ratio'] == 1
        assert of['lmdb']['ratio'] == pytest.approx(of['lmdb']['per_s'] / of['files']['per_s'])
    table = data_table(found).splitlines()
    assert len([line for line in table if line.startswith('|')]) == 2 + 3
    with pytest.raises(ConfigError, match="--task is 'no'; the tasks are"):
        measure_data(toy_cfg, 'no', 1)
    monkeypatch.setitem(toy_cfg.train_dataloader.cls.dataset, 'data_prefix', 'https://x/y')
    with pytest.raises(ConfigError, match='train_dataloader.cls reads https://x/y/.*; point it to'):
        measure_data(toy_cfg, 'cls', 1)


def test_tasks_take_turns_in_blocks(monkeypatch):
    monkeypatch.setattr(batch_norm, 'BLOCK', 2)
    batches = iter([dict(a=f'a{n}', b=f'b{n}') for n in range(4)])
    found = [batch for step in batch_norm._in_blocks(batches) for batch in step.values()]
    assert found == 'a0 a1 b0 b1 a2 a3 b2 b3'.split()


def test_batch_norms_as_in_training_and_in_evaluation(toy_cfg, monkeypatch):
    monkeypatch.setattr(batch_norm, 'LOOKED_AT', 1)
    monkeypatch.setattr(batch_norm, 'BLOCK', 1)
    toy_cfg.model.backbone.norm_cfg = dict(type='BN')
    wrappers, build = [], batch_norm.build_optim_wrapper

    def built(*args):
        wrappers.append(build(*args))
        return wrappers[-1]

    monkeypatch.setattr(batch_norm, 'build_optim_wrapper', built)
    found = batch_norm.measure_batch_norm(toy_cfg, 6)
    rates = [group['lr'] for wrapper in wrappers for group in wrapper.optimizer.param_groups]
    assert len(wrappers) == 4 and set(rates) == {0}
    again, kept = 'shared, estimated again', 'shared, estimated and kept'
    assert list(found) == ['shared', again, kept, 'frozen', 'per_task']
    for kind, tasks in found.items():
        assert set(tasks) == {'cls', 'det', 'seg'}
        for loss in tasks.values():
            assert (loss['training'] == loss['evaluation']) == (kind in (kept, 'frozen')), kind
    for task, loss in found['shared'].items():  # The weights stay, and the kept ones do not.
        assert loss['training'] == found[again][task]['training'] != found[kept][task]['training']
    table = batch_norm.batch_norm_table(found).splitlines()
    assert len(table) == 16 and table[-1].split()[:2] == ['per_task', 'seg']


def test_the_command(toy_root, tmp_path, capsys):
    from argparse import Namespace

    args = Namespace(
        what='balancers',
        config=str(TOY_CONFIG),
        cfg_options=[
            f'train_dataloader.{task}.batch_size={size}'
            for task, size in dict(cls=4, det=2, seg=2).items()
        ],
        methods=['PCGrad'],
        rounds=1,
        out=str(tmp_path / 'found.json'),
    )
    assert run_benchmark(args) == 0
    assert '| PCGrad |' in capsys.readouterr().out
    assert json.loads((tmp_path / 'found.json').read_text())['methods']['PCGrad']['time_ratio']
    args.methods = ['Hope']
    assert run_benchmark(args) == 2
    assert '--methods has' in capsys.readouterr().err
    args.rounds = 0
    assert run_benchmark(args) == 2


@pytest.mark.parametrize('trust', [False, True])
def test_a_checkpoint_with_code_is_trusted_only_if_asked(trust, tmp_path, capsys, monkeypatch):
    (tmp_path / 'code.pth').write_text('cbuiltins\nprint\n(S"ran"\ntR.')
    given = ['infer', str(TOY_CONFIG), str(tmp_path / 'code.pth'), '--rounds', '1']
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *given, *['--trust-checkpoint'] * trust])
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    from benchmark import main, parse_args

    assert main(parse_args()) == 2  # It makes no state dict.
    shown = capsys.readouterr()
    assert ('ran' in shown.out.splitlines()) is trust
    assert ('print' in shown.err and '--trust-checkpoint' in shown.err) is not trust


def test_the_tool_knows_its_kinds():
    shown = subprocess.run(
        [sys.executable, str(ROOT / 'tools/benchmark.py'), '--help'], capture_output=True, text=True
    )
    assert shown.returncode == 0
    kinds = 'step shared balancers overhead resume torchjd infer dist batch data'
    assert set(kinds.split()) <= set(re.findall(r'\w+', shown.stdout))


def test_infer(trained, toy_root):
    args = (str(TOY_CONFIG), str(trained[2] / 'iter_4.pth'))
    folder = str(toy_root / 'toy/seg/images/train')
    found = measure_infer(*args, [folder], 1)
    assert found['images'] == 16 and found['size'] == [192, 256]
    assert list(found['batches']) == ['1', '8']
    for row in found['batches'].values():
        assert list(row['heads_s']) == list(row['upstream_s']) == ['cls', 'det', 'seg']
        limit = row['backbone_s'] + sum(row['heads_s'].values())
        assert row['of_limit'] == pytest.approx(row['joint_s'] / limit)
        assert row['of_upstream'] == pytest.approx(row['joint_s'] / sum(row['upstream_s'].values()))
        assert all(all(same.values()) for same in row['equal'].values())
    tool = found['tool']
    assert tool['ratio'] == pytest.approx(tool['tool'] / tool['model'])
    table = infer_table(found)
    assert 'upstream model, bit for bit: yes' in table and '| 8 | ' in table
    with pytest.raises(DataError, match='give at least 8'):
        measure_infer(*args, sorted(map(str, (toy_root / 'toy/seg/images/train').iterdir()))[:3], 1)


def test_infer_metrics(trained):
    found = measure_infer_metrics(
        str(TOY_CONFIG), str(trained[2] / 'iter_4.pth'), ['test_dataloader.cls.num_workers=0']
    )
    assert found['images'] == dict(cls=8, det=8, seg=8)
    metrics = found['metrics']
    assert metrics['as_tested'].items() <= metrics['test'].items()
    assert metrics['one_pass'].keys() == metrics['as_tested'].keys()
    line = f'| seg/aAcc | {metrics["test"]["seg/aAcc"]:.4f} | {metrics["one_pass"]["seg/aAcc"]:.4f}'
    table = infer_metrics_table(found)
    assert line in table and 'images are resized to 256 x 192' in table


def test_predictions_that_differ_in_one_bit():
    sample = DataSample().set_pred_score(torch.tensor([0.25, 0.75])).set_pred_label(1)
    other = sample.clone()
    assert same_predictions([sample], [other])
    other.set_pred_score(torch.nextafter(sample.pred_score, torch.ones(2)))
    assert not same_predictions([sample], [other])
    assert not same_predictions([sample], [sample, sample])


@pytest.mark.skipif(torch.cuda.is_available(), reason='refused without a GPU only')
def test_precision_needs_a_gpu():
    with pytest.raises(ConfigError, match='AmpOptimWrapper needs a GPU'):
        precision.measure_precision(None, 1)
    with pytest.raises(ConfigError, match="--kinds is 'fp8'"):
        precision.measure_precision(None, 1, ['fp8'])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_precision_on_a_gpu(toy_root, tmp_path):
    kinds = ['float32', 'channels_last']
    found = precision.measure_precision(tiny(tmp_path / 'work'), 2, kinds)
    assert list(found['kinds']) == kinds and found['images'] == 12
    for row in found['kinds'].values():
        assert row['images_s'] == 12 / row['joint_s'] and row['upstream_bytes'] > 0


def test_the_table_of_precision():
    row = dict(joint_s=0.5, upstream_s=0.8, joint_bytes=3 * 2**20, upstream_bytes=2**20)
    row |= dict(images_s=24.0, upstream_images_s=15.0)
    found = dict(device='GPU 1', images=12, kinds=dict(bfloat16=row))
    lines = precision.precision_table(found).splitlines()
    assert lines[2] == '| bfloat16 | 500.0 | 24 | 3 | 800.0 | 15 | 1 | 0.625 |'
    assert lines[-1].startswith('Training steps of 12 images in memory, on GPU 1; medians.')
