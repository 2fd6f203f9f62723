"""squeezenet-v1.1: PyTorch, compiled from a Caffe net by netcompile.

From squeezenet-v1.1/deploy.prototxt, phase TEST. 1.24 M parameters, 388 MMACs at 227 ×
227.
Input data: 1 × 3 × H × W; order and mean are not in the file
Legal sizes: every H and W >= 17
Output prob: 1 × 1000 × 1 × 1

    >>> import torch
    >>> net = SqueezenetV11().eval()
    >>> net.load_state_dict(safetensors.torch.load_file("squeezenet_v1_1.safetensors"))  # doctest: +SKIP
    >>> net(torch.zeros(1, 3, 227, 227)).shape
    torch.Size([1, 1000, 1, 1])
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Fire(nn.Module):
    """fire2, fire3, fire4 and 5 more."""

    def __init__(self, channels: int, squeeze1x1: int, expand1x1: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeeze1x1, kernel_size=1)
        self.expand1x1 = nn.Conv2d(squeeze1x1, expand1x1, kernel_size=1)
        self.expand3x3 = nn.Conv2d(squeeze1x1, expand1x1, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        squeeze1x1 = F.relu(self.squeeze1x1(x))
        expand1x1 = F.relu(self.expand1x1(squeeze1x1))
        expand3x3 = F.relu(self.expand3x3(squeeze1x1))
        return torch.cat((expand1x1, expand3x3), dim=1)


class SqueezenetV11(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=2)
        self.fire2 = Fire(64, 16, 64)
        self.fire3 = Fire(128, 16, 64)
        self.fire4 = Fire(128, 32, 128)
        self.fire5 = Fire(256, 32, 128)
        self.fire6 = Fire(256, 48, 192)
        self.fire7 = Fire(384, 48, 192)
        self.fire8 = Fire(384, 64, 256)
        self.fire9 = Fire(512, 64, 256)
        self.conv10 = nn.Conv2d(512, 1000, kernel_size=1)

    def forward(self, data: Tensor) -> Tensor:
        conv1 = F.relu(self.conv1(data))  # 64 × ⌈(H-2)/2⌉ × ⌈(W-2)/2⌉
        # 64 × ⌈(H-4)/4⌉ × ⌈(W-4)/4⌉
        pool1 = F.max_pool2d(conv1, 3, stride=2, ceil_mode=True)
        fire2_concat = self.fire2(pool1)
        fire3_concat = self.fire3(fire2_concat)
        # 128 × ⌈(H-8)/8⌉ × ⌈(W-8)/8⌉
        pool3 = F.max_pool2d(fire3_concat, 3, stride=2, ceil_mode=True)
        fire4_concat = self.fire4(pool3)
        fire5_concat = self.fire5(fire4_concat)
        # 256 × ⌈(H-16)/16⌉ × ⌈(W-16)/16⌉
        pool5 = F.max_pool2d(fire5_concat, 3, stride=2, ceil_mode=True)
        fire6_concat = self.fire6(pool5)
        fire7_concat = self.fire7(fire6_concat)
        fire8_concat = self.fire8(fire7_concat)
        fire9_concat = self.fire9(fire8_concat)
        conv10 = F.relu(self.conv10(fire9_concat))
        # 1000 × 1 × 1
        prob: Tensor = F.softmax(conv10.mean(dim=(2, 3), keepdim=True), dim=1)
        return prob
