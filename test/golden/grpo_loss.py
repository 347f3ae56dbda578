"""Goldens of the policy loss from TRL's GRPOTrainer. Not needed to run the tests.

    python -m venv venv && venv/bin/pip install torch transformers trl scikit-learn
    venv/bin/python test/golden/transformer.py && venv/bin/python test/golden/grpo_loss.py
    # writes grpo_loss.json and grpo_step_*.safetensors; the second part starts from the weights of transformer_qwen2.safetensors

GRPOTrainer._compute_loss itself runs here, on a stand-in for the trainer that holds its settings and gives it log-probs. An upper clip
per rollout (EAG-RL) is epsilon_high as a (B, 1) tensor: TRL's clamp and clip indicators broadcast it.
Advantages: mean and std as in GRPOTrainer._generate_and_score_completions (scale_rewards "group", TRL's own nanstd: n - 1), but with
1e-6 beside the std, which is ours; TRL has 1e-4.
"""

import collections
import json
from types import SimpleNamespace

import torch
from golden import HERE, numbers, versions, write_json
from safetensors.torch import load_file, save
from transformers import AutoConfig, AutoModelForCausalLM
from trl import GRPOTrainer
from trl.trainer.utils import nanstd

rng = torch.Generator().manual_seed(13579)
normal = lambda *shape: torch.randn(shape, generator=rng, dtype=torch.float64)
uniform = lambda lo, hi, *shape: lo + (hi - lo) * torch.rand(shape, generator=rng, dtype=torch.float64)

CASES = [
    {"name": "grpo", "loss_type": "grpo", "beta": 0.0, "epsilon_low": 0.2, "epsilon_high": 0.2},
    {"name": "grpo with KL", "loss_type": "grpo", "beta": 0.04, "epsilon_low": 0.2, "epsilon_high": 0.2},
    {"name": "dapo, clip higher", "loss_type": "dapo", "beta": 0.0, "epsilon_low": 0.2, "epsilon_high": 0.28},
    {"name": "dapo with KL, an upper clip per rollout", "loss_type": "dapo", "beta": 0.04, "epsilon_low": 0.2, "epsilon_high": None},
]


def trl_loss(case, clip_high, logps, mask, inputs):
    """Loss and metrics of TRL for given per-token log-probs (B, T); `clip_high` (B)."""
    def reduce(x, reduction):
        assert reduction == "sum"
        return x

    high = clip_high[:, None] if case["epsilon_high"] is None else torch.tensor(case["epsilon_high"], dtype=torch.float64)
    metrics = {"train": collections.defaultdict(list)}
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (logps, torch.zeros_like(logps), None),
        loss_type=case["loss_type"], beta=case["beta"], epsilon_low=torch.tensor(case["epsilon_low"], dtype=torch.float64),
        epsilon_high=high, importance_sampling_level="token", top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        aux_loss_enabled=False, use_vllm=False, _entropy_bonus_enabled=False, current_gradient_accumulation_steps=1,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=reduce),
        model=SimpleNamespace(training=True), _metrics=metrics,
    )
    ids = mask.long()
    inputs = {
        "prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1], "completion_ids": ids, "completion_mask": mask,
        "num_items_in_batch": mask.sum(), **inputs,
    }
    loss = GRPOTrainer._compute_loss(trainer, None, inputs)
    stats = {key.replace("clip_ratio/", "clip_"): value[0] for key, value in metrics["train"].items()}
    return loss, {"clip_low": stats["clip_low_mean"], "clip_high": stats["clip_high_mean"], "kl": stats.get("kl")}


def padded(lengths):
    return (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).double()


def ragged(tensor, lengths):
    return [numbers(row[:n]) for row, n in zip(tensor, lengths)]


def away_from_edges(log_ratio, case_edges):
    """Log-ratios within 2e-3 of a clip edge would make the branch a matter of rounding: push them out."""
    for edge in case_edges:
        near = (log_ratio - edge).abs() < 2e-3
        log_ratio = torch.where(near, edge + 4e-3, log_ratio)
    return log_ratio


def edges(clip_high):
    return [torch.tensor(0.8).log(), torch.tensor(1.2).log(), torch.tensor(1.28).log(), (1 + clip_high[:, None]).log()]


def f32(x):
    """What the other side will read: f32 values, computed with in f64."""
    return x.float().double()


