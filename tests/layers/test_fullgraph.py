"""The emitted code as one graph: what torch.compile needs. Of these layers Filter alone cannot have it."""

from __future__ import annotations

import pytest
import torch

from tests.layers.harness import compile_text, draw_blobs, inputs_text, module_of

LAYERS = """
layer { name: "k" type: "DummyData" top: "k"
        dummy_data_param { shape { dim: 2 dim: 6 dim: 8 dim: 8 } data_filler { value: 3 } } }
layer { name: "max" type: "Eltwise" bottom: "data" bottom: "k" top: "a" eltwise_param { operation: MAX } }
layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" STATS }
layer { name: "sc" type: "Scale" bottom: "a" top: "a" scale_param { bias_term: true } }
layer { name: "pr" type: "PReLU" bottom: "a" top: "a" }
layer { name: "lrn" type: "LRN" bottom: "a" top: "b" }
layer { name: "mvn" type: "MVN" bottom: "b" top: "c" }
layer { name: "am" type: "ArgMax" bottom: "c" top: "d" argmax_param { axis: 1 top_k: 2 } }
layer { name: "sl" type: "Slice" bottom: "c" top: "e" top: "f" slice_param { slice_point: 2 } }
layer { name: "re" type: "Reshape" bottom: "e" top: "g" reshape_param { shape { dim: 0 dim: -1 dim: 4 } } }
layer { name: "im" type: "Im2col" bottom: "f" top: "h" convolution_param { kernel_size: 3 stride: 2 } }
layer { name: "sp" type: "SPP" bottom: "f" top: "i" spp_param { pyramid_height: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "i" top: "j"
        inner_product_param { num_output: 3 transpose: true } }
layer { name: "th" type: "Threshold" bottom: "j" top: "l" }
layer { name: "em" type: "Embed" bottom: "l" top: "m" embed_param { num_output: 3 input_dim: 2 } }
layer { name: "ra" type: "Reduction" bottom: "l" top: "n" }
"""


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("stats", ["", "batch_norm_param { use_global_stats: false }"])
def test_one_graph(train: bool, stats: str) -> None:
    text = inputs_text(data=(2, 6, 8, 8)) + LAYERS.replace("STATS", stats)
    net, module = compile_text(text, train=train, outputs=["all"])
    blobs = draw_blobs(net)
    blobs["bn"] = [blob * 0 + 1 for blob in blobs["bn"]]
    plain, one = module_of(net, module, blobs), module_of(net, module, blobs)
    data = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    compiled = torch.compile(one, fullgraph=True, backend="eager")
    for _ in range(2):  # a second pass: in training the sums have moved
        wanted, found = plain(data), compiled(data)
        assert set(wanted) == set(found)
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, msg=name)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(one.get_buffer(name), buffer, msg=name)
