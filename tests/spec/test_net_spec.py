"""NetSpec's rules: names, order, in-place layers, keywords, and the mistakes that are reported."""

from __future__ import annotations

import pytest

from netcompile import spec
from netcompile.diagnostics.source import Source
from netcompile.prototxt.parser import parse
from netcompile.spec import layers as L
from netcompile.spec import params as P


def same(net: spec.Proto, text: str) -> bool:
    return net.message == parse(Source(text)) == parse(Source(str(net)))


def named(net: spec.Proto) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    return [(layer.name, layer.type, layer.bottom, layer.top) for layer in net.layer]


def test_a_small_net() -> None:
    n = spec.NetSpec()
    n.data, n.label = L.Data(source="db", backend=P.Data.LMDB, batch_size=2, ntop=2, transform_param={"scale": 0.5})
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=[3, 5], weight_filler={"type": "xavier"})
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, pool=P.Pooling.AVE, kernel_size=2)
    n.up = L.Deconvolution(
        n.pool,
        convolution_param={"num_output": 4, "kernel_size": 2, "bias_term": False},
        param=[{"lr_mult": 0}],
    )
    n.loss = L.SoftmaxWithLoss(n.up, n.label, loss_weight=2, loss_param={"ignore_label": 255, "normalize": False})
    assert same(
        n.to_proto(),
        """
        layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.5 }
                data_param { source: "db" batch_size: 2 backend: LMDB } }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param { num_output: 4 kernel_size: 3 kernel_size: 5
                                    weight_filler { type: "xavier" } } }
        layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
        layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
                pooling_param { pool: AVE kernel_size: 2 } }
        layer { name: "up" type: "Deconvolution" bottom: "pool" top: "up" param { lr_mult: 0 }
                convolution_param { num_output: 4 kernel_size: 2 bias_term: false } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "up" bottom: "label" top: "loss" loss_weight: 2
                loss_param { ignore_label: 255 normalize: false } }
        """,
    )


def test_fields_are_written_in_the_order_of_the_schema() -> None:
    n = spec.NetSpec()
    n.x = L.Convolution(L.Input(), stride=2, pad=1, kernel_size=3, num_output=4, param={"lr_mult": 1})
    text = str(n.to_proto())
    fields = ["name", "type", "bottom", "top", "param", "num_output", "pad", "kernel_size", "stride"]
    places = [text.index(f" {field}", text.index('"x"') - 8) for field in fields]
    assert places == sorted(places)


def test_tops_without_a_name_are_numbered_by_type() -> None:
    n = spec.NetSpec()
    n.data = L.Input()
    a, b = L.Split(L.ReLU(n.data), ntop=2)
    n.sum = L.Eltwise(a, L.ReLU(b))
    assert named(n.to_proto()) == [
        ("data", "Input", (), ("data",)),
        ("ReLU1", "ReLU", ("data",), ("ReLU1",)),
        ("Split1", "Split", ("ReLU1",), ("Split1", "Split2")),
        ("ReLU2", "ReLU", ("Split2",), ("ReLU2",)),
        ("sum", "Eltwise", ("Split1", "ReLU2"), ("sum",)),
    ]


def test_a_layer_is_named_after_its_first_top() -> None:
    n = spec.NetSpec()
    first, n.second = L.Slice(L.Input(), ntop=2)
    n.out = L.ReLU(first)
    assert named(n.to_proto())[1] == ("Slice1", "Slice", ("Input1",), ("Slice1", "second"))


def test_in_place_layers_in_a_row_write_to_one_blob() -> None:
    n = spec.NetSpec()
    n.fc = L.InnerProduct(L.Input(), num_output=3)
    n.relu = L.ReLU(n.fc, in_place=True)
    n.drop = L.Dropout(n.relu, dropout_ratio=0.25, in_place=True)
    n.out = L.Softmax(n.drop)
    assert named(n.to_proto())[1:] == [
        ("fc", "InnerProduct", ("Input1",), ("fc",)),
        ("relu", "ReLU", ("fc",), ("fc",)),
        ("drop", "Dropout", ("fc",), ("fc",)),
        ("out", "Softmax", ("fc",), ("out",)),
    ]


def test_layers_without_tops() -> None:
    n = spec.NetSpec()
    n.data = L.Input()
    n.quiet = L.Silence(n.data, ntop=0)
    n["quiet too"] = L.Silence(n.data, ntop=0)
    assert named(n.to_proto())[1:] == [
        ("quiet", "Silence", ("data",), ()),
        ("quiet too", "Silence", ("data",), ()),
    ]


def test_order_follows_the_first_assignment_and_what_it_needs() -> None:
    n = spec.NetSpec()
    data = L.Input()
    n.last = L.ReLU(data)
    n.data = data
    n.last = L.TanH(n.data)
    assert named(n.to_proto()) == [
        ("data", "Input", (), ("data",)),
        ("last", "TanH", ("data",), ("last",)),
    ]


