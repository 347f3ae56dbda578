"""Golden of what generation draws from: transformers' logits processors, in the order in which its `generate` runs them.

    venv/bin/python test/golden/sampling.py      # torch, transformers

Repetition penalty, temperature, top-k, top-p, min-p on rows of 24 logits with the tokens that each sequence holds; written are the
log-probabilities of the next token (null: removed). Not needed to run the tests.
"""

import itertools

import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from golden import numbers, versions, write_json

VOCAB = 24
generator = torch.Generator().manual_seed(20)
cases = []
for penalty, temperature, top_k, top_p, min_p in itertools.chain(
    [(1.0, 1.0, 0, 1.0, 0.0), (1.3, 1.0, 0, 1.0, 0.0), (0.8, 0.7, 0, 1.0, 0.0), (1.0, 1.5, 0, 1.0, 0.1), (1.0, 1.0, 6, 1.0, 0.2)],
    itertools.product([1.0, 1.2], [0.6, 1.4], [0, 10], [1.0, 0.85], [0.0, 0.07]),
):
    logits = 2 * torch.randn(1, VOCAB, generator=generator)
    tokens = torch.randint(VOCAB, (1, 12), generator=generator)
    processors = LogitsProcessorList()
    if penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(penalty))
    processors.append(TemperatureLogitsWarper(temperature))
    if top_k > 0:
        processors.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        processors.append(TopPLogitsWarper(top_p))
    if min_p > 0:
        processors.append(MinPLogitsWarper(min_p))
    scores = processors(tokens, logits.double())
    logprobs = torch.log_softmax(scores, dim=-1)[0].tolist()
    cases.append({
        "penalty": penalty, "temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p,
        "tokens": tokens[0].tolist(), "logits": numbers(logits[0]),
        "logprobs": [None if p == float("-inf") else numbers(p) for p in logprobs],
    })
write_json("sampling.json", {"versions": versions("torch", "transformers"), "cases": cases})
