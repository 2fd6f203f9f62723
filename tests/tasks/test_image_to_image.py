"""Images out of images: what is put back of mean, scale, order and colours, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from netcompile.data.images import read_image
from netcompile.surgery import write_weights
from netcompile.tasks.image_to_image import coloured

NET = """name: "half"
layer {{ name: "d" type: "Input" top: "data" input_param {{ shape {{ dim: [1, {channels}, {size}, {size}] }} }} }}
layer {{ name: "c" type: "{kind}" bottom: "data" top: "out"
  convolution_param {{ num_output: {channels} kernel_size: {k} stride: {k} bias_term: false }} }}
"""


def predict(netcompile, folder, pixels, channels, *options, kind="Convolution", k=1, size=8):
    (folder / "net.prototxt").write_text(NET.format(channels=channels, kind=kind, k=k, size=size))
    weight = np.zeros((channels, channels, k, k), np.float32)
    weight[range(channels), range(channels)] = 1
    write_weights(folder / "w.caffemodel", {"c": (weight,)})
    Image.fromarray(pixels).save(folder / "a.png")
    call = ("predict", folder / "net.prototxt", "--weights", folder / "w.caffemodel", folder / "a.png")
    done = netcompile(*call, "-o", folder / "out", *options)
    assert done.code == 0, done.err
    return done, read_image(folder / "out/images/a.png")


@pytest.fixture
def pixels():
    return np.random.RandomState(4).randint(0, 256, (6, 9, 3)).astype(np.uint8)


@pytest.mark.parametrize("options", [(), ("--mean", "10,20,30", "--scale", "0.017"), ("--order", "rgb")])
def test_a_net_that_changes_nothing_gives_the_image(netcompile, tmp_path, pixels, options):
    done, made = predict(netcompile, tmp_path, pixels, 3, *options)
    assert "images: 'out': 3 channels for every pixel (--task says otherwise)\n" in done.err
    assert np.array_equal(made, pixels)


def test_a_larger_image(netcompile, tmp_path, pixels):
    _, made = predict(netcompile, tmp_path, pixels, 3, kind="Deconvolution", k=2)
    assert np.array_equal(made, pixels.repeat(2, axis=0).repeat(2, axis=1))


def test_one_channel_keeps_the_colours(netcompile, tmp_path, pixels):
    _, made = predict(netcompile, tmp_path, pixels, 1, "--mean", "0")
    grey = np.rint(pixels @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(np.rint(made @ np.array([0.299, 0.587, 0.114])) - grey).max() <= 40  # colours that do not exist
    plain = np.repeat(pixels[:, :, :1], 3, axis=2)
    _, same = predict(netcompile, tmp_path, plain, 1, "--mean", "0")
    assert np.array_equal(same, plain)


def test_colours_of_a_grey_image_are_none():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(coloured(grey, np.zeros((2, 2, 3), np.uint8)), np.repeat(grey[:, :, None], 3, axis=2))


def test_a_net_of_one_size_gives_images_of_every_size(netcompile, tmp_path):
    """Resized for the net, and its output back: of one colour the image stays what it was."""
    pixels = np.full((5, 20, 3), (10, 200, 60), np.uint8)
    _, made = predict(netcompile, tmp_path, pixels, 3, "--resize", "8x8", kind="Deconvolution", k=2)
    assert np.array_equal(made, np.full((10, 40, 3), (10, 200, 60), np.uint8))
