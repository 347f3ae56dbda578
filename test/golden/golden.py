"""What the golden generators share: version stamps, seeded weights, number formats."""

import importlib.metadata
import json
import pathlib
import platform

import torch

HERE = pathlib.Path(__file__).parent


def versions(*packages):
    """Printed and written into each golden file."""
    found = {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}}
    print(", ".join(f"{name} {version}" for name, version in found.items()))
    return found


def numbers(tensor):
    """Nested lists; 9 significant digits give every float32 back exactly."""
    if isinstance(tensor, torch.Tensor):
        tensor = tensor.detach().tolist()
    if isinstance(tensor, list):
        return [numbers(x) for x in tensor]
    return float(f"{tensor:.9g}")


def write_json(name, value):
    """One line per top-level key and per entry of a top-level list: diffs show what moved."""
    def line(v):
        if isinstance(v, list):
            return "[\n" + ",\n".join(json.dumps(x) for x in v) + "\n]"
        return json.dumps(v)

    body = ",\n".join(f"{json.dumps(k)}: {line(v)}" for k, v in value.items())
    (HERE / name).write_text("{\n" + body + "\n}\n")


def randomise(model, seed):
    """Every parameter away from its usual start, so that no gradient path is idle: matrices N(0, 1/fan_in), the embedding
    N(0, 0.15^2), norm weights around 1, biases around 0."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            z = torch.randn(p.shape, generator=g, dtype=torch.float64)
            if p.dim() == 2:
                z *= 0.15 if name.endswith("embed_tokens.weight") else p.shape[1] ** -0.5
            else:
                z = 0.2 * z + (1 if name.endswith("norm.weight") else 0)
            p.copy_(z)
