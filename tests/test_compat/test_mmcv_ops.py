"""The stand-in of ``mmcv._ext`` against references written out here."""

import importlib
import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch.autograd import gradcheck

from allinone import compat

compat.install()

import mmcv  # noqa: E402
import mmcv._ext as ext  # noqa: E402
from mmcv import ops  # noqa: E402
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction  # noqa: E402

from allinone.compat.ops.unavailable import UnavailableOpError  # noqa: E402

pytestmark = pytest.mark.skipif(
    ext.__spec__.origin != 'allinone.compat.mmcv_ops', reason='mmcv has compiled operators'
)


@pytest.fixture(autouse=True)
def deterministic():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def uniform(*shape, low=0.0, high=1.0, dtype=torch.float64):
    return torch.rand(*shape, dtype=dtype) * (high - low) + low


def random_boxes(count, size=40.0, dtype=torch.float32):
    corner = uniform(count, 2, high=size, dtype=dtype)
    return torch.cat([corner, corner + uniform(count, 2, low=2, high=size / 2, dtype=dtype)], 1)


# The module and its loading


def test_compiled_ext_is_not_shadowed(tmp_path, monkeypatch):
    (tmp_path / '_ext.py').write_text("compiled = 'yes'\n")
    monkeypatch.setattr(mmcv, '__path__', [str(tmp_path), *mmcv.__path__])
    monkeypatch.setattr(mmcv, '_ext', ext)
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    importlib.invalidate_caches()
    assert importlib.import_module('mmcv._ext').compiled == 'yes'


def test_stand_in_is_found_last_and_keeps_its_own_spec():
    names = [getattr(finder, '__name__', type(finder).__name__) for finder in sys.meta_path]
    assert names.count('ExtFinder') == 1
    assert names.index('ExtFinder') > names.index('PathFinder')
    stand_in = importlib.import_module('allinone.compat.mmcv_ops')
    assert stand_in.__spec__.name == 'allinone.compat.mmcv_ops'
    assert ext.__name__ == ext.__spec__.name == 'mmcv._ext'
    assert ext.nms is stand_in.nms


def test_unknown_op_fails_when_called_naming_op_and_remedy():
    assert hasattr(ext, 'border_align_forward')
    boxes = torch.tensor([[5.0, 5, 4, 4, 0.1]])
    with pytest.raises(UnavailableOpError, match=r"'nms_rotated'.*MMCV_WITH_OPS=1 pip install"):
        ops.nms_rotated(boxes, torch.ones(1), 0.5)
    with pytest.raises(NotImplementedError, match='border_align_forward'):
        ext.border_align_forward(1, key=2)
    assert not hasattr(ext, '__wrapped__')


def test_versions_are_strings():
    assert 'not compiled' in ops.get_compiler_version()
    assert ops.get_compiling_cuda_version() == 'not available'


@pytest.mark.skipif(sys.version_info >= (3, 14), reason='pkgutil.find_loader was removed')
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_mmcv_finds_its_ops():
    from mmcv.utils.ext_loader import check_ops_exist

    assert check_ops_exist()


# Non-maximum suppression


def iou(a, b, offset=0):
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    common = max(width, 0) * max(height, 0)
    area = sum((c[2] - c[0] + offset) * (c[3] - c[1] + offset) for c in (a, b))
    return common / (area - common)


def slow_nms(boxes, scores, threshold, offset=0):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(iou(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def slow_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    scores, left, kept = dict(enumerate(scores)), set(range(len(boxes))), []
    while left:
        top = max(left, key=lambda i: scores[i])
        kept.append((top, scores[top]))
        left.remove(top)
        for i in list(left):
            overlap = iou(boxes[top], boxes[i], offset)
            if method == 'gaussian':
                scores[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                scores[i] *= 1 - overlap if method == 'linear' else 0
            if scores[i] < min_score:
                left.remove(i)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
def test_nms(offset):
    boxes, scores = random_boxes(60), torch.rand(60)
    dets, keep = ops.nms(boxes, scores, 0.3, offset)
    expected = slow_nms(boxes.tolist(), scores.tolist(), 0.3, offset)
    assert 1 < len(expected) < 60
    assert keep.tolist() == expected
    torch.testing.assert_close(dets, torch.cat([boxes, scores[:, None]], 1)[expected])


def test_nms_offset_matters():
    # IoU 0.5 as continuous boxes, 9 / 15 as whole pixels.
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 4, 2]])
    scores = torch.tensor([0.9, 0.8])
    assert ops.nms(boxes, scores, 0.55, 0)[1].tolist() == [0, 1]
    assert ops.nms(boxes, scores, 0.55, 1)[1].tolist() == [0]


