"""googlenet: PyTorch, compiled from a Caffe net by netcompile.

From googlenet/deploy.prototxt, phase TEST. 7 M parameters, 1.59 GMACs at 224 × 224.
Input data: 1 × 3 × H × W; order and mean are not in the file
Legal sizes: only H and W = 223 to 254
Output prob: 1 × 1000

    >>> import torch
    >>> net = Googlenet().eval()
    >>> net.load_state_dict(safetensors.torch.load_file("googlenet.safetensors"))  # doctest: +SKIP
    >>> net(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 1000])
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Inception(nn.Module):
    """inception_3a, inception_3b, inception_4a and 6 more."""

    def __init__(
        self,
        channels: int,
        conv1x1: int,
        conv3x3_reduce: int,
        conv3x3: int,
        conv5x5_reduce: int,
        conv5x5: int,
        pool_proj: int,
    ) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(channels, conv1x1, kernel_size=1)
        self.conv3x3_reduce = nn.Conv2d(channels, conv3x3_reduce, kernel_size=1)
        self.conv3x3 = nn.Conv2d(conv3x3_reduce, conv3x3, kernel_size=3, padding=1)
        self.conv5x5_reduce = nn.Conv2d(channels, conv5x5_reduce, kernel_size=1)
        self.conv5x5 = nn.Conv2d(conv5x5_reduce, conv5x5, kernel_size=5, padding=2)
        self.pool_proj = nn.Conv2d(channels, pool_proj, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        conv1x1 = F.relu(self.conv1x1(x))
        conv3x3_reduce = F.relu(self.conv3x3_reduce(x))
        conv3x3 = F.relu(self.conv3x3(conv3x3_reduce))
        conv5x5_reduce = F.relu(self.conv5x5_reduce(x))
        conv5x5 = F.relu(self.conv5x5(conv5x5_reduce))
        pool = F.max_pool2d(x, 3, stride=1, padding=1)
        pool_proj = F.relu(self.pool_proj(pool))
        return torch.cat((conv1x1, conv3x3, conv5x5, pool_proj), dim=1)


class Googlenet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1_7x7_s2 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.conv2_3x3_reduce = nn.Conv2d(64, 64, kernel_size=1)
        self.conv2_3x3 = nn.Conv2d(64, 192, kernel_size=3, padding=1)
        self.inception_3a = Inception(192, 64, 96, 128, 16, 32, 32)
        self.inception_3b = Inception(256, 128, 128, 192, 32, 96, 64)
        self.inception_4a = Inception(480, 192, 96, 208, 16, 48, 64)
        self.inception_4b = Inception(512, 160, 112, 224, 24, 64, 64)
        self.inception_4c = Inception(512, 128, 128, 256, 24, 64, 64)
        self.inception_4d = Inception(512, 112, 144, 288, 32, 64, 64)
        self.inception_4e = Inception(528, 256, 160, 320, 32, 128, 128)
        self.inception_5a = Inception(832, 256, 160, 320, 32, 128, 128)
        self.inception_5b = Inception(832, 384, 192, 384, 48, 128, 128)
        self.loss3_classifier = nn.Linear(1024, 1000)

    def forward(self, data: Tensor) -> Tensor:
        # conv1
        conv1_7x7_s2 = F.relu(self.conv1_7x7_s2(data))  # 64 × ⌈H/2⌉ × ⌈W/2⌉
        # 64 × ⌊(H+1)/4⌋ × ⌊(W+1)/4⌋
        pool1_3x3_s2 = F.max_pool2d(conv1_7x7_s2, 3, stride=2, ceil_mode=True)
        pool1_norm1 = lrn(pool1_3x3_s2, 5, alpha=0.0001, beta=0.75, k=1.0)
        # conv2
        conv2_3x3_reduce = F.relu(self.conv2_3x3_reduce(pool1_norm1))
        conv2_3x3 = F.relu(self.conv2_3x3(conv2_3x3_reduce))
        conv2_norm2 = lrn(conv2_3x3, 5, alpha=0.0001, beta=0.75, k=1.0)
        pool2_3x3_s2 = F.max_pool2d(conv2_norm2, 3, stride=2, ceil_mode=True)
        # inception_3: 256 × ⌊(H+1)/8⌋ × ⌊(W+1)/8⌋
        inception_3a_output = self.inception_3a(pool2_3x3_s2)
        inception_3b_output = self.inception_3b(inception_3a_output)
        pool3_3x3_s2 = F.max_pool2d(inception_3b_output, 3, stride=2, ceil_mode=True)
        # inception_4: 512 × ⌊(H+1)/16⌋ × ⌊(W+1)/16⌋
        inception_4a_output = self.inception_4a(pool3_3x3_s2)
        inception_4b_output = self.inception_4b(inception_4a_output)
        inception_4c_output = self.inception_4c(inception_4b_output)
        inception_4d_output = self.inception_4d(inception_4c_output)
        inception_4e_output = self.inception_4e(inception_4d_output)
        pool4_3x3_s2 = F.max_pool2d(inception_4e_output, 3, stride=2, ceil_mode=True)
        # inception_5: 832 × ⌊(H+1)/32⌋ × ⌊(W+1)/32⌋
        inception_5a_output = self.inception_5a(pool4_3x3_s2)
        inception_5b_output = self.inception_5b(inception_5a_output)
        # 1024 × ⌊(H-191)/32⌋ × ⌊(W-191)/32⌋
        pool5_7x7_s1 = F.avg_pool2d(inception_5b_output, 7, stride=1)
        prob: Tensor = F.softmax(self.loss3_classifier(pool5_7x7_s1.flatten(1)), dim=1)
        return prob


# region functions that the net calls (netcompile 0.1.0)


def lrn(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    """F.local_response_norm in all float types, and faster on a CPU.

    Neighbours' squares are summed as whole blobs, and a root is faster than a power.
    """
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    squares = F.pad(wide.square(), (0, 0, 0, 0, size // 2, size // 2))
    total = squares.narrow(1, 0, x.shape[1])
    for first in range(1, size):
        total = total + squares.narrow(1, first, x.shape[1])
    scale = k + alpha / size * total
    if beta == 0.75:
        root = scale.sqrt()
        return x / (root * root.sqrt()).to(x.dtype)
    return x * scale.pow(-beta).to(x.dtype)


# endregion
