"""PyTorch as a peer: answers the requests of process.ts, one at a time, framed as lines.ts says.

python3 torch_peer.py cuda    the peer of the benchmark; refuses where torch finds no CUDA
python3 torch_peer.py cpu     for the tests, which have no GPU

f32 throughout, TF32 off: the same arithmetic as ours. The clock is lib/time.ts over again: chains of launches that end in one wait for
the device, and one chain a round between two CUDA events.
"""
import ctypes
import gc
import json
import math
import os
import sys
import time

REPLIES = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # whatever prints shall not stand among the replies

import torch
import torch.nn.functional as F

DEVICE = sys.argv[1]
CUDA = DEVICE == "cuda"
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False

DTYPES = {"f32": torch.float32, "u32": torch.int32}
MAX_CHAIN = 2000
MAX_DEVICE_CHAIN = 500
LONG_MS = 500


def sync():
    if CUDA:
        torch.cuda.synchronize()


def causal(q, k, v, scale=None):
    """Of (..., heads, tokens, head_dim)."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)


def matmul(a, b):
    c = torch.empty(a.shape[0], b.shape[1], device=DEVICE)
    return lambda: torch.mm(a, b, out=c)


def attention(p, x):
    tokens, heads, kv_heads, dim = p["tokens"], p["heads"], p["kv_heads"], p["head_dim"]
    # Heads split and repeated beforehand, as for every peer: (1, heads, tokens, head_dim).
    split = lambda t, n: t.view(tokens, n, dim).transpose(0, 1).repeat_interleave(heads // n, 0).unsqueeze(0).contiguous()
    q, k, v = split(x["q"], heads), split(x["k"], kv_heads), split(x["v"], kv_heads)
    return lambda: causal(q, k, v, p["scale"]), lambda o: o[0].transpose(0, 1)


def cross_entropy(p, x, backward):
    logits = x["logits"].view(p["rows"], p["vocab"]).requires_grad_(backward)
    targets, weights = x["targets"].long(), x["weights"]

    def run():
        losses = F.cross_entropy(logits, targets, reduction="none") * weights
        return torch.autograd.grad(losses.sum(), logits)[0] if backward else losses

    return run


def adamw(p, x):
    """In the middle of training; what clipping does to the gradient is done beforehand."""
    param = x["param"].requires_grad_()
    param.grad = x["grad"] * x["norm"][1]
    betas = (p["beta1"], p["beta2"])
    optimizer = torch.optim.AdamW([param], lr=p["lr"], betas=betas, eps=p["eps"], weight_decay=p["weight_decay"], fused=True)
    taken = round(math.log(1 - p["bias_correction1"]) / math.log(p["beta1"])) - 1
    step = torch.tensor(float(taken), device=DEVICE)
    optimizer.state[param] = {"step": step, "exp_avg": x["m"], "exp_avg_sq": x["v"]}

    def run():
        optimizer.step()
        return param.detach()

    return run


def large_decoder_step(p, x):
    """The step of workloads/decoder.ts; its figures are the loss and the norm of each layer's gradient."""
    batch, tokens, hidden, heads, mlp, layers = (p[k] for k in ("batch", "tokens", "hidden", "heads", "mlp", "layers"))
    dim = hidden // heads
    table, at = x["table"], 0

    def matrix(rows, cols):
        nonlocal at
        index = (torch.arange(rows * cols, device=DEVICE) + at) % len(table)
        at += rows * cols
        return table[index].view(rows, cols).requires_grad_()

    norm_weight = lambda: torch.ones(hidden, device=DEVICE, requires_grad=True)
    # Table and parameters in the order of the checkpoint.
    embedding = matrix(p["vocab"], hidden)
    blocks = []
    for _ in range(layers):
        before = norm_weight()
        attend = [matrix(hidden, hidden) for _ in range(4)]
        blocks.append([before, *attend, norm_weight(), matrix(mlp, hidden), matrix(mlp, hidden), matrix(hidden, mlp)])
    last = norm_weight()
    parts = [[embedding], *blocks, [last]]
    params = [w for part in parts for w in part]
    ids, targets = x["ids"].long().view(batch, tokens), x["targets"].long()

    half = torch.arange(dim // 2, dtype=torch.float64, device=DEVICE)
    angle = torch.arange(tokens, dtype=torch.float64, device=DEVICE)[:, None] * p["rope_base"] ** (-half / (dim // 2))
    cos, sin = angle.cos().float(), angle.sin().float()

    norm = lambda t, w: F.rms_norm(t, (hidden,), w, p["norm_eps"])
    split = lambda t: t.view(batch, tokens, heads, dim).transpose(1, 2)

    def rope(t):
        a, b = t.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def forward():
        t = F.embedding(ids, embedding)
        for norm1, wq, wk, wv, wo, norm2, gate, up, down in blocks:
            h = norm(t, norm1)
            o = causal(rope(split(F.linear(h, wq))), rope(split(F.linear(h, wk))), split(F.linear(h, wv)))
            t = t + F.linear(o.transpose(1, 2).reshape(batch, tokens, hidden), wo)
            h = norm(t, norm2)
            t = t + F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)
        return F.cross_entropy(F.linear(norm(t, last), embedding).view(-1, p["vocab"]), targets)

    optimizer = torch.optim.AdamW(params, lr=0.0, betas=(p["beta1"], p["beta2"]), eps=p["eps"], weight_decay=0.01, fused=True)
    loss_and_norms = torch.zeros(1 + len(parts))

    def run():
        optimizer.zero_grad()
        loss = forward()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        return loss.item()  # read back each time, as ours is

    def figures(loss):
        # Clipping changed the gradients: once more without.
        optimizer.zero_grad()
        forward().backward()
        norms = [torch.stack([w.grad.double().square().sum() for w in part]).sum().sqrt().item() for part in parts]
        return torch.tensor([loss, *norms])

    return run, figures


def place(job):
    """What launches the job once, and what makes its last result the output; None: no such operation."""
    p, x, entry = job["params"], job["inputs"], job["entry"]
    if entry == "matmul_nn":
        return matmul(x["a"].view(p["m"], p["k"]), x["b"].view(p["k"], p["n"])), None
    if entry == "matmul_nt":
        return matmul(x["a"].view(p["m"], p["k"]), x["b"].view(p["n"], p["k"]).t()), None
    if entry == "matmul_tn":
        return matmul(x["a"].view(p["k"], p["m"]).t(), x["b"].view(p["k"], p["n"])), None
    if entry == "softmax_fwd":
        t = x["x"].view(p["rows"], p["cols"])
        return lambda: torch.softmax(t, -1), None
    if entry == "rmsnorm_fwd":
        t = x["x"].view(p["rows"], p["cols"])
        return lambda: F.rms_norm(t, (p["cols"],), x["weight"], p["eps"]), None
    if entry == "attention_fwd":
        return attention(p, x)
    if entry in ("cross_entropy", "cross_entropy_fwd"):
        return cross_entropy(p, x, backward=entry == "cross_entropy"), None
    if entry == "adamw":
        return adamw(p, x), None
    if entry == "large_decoder_step":
        return large_decoder_step(p, x)
    return None


class Lane:
    def __init__(self, run, layout):
        self.run = run
        self.layout = layout or (lambda y: y)
        self.spent = 0.0

    def output(self):
        return self.layout(self.run())

    def elapsed(self, times):
        start = time.perf_counter()
        for _ in range(times):
            self.run()
        sync()
        return (time.perf_counter() - start) * 1e3

    def prepare(self, budget):
        self.budget = budget
        spent, one = 0.0, 0.0
        while spent < budget["warmMs"]:
            one = self.elapsed(1)
            spent += one
        few = min(20, math.ceil(budget["sampleMs"] / 4 / one))
        each = one if few == 1 else self.elapsed(few) / few
        self.chain = min(MAX_CHAIN, max(1, round(budget["sampleMs"] / each)))
        self.least = 1 if each > LONG_MS else budget["minSamples"]

    def round(self):
        if self.spent > self.budget["laneMs"]:
            return {"wall": [], "device": []}
        start = time.perf_counter()
        since = lambda: (time.perf_counter() - start) * 1e3
        wall = []
        while len(wall) < self.least or since() < self.budget["roundMs"]:
            wall.append(self.elapsed(self.chain) / self.chain)
        device = [self.device_time(min(self.chain, MAX_DEVICE_CHAIN))] if CUDA else []
        self.spent += since()
        return {"wall": wall, "device": device}

    def device_time(self, times):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        for _ in range(times):
            self.run()
        last.record()
        sync()
        return first.elapsed_time(last) / times


LANES = {}


def opened():
    if CUDA and not torch.cuda.is_available():
        raise RuntimeError("torch finds no CUDA here")
    adapter = f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})" if CUDA else "native CPU (torch)"
    return {"version": torch.__version__, "adapter": adapter}