def test_nms_keeps_box_whose_iou_equals_the_threshold():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 6, 10]])
    assert ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.6)[1].tolist() == [0, 1]
    assert ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5999)[1].tolist() == [0]


def test_nms_score_threshold_and_max_num():
    boxes, scores = random_boxes(60), torch.rand(60)
    keep = ops.nms(boxes, scores, 0.3, score_threshold=0.4, max_num=5)[1].tolist()
    eligible = [i for i in range(60) if scores[i] > 0.4]
    expected = slow_nms(boxes[eligible].tolist(), scores[eligible].tolist(), 0.3)
    assert keep == [eligible[i] for i in expected][:5]


def test_nms_of_arrays_half_precision_and_nothing():
    boxes, scores = random_boxes(20), torch.rand(20)
    dets, keep = ops.nms(boxes.numpy(), scores.numpy(), 0.3)
    assert isinstance(dets, np.ndarray)
    assert keep.tolist() == slow_nms(boxes.tolist(), scores.tolist(), 0.3)

    low = boxes.bfloat16()
    dets, keep = ops.nms(low, scores.bfloat16(), 0.3)
    assert dets.dtype == torch.bfloat16

    for nms in (ops.nms, ops.soft_nms):
        dets, keep = nms(torch.zeros(0, 4), torch.zeros(0), iou_threshold=0.5)
        assert dets.shape == (0, 5)
        assert keep.shape == (0,)
        assert keep.dtype == torch.long


@pytest.mark.parametrize('split_thr', [10000, 2])
def test_batched_nms_keeps_classes_apart(split_thr):
    boxes, scores, labels = random_boxes(60), torch.rand(60), torch.randint(3, (60,))
    config = dict(type='nms', iou_threshold=0.3, split_thr=split_thr)
    dets, keep = ops.batched_nms(boxes, scores, labels, config)
    expected = []
    for label in range(3):
        index = (labels == label).nonzero().flatten()
        kept = slow_nms(boxes[index].tolist(), scores[index].tolist(), 0.3)
        expected += index[kept].tolist()
    assert keep.tolist() == sorted(expected, key=lambda i: -scores[i])
    torch.testing.assert_close(dets, torch.cat([boxes[keep], scores[keep, None]], 1))

    together = ops.batched_nms(boxes, scores, labels, config, class_agnostic=True)[1]
    if split_thr == 10000:
        assert together.tolist() == slow_nms(boxes.tolist(), scores.tolist(), 0.3)


def test_multiclass_nms():
    from mmdet.models.layers import multiclass_nms

    boxes, scores = random_boxes(20), torch.rand(20, 3)
    dets, labels = multiclass_nms(boxes, scores, 0.5, dict(type='nms', iou_threshold=0.3), 6)
    expected = []
    for label in range(2):
        index = (scores[:, label] > 0.5).nonzero().flatten()
        kept = index[slow_nms(boxes[index].tolist(), scores[index, label].tolist(), 0.3)]
        expected += [(float(scores[i, label]), label) for i in kept.tolist()]
    expected = sorted(expected, reverse=True)[:6]
    assert labels.tolist() == [label for _, label in expected]
    assert dets[:, 4].tolist() == pytest.approx([score for score, _ in expected])


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
def test_soft_nms(method, offset):
    boxes, scores = random_boxes(40), torch.rand(40)
    arguments = (0.3, 0.5, 0.2, method, offset)
    dets, keep = ops.soft_nms(boxes, scores, *arguments)
    expected = slow_soft_nms(boxes.tolist(), scores.tolist(), *arguments)
    assert 1 < len(expected) < 40
    assert keep.tolist() == [i for i, _ in expected]
    torch.testing.assert_close(dets[:, :4], boxes[keep])
    assert dets[:, 4].tolist() == pytest.approx([score for _, score in expected], abs=1e-5)
    assert scores.max() == dets[0, 4]


