"""A model in torch for benchmarks.model_worker: eager or by Inductor, float32, channels_last, one thread."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from PIL import Image
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]
from torch.utils.data import DataLoader, Dataset, TensorDataset  # pyright: ignore[reportMissingImports]

from benchmarks import plain_torch
from benchmarks.model_case import LEARNING_RATE, MOMENTUM, Case, batch, data_set, value

MODELS: dict[str, Callable[[int], Any]] = {
    'lenet5': plain_torch.LeNet,
    'vgg11': plain_torch.VGG,
    'resnet18': lambda classes: plain_torch.ResNet(18, classes),
    'resnet50': lambda classes: plain_torch.ResNet(50, classes),
}
MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST


class LikeTorchvision(Dataset):
    """Each row as torchvision's MNIST with ToTensor and Normalize makes it: by way of a PIL image."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = torch.from_numpy(images[..., 0]), torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        image = Image.fromarray(self.images[row].numpy())
        pixels = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(*image.size, 1)
        tensor = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255).clone()
        mean, deviation = torch.as_tensor((MEAN,)), torch.as_tensor((DEVIATION,))
        return tensor.sub_(mean.view(-1, 1, 1)).div_(deviation.view(-1, 1, 1)), int(self.labels[row])


class TorchSteps:
    """SGD with momentum as torch.optim has it; compiled: the net by `torch.compile`, as it comes."""

    def __init__(self, model: str, case: Case, *, compiled: bool = False):
        torch.set_num_threads(1)
        self.case = case
        self.model, self.fixed = (self._make(model).to(memory_format=torch.channels_last) for _ in range(2))
        self.fixed.eval()
        if compiled:
            self.model, self.fixed = torch.compile(self.model), torch.compile(self.fixed)
        images, labels = batch(case)
        channels_first = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        self.images = channels_first.contiguous(memory_format=torch.channels_last)
        self.labels = torch.from_numpy(labels).long()
        self.optimizer = torch.optim.SGD(self.model.parameters(), LEARNING_RATE, momentum=MOMENTUM)

    def _make(self, model: str) -> Any:
        module = MODELS[model](self.case.classes)
        with torch.no_grad():
            plain_torch.load(module, value)
        return module

    def _step(self, images: Any, labels: Any) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def train(self) -> Any:
        return self._step(self.images, self.labels)

    def infer(self) -> Any:
        with torch.inference_mode():
            return self.fixed(self.images)

    def outputs(self) -> Any:
        return self.infer()

    def epochs(self) -> dict[str, Callable[[], Any]]:
        images, labels = data_set(self.case)
        tensors = TensorDataset(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels).long())
        options = {'batch_size': self.case.batch, 'shuffle': True, 'drop_last': True}
        loaders = {'epoch': DataLoader(tensors, **options)}
        loaders['epoch of PIL images'] = DataLoader(LikeTorchvision(images, labels), **options)
        return {name: lambda loader=loader: self._epoch(loader) for name, loader in loaders.items()}

    def _epoch(self, loader: Any) -> Any:
        for images, labels in loader:
            if images.dtype == torch.uint8:
                images = images.float().div_(255).sub_(MEAN).div_(DEVIATION)
            loss = self._step(images.contiguous(memory_format=torch.channels_last), labels)
        return loss

    def wait(self, result: Any) -> np.ndarray:
        return result.numpy()
