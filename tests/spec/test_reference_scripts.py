"""Specification files in the habits of the FCN repository write what the repository's prototxts say.

The scripts here are written anew; what they write must be equal, as messages, to the bundled definitions, which are
equal to the published ones (tests/zoo).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from netcompile.prototxt.parser import parse
from netcompile.prototxt.recognise import open_source
from netcompile.spec.run import run_file
from netcompile.zoo.find import bundled_folder

HEAD = """
import caffe
from caffe import layers as L, params as P
from caffe.coord_map import crop

LR = [dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)]

def conv_relu(bottom, nout, ks=3, stride=1, pad=1):
    conv = L.Convolution(bottom, kernel_size=ks, stride=stride, num_output=nout, pad=pad, param=LR)
    return conv, L.ReLU(conv, in_place=True)

def max_pool(bottom, ks=2, stride=2):
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=ks, stride=stride)

def trunk(n, data, m='', first='conv1_1'):
    below = data
    for s, (count, nout) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for i in range(1, count + 1):
            begins = (s, i) == (1, 1)
            name = first if begins else 'conv%d_%d' % (s, i)
            n[name + m], n['relu%d_%d' % (s, i) + m] = conv_relu(below, nout, pad=100 if begins else 1)
            below = n['relu%d_%d' % (s, i) + m]
        n['pool%d' % s + m] = max_pool(below)
        below = n['pool%d' % s + m]
    n['fc6' + m], n['relu6' + m] = conv_relu(below, 4096, ks=7, pad=0)
    n['drop6' + m] = L.Dropout(n['relu6' + m], dropout_ratio=0.5, in_place=True)
    n['fc7' + m], n['relu7' + m] = conv_relu(n['drop6' + m], 4096, ks=1, pad=0)
    n['drop7' + m] = L.Dropout(n['relu7' + m], dropout_ratio=0.5, in_place=True)

def score(bottom, nout):
    return L.Convolution(bottom, num_output=nout, kernel_size=1, pad=0, param=LR)

def up(bottom, nout, ks, stride):
    return L.Deconvolution(bottom, convolution_param=dict(num_output=nout, kernel_size=ks, stride=stride,
                           bias_term=False), param=[dict(lr_mult=0)])

def loss(bottom, label):
    return L.SoftmaxWithLoss(bottom, label, loss_param=dict(normalize=False, ignore_label=255))

def skip(n, coarse, pool, nout, m=''):
    n['score_' + pool + m] = score(n[pool], nout)
    n['score_' + pool + m + 'c'] = crop(n['score_' + pool + m], coarse)
    n['fuse_' + pool + m] = L.Eltwise(coarse, n['score_' + pool + m + 'c'], operation=P.Eltwise.SUM)

def write(path, net):
    with open(path, 'w') as f:
        f.write(str(net.to_proto()))
"""

VOC = """
def fcn(split):
    n = caffe.NetSpec()
    params = dict(split=split, mean=(104.00699, 116.66877, 122.67892), seed=1337)
    if split == 'train':
        params['sbdd_dir'] = '../data/sbdd/dataset'
        layer = 'SBDDSegDataLayer'
    else:
        params['voc_dir'] = '../data/pascal/VOC2011'
        layer = 'VOCSegDataLayer'
    n.data, n.label = L.Python(module='voc_layers', layer=layer, ntop=2, param_str=str(params))
    trunk(n, n.data)
    n.score_fr = score(n.drop7, 21)
    n.upscore2 = up(n.score_fr, 21, 4, 2)
    skip(n, n.upscore2, 'pool4', 21)
    n.upscore_pool4 = up(n.fuse_pool4, 21, 4, 2)
    skip(n, n.upscore_pool4, 'pool3', 21)
    n.upscore8 = up(n.fuse_pool3, 21, 16, 8)
    n.score = crop(n.upscore8, n.data)
    n.loss = loss(n.score, n.label)
    return n

if __name__ == '__main__':
    write('train.prototxt', fcn('train'))
    write('val.prototxt', fcn('seg11valid'))
"""

NYUD = """
def data(n, split, tops):
    return L.Python(module='nyud_layers', layer='NYUDSegDataLayer', ntop=3,
                    param_str=str(dict(nyud_dir='../data/nyud', split=split, tops=tops, seed=1337)))

def late(split):
    n = caffe.NetSpec()
    n.color, n.hha, n.label = data(n, split, ['color', 'hha', 'label'])
    for modality in ('color', 'hha'):
        trunk(n, n[modality], modality)
        n['score_fr' + modality] = score(n['drop7' + modality], 40)
    n.score_fused = L.Eltwise(n.score_frcolor, n.score_frhha, operation=P.Eltwise.SUM, coeff=[0.5, 0.5])
    n.upscore = up(n.score_fused, 40, 64, 32)
    n.score = crop(n.upscore, n.color)
    n.loss = loss(n.score, n.label)
    return n

def early(split):
    n = caffe.NetSpec()
    n.color, n.depth, n.label = data(n, split, ['color', 'depth', 'label'])
    n.data = L.Concat(n.color, n.depth)
    trunk(n, n.data, first='conv1_1_bgrd')
    n.score_fr = score(n.drop7, 40)
    n.upscore = up(n.score_fr, 40, 64, 32)
    n.score = crop(n.upscore, n.data)
    n.loss = loss(n.score, n.label)
    return n

for split in ('trainval', 'test'):
    write('late-%s.prototxt' % split, late(split))
    write('early-%s.prototxt' % split, early(split))
"""

SIFTFLOW = """
for split in ('trainval', 'test'):
    n = caffe.NetSpec()
    n.data, n.sem, n.geo = L.Python(module='siftflow_layers', layer='SIFTFlowSegDataLayer', ntop=3,
        param_str=str(dict(siftflow_dir='../data/sift-flow', split=split, seed=1337)))
    trunk(n, n.data)
    for m, nout, label, name in (('_sem', 33, n.sem, 'loss'), ('_geo', 3, n.geo, 'loss_geo')):
        n['score_fr' + m] = score(n.drop7, nout)
        n['upscore2' + m] = up(n['score_fr' + m], nout, 4, 2)
        skip(n, n['upscore2' + m], 'pool4', nout, m)
        n['upscore16' + m] = up(n['fuse_pool4' + m], nout, 32, 16)
        n['score' + m] = crop(n['upscore16' + m], n.data)
        n[name] = loss(n['score' + m], label)
    write(split + '.prototxt', n)
"""

CASES = {
    VOC: {"train": "voc-fcn8s/train", "val": "voc-fcn8s/val"},
    NYUD: {
        "late-trainval": "nyud-fcn32s-color-hha/trainval",
        "late-test": "nyud-fcn32s-color-hha/test",
        "early-trainval": "nyud-fcn32s-color-d/trainval",
        "early-test": "nyud-fcn32s-color-d/test",
    },
    SIFTFLOW: {"trainval": "siftflow-fcn16s/trainval", "test": "siftflow-fcn16s/test"},
}


@pytest.mark.parametrize("body", CASES, ids=["voc", "nyud", "siftflow"])
def test_a_script_writes_the_published_definitions(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(HEAD + body)
    run_file("net.py")
    written = {path.stem: parse(open_source(path)) for path in tmp_path.glob("*.prototxt")}
    published = {
        stem: parse(open_source(Path(bundled_folder(), "prototxt", f"{name}.prototxt")))
        for stem, name in CASES[body].items()
    }
    assert written == published
