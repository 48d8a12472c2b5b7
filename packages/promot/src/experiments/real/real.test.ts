// The real experiment end to end, on a golden model of a few thousand numbers: what is written, resumed and reported.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { looksOf, runReal } from './experiment.js';
import { frontFigure, looksTable, meanKept } from './report.js';

const data = fileURLToPath(new URL('../../../../../../shared/data', import.meta.url));
const model = fileURLToPath(new URL('../../../../core/golden/models/llama', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'promot-real-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe.skipIf(!existsSync(data))('with real data (skipped where ../shared/data is absent)', () => {
  const only = ['before', 'fine-tune-0.00001', 'promot-0.00001'];
  const lengths = { prompt: 2, model: 2, look: 1 };
  const lines: string[] = [];
  const request = {
    model,
    data,
    out,
    lengths,
    only,
    limit: 2,
    seed: 0,
    target: 'real-snli',
    precision: 'fp32' as const,
    onLine: (line: string) => lines.push(line),
  };

  test('every arm is trained once, its prompt before it; a look at each kept checkpoint', async () => {
    expect(await runReal(request)).toBe(true);
    expect(lines.filter((line) => line.endsWith('begins'))).toEqual(
      ['before', 'prompt', 'fine-tune-0.00001', 'promot-0.00001'].map((arm) => `${arm}: begins`),
    );
    const looks = looksOf(request);
    expect(looks.map(({ arm, step }) => `${arm} ${step}`)).toEqual([
      'before 0',
      'fine-tune-0.00001 1',
      'fine-tune-0.00001 2',
      'promot-0.00001 1',
      'promot-0.00001 2',
    ]);
    for (const { kept } of looks) {
      for (const value of Object.values(kept)) expect(Number.isFinite(value)).toBe(true);
      expect(Object.keys(kept)).toContain('bits a byte');
    }
    expect(looks.at(-1)!.targetWithoutPrompt).toBeTypeOf('number');
    lines.length = 0;
    expect(await runReal(request)).toBe(true);
    expect(lines).toEqual([]);
  });

  test('the report has a row a look and a series a method and rate', () => {
    const looks = looksOf(request);
    expect(looksTable(looks).rows).toHaveLength(5);
    expect(frontFigure(looks).series.map(({ name }) => name)).toEqual([
      'before',
      'fine-tuning, rate 0.00001',
      'ProMoT, rate 0.00001',
    ]);
    expect(meanKept(looks[0]!)).toBeGreaterThanOrEqual(0);
  });

  test('an unknown arm is refused', async () => {
    await expect(runReal({ ...request, only: ['fine-tune-7'] })).rejects.toThrow(/no arm "fine-tune-7"/u);
  });
});
