"""The peers: torchvision's nets in torch, channels_last, bfloat16, eager or compiled. torch is imported here alone."""

from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
import torchvision  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from benchmarks.gpu import cases
from benchmarks.gpu.cases import Case

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
torch.backends.cudnn.benchmark = True  # picks the fastest algorithm of each convolution, as XLA does
torch.set_float32_matmul_precision('high')


def make_model(case: Case) -> Any:
    torch.manual_seed(0)
    options: dict[str, Any] = {'init_weights': False} if case.model == 'googlenet' else {}
    model = getattr(torchvision.models, case.model)(weights=None, num_classes=cases.NUM_CLASSES, **options)
    return model.to(DEVICE, memory_format=torch.channels_last)


def compiled(framework: str, model: Any) -> Any:
    """The model, or what torch.compile makes of it by default: 'max-autotune' took over 130 s for a ResNet-50."""
    return model if framework == 'torch eager' else torch.compile(model)


def put(case: Case) -> list[tuple[Any, Any]]:
    """The batches on the device, images in bfloat16."""
    return [
        (
            torch.from_numpy(images.transpose(0, 3, 1, 2))
            .to(DEVICE, torch.bfloat16)
            .contiguous(memory_format=torch.channels_last),
            torch.from_numpy(labels).long().to(DEVICE),
        )
        for images, labels in cases.batches(case)
    ]


def train(framework: str, case: Case) -> Callable[[int], Any]:
    """Float32 parameters, autocast to bfloat16, SGD in one fused kernel."""
    plain = make_model(case).train()
    model, batches = compiled(framework, plain), put(case)
    optimizer = torch.optim.SGD(
        plain.parameters(),
        cases.LEARNING_RATE,
        momentum=cases.MOMENTUM,
        weight_decay=cases.WEIGHT_DECAY,
        fused=DEVICE == 'cuda',
    )

    def step(number: int) -> Any:
        images, labels = batches[number % len(batches)]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, torch.bfloat16):
            scores, *heads = _scores(model(images))
        loss = F.cross_entropy(scores.float(), labels)
        for head in heads:
            loss = loss + cases.AUXILIARY_WEIGHT * F.cross_entropy(head.float(), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _scores(outputs: Any) -> tuple[Any, ...]:
    """GoogLeNet's scores come with those of its heads, a second time under another name."""
    return tuple(outputs[:3]) if isinstance(outputs, tuple) else (outputs,)


def infer(framework: str, case: Case) -> Callable[[int], Any]:
    """Evaluation with bfloat16 weights, which is faster than autocast from float32."""
    model = compiled(framework, make_model(case).eval().to(torch.bfloat16))
    batches = put(case)

    def step(number: int) -> Any:
        with torch.inference_mode():
            return model(batches[number % len(batches)][0])

    return step


def make_step(framework: str, part: str, case: Case) -> Callable[[int], Any]:
    """What is measured: part 'train' or 'inference' of 'torch eager' or 'torch compiled'."""
    if DEVICE == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    return train(framework, case) if part == 'train' else infer(framework, case)


def wait(result: Any) -> float:
    """Blocks until a result is computed; a loss, or a score."""
    if DEVICE == 'cuda':
        torch.cuda.synchronize()
    return float(result.flatten()[0])


def peak_memory() -> int | None:
    """The most bytes that tensors took so far; None on a CPU."""
    return torch.cuda.max_memory_allocated() if DEVICE == 'cuda' else None


def device() -> dict[str, Any]:
    """The device and the versions."""
    device = torch.cuda.get_device_name() if DEVICE == 'cuda' else 'cpu'
    return {'device': device, 'torch': torch.__version__, 'torchvision': torchvision.__version__}
