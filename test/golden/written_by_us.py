"""The other half of written_by_us.ts: transformers and PEFT load what the trainer wrote and compute the same logits.

    venv/bin/python test/golden/written_by_us.py FOLDER
"""

import json
import pathlib
import sys

import torch
from golden import versions
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = pathlib.Path(sys.argv[1])
ours = json.loads((folder / "logits.json").read_text())


def load(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


def compare(name, model):
    with torch.no_grad():
        theirs = model(torch.tensor([ours["ids"]])).logits.flatten().double()
    error = (theirs - torch.tensor(ours[name], dtype=torch.float64)).norm() / theirs.norm()
    print(f"{name}: relative RMS of {theirs.numel()} logits {error:.1e}")
    assert error < 1e-4, name


versions("torch", "transformers", "peft")
compare("adapted", PeftModel.from_pretrained(load(ours["base"]), folder / "adapter").eval())
compare("merged", load(folder / "merged"))
prompt = AutoTokenizer.from_pretrained(folder / "merged").apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)
print(f"template: {prompt!r}")
assert prompt == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