def test_soft_nms_by_hand():
    # IoU of the first two is 0.6; the third stands apart.
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 6, 10], [20, 20, 30, 30]])
    scores = torch.tensor([0.9, 0.8, 0.5])
    dets, keep = ops.soft_nms(boxes, scores, 0.3, method='linear')
    assert keep.tolist() == [0, 2, 1]
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.5, 0.8 * 0.4])
    dets, keep = ops.soft_nms(boxes, scores, sigma=0.5, method='gaussian')
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.5, 0.8 * math.exp(-0.72)])


def test_soft_nms_of_empty_boxes_and_low_scores():
    boxes = torch.tensor([[3.0, 1, 3, 1]] * 3)
    dets, keep = ops.soft_nms(boxes, torch.tensor([0.5, 0.4, 0.0]), method='gaussian')
    assert keep.tolist() == [0, 1]
    assert dets[:, 4].tolist() == pytest.approx([0.5, 0.4])
    dets, keep = ops.soft_nms(boxes, torch.full((3,), 0.1), min_score=0.2)
    assert keep.tolist() == [0]


def test_nms_match():
    boxes, scores = random_boxes(30), torch.rand(30)
    dets = torch.cat([boxes, scores[:, None]], 1)
    groups = [group.tolist() for group in ops.nms_match(dets, 0.3)]
    left, expected = sorted(range(30), key=lambda i: -scores[i]), []
    while left:
        top = left[0]
        group = [top] + [i for i in left[1:] if iou(boxes[top].tolist(), boxes[i].tolist()) >= 0.3]
        expected.append(group)
        left = [i for i in left if i not in group]
    assert groups == expected
    assert any(len(group) > 1 for group in groups)
    assert ops.nms_match(dets[:0], 0.3) == []


# Pooling of regions


def bilinear(image, y, x):
    """Samples ``image`` (H, W) as RoIAlign does: 0 a pixel outside, else cut to the border."""
    height, width = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
    lower = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def slow_roi_align(features, rois, shape, scale, ratio, aligned):
    output = torch.zeros(len(rois), features.shape[1], *shape, dtype=torch.float64)
    for r, roi in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (value * scale - (0.5 if aligned else 0) for value in roi[1:])
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        step_y, step_x = height / shape[0], width / shape[1]
        count_y = ratio or math.ceil(step_y)
        count_x = ratio or math.ceil(step_x)
        for c in range(features.shape[1]):
            image = features[int(roi[0]), c].numpy()
            for i in range(shape[0]):
                for j in range(shape[1]):
                    samples = [
                        bilinear(
                            image,
                            y1 + (i + (a + 0.5) / count_y) * step_y,
                            x1 + (j + (b + 0.5) / count_x) * step_x,
                        )
                        for a in range(count_y)
                        for b in range(count_x)
                    ]
                    output[r, c, i, j] = sum(samples) / max(len(samples), 1)
    return output


ROIS = torch.tensor(
    [[0, 1.3, 2.1, 9.7, 12.4], [1, -3.2, 4.4, 6.9, 17.5], [1, 3.0, 3.0, 3.4, 3.2]],
    dtype=torch.float64,
)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align(aligned, ratio):
    features = torch.randn(2, 2, 7, 6, dtype=torch.float64)
    layer = ops.RoIAlign((3, 2), 0.5, ratio, aligned=aligned)
    expected = slow_roi_align(features, ROIS, (3, 2), 0.5, ratio, aligned)
    torch.testing.assert_close(layer(features, ROIS), expected)
    assert layer(features, ROIS[:0]).shape == (0, 2, 3, 2)
    gradcheck(lambda x: layer(x, ROIS), features.requires_grad_())


def test_roi_align_max_is_refused():
    layer = ops.RoIAlign(2, pool_mode='max')
    with pytest.raises(UnavailableOpError, match=r"roi_align\(pool_mode='max'\).*pip install"):
        layer(torch.zeros(2, 1, 5, 5), ROIS.float())


