import { createHash } from 'node:crypto';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, test } from 'vitest';
import { pretrainExample } from './pretraining.js';
import { LAB_TASKS } from './tasks.js';
import { LAB_VOCABULARY, labTokenizerFiles } from './tokenizer.js';

function load(kind: 'encoder-decoder' | 'decoder'): Tokenizer {
  const files = labTokenizerFiles(kind);
  return new Tokenizer(JSON.parse(files.get('tokenizer.json')!), JSON.parse(files.get('tokenizer_config.json')!));
}

describe('the lab tokenizer', () => {
  const tokenizer = load('encoder-decoder');
  const bare = load('decoder');
  const UNKNOWN = LAB_VOCABULARY.indexOf('<unk>');

  test('has the pinned vocabulary: shipped weights depend on every id', () => {
    expect(LAB_VOCABULARY.slice(0, 3)).toEqual(['<pad>', '</s>', '<unk>']);
    expect(LAB_VOCABULARY.length).toBe(557);
    expect(createHash('sha256').update(LAB_VOCABULARY.join(' ')).digest('hex')).toBe(
      'cd465b2ed1d115c83f676336e58e1636a8e20968216606a3ef10d48070bb4f20',
    );
  });

  test('gives back every text of every task, without unknown pieces', () => {
    for (const task of Object.values(LAB_TASKS)) {
      for (let i = 0; i < 60; i++) {
        const { input, target } = task.example('train', i);
        for (const text of [input, target]) {
          const { ids } = tokenizer.encode(text);
          expect(ids.at(-1)).toBe(1);
          expect(ids).not.toContain(UNKNOWN);
          expect(tokenizer.decode(ids, { skip_special_tokens: true })).toBe(text);
          expect(bare.encode(text).ids).toEqual(ids.slice(0, -1));
        }
        expect(bare.encode(target).ids.length + 1).toBeLessThanOrEqual(task.maxTargetTokens);
      }
    }
  });

  test('gives back few-shot prompts, and cuts their segments as it cuts the whole', () => {
    for (let i = 0; i < 150; i++) {
      const { input, target, segments } = pretrainExample(1, i, 1);
      const { ids } = tokenizer.encode(input);
      expect(ids).not.toContain(UNKNOWN);
      expect(tokenizer.decode(ids, { skip_special_tokens: true })).toBe(input);
      const whole = bare.encode(`${input} ${target}`).ids;
      expect(segments.flatMap(({ text }) => bare.encode(text).ids)).toEqual(whole);
    }
  });

  test('keeps the marks of the templates whole and splits other punctuation off', () => {
    expect(bare.encode('Q: Who eats figs? A: Bala').tokens).toEqual(['Q:', 'Who', 'eats', 'figs', '##?', 'A:', 'Bala']);
    expect(bare.encode('Translate Enlan to Delan: thark.').tokens.slice(3)).toEqual(['Delan', '##:', 'thark', '##.']);
    expect(bare.encode('A) red').tokens).toEqual(['A', '##)', 'red']);
    expect(bare.encode('unheard of').ids[0]).toBe(UNKNOWN);
  });

  test('pretraining meets every piece but the bracket of multiple choice', () => {
    const seen = new Set<number>([0, 1, 2]);
    for (let i = 0; i < 20_000 && seen.size < LAB_VOCABULARY.length - 1; i++) {
      const { input, target } = pretrainExample(2, i, i % 2);
      for (const id of bare.encode(`${input} ${target}`).ids) seen.add(id);
    }
    expect(LAB_VOCABULARY.filter((_, id) => !seen.has(id))).toEqual(['##)']);
  });
});
