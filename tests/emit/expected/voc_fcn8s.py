"""voc-fcn8s: PyTorch, compiled from a Caffe net by netcompile.

From voc-fcn8s/deploy.prototxt, phase TEST. 134 M parameters, 182 GMACs at 500 × 500.
Input data: 1 × 3 × H × W; order and mean are not in the file
Legal sizes: every H and W >= 1
Output score: 1 × 21 × H × W

    >>> import torch
    >>> net = VocFcn8s().eval()
    >>> net.load_state_dict(safetensors.torch.load_file("voc_fcn8s.safetensors"))  # doctest: +SKIP
    >>> net(torch.zeros(1, 3, 500, 500)).shape
    torch.Size([1, 21, 500, 500])
"""

import torch.nn.functional as F
from torch import Tensor, nn


class VocFcn8s(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1_1 = nn.Conv2d(3, 64, kernel_size=3, padding=100)
        self.conv1_2 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.conv2_1 = nn.Conv2d(64, 128, kernel_size=3, padding=1)
        self.conv2_2 = nn.Conv2d(128, 128, kernel_size=3, padding=1)
        self.conv3_1 = nn.Conv2d(128, 256, kernel_size=3, padding=1)
        self.conv3_2 = nn.Conv2d(256, 256, kernel_size=3, padding=1)
        self.conv3_3 = nn.Conv2d(256, 256, kernel_size=3, padding=1)
        self.conv4_1 = nn.Conv2d(256, 512, kernel_size=3, padding=1)
        self.conv4_2 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv4_3 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_1 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_2 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_3 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.fc6 = nn.Conv2d(512, 4096, kernel_size=7)
        self.fc7 = nn.Conv2d(4096, 4096, kernel_size=1)
        self.score_fr = nn.Conv2d(4096, 21, kernel_size=1)
        self.upscore2 = nn.ConvTranspose2d(21, 21, kernel_size=4, stride=2, bias=False)
        self.score_pool4 = nn.Conv2d(512, 21, kernel_size=1)
        self.upscore_pool4 = nn.ConvTranspose2d(
            21, 21, kernel_size=4, stride=2, bias=False
        )
        self.score_pool3 = nn.Conv2d(256, 21, kernel_size=1)
        self.upscore8 = nn.ConvTranspose2d(21, 21, kernel_size=16, stride=8, bias=False)

    def forward(self, data: Tensor) -> Tensor:
        # conv1
        conv1_1 = F.relu(self.conv1_1(data))  # 64 × (H + 198) × (W + 198)
        conv1_2 = F.relu(self.conv1_2(conv1_1))
        pool1 = F.max_pool2d(conv1_2, 2, stride=2, ceil_mode=True)
        # conv2: 128 × ⌈(H+198)/2⌉ × ⌈(W+198)/2⌉
        conv2_1 = F.relu(self.conv2_1(pool1))
        conv2_2 = F.relu(self.conv2_2(conv2_1))
        pool2 = F.max_pool2d(conv2_2, 2, stride=2, ceil_mode=True)
        # conv3: 256 × ⌈(H+198)/4⌉ × ⌈(W+198)/4⌉
        conv3_1 = F.relu(self.conv3_1(pool2))
        conv3_2 = F.relu(self.conv3_2(conv3_1))
        conv3_3 = F.relu(self.conv3_3(conv3_2))
        pool3 = F.max_pool2d(conv3_3, 2, stride=2, ceil_mode=True)
        # conv4: 512 × ⌈(H+198)/8⌉ × ⌈(W+198)/8⌉
        conv4_1 = F.relu(self.conv4_1(pool3))
        conv4_2 = F.relu(self.conv4_2(conv4_1))
        conv4_3 = F.relu(self.conv4_3(conv4_2))
        pool4 = F.max_pool2d(conv4_3, 2, stride=2, ceil_mode=True)
        # conv5: 512 × ⌈(H+198)/16⌉ × ⌈(W+198)/16⌉
        conv5_1 = F.relu(self.conv5_1(pool4))
        conv5_2 = F.relu(self.conv5_2(conv5_1))
        conv5_3 = F.relu(self.conv5_3(conv5_2))
        # 512 × ⌈(H+198)/32⌉ × ⌈(W+198)/32⌉
        pool5 = F.max_pool2d(conv5_3, 2, stride=2, ceil_mode=True)
        fc6 = F.relu(self.fc6(pool5))  # 4096 × ⌈(H+6)/32⌉ × ⌈(W+6)/32⌉
        # fc7
        fc7 = F.relu(self.fc7(fc6))
        score_fr = self.score_fr(fc7)
        upscore2 = self.upscore2(score_fr)  # 21 × (2⌈(H+6)/32⌉ + 2) × (2⌈(W+6)/32⌉ + 2)
        score_pool4 = self.score_pool4(pool4)
        score_pool4c = score_pool4[
            :, :, 5 : 5 + upscore2.shape[2], 5 : 5 + upscore2.shape[3]
        ]
        fuse_pool4 = upscore2 + score_pool4c
        # 21 × (4⌈(H+6)/32⌉ + 6) × (4⌈(W+6)/32⌉ + 6)
        upscore_pool4 = self.upscore_pool4(fuse_pool4)
        score_pool3 = self.score_pool3(pool3)
        score_pool3c = score_pool3[
            :, :, 9 : 9 + upscore_pool4.shape[2], 9 : 9 + upscore_pool4.shape[3]
        ]
        fuse_pool3 = upscore_pool4 + score_pool3c
        # 21 × (32⌈(H+6)/32⌉ + 56) × (32⌈(W+6)/32⌉ + 56)
        upscore8 = self.upscore8(fuse_pool3)
        score: Tensor = upscore8[:, :, 31 : 31 + data.shape[2], 31 : 31 + data.shape[3]]
        return score