def slow_roi_pool(features, rois, shape, scale):
    output = torch.zeros(len(rois), features.shape[1], *shape, dtype=features.dtype)
    for r, (batch, x1, y1, x2, y2) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        if x2 <= x1 or y2 <= y1:
            continue
        for i in range(shape[0]):
            for j in range(shape[1]):
                top = max(math.floor(y1 + i * (y2 - y1) / shape[0]), 0)
                bottom = max(math.ceil(y1 + (i + 1) * (y2 - y1) / shape[0]), 0)
                left = max(math.floor(x1 + j * (x2 - x1) / shape[1]), 0)
                right = max(math.ceil(x1 + (j + 1) * (x2 - x1) / shape[1]), 0)
                window = features[int(batch), :, top:bottom, left:right]
                if window.numel():
                    output[r, :, i, j] = window.amax((1, 2))
    return output


def test_roi_pool():
    features = torch.randn(2, 2, 7, 6, dtype=torch.float64)
    layer = ops.RoIPool((3, 2), 0.5)
    rois = torch.cat([ROIS, ROIS.new_tensor([[0, 40, 40, 50, 50], [0, 8, 8, 2, 2]])])
    pooled = layer(features, rois)
    torch.testing.assert_close(pooled, slow_roi_pool(features, rois, (3, 2), 0.5))
    assert pooled[3:].eq(0).all()
    gradcheck(lambda x: layer(x, rois), features.requires_grad_())


def test_roi_pool_takes_the_first_of_equal_maxima():
    features = torch.tensor([[[[0.0, 7], [7, 7]]]], requires_grad=True)
    ops.roi_pool(features, torch.tensor([[0.0, 0, 0, 1, 1]]), 1).sum().backward()
    assert features.grad.tolist() == [[[[0, 1], [0, 0]]]]


# Deformable convolution

GEOMETRIES = [
    dict(),
    dict(stride=2, padding=1, dilation=1, groups=2, deform_groups=1),
    dict(stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=1, deform_groups=2),
    dict(stride=1, padding=1, dilation=1, groups=2, deform_groups=4),
]