# 1. Given log-probs. 8 rollouts, 1 to 80 tokens, 300 in all: more than one block of 256.
lengths = [80, 1, 2, 60, 37, 64, 5, 51]
mask = padded(lengths)
advantages = f32(normal(len(lengths)))
advantages[6] = 0.0
clip_high = f32(uniform(0.2, 0.4, len(lengths)))
old = f32(uniform(-4, 0, *mask.shape))
logps = f32(old + away_from_edges(0.3 * normal(*mask.shape), edges(clip_high)))
ref = f32(logps + 0.2 * normal(*mask.shape))
outcomes = []
for case in CASES:
    x = logps.clone().requires_grad_()
    inputs = {"advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": ref}
    loss, stats = trl_loss(case, clip_high, x, mask, inputs)
    loss.backward()
    assert stats["clip_low"] > 0.02 and stats["clip_high"] > 0.02, f"{case['name']}: the clip hardly acts: {stats}"
    outcomes.append({**case, **stats, "loss": numbers(loss), "dlogprobs": ragged(x.grad, lengths)})
    print(case["name"], "loss", outcomes[-1]["loss"], stats)
tokens = {
    "advantages": numbers(advantages), "clip_high": numbers(clip_high), "logprobs": ragged(logps, lengths),
    "old_logprobs": ragged(old, lengths), "ref_logprobs": ragged(ref, lengths),
}

# 2. Through a model: gradients of every parameter, log-probs at a temperature.
TEMPERATURE = 0.9
golden = json.loads((HERE / "transformer.json").read_text())["models"][0]
kwargs = {k: v for k, v in golden["config"].items() if k != "rope_theta"}
kwargs["rope_parameters"] = {"rope_type": "default", "rope_theta": golden["config"]["rope_theta"]}
model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**kwargs, attn_implementation="eager"), dtype=torch.float32)
weights = {n: t for n, t in load_file(HERE / "transformer_qwen2.safetensors").items() if n in dict(model.named_parameters())}
missing = model.load_state_dict(weights, strict=False)
assert missing.missing_keys == ["lm_head.weight"] and not missing.unexpected_keys, missing


def completion_logps(groups):
    rows = []
    for group in groups:
        for completion in group["completions"]:
            logits = model(torch.tensor([group["prompt"] + completion])).logits[0, len(group["prompt"]) - 1 : -1] / TEMPERATURE
            rows.append(logits.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0])
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).double()


groups = golden["groups"]
step_lengths = [len(c) for g in groups for c in g["completions"]]
step_mask = padded(step_lengths)
step_high = f32(uniform(0.2, 0.4, len(step_lengths)))
with torch.no_grad():
    now = completion_logps(groups)
step_old = f32(now - away_from_edges(0.3 * normal(*now.shape), edges(step_high)))
step_ref = f32(now + 0.2 * normal(*now.shape))
step_advantages = f32(normal(len(step_lengths)))
steps = []
for case in (CASES[1], CASES[3]):
    model.zero_grad()
    inputs = {"advantages": step_advantages, "old_per_token_logps": step_old, "ref_per_token_logps": step_ref}
    loss, stats = trl_loss(case, step_high, completion_logps(groups), step_mask, inputs)
    loss.backward()
    assert stats["clip_low"] + stats["clip_high"] > 0, "nothing is clipped"
    file = f"grpo_step_{case['loss_type']}.safetensors"
    (HERE / file).write_bytes(save({n: p.grad for n, p in model.named_parameters()}))
    steps.append({**case, **stats, "loss": numbers(loss), "gradients": file})
    print("through the model:", case["name"], "loss", steps[-1]["loss"], stats)
step = {
    "temperature": TEMPERATURE, "advantages": numbers(step_advantages), "clip_high": numbers(step_high),
    "old_logprobs": ragged(step_old, step_lengths), "ref_logprobs": ragged(step_ref, step_lengths),
}

# 3. Advantages: three groups of four, one of them with equal rewards.
G = 4
rewards = uniform(-3, 1, 3, G)
rewards[1] = -0.75
mean = torch.nanmean(rewards, dim=1, keepdim=True)
std = nanstd(rewards, dim=1, keepdim=True)
group_advantages = {
    "num_generations": G, "rewards": rewards.flatten().tolist(), "scaled": ((rewards - mean) / (std + 1e-6)).flatten().tolist(),
    "unscaled": (rewards - mean).flatten().tolist(),
}

write_json("grpo_loss.json", {
    "versions": versions("torch", "transformers", "trl"), "advantages": group_advantages,
    "tokens": tokens, "outcomes": outcomes, "step": step, "steps": steps,
})
