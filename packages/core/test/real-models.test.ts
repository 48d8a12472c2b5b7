// Real models before training: tokens, scores, greedy and beam outputs equal Transformers' (golden/real.json). The
// models and the data are not in the repository: PROMOT_TEST_MODELS names the folder of the models, the data lies in
// ../shared/data beside the repository. Takes a few minutes.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generate } from '../src/generation/generate.js';
import { score } from '../src/generation/score.js';
import { type LoadedModel, loadFolder, loadGguf } from '../src/models/load.js';

interface Place {
  file: string;
  row: number;
  template: string;
}
interface Output {
  ids: number[];
  text: string;
  /** Null for greedy search. */
  score: number | null;
  sameInFloat64: boolean;
}
interface Golden {
  models: Record<
    string,
    {
      kind: string;
      endId: number;
      maxNewTokens: number;
      lengthPenalty: number;
      scores: {
        file: string;
        template: string;
        examples: {
          row: number;
          textSha256: string;
          inputTokens: number;
          inputIdsSha256: string;
          target: string;
          targetIds: number[];
          loss: number;
          logprobs: number[];
        }[];
      };
      generation: {
        exemplar: Place;
        query: Place;
        separator: string;
        textSha256: string;
        inputTokens: number;
        inputIdsSha256: string;
        greedy: Output;
        beam4: Output;
      }[];
    }
  >;
}

const golden = JSON.parse(
  readFileSync(fileURLToPath(new URL('../golden/real.json', import.meta.url)), 'utf8'),
) as Golden;
const data = fileURLToPath(new URL('../../../../shared/data', import.meta.url));
const models = process.env.PROMOT_TEST_MODELS ?? '';
const missing = Object.keys(golden.models).filter((name) => !existsSync(join(models, name)));
const why =
  models === ''
    ? 'set PROMOT_TEST_MODELS to the folder that holds them to run this'
    : missing.length > 0
      ? `PROMOT_TEST_MODELS holds no ${missing.join(', ')}`
      : existsSync(data)
        ? ''
        : 'the data is not in ../shared/data';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** A template filled from a row of a data file: `{name}` is a field, `{name.0}` the first element of a list. */
function fill({ file, row, template }: Place): string {
  const record: unknown = JSON.parse(readFileSync(join(data, file), 'utf8').split('\n')[row]!);
  return template.replace(/\{([\w.]+)\}/g, (_, path: string) =>
    String(path.split('.').reduce((at, key) => (at as Record<string, unknown>)[key], record)),
  );
}

describe.skipIf(why !== '')(`real models${why ? `: skipped, ${why}` : ''}`, () => {
  describe.each(Object.entries(golden.models))('%s', (name, expected) => {
    let loaded: LoadedModel;
    beforeAll(() => {
      const path = join(models, name);
      loaded = name.endsWith('.gguf') ? loadGguf(path, 'float32') : loadFolder(path, 'float32');
    }, 600_000);
    afterAll(() => {
      loaded.dispose();
    });

    /** The ids of a text, which must be Transformers'. */
    const encode = (text: string, wanted: { textSha256: string; inputTokens: number; inputIdsSha256: string }) => {
      expect(sha256(text)).toBe(wanted.textSha256);
      const ids = loaded.tokenizer.encode(text);
      expect(ids.length).toBe(wanted.inputTokens);
      expect(sha256(JSON.stringify(ids))).toBe(wanted.inputIdsSha256);
      return ids;
    };
    const { file, template, examples } = expected.scores;

    test('kind and end of sequence', () => {
      expect(loaded.model.kind).toBe(expected.kind);
      // A GGUF file's ends are all at which llama.cpp stops.
      expect(loaded.model.shape.endOfSequence[0]).toBe(expected.endId);
      expect(loaded.tokenizer.endOfSequence).toBe(expected.endId);
    });

    test('scores', { timeout: 600_000 }, async () => {
      const tokenized = examples.map((wanted) => {
        const input = encode(fill({ file, row: wanted.row, template }), wanted);
        const target = [...loaded.tokenizer.encode(wanted.target, { specialTokens: false }), expected.endId];
        expect(target).toEqual(wanted.targetIds);
        return { input, target };
      });
      const found = await score(loaded.model, tokenized);
      examples.forEach((wanted, i) => {
        expect(Math.abs(found[i]!.loss - wanted.loss), `row ${wanted.row}`).toBeLessThan(1e-3);
        wanted.logprobs.forEach((logprob, t) => {
          expect(Math.abs(found[i]!.logprobs[t]! - logprob), `row ${wanted.row}, token ${t}`).toBeLessThan(2e-3);
        });
      });
    });

    test.each([
      ['greedy', 1],
      ['beam4', 4],
    ] as const)(
      '%s outputs',
      async (kind, beams) => {
        const inputs = expected.generation.map((one) =>
          encode(fill(one.exemplar) + one.separator + fill(one.query), one),
        );
        const { maxNewTokens, lengthPenalty } = expected;
        const found = await generate(loaded.model, inputs, { beams, maxNewTokens, lengthPenalty });
        expected.generation.forEach((one, i) => {
          const wanted = one[kind];
          const ended = wanted.ids.at(-1) === expected.endId;
          expect(found[i]!.ids, `output ${i}`).toEqual(ended ? wanted.ids.slice(0, -1) : wanted.ids);
          expect(loaded.tokenizer.decode(found[i]!.ids)).toBe(wanted.text);
          if (wanted.score !== null) expect(found[i]!.score).toBeCloseTo(wanted.score, 3);
        });
      },
      600_000,
    );
  });
});
