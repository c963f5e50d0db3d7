"""Makes `goldens/types.gguf`, one tensor of each type, and `goldens/types.safetensors`, what it stands for.

The blocks are random bytes with believable scales, so that every bit pattern of the quants occurs; the
values come from the numpy code of the `gguf` package.
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from safetensors.numpy import save_file

HERE = Path(__file__).parent / "goldens"
ROWS, COLUMNS = 3, 512
# Where in a block the f16 scales are, in bytes.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}


def blocks(kind, rng):
    """Random blocks of a type as rows of bytes, with scales between -2 and 2."""
    values, size = GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (ROWS, COLUMNS // values, size), dtype=np.uint8)
    for offset in SCALES[kind]:
        scale = rng.uniform(-2, 2, data.shape[:2] + (1,)).astype(np.float16)
        data[:, :, offset:offset + 2] = scale.view(np.uint8)
    return data.reshape(ROWS, -1)


def main():
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(HERE / "types.gguf", "llama")
    expected = {}
    plain = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    writer.add_tensor("F32", plain)
    expected["F32"] = plain
    writer.add_tensor("F16", plain.astype(np.float16))
    expected["F16"] = plain.astype(np.float16).astype(np.float32)
    bf16 = gguf.quants.quantize(plain, Type.BF16)
    writer.add_tensor("BF16", bf16, raw_dtype=Type.BF16)
    expected["BF16"] = gguf.quants.dequantize(bf16, Type.BF16)
    for kind in SCALES:
        data = blocks(kind, rng)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
        expected[kind.name] = gguf.quants.dequantize(data, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: np.ascontiguousarray(values) for name, values in expected.items()}, HERE / "types.safetensors")


if __name__ == "__main__":
    main()
