// What a saved folder keeps of the one that the model came from.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { goldenModel } from '../../test/small-task.js';
import { loadFolder } from './load.js';
import { saveModel } from './save.js';

const out = mkdtempSync(join(tmpdir(), 'promot-save-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

const kept: Record<string, string> = {
  'chat_template.jinja': '{% for m in messages %}<{{ m.role }}>\r\n{{ m.content }}{% endfor %}',
  'additional_chat_templates/tool.jinja': '{{ messages }}',
  'generation_config.json':
    '{"bos_token_id": 300, "eos_token_id": [301, 302],\n "do_sample": true, "temperature": 0.60}',
  'LICENSE.txt': 'Do as you like.\n',
};
const source = join(out, 'source');
cpSync(goldenModel('llama'), source, { recursive: true });
mkdirSync(join(source, 'additional_chat_templates'));
for (const [name, content] of Object.entries(kept)) writeFileSync(join(source, name), content);
writeFileSync(join(source, 'README.md'), '---\nlicense: gemma\ntags: [x]\n---\n\n# A model\n');

test('chat templates, generation_config.json, licence and the tokenizer stay byte for byte', async () => {
  using loaded = loadFolder(source, 'float32');
  const saved = join(out, 'saved');
  const card = {
    base: 'owner/model',
    done: ['It was fine-tuned.'],
    scores: [{ metric: 'accuracy', on: 'rte (validation)', score: 81.25 }],
  };
  await saveModel(saved, loaded, { card });
  for (const name of [...Object.keys(kept), 'tokenizer.json', 'tokenizer_config.json'])
    expect([name, readFileSync(join(saved, name))]).toEqual([name, readFileSync(join(source, name))]);
  expect(readFileSync(join(saved, 'README.md'), 'utf8')).toBe(
    [
      '---',
      'license: gemma',
      'base_model: owner/model',
      'library_name: transformers',
      'tags:',
      '  - promot',
      '---',
      '',
      '# owner/model, changed with promot',
      '',
      'This model was made from [owner/model](https://huggingface.co/owner/model).',
      '',
      '- It was fine-tuned.',
      '',
      '| measured on | metric | score |',
      '|---|---|---|',
      '| rte (validation) | accuracy | 81.3 |',
      '',
      "The base model's licence is `gemma`. Its terms hold for this model, too.",
      '',
    ].join('\n'),
  );
  using again = loadFolder(saved, 'float32');
  expect(again.kept?.license).toBe('gemma');
  expect([...again.kept!.files.keys()]).toEqual(Object.keys(kept).sort());
});

test('a path of this machine does not get into the card, and an unknown licence is said to be unknown', async () => {
  using loaded = loadFolder(goldenModel('llama'), 'float32');
  await saveModel(join(out, 'plain'), loaded, { card: { base: source, done: [] } });
  const text = readFileSync(join(out, 'plain/README.md'), 'utf8');
  expect(text).toContain('made from a local copy of source');
  expect(text).not.toContain(out);
  expect(text).toContain('licence of the base model is not known');
});