def answer(request):
    what = request["what"]
    if what == "open":
        return opened()
    if what == "place":
        placed = place(request["job"])
        if placed:
            LANES[request["lane"]] = Lane(*placed)
        return placed is not None
    if what == "free":
        del LANES[request["lane"]]
        gc.collect()  # closures that know each other
        if CUDA:
            torch.cuda.empty_cache()
        return None
    lane = LANES[request["lane"]]
    if what == "prepare":
        return lane.prepare(request["budget"])
    return {"output": lane.output, "round": lane.round}[what]()


def read_request():
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit(0)
    request = json.loads(line)
    job = request.get("job")
    if job:
        read = lambda a: torch.frombuffer(bytearray(sys.stdin.buffer.read(4 * a["length"])), dtype=DTYPES[a["dtype"]]).to(DEVICE)
        job["inputs"] = {a["name"]: read(a) for a in job["arrays"] if a["length"] > 0}
    return request


def reply(header, data=b""):
    REPLIES.write(json.dumps(header).encode() + b"\n")
    REPLIES.write(data)
    REPLIES.flush()


while True:
    request = read_request()
    try:
        value = answer(request)
        if isinstance(value, torch.Tensor):
            host = value.detach().cpu().contiguous()
            reply({"floats": host.numel()}, ctypes.string_at(host.data_ptr(), 4 * host.numel()))
        else:
            reply({"value": value})
    except Exception as error:  # said, not died of
        reply({"error": f"{type(error).__name__}: {error}"})