def test_access_by_item_and_deletion() -> None:
    n = spec.NetSpec()
    n["score-1"] = L.Input()
    n.other = L.ReLU(n["score-1"])
    del n.other
    assert "other" not in n
    assert [layer.name for layer in n.to_proto().layer] == ["score-1"]
    with pytest.raises(AttributeError, match=r"^the network has no top 'other'$"):
        n.other  # noqa: B018
    with pytest.raises(AttributeError, match=r"^the network has no top 'other'$"):
        del n["other"]


def test_to_proto_of_tops() -> None:
    data = L.Input()
    net = spec.to_proto(L.ReLU(data), L.TanH(data))
    assert [layer.name for layer in net.layer] == ["Input1", "ReLU1", "TanH1"]
    assert net == spec.to_proto(L.ReLU(data), L.TanH(data))
    assert [layer.name for layer in data.to_proto().layer] == ["Input1"]


def test_a_proto_has_its_fields_as_attributes() -> None:
    net = spec.to_proto(L.Pooling(L.Input(), kernel_size=3))
    net.name = "a name"
    net.force_backward = True
    assert str(net).startswith('name: "a name"\nforce_backward: true\nlayer {')
    assert net.layer[1].pooling_param.kernel_size == 3
    assert net.layer[1].pooling_param.pool == "MAX"  # the default
    with pytest.raises(AttributeError, match=r"^NetParameter has no field 'layr'$"):
        net.layr  # noqa: B018
    with pytest.raises(AttributeError, match=r"^a part of a network cannot be set: LayerParameter\.name$"):
        net.layer[1].name = "lost"


def test_loose_values_as_pycaffe_takes_them() -> None:
    numpy = pytest.importorskip("numpy")
    top = L.Crop(L.Input(), L.Input(), crop_param={"axis": numpy.int64(2), "offset": numpy.array([5, 9])})
    assert spec.to_proto(top).layer[2].crop_param.offset == (5, 9)
    top = L.Convolution(L.Input(), num_output=2, kernel_size=1, bias_term=0, include={"phase": 0})
    layer = spec.to_proto(top).layer[1]
    assert layer.convolution_param.bias_term is False
    assert layer.include[0].phase == "TRAIN"
    assert layer.convolution_param.kernel_size == (1,)


def test_a_name_may_be_given() -> None:
    n = spec.NetSpec()
    n.data = L.Input(name="input")
    assert named(n.to_proto()) == [("input", "Input", (), ("data",))]


def test_a_thousand_layers() -> None:
    top = L.Input()
    for _ in range(3000):
        top = L.ReLU(top)
    assert spec.to_proto(top).layer[-1].name == "ReLU3000"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda n: L.Convolution(n.data, num_outputs=3),
            "L.Convolution has no keyword 'num_outputs'; did you mean 'num_output'?",
        ),
        (
            lambda n: L.Deconvolution(n.data, num_output=3),
            "L.Deconvolution has no keyword 'num_output'; say convolution_param=dict(num_output=…)",
        ),
        (lambda n: L.ReLU(n.data, zzz=3), "L.ReLU has no keyword 'zzz'"),
        (
            lambda n: L.Scale(n.data, filler={"typ": "constant"}),
            "Scale.scale_param.filler has no field 'typ'; did you mean 'type'?",
        ),
        (
            lambda n: L.Pooling(n.data, pool="MIN"),
            "Pooling.pooling_param: PoolingParameter.pool: 'MIN' is no value of PoolingParameter.PoolMethod",
        ),
        (
            lambda n: L.Pooling(n.data, pool=77),
            "Pooling.pooling_param.pool: PoolingParameter.PoolMethod has no value of number 77",
        ),
        (
            lambda n: L.Convolution(n.data, num_output="3"),
            "Convolution.convolution_param: ConvolutionParameter.num_output wants uint32, not '3'",
        ),
        (lambda n: L.ReLU("data"), "L.ReLU: input 0 is no top but 'data'"),
        (
            lambda n: L.ReLU(L.Slice(n.data, ntop=2)),
            "L.ReLU: input 0 is no top but (top 0 of Slice, top 1 of Slice) (assign a layer's several tops one by one)",
        ),
        (lambda n: L.ReLU(in_place=True), "L.ReLU: nothing to work on in place"),
        (lambda n: setattr(n, "a", 3), "a is no top but 3"),
        (
            lambda n: setattr(n, "a", L.Slice(n.data, ntop=2)),
            "a is no top but (top 0 of Slice, top 1 of Slice); unpack its tops: n.data, n.label = L.Data(…, ntop=2)",
        ),
    ],
)
def test_mistakes_are_reported_where_they_are_made(make, message) -> None:
    n = spec.NetSpec()
    n.data = L.Input()
    with pytest.raises(spec.SpecError) as caught:
        make(n)
    assert str(caught.value) == message


def test_unknown_enum_values_are_reported() -> None:
    assert P.Pooling.MAX == "MAX"
    assert P.Loss.BATCH_SIZE == "BATCH_SIZE"
    with pytest.raises(AttributeError, match=r"^PoolingParameter has no value 'MAXX'; did you mean 'MAX'\?$"):
        P.Pooling.MAXX  # noqa: B018