def sampled_conv(
    x, offset, mask, weight, stride=1, padding=0, dilation=1, groups=1, deform_groups=1
):
    """Deformable convolution by ``F.grid_sample``, one kernel place after another."""
    (sy, sx), (py, px), (dy, dx) = (
        v if isinstance(v, tuple) else (v, v) for v in (stride, padding, dilation)
    )
    batch, channels, height, width = x.shape
    kernel_h, kernel_w = weight.shape[2:]
    out_h, out_w = offset.shape[2:]
    offset = offset.view(batch, deform_groups, kernel_h * kernel_w, 2, out_h, out_w)
    if mask is not None:
        mask = mask.view(batch, deform_groups, kernel_h * kernel_w, out_h, out_w)
    grid_y, grid_x = torch.meshgrid(
        torch.arange(out_h).to(x) * sy - py, torch.arange(out_w).to(x) * sx - px, indexing='ij'
    )
    per_group = channels // deform_groups
    taps = []
    for k in range(kernel_h * kernel_w):
        parts = []
        for g in range(deform_groups):
            y = grid_y + k // kernel_w * dy + offset[:, g, k, 0]
            x_ = grid_x + k % kernel_w * dx + offset[:, g, k, 1]
            grid = torch.stack([2 * x_ / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
            part = x[:, g * per_group : (g + 1) * per_group]
            part = F.grid_sample(part, grid, padding_mode='zeros', align_corners=True)
            parts.append(part if mask is None else part * mask[:, g, k].unsqueeze(1))
        taps.append(torch.cat(parts, 1))
    columns = torch.stack(taps, 2).unflatten(1, (groups, channels // groups))
    kernel = weight.flatten(2).unflatten(0, (groups, len(weight) // groups))
    return torch.einsum('bgckyx,gock->bgoyx', columns, kernel).flatten(1, 2)


def deform_inputs(geometry, batch=2, channels=4, kernel=(3, 2), size=(6, 5), dtype=torch.float64):
    groups, deform_groups = geometry.get('groups', 1), geometry.get('deform_groups', 1)
    x = torch.randn(batch, channels, *size, dtype=dtype)
    weight = torch.randn(4, channels // groups, *kernel, dtype=dtype)
    conv = {key: value for key, value in geometry.items() if key != 'deform_groups'}
    shape = F.conv2d(x, weight, **conv).shape[2:]
    places = deform_groups * kernel[0] * kernel[1]
    offset = uniform(batch, places * 2, *shape, low=-2, high=2, dtype=dtype)
    mask = uniform(batch, places, *shape, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (x, offset, mask, weight)]


def assert_same_with_gradients(result, expected, inputs):
    torch.testing.assert_close(result, expected)
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(result, inputs, direction),
        torch.autograd.grad(expected, inputs, direction),
    )


@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('im2col_step', [1, 32])
def test_deform_conv(geometry, im2col_step):
    x, offset, _, weight = deform_inputs(geometry)
    arguments = [
        geometry.get(key, default)
        for key, default in (
            ('stride', 1),
            ('padding', 0),
            ('dilation', 1),
            ('groups', 1),
            ('deform_groups', 1),
        )
    ]
    result = ops.deform_conv2d(x, offset, weight, *arguments, False, im2col_step)
    expected = sampled_conv(x, offset, None, weight, **geometry)
    assert_same_with_gradients(result, expected, (x, offset, weight))


@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('with_bias', [True, False])
def test_modulated_deform_conv(geometry, with_bias):
    x, offset, mask, weight = deform_inputs(geometry)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True) if with_bias else None
    arguments = [
        geometry.get(key, default)
        for key, default in (
            ('stride', 1),
            ('padding', 0),
            ('dilation', 1),
            ('groups', 1),
            ('deform_groups', 1),
        )
    ]
    result = ops.modulated_deform_conv2d(x, offset, mask, weight, bias, *arguments)
    expected = sampled_conv(x, offset, mask, weight, **geometry)
    inputs = (x, offset, mask, weight)
    if with_bias:
        expected, inputs = expected + bias.view(1, -1, 1, 1), (*inputs, bias)
    assert_same_with_gradients(result, expected, inputs)


def test_modulated_offsets_of_another_size_are_read_as_memory():
    """DyHead's offsets of a level with twice the size: mmcv's kernels read the first of them."""
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 5, 5), torch.randn(3, 4, 3, 3)
    offset = torch.randn(2, 18, 10, 10, requires_grad=True)
    mask = torch.rand(2, 9, 10, 10, requires_grad=True)
    found = ops.modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1)
    parts = [part.flatten(1)[:, : part.shape[1] * 25] for part in (offset, mask)]
    read = [part.reshape(2, -1, 5, 5) for part in parts]
    expected = torchvision.ops.deform_conv2d(x, read[0], weight, padding=1, mask=read[1])
    torch.testing.assert_close(found, expected)
    loss = torch.randn_like(found)
    grads = [torch.autograd.grad((out * loss).sum(), (offset, mask)) for out in (found, expected)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_offsets_that_are_not_finite_read_nothing(value):
    """As in mmcv; the process would die of NaN in torchvision's kernel."""
    torch.manual_seed(0)
    x, weight = torch.randn(1, 2, 6, 6, requires_grad=True), torch.randn(3, 2, 3, 3)
    offset = torch.zeros(1, 18, 6, 6)
    offset[:, ::2, 2, 3] = value  # all nine rows of one place
    offset.requires_grad_()
    for found in (
        ops.deform_conv2d(x, offset, weight, 1, 1),
        ops.modulated_deform_conv2d(x, offset, torch.ones(1, 9, 6, 6), weight, None, 1, 1),
    ):
        expected = F.conv2d(x, weight, padding=1)
        expected[..., 2, 3] = 0
        torch.testing.assert_close(found, expected)
        found.sum().backward()
        assert x.grad.isfinite().all() and offset.grad.isfinite().all()


def test_masked_conv_is_the_convolution_at_the_mask():
    torch.manual_seed(0)
    conv = ops.MaskedConv2d(3, 5, (3, 5), padding=(1, 2))
    x, mask = torch.randn(1, 3, 6, 7), torch.rand(1, 6, 7) > 0.6
    with torch.no_grad():
        torch.testing.assert_close(conv(x, mask.float()), conv(x) * mask)
        assert not conv(x, torch.zeros(1, 6, 7)).any()


def test_deform_conv_gradcheck():
    geometry = dict(padding=1, groups=2, deform_groups=2)
    x, offset, mask, weight = deform_inputs(geometry, channels=2, kernel=(2, 2), size=(3, 3))
    weight = weight.detach()[:2].clone().requires_grad_()
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    gradcheck(lambda *a: ops.deform_conv2d(*a, 1, 1, 1, 2, 2), (x, offset, weight))
    gradcheck(
        lambda *a: ops.modulated_deform_conv2d(*a, 1, 1, 1, 2, 2), (x, offset, mask, weight, bias)
    )


@pytest.mark.parametrize('name', ['DCN', 'DCNv2'])
def test_deform_conv_without_offset_is_convolution(name):
    from mmcv.cnn import build_conv_layer

    layer = build_conv_layer(dict(type=name), 4, 6, 3, stride=2, padding=1, groups=2, bias=False)
    x = torch.randn(2, 4, 7, 8)
    # A fresh layer predicts no offset and, in the modulated form, the mask sigmoid(0).
    factor = 0.5 if name == 'DCNv2' else 1.0
    expected = factor * F.conv2d(x, layer.weight, stride=2, padding=1, groups=2)
    torch.testing.assert_close(layer(x), expected)


def test_input_smaller_than_kernel():
    layer = ops.DeformConv2d(1, 1, 3, padding=1)
    x = torch.randn(1, 1, 2, 2)
    expected = F.conv2d(x, layer.weight, padding=1)
    torch.testing.assert_close(layer(x, torch.zeros(1, 18, 2, 2)), expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_16_bit_floats_are_rounded_results_of_float32(dtype):
    features = torch.randn(2, 2, 7, 6, dtype=dtype, requires_grad=True)
    wide = features.detach().float().requires_grad_()
    rois = ROIS.to(dtype)
    pooled = ops.roi_align(features, rois, 2, 0.5)
    expected = ops.roi_align(wide, rois.float(), 2, 0.5)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled, expected.to(dtype))
    pooled.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(features.grad, wide.grad.to(dtype))

    x, offset, mask, weight = (t.detach().to(dtype).requires_grad_() for t in deform_inputs({}))
    inputs = [t.detach().float().requires_grad_() for t in (x, offset, mask, weight)]
    ops.modulated_deform_conv2d(x, offset, mask, weight).sum().backward()
    ops.modulated_deform_conv2d(*inputs).sum().backward()
    for narrow, full in zip((x, offset, mask, weight), inputs, strict=True):
        torch.testing.assert_close(narrow.grad, full.grad.to(dtype))


@pytest.mark.parametrize('loss', [ops.sigmoid_focal_loss, ops.softmax_focal_loss])
def test_focal_loss_in_16_bit_is_rounded_result_of_float32(loss):
    logits = torch.randn(4, 3, dtype=torch.bfloat16, requires_grad=True)
    wide = logits.detach().float().requires_grad_()
    target = torch.tensor([0, 2, 1, 1])
    loss(logits, target, 2.0, 0.25, None, 'sum').backward()
    loss(wide, target, 2.0, 0.25, None, 'sum').backward()
    torch.testing.assert_close(logits.grad, wide.grad.bfloat16(), rtol=2e-2, atol=5e-3)


# Focal loss


def slow_sigmoid_focal(logits, target, gamma, alpha, weight):
    output = torch.zeros(logits.shape, dtype=torch.float64)
    for n, row in enumerate(logits.tolist()):
        for c, x in enumerate(row):
            p = 1 / (1 + math.exp(-x))
            if target[n] == c:
                loss = -alpha * (1 - p) ** gamma * math.log(p)
            else:
                loss = -(1 - alpha) * p**gamma * math.log(1 - p)
            output[n, c] = loss * (weight[target[n]] if target[n] < len(weight) else 1)
    return output


@pytest.mark.parametrize('weight', [None, torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)])
@pytest.mark.parametrize('gamma', [2.0, 0.0, 1.5])
def test_sigmoid_focal_loss(weight, gamma):
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True) * 2
    target = torch.tensor([0, 2, 3, 1, 3])
    loss = ops.sigmoid_focal_loss(logits, target, gamma, 0.3, weight, 'none')
    expected = slow_sigmoid_focal(logits, target, gamma, 0.3, [] if weight is None else weight)
    torch.testing.assert_close(loss, expected)
    for reduction, factor in (('sum', 1), ('mean', 1 / 5)):
        reduced = ops.sigmoid_focal_loss(logits, target, gamma, 0.3, weight, reduction)
        torch.testing.assert_close(reduced, expected.sum() * factor)
        gradcheck(
            lambda x, r=reduction: ops.sigmoid_focal_loss(x, target, gamma, 0.3, weight, r),
            logits.detach().requires_grad_(),
        )


def test_sigmoid_focal_loss_of_large_logits():
    logits = torch.tensor([[30.0, -30.0]], requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.tensor([1]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, torch.tensor([[0.75 * 30, 0.25 * 30]]))
    loss.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[0.75, -0.25]]))


