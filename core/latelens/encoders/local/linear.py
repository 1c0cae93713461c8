"""Float32 products by oneDNN, which takes a processor's widest instructions, where torch's own library does not.

torch multiplies float32 matrices by MKL, which on AMD processors leaves AVX-512 out: oneDNN, which torch carries too,
took 45 % of its time on Zen 5, for a batch of documents. A vector's numbers move by 6e-7 at most, and they stay the
same bits whatever else is in a batch: where a torch does not keep that, its own products stay.
"""

from __future__ import annotations

import torch


class OneDnnLinear(torch.nn.Linear):
    """A linear layer that oneDNN computes while no gradient is asked for; its weights are where they were."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The product of torch's layer, (..., out_features)."""
        plain = input.dtype == torch.float32 and input.device.type == "cpu"
        if not plain or not torch.is_inference_mode_enabled() or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        return _product(input, self)


def multiply_by_onednn(model: torch.nn.Module) -> int:
    """Let oneDNN compute the float32 layers of a model on the CPU, and return of how many; 0 where that gains nothing.

    A layer keeps its parameters, its name and, with gradients, its way to compute.
    """
    if not _gains():
        return 0
    layers = [layer for layer in model.modules() if type(layer) is torch.nn.Linear and _fits(layer.weight)]
    if not all(_keeps_bits(layer) for layer in {layer.weight.shape: layer for layer in layers}.values()):
        return 0
    for layer in layers:
        layer.__class__ = OneDnnLinear
    return len(layers)


def _fits(weight: torch.Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu"


@torch.inference_mode()
def _keeps_bits(layer: torch.nn.Linear) -> bool:
    """Whether a row's product is the same bits among few and many rows: torch 2.10 computes 8 rows in another way."""
    rows = torch.linspace(-1, 1, 512 * layer.in_features).reshape(512, -1)
    alone, *others = (_product(rows[:count], layer) for count in (8, 16, 24, 64, 512))
    return all(torch.equal(other[:8], alone) for other in others) and torch.equal(others[-1][:64], others[-2])


def _product(rows: torch.Tensor, layer: torch.nn.Linear) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, layer.weight, layer.bias, "none", [], "")
    return product


def _gains() -> bool:
    """Whether this torch has oneDNN, and the processor instructions that MKL may leave out."""
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.amp, "is_autocast_available")  # releases that ask for a device's autocast
    )
