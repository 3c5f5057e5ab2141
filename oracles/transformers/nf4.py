"""NF4 with double quantisation, from its definition (Dettmers et al. 2023, QLoRA), to hold bitsandbytes' CPU kernels against.

Weights in blocks of 64: each divided by the block's largest absolute value, then the nearest of 16 codes, two to a byte, the first
in the upper four bits. The block maxima minus their mean, in blocks of 256, are quantised in the same way to 8 bits with a dynamic
map: 7 decades of exponents, the number of fraction steps doubling with each.

bitsandbytes 0.50.2 on the CPU looks the second level up in a table, so that one maximum in some hundreds, within 2e-5 of the middle
between two codes, takes the neighbour of the nearest code; its CUDA kernels compare with the middles as this does.
"""
import bitsandbytes.functional
import numpy as np
import torch

BLOCK, NESTED_BLOCK = 64, 256
CODES = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
                  -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0], np.float32)


def dynamic_map():
    """The 256 values of the second level, ascending."""
    values = [0.0, 1.0]
    for decade in range(7):
        edges = np.linspace(0.1, 1.0, 2**decade + 1)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (decade - 6)
        values += [*middles, *-middles]
    return np.array(sorted(values), np.float32)


def blocks(values, size):
    """Rows of one block each, the last one filled up with zeros."""
    return np.pad(values, (0, -len(values) % size)).reshape(-1, size)


def quantise_blocks(values, size, codes):
    """(index of each value, maximum of each block)"""
    rows = blocks(values, size)
    maxima = np.abs(rows).max(1)
    scaled = rows / np.maximum(maxima, 1e-38)[:, None]
    middles = (codes[:-1] + codes[1:]) / 2
    return np.searchsorted(middles, scaled.reshape(-1))[:len(values)].astype(np.uint8), maxima


def quantise(weights):
    """What QLoRA keeps of a tensor, by name."""
    codes, maxima = quantise_blocks(weights.reshape(-1), BLOCK, CODES)
    offset = maxima.mean(dtype=np.float32)
    nested, nested_maxima = quantise_blocks(maxima - offset, NESTED_BLOCK, dynamic_map())
    codes = np.pad(codes, (0, len(codes) % 2))
    return dict(packed=codes[::2] << 4 | codes[1::2], absmax=nested, nested_absmax=nested_maxima, offset=offset)


def dequantise(packed, absmax, nested_absmax, offset, shape):
    nested = blocks(dynamic_map()[absmax], NESTED_BLOCK) * nested_absmax[:, None]
    maxima = nested.reshape(-1)[:len(absmax)] + offset
    codes = np.stack([packed >> 4, packed & 15], 1).reshape(-1)[:np.prod(shape)]
    return (blocks(CODES[codes], BLOCK) * maxima[:, None]).reshape(-1)[:np.prod(shape)].reshape(shape)


def bitsandbytes_quantised(weights):
    """The same from bitsandbytes: (parts by name, dequantised weights)."""
    packed, state = bitsandbytes.functional.quantize_4bit(weights, blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
    parts = dict(packed=packed.reshape(-1), absmax=state.absmax, nested_absmax=state.state2.absmax, offset=state.offset,
                 codes=state.code, nested_codes=state.state2.code)
    return parts, bitsandbytes.functional.dequantize_4bit(packed, state)


def disagreement(weights):
    """How far bitsandbytes is from the definition: (packed bytes that differ, quantised maxima that differ, largest difference of
    values dequantised by both from bitsandbytes' parts)."""
    theirs, values = bitsandbytes_quantised(weights)
    ours = quantise(weights.numpy())
    again = dequantise(*(theirs[name].numpy() for name in ("packed", "absmax", "nested_absmax", "offset")), weights.shape)
    return (int((theirs["packed"].numpy() != ours["packed"]).sum()), int((theirs["absmax"].numpy() != ours["absmax"]).sum()),
            float(np.abs(again - values.numpy()).max()))


if __name__ == "__main__":
    for shape in ((64, 64), (288, 64), (7, 30), (1000, 1000)):
        print(shape, *disagreement(torch.randn(shape, generator=torch.Generator().manual_seed(3))))
    print("map", np.abs(dynamic_map() - bitsandbytes.functional.create_dynamic_map().numpy()).max())