@pytest.mark.parametrize('weight', [None, torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)])
def test_softmax_focal_loss(weight):
    logits = torch.randn(4, 3, dtype=torch.float64)
    target = torch.tensor([0, 2, -1, 1])
    expected = 0.0
    for row, c in zip(logits.tolist(), target.tolist(), strict=True):
        if c >= 0:
            p = math.exp(row[c]) / sum(math.exp(x) for x in row)
            factor = 1.0 if weight is None else float(weight[c])
            expected -= factor * 0.3 * (1 - p) ** 2 * math.log(p)
    loss = ops.softmax_focal_loss(logits, target, 2.0, 0.3, weight, 'sum')
    assert float(loss) == pytest.approx(expected)
    gradcheck(
        lambda x: ops.softmax_focal_loss(x, target, 2.0, 0.3, weight, 'mean'),
        logits.requires_grad_(),
    )


# Multi-scale deformable attention


def test_ms_deform_attn():
    shapes = [(4, 3), (2, 2)]
    value = torch.randn(2, 16, 2, 3, dtype=torch.float64, requires_grad=True)
    places = uniform(2, 3, 2, 2, 2, 2, low=-0.1, high=1.1).requires_grad_()
    attention = uniform(2, 3, 2, 2, 2).requires_grad_()
    sizes, starts = torch.tensor(shapes), torch.tensor([0, 12])

    def run(*inputs):
        return MultiScaleDeformableAttnFunction.apply(inputs[0], sizes, starts, *inputs[1:], 64)

    def at(level, b, head, c, y, x):
        height, width = shapes[level]
        if not (0 <= y < height and 0 <= x < width):
            return 0.0
        return float(value[b, int(starts[level]) + y * width + x, head, c])

    expected = torch.zeros(2, 3, 6, dtype=torch.float64)
    for b, q, head, level, point in np.ndindex(2, 3, 2, 2, 2):
        x, y = (places[b, q, head, level, point] * torch.tensor(shapes[level][::-1]) - 0.5).tolist()
        left, top = math.floor(x), math.floor(y)
        for c, dy, dx in np.ndindex(3, 2, 2):
            share = abs(1 - dy - (y - top)) * abs(1 - dx - (x - left))
            sample = share * at(level, b, head, c, top + dy, left + dx)
            expected[b, q, head * 3 + c] += float(attention[b, q, head, level, point]) * sample
    torch.testing.assert_close(run(value, places, attention), expected)
    gradcheck(run, (value, places, attention))


