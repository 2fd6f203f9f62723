"""resnet-50: PyTorch, compiled from a Caffe net by netcompile.

From resnet-50/deploy.prototxt, phase TEST. 25.6 M parameters, 3.87 GMACs at 224 × 224.
Input data: 1 × 3 × H × W; order and mean are not in the file
Legal sizes: only H and W = 195 to 226
Output prob: 1 × 1000

    >>> import torch
    >>> net = Resnet50().eval()
    >>> net.load_state_dict(safetensors.torch.load_file("resnet_50.safetensors"))  # doctest: +SKIP
    >>> net(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 1000])
"""

import torch.nn.functional as F
from torch import Tensor, nn


class ProjectedBottleneck(nn.Module):
    """res2a, res3a, res4a, res5a."""

    def __init__(
        self, channels: int, branch1: int, branch2a: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.branch1 = nn.Conv2d(
            channels, branch1, kernel_size=1, stride=stride, bias=False
        )
        self.bn_branch1 = nn.BatchNorm2d(branch1, momentum=0.001)
        self.branch2a = nn.Conv2d(
            channels, branch2a, kernel_size=1, stride=stride, bias=False
        )
        self.bn_branch2a = nn.BatchNorm2d(branch2a, momentum=0.001)
        self.branch2b = nn.Conv2d(
            branch2a, branch2a, kernel_size=3, padding=1, bias=False
        )
        self.bn_branch2b = nn.BatchNorm2d(branch2a, momentum=0.001)
        self.branch2c = nn.Conv2d(branch2a, branch1, kernel_size=1, bias=False)
        self.bn_branch2c = nn.BatchNorm2d(branch1, momentum=0.001)

    def forward(self, x: Tensor) -> Tensor:
        branch1 = self.bn_branch1(self.branch1(x))
        branch2a = F.relu(self.bn_branch2a(self.branch2a(x)))
        branch2b = F.relu(self.bn_branch2b(self.branch2b(branch2a)))
        branch2c = self.bn_branch2c(self.branch2c(branch2b))
        return F.relu(branch1 + branch2c)


class Bottleneck(nn.Module):
    """res2b, res2c, res3b and 9 more."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.branch2a = nn.Conv2d(channels, width, kernel_size=1, bias=False)
        self.bn_branch2a = nn.BatchNorm2d(width, momentum=0.001)
        self.branch2b = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn_branch2b = nn.BatchNorm2d(width, momentum=0.001)
        self.branch2c = nn.Conv2d(width, channels, kernel_size=1, bias=False)
        self.bn_branch2c = nn.BatchNorm2d(channels, momentum=0.001)

    def forward(self, x: Tensor) -> Tensor:
        branch2a = F.relu(self.bn_branch2a(self.branch2a(x)))
        branch2b = F.relu(self.bn_branch2b(self.branch2b(branch2a)))
        branch2c = self.bn_branch2c(self.branch2c(branch2b))
        return F.relu(x + branch2c)


class Resnet50(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3)
        self.bn_conv1 = nn.BatchNorm2d(64, momentum=0.001)
        self.res2 = nn.Sequential(
            ProjectedBottleneck(64, 256, 64), Bottleneck(256, 64), Bottleneck(256, 64)
        )
        self.res3 = nn.Sequential(
            ProjectedBottleneck(256, 512, 128, stride=2),
            *(Bottleneck(512, 128) for _ in range(3)),
        )
        self.res4 = nn.Sequential(
            ProjectedBottleneck(512, 1024, 256, stride=2),
            *(Bottleneck(1024, 256) for _ in range(5)),
        )
        self.res5 = nn.Sequential(
            ProjectedBottleneck(1024, 2048, 512, stride=2),
            Bottleneck(2048, 512),
            Bottleneck(2048, 512),
        )
        self.fc1000 = nn.Linear(2048, 1000)

    def forward(self, data: Tensor) -> Tensor:
        conv1 = F.relu(self.bn_conv1(self.conv1(data)))  # 64 × ⌈H/2⌉ × ⌈W/2⌉
        # 64 × ⌊(H+1)/4⌋ × ⌊(W+1)/4⌋
        pool1 = F.max_pool2d(conv1, 3, stride=2, ceil_mode=True)
        res2c = self.res2(pool1)
        res3d = self.res3(res2c)  # 512 × ⌊(H+5)/8⌋ × ⌊(W+5)/8⌋
        res4f = self.res4(res3d)  # 1024 × ⌊(H+13)/16⌋ × ⌊(W+13)/16⌋
        res5c = self.res5(res4f)  # 2048 × ⌊(H+29)/32⌋ × ⌊(W+29)/32⌋
        pool5 = F.avg_pool2d(res5c, 7, stride=1)  # 2048 × ⌊(H-163)/32⌋ × ⌊(W-163)/32⌋
        prob: Tensor = F.softmax(self.fc1000(pool5.flatten(1)), dim=1)  # 1 × 1000
        return prob
