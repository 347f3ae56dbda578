"""Goldens of runtime/src/model/concare.ts from a PyTorch twin of ConCare. Not needed to run the tests.

    python -m venv venv && venv/bin/pip install torch transformers trl scikit-learn
    venv/bin/python test/golden/concare.py      # writes concare.json and concare.safetensors (weights; gradients under `grad.`)

The twin is written from the formulas (Ma et al., AAAI 2020, arXiv 1911.12216, and the authors' code as far as it differs), with PyTorch's
own GRU, attention, covariance and binary cross-entropy, one patient at a time where visits are ragged. All arithmetic in f64.
Dropout is off: its random stream is the runtime's own.
"""

import torch
from golden import HERE, numbers, versions, write_json
from safetensors.torch import save
from torch import nn
from torch.nn import functional as F

CONFIG = {
    "num_features": 5, "num_statics": 2, "hidden_size": 12, "num_heads": 4, "key_size": 5, "ffn_size": 7, "dropout": 0.0,
    "decov_weight": 10.0,
}
VISITS = [3, 1, 7, 2, 4, 7]


class ConCare(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, d = c, c["hidden_size"]
        self.grus = nn.ModuleList(nn.GRU(1, d, batch_first=True) for _ in range(c["num_features"]))
        self.w_query = nn.ParameterList(torch.empty(c["key_size"], d) for _ in range(c["num_features"]))
        self.w_key = nn.ParameterList(torch.empty(c["key_size"], d) for _ in range(c["num_features"]))
        self.rate = nn.Parameter(torch.empty(c["num_features"]))
        self.demographics = nn.Linear(c["num_statics"], d)
        self.self_attn = nn.ModuleDict({p: nn.Linear(d, d) for p in ("q_proj", "k_proj", "v_proj", "o_proj")})
        self.ffn = nn.ModuleDict({"w_1": nn.Linear(d, c["ffn_size"]), "w_2": nn.Linear(c["ffn_size"], d)})
        self.final_attn = nn.ModuleDict({p: nn.Linear(d, d) for p in ("q_proj", "k_proj", "v_proj")})
        self.output = nn.Linear(d, 1)

    def time_attention(self, f, h):
        """h (T, D) of one patient's feature f -> (D)."""
        s = torch.sigmoid((h @ self.w_key[f].T) @ (self.w_query[f] @ h[-1]))
        dt = torch.arange(len(h), 0, -1, dtype=h.dtype)
        e = F.relu(s / (torch.sigmoid(self.rate[f]) * torch.log(2.72 + 1 - s) * dt))
        return torch.softmax(e, 0) @ h

    def forward(self, series, statics):
        """series: per patient (T, F); statics (B, S). Logits (B), final attention (B, F + 1), DeCov summed over tokens."""
        heads = self.c["num_heads"]
        tokens = []
        for visits, static in zip(series, statics):
            per_feature = [self.time_attention(f, gru(visits[None, :, f : f + 1])[0][0]) for f, gru in enumerate(self.grus)]
            tokens.append(torch.stack([*per_feature, torch.tanh(self.demographics(static))]))
        x = torch.stack(tokens)  # (B, F + 1, D)

        split = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2)
        q, k, v = (split(self.self_attn[p](x)) for p in ("q_proj", "k_proj", "v_proj"))
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        decov = 0
        for token in a.unbind(1):
            cov = torch.cov(token.T)  # channels x channels over the batch, divided by B - 1
            decov = decov + 0.5 * ((cov**2).sum() - (cov.diagonal() ** 2).sum())
        x = x + self.self_attn["o_proj"](a)
        x = x + self.ffn["w_2"](F.relu(self.ffn["w_1"](x)))

        q = self.final_attn["q_proj"](x[:, -1])
        attention = torch.softmax(torch.einsum("bd,bjd->bj", q, self.final_attn["k_proj"](x)), -1)
        context = torch.einsum("bj,bjd->bd", attention, self.final_attn["v_proj"](x))
        return self.output(context)[:, 0], attention, decov


def as_stored(model, of):
    """Tensors under the runtime's names: what belongs to one feature is stacked."""
    grus, stack = model.grus, lambda ps: torch.stack([of(p) for p in ps])
    named = {
        "gru.weight_ih": stack([g.weight_ih_l0 for g in grus]).squeeze(-1),
        "gru.weight_hh": stack([g.weight_hh_l0 for g in grus]),
        "gru.bias_ih": stack([g.bias_ih_l0 for g in grus]),
        "gru.bias_hh": stack([g.bias_hh_l0 for g in grus]),
        "time_attention.weight": torch.cat([stack(model.w_query), stack(model.w_key)], 1),
        "time_attention.rate": of(model.rate),
    }
    own = ("demographics", "self_attn", "ffn", "final_attn", "output")
    return named | {n: of(p) for n, p in model.named_parameters() if n.startswith(own)}


rng = torch.Generator().manual_seed(13579)
f32 = lambda t: t.float().double()
model = ConCare(CONFIG).double()
with torch.no_grad():
    for name, p in model.named_parameters():
        z = torch.randn(p.shape, generator=rng, dtype=torch.float64)
        fan_in = p.shape[-1] if p.dim() > 1 else 25
        p.copy_(f32(0.8 + 0.2 * z if name == "rate" else z * fan_in**-0.5))
series = [f32(torch.randn(t, CONFIG["num_features"], generator=rng, dtype=torch.float64)) for t in VISITS]
ages = torch.randn(len(VISITS), generator=rng, dtype=torch.float64)
statics = f32(torch.stack([torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0], dtype=torch.float64), ages], 1))
labels = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)

logits, attention, decov = model(series, statics)
bce = F.binary_cross_entropy_with_logits(logits, labels)
loss = bce + CONFIG["decov_weight"] * decov
loss.backward()
file = as_stored(model, lambda p: p.detach()) | {f"grad.{n}": g for n, g in as_stored(model, lambda p: p.grad).items()}
(HERE / "concare.safetensors").write_bytes(save({n: t.float().contiguous() for n, t in file.items()}))
print("bce", bce.item(), "decov", decov.item(), "attention of the first patient", [round(x, 3) for x in attention[0].tolist()])
write_json("concare.json", {
    "versions": versions("torch"), "config": CONFIG,
    "patients": [{"visits": numbers(v), "statics": numbers(s)} for v, s in zip(series, statics)], "labels": labels.int().tolist(),
    "probabilities": numbers(torch.sigmoid(logits)), "attention": numbers(attention),
    "loss": numbers(loss), "bce": numbers(bce), "decov": numbers(decov),
})