def test_ms_deform_attn_under_autocast():
    value = torch.randn(1, 6, 2, 4, dtype=torch.bfloat16, requires_grad=True)
    places, attention = uniform(1, 3, 2, 1, 2, 2).float(), uniform(1, 3, 2, 1, 2).float()
    sizes, starts = torch.tensor([[2, 3]]), torch.tensor([0])
    with torch.autocast('cpu', torch.bfloat16):
        output = MultiScaleDeformableAttnFunction.apply(value, sizes, starts, places, attention, 64)
    assert output.dtype == torch.bfloat16
    output.sum().backward()
    assert value.grad.abs().sum() > 0


# A whole detector


def test_faster_rcnn_trains_and_predicts():
    import mmdet.models  # noqa: F401
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmengine.structures import InstanceData

    config = Config.fromfile('mmdet::_base_/models/faster-rcnn_r50_fpn.py').model
    config.backbone.update(depth=18, base_channels=8, init_cfg=None)
    config.neck.update(in_channels=[8, 16, 32, 64], out_channels=8)
    config.rpn_head.update(in_channels=8, feat_channels=8)
    config.roi_head.bbox_roi_extractor.out_channels = 8
    config.roi_head.bbox_head.update(in_channels=8, fc_out_channels=16, num_classes=3)
    config.train_cfg.rpn_proposal.update(nms_pre=50, max_per_img=20)
    config.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
    config.test_cfg.rcnn.update(score_thr=0.0, max_per_img=7)
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(config)

    sample = DetDataSample(
        metainfo=dict(
            img_shape=(64, 64),
            ori_shape=(64, 64),
            pad_shape=(64, 64),
            batch_input_shape=(64, 64),
            scale_factor=(1.0, 1.0),
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[4.0, 6, 40, 44], [30, 30, 60, 60]]), labels=torch.tensor([0, 2])
    )
    images = torch.randn(1, 3, 64, 64)
    losses = detector.loss(images, [sample])
    total = detector.parse_losses(losses)[0]
    assert torch.isfinite(total)
    total.backward()
    gradient = detector.roi_head.bbox_head.shared_fcs[0].weight.grad
    assert gradient.abs().sum() > 0
    assert detector.neck.fpn_convs[0].conv.weight.grad.abs().sum() > 0

    detector.eval()
    with torch.no_grad():
        found = detector.predict(images, [sample])[0].pred_instances
    assert 0 < len(found) <= 7
    assert found.bboxes.shape == (len(found), 4)
    assert found.bboxes.min() >= 0
    assert found.bboxes.max() <= 64
    assert (found.scores.diff() <= 0).all()


