"""Goldens of trainer/src/text from the `tokenizers` library and transformers' chat templates. Not needed to run the tests.

    venv/bin/python test/golden/tokenizers.py      # tokenizers, transformers; writes tokenizer_*.json and tokenizers.json

One tokenizer per family, trained here with that family's normaliser and pre-tokenizer: Qwen2 (NFC, single digits), Llama 3 (digits in
threes, merges ignored for whole words), GPT-2 as SmolLM2 has it. None holds the tags of our answers as tokens of their own.
tokenizers.json: 200 texts and each tokenizer's ids of them; texts of ids that are no UTF-8; the SHA-256 of the ids of each text as a user's
turn in a template of the family's shape, and whole exchanges.
"""

import sys
from pathlib import Path

# This file is named after the package that it needs.
sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent.resolve()]
import hashlib
import json
import random
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parent))
from golden import HERE, versions, write_json

WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|" + WORDS + r"|{numbers}|" + REST


def split(numbers):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT.replace("{numbers}", numbers)), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


CHATML = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
FAMILIES = {
    "qwen2": dict(
        normalizer=normalizers.NFC(), pre_tokenizer=split(r"\p{N}"), specials=CHATML,
        template="{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
        "{%- else %}{{- '<|im_start|>system\\nYou are a careful assistant.<|im_end|>\\n' }}{%- endif %}\n"
        "{%- for message in messages %}\n  {%- if message.role == 'user' or message.role == 'assistant' or (message.role == 'system' and not loop.first) %}\n"
        "    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n  {%- endif %}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n  {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n",
    ),
    "llama3": dict(
        normalizer=None, pre_tokenizer=split(r"\p{N}{1,3}"), ignore_merges=True,
        specials=["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        template="{{- bos_token }}\n{%- if messages[0]['role'] == 'system' %}\n  {%- set system = messages[0]['content'] | trim %}\n"
        "  {%- set turns = messages[1:] %}\n{%- else %}\n  {%- set system = '' %}\n  {%- set turns = messages %}\n{%- endif %}\n"
        "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}\n{{- 'Today Date: ' + date_string + '\\n\\n' }}\n{{- system }}\n{{- '<|eot_id|>' }}\n"
        "{%- for turn in turns %}\n  {{- '<|start_header_id|>' + turn['role'] + '<|end_header_id|>\\n\\n' + turn['content'] | trim + '<|eot_id|>' }}\n"
        "{%- endfor %}\n{%- if add_generation_prompt %}\n  {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n",
    ),
    "smollm2": dict(
        normalizer=None, specials=CHATML,
        pre_tokenizer=pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]),
        template="{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    ),
}

QUESTIONS = ["Which values are abnormal?", "What do the high values suggest?", "How severe is the picture overall?", "Is urea abnormal?"]
ANSWERS = ["urea HH, albumin L.", "None.", "Severe: 5 of 9 values abnormal.", "Yes, 12.4 HH."]
ENGLISH = ["the patient", "is", "aged", "years", "with", "creatinine", "lymphocyte count", "it's", "they'll", "I'd", "WE'RE", "naïve", "fièvre"]
OTHER = ["患者", "血常规", "白蛋白偏低", "死亡风险", "발열", "発熱", "Здоровье", "حمى", "ไข้", "υγεία", "e\u0301te\u0301", "A\u030A", "ﬁ"]
SYMBOLS = ["😀", "👩🏽‍⚕️", "🇩🇪", "❤️", "\u200b", "\u00a0", "\ufeff", "™", "≥", "µmol/L", "½", "²", "١٢٣", "٣", "Ⅷ"]
NUMBERS = ["0", "7", "42", "3.14", "1234567", "-0.75", "2020-02-14", "1e-5", "37.9°C", "10,000"]
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", " \n ", "\u3000"]
MARKS = [".", ",", "?", "!", "...", "(", ")", "</", ">", "{}", "=>", "--", "'", '"', "#", "\\", "_"]
BROKEN = [b"\xff", b"\xe4\xb8", b"\xf0\x9f\x98", b"a\x80b", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88"]


def step(r):
    return f"<Subquestion>{r.choice(QUESTIONS)}</Subquestion> <Answer>{r.choice(ANSWERS)}</Answer>\n"


def final(r):
    return (f"<Final subquestion>How likely is death?</Final subquestion>\n<Important Features> urea, age</Important Features>\n"
            f"<Final answer>{r.random():.2f}</Final answer>")


def text(r, specials):
    kind = r.randrange(10)
    if kind == 0:
        return step(r) + final(r)
    if kind == 1:
        return b"".join(r.choice(BROKEN + [b"ok ", "中".encode()]) for _ in range(r.randrange(1, 5))).decode("utf-8", "replace")
    if kind == 2:
        return r.choice(specials) + r.choice(ENGLISH) + r.choice(specials) + r.choice(SPACES)
    parts = []
    for _ in range(r.randrange(1, 12)):
        parts.append(r.choice(r.choice([ENGLISH, ENGLISH, OTHER, SYMBOLS, NUMBERS, MARKS])))
        parts.append(r.choice(SPACES + [" "] * 9 + [""] * 4))
    return "".join(parts)


r = random.Random(20)
all_specials = sorted({s for f in FAMILIES.values() for s in f["specials"]})
corpus = [text(r, [" "]) for _ in range(1500)] + [step(r) + final(r) for _ in range(60)] + ["Yes", "No"] * 20
texts = ["", " ", "\n", "a", "中", "😀", "'S 'll", "1234567890"] + [text(r, all_specials) for _ in range(192)]
# Not at an end: a template's `trim` takes U+FEFF away in JavaScript (String.trim), not in Python (str.strip).
texts = [re.sub(r"[\s\ufeff]*\ufeff\s*$|^\s*\ufeff[\s\ufeff]*", "", t) for t in texts]
EXCHANGES = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "1 + 1?"}],
    [{"role": "user", "content": "体温?"}, {"role": "assistant", "content": "37.9°C 😀"}, {"role": "user", "content": "  sure?\n"}],
    [{"role": "system", "content": "S"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
]


def digest(ids):
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]


families = {}
for name, family in FAMILIES.items():
    tokenizer = Tokenizer(models.BPE(ignore_merges=family.get("ignore_merges", False)))
    if family["normalizer"]:
        tokenizer.normalizer = family["normalizer"]
    tokenizer.pre_tokenizer = family["pre_tokenizer"]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in family["specials"]])
    tokenizer_json = json.loads(tokenizer.to_str())
    (HERE / f"tokenizer_{name}.json").write_text(json.dumps(tokenizer_json, ensure_ascii=False, separators=(",", ":")) + "\n")
    bos, eos = family["specials"][0], family["specials"][-1]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos, chat_template=family["template"])

    def chat(messages):
        rendered = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, date_string="26 Jul 2024")
        return rendered, tokenizer.encode(rendered, add_special_tokens=False).ids

    noise = [[r.randrange(tokenizer.get_vocab_size()) for _ in range(r.randrange(1, 9))] for _ in range(60)]
    families[name] = {
        "bos_token": bos, "eos_token": eos, "template": family["template"],
        "ids": [tokenizer.encode(t, add_special_tokens=False).ids for t in texts],
        "decoded": [{"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False)} for ids in noise],
        "chats": [{"messages": m, "text": chat(m)[0], "ids": chat(m)[1]} for m in EXCHANGES],
        "chat_digests": [digest(chat([{"role": "user", "content": t}])[1]) for t in texts],
    }
write_json("tokenizers.json", {"versions": versions("tokenizers", "transformers"), "texts": texts, **families})
