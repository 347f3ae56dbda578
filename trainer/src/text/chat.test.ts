/**
 * Plan. Templates in the shape of the published ones (ChatML, Qwen2.5 with its system turn, Llama 3 with bos and a date) give the expected
 * texts; a follow-up is what the template puts between an answer and the next opening; ours equals the ChatML template; broken
 * templates, templates that loop, templates that refuse or lose the text, and turns that do not continue the generation prompt are errors.
 */
import { describe, expect, it } from 'vitest';
import { CHATML_TEMPLATE, ChatTemplateError, chatFollowUp, chatPrompt, templateChat } from './chat.ts';

/** Qwen2.5-Instruct, without its tool branches. */
const QWEN =
  "{%- if messages[0]['role'] == 'system' %}\n    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n{%- else %}\n" +
  "    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}\n{%- endif %}\n{%- for message in messages %}\n" +
  "    {%- if (message.role == 'user') or (message.role == 'system' and not loop.first) or (message.role == 'assistant') %}\n" +
  "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n    {%- endif %}\n{%- endfor %}\n" +
  "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n";
/** Llama 3.2-Instruct, without its tool branches. */
const LLAMA =
  '{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- set date_string = strftime_now("%d %b %Y") %}\n{%- endif %}\n' +
  '{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}\n{{- "Today Date: " + date_string + "\\n\\n" }}\n{{- "<|eot_id|>" }}\n' +
  "{%- for message in messages %}\n    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}\n" +
  "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n";

const next = (letter: string): string => String.fromCharCode(letter.charCodeAt(0) + 1);

describe('templateChat', () => {
  it('Qwen: system turn first, follow-up from the end of the answer on', () => {
    const chat = templateChat(QWEN);
    expect(chat.prompt('Hi <b> & 你好')).toBe(`<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n${chatPrompt('Hi <b> & 你好')}`);
    expect(chat.followUp('Sure?')).toBe(chatFollowUp('Sure?'));
  });
  it('Llama: bos, a date that is not today, headers', () => {
    const chat = templateChat(LLAMA, { bos_token: '<|begin_of_text|>' });
    expect(chat.prompt('Hi')).toBe(
      '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>' +
        '<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    );
    expect(chat.followUp('Sure?')).toBe(
      '<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nSure?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
    );
  });
  it('ours is the ChatML template', () => {
    const chat = templateChat(CHATML_TEMPLATE);
    for (const text of ['hi', 'a\nb', '{{ 1 }} {% raw %}']) {
      expect(chat.prompt(text)).toBe(chatPrompt(text));
      expect(chat.followUp(text)).toBe(chatFollowUp(text));
    }
  });
  it.each([
    ['no Jinja', '{% for %}', /chat template/],
    ['one that refuses', "{{ raise_exception('no user turns here') }}", /no user turns here/],
    ['one that loses the text', 'hello', /not in what it renders/],
  ])('refuses %s', (_title, source, message) => {
    expect(() => templateChat(source)).toThrow(ChatTemplateError);
    expect(() => templateChat(source)).toThrow(message);
  });
  it.each([
    ['a range without end', '{% for i in range(10 ** 9) %}x{% endfor %}'],
    ['a huge range that nothing walks through', '{% set n = range(1000000000) %}'],
    ['nested loops', '{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}'],
    ['a loop over the text', '{% for a in messages[0].content %}{% for i in range(9999) %}{% endfor %}{% endfor %}'],
    ['a macro that calls itself', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'],
    [
      'macros that fan out',
      `${'abcdefghijklmnopqr'.replace(/./g, (n) => `{% macro ${n}() %}{{ ${next(n)}() }}{{ ${next(n)}() }}{% endmacro %}`)}{% macro s() %}{% endmacro %}{{ a() }}`,
    ],
    ['a text that doubles', "{% set ns = namespace(s='x') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}"],
  ])('gives up in time: %s', (_title, source) => {
    const started = performance.now();
    expect(() => templateChat(`${source}{{ messages[0].content }}`)).toThrow(ChatTemplateError);
    expect(performance.now() - started).toBeLessThan(5000);
  });
  it('loops as templates have them are within the bounds', () => {
    const chat = templateChat(
      '{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}{{ messages[0].content }}',
    );
    expect(chat.prompt('!')).toBe('01253!');
    const long = Array.from({ length: 4001 }, (_, i) => ({ role: i % 2 ? ('assistant' as const) : ('user' as const), content: 'x' }));
    expect(templateChat(CHATML_TEMPLATE).render(long).length).toBeGreaterThan(4001 * 20);
  });
  it('refuses a follow-up that does not continue the generation prompt', () => {
    const chat = templateChat('{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}<think>{% endif %}');
    expect(chat.prompt('a')).toBe('[a]<think>');
    expect(() => chat.followUp('b')).toThrow(/does not begin as the generation prompt does/);
  });
});