# CUDA


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_cuda_agrees_with_cpu(dtype):
    def compare(function, *tensors):
        results = []
        for device in ('cpu', 'cuda'):
            inputs = [t.detach().to(device) for t in tensors]
            floats = [t.requires_grad_() for t in inputs if t.is_floating_point()]
            output = function(*inputs)
            grads = torch.autograd.grad(output.float().square().sum(), floats, allow_unused=True)
            results.append([t.cpu() for t in (output, *grads) if t is not None])
        tolerance = 1e-4 if dtype == torch.float32 else 5e-2
        torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance)

    features, rois = torch.randn(2, 2, 7, 6).to(dtype), ROIS.to(dtype)
    compare(lambda x, r: ops.roi_align(x, r, 2, 0.5), features, rois)
    compare(lambda x, r: ops.roi_pool(x, r, 2, 0.5), features, rois)
    x, offset, mask, weight = (t.detach().to(dtype) for t in deform_inputs({}))
    compare(ops.deform_conv2d, x, offset, weight)
    compare(ops.modulated_deform_conv2d, x, offset, mask, weight)
    kernels = torch.rand(2, 18, 14, 12).to(dtype)
    compare(lambda x, k: ops.carafe(x, k, 3, 2, 2), features, kernels)
    compare(ops.PSAMask('collect', (3, 5)), torch.randn(2, 15, 4, 3).to(dtype))
    bins = torch.randn(3, 2, 2, 2).to(dtype)
    compare(lambda x, o: ops.deform_roi_pool(x, rois.to(x), o, 2, 0.5), features, bins)
    target = torch.tensor([0, 2, 3, 1])
    compare(ops.sigmoid_focal_loss, torch.randn(4, 3).to(dtype), target)
    compare(ops.softmax_focal_loss, torch.randn(4, 4).to(dtype), target)
    compare(
        lambda v, s, i, p, a: MultiScaleDeformableAttnFunction.apply(v, s, i, p, a, 64),
        torch.randn(2, 16, 2, 3).to(dtype),
        torch.tensor([[4, 3], [2, 2]]),
        torch.tensor([0, 12]),
        uniform(2, 3, 2, 2, 2, 2).to(dtype),
        uniform(2, 3, 2, 2, 2).to(dtype),
    )
    boxes, scores = random_boxes(60).to(dtype).float(), torch.rand(60)
    for nms in (ops.nms, ops.soft_nms):
        cpu, cuda = nms(boxes, scores, 0.3), nms(boxes.cuda(), scores.cuda(), 0.3)
        assert cuda[0].is_cuda
        assert cpu[1].tolist() == cuda[1].tolist()
