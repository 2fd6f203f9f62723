"""DenseNet: PyTorch, compiled from a Caffe net by netcompile.

From densenet/densenet.prototxt, phase TEST. 48.6 k parameters, 92.6 MMACs at 224 × 224.
Input data: 1 × 3 × H × W; order and mean are not in the file
Legal sizes: every H and W >= 1
Output prob: 1 × 10 × 1 × 1

    >>> import torch
    >>> net = DenseNet().eval()
    >>> net.load_state_dict(safetensors.torch.load_file("densenet.safetensors"))  # doctest: +SKIP
    >>> net(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 10, 1, 1])
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """conv2_1, conv2_2, conv2_3 and 9 more."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.x1_bn = nn.BatchNorm2d(channels, momentum=0.001)
        self.x1 = nn.Conv2d(channels, 32, kernel_size=1, bias=False)
        self.x2_bn = nn.BatchNorm2d(32, momentum=0.001)
        self.x2 = nn.Conv2d(32, 8, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x1_bn = F.relu(self.x1_bn(x))
        x1 = F.relu(self.x2_bn(self.x1(x1_bn)))
        x2 = self.x2(x1)
        return torch.cat((x, x2), dim=1)


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=7, stride=2, padding=3, bias=False)
        self.conv1_bn = nn.BatchNorm2d(16, momentum=0.001)
        self.conv2_1_to_conv2_4 = nn.Sequential(
            *(DenseLayer(channels) for channels in range(16, 48, 8))
        )
        self.conv2_blk_bn = nn.BatchNorm2d(48, momentum=0.001)
        self.conv2_blk = nn.Conv2d(48, 24, kernel_size=1, bias=False)
        self.conv3_1_to_conv3_4 = nn.Sequential(
            *(DenseLayer(channels) for channels in range(24, 56, 8))
        )
        self.conv3_blk_bn = nn.BatchNorm2d(56, momentum=0.001)
        self.conv3_blk = nn.Conv2d(56, 28, kernel_size=1, bias=False)
        self.conv4_1_to_conv4_4 = nn.Sequential(
            *(DenseLayer(channels) for channels in range(28, 60, 8))
        )
        self.conv4_blk_bn = nn.BatchNorm2d(60, momentum=0.001)
        self.fc6 = nn.Conv2d(60, 10, kernel_size=1)

    def forward(self, data: Tensor) -> Tensor:
        conv1_bn = F.relu(self.conv1_bn(self.conv1(data)))  # 16 × ⌈H/2⌉ × ⌈W/2⌉
        # 16 × ⌈(H+2)/4⌉ × ⌈(W+2)/4⌉
        pool1 = F.max_pool2d(conv1_bn, 3, stride=2, padding=1, ceil_mode=True)
        conv2_blk_bn = F.relu(self.conv2_blk_bn(self.conv2_1_to_conv2_4(pool1)))
        conv2_blk = self.conv2_blk(conv2_blk_bn)
        # 24 × ⌈(H+2)/8⌉ × ⌈(W+2)/8⌉
        pool2 = F.avg_pool2d(conv2_blk, 2, stride=2, ceil_mode=True)
        conv3_blk_bn = F.relu(self.conv3_blk_bn(self.conv3_1_to_conv3_4(pool2)))
        conv3_blk = self.conv3_blk(conv3_blk_bn)
        # 28 × ⌈(H+2)/16⌉ × ⌈(W+2)/16⌉
        pool3 = F.avg_pool2d(conv3_blk, 2, stride=2, ceil_mode=True)
        conv4_blk_bn = F.relu(self.conv4_blk_bn(self.conv4_1_to_conv4_4(pool3)))
        pool5 = conv4_blk_bn.mean(dim=(2, 3), keepdim=True)  # 60 × 1 × 1
        prob: Tensor = F.softmax(self.fc6(pool5), dim=1)
        return prob
