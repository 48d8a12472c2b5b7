// A short form of `npm run faults`, and that its campaigns would find a fault.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test, vi } from 'vitest';

const scripts = new URL('../../../scripts/faults/', import.meta.url);
const load = async <T>(name: string) => (await import(/* @vite-ignore */ new URL(name, scripts).href)) as T;
const folder = mkdtempSync(join(tmpdir(), 'promot-faults-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// `kill` is `checkpoints` without the damage.
test.each([
  ['fuzz', { cases: 44 }, /: 44 files, \d+ read, \d+ refused, 0 faults of 0 sorts/u],
  ['damage', { cases: 40, kind: 'run' }, /: 40 files, \d+ read, \d+ refused, 0 faults of 0 sorts/u],
  ['hub', { cases: 4 }, /: 4 cases, .* 0 faults/u],
  ['addon', { cases: 500 }, /addon, seed 1: 500 calls .* 0 faults/u],
  ['leak', { cases: 20, kind: 'steps' }, /leak: 20 steps of training .* 0 faults/u],
  ['checkpoints', { cases: 1, kind: 'prompt-tune', seed: 6 }, /: 1 runs, [12] kills.* 1 equal, 0 faults/u],
  ['ranks', { cases: 1, kind: 'prompt-tune' }, /: 1 runs, 1 kills.* 0 faults/u],
])('%s finds nothing', { timeout: 900_000 }, (name, more, expected) => {
  const url = JSON.stringify(new URL(`${name}.mjs`, scripts));
  const options = JSON.stringify({ minutes: 10, seed: 1, ...more });
  const program = `const { run } = await import(${url}); process.exitCode = await run(${options})`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  expect(output).toMatch(expected);
});

interface Answer {
  readonly outcome: string;
  readonly message: string;
  readonly notes?: readonly string[];
  readonly stack?: string;
}

describe('what a campaign would find', () => {
  test('a program that crashes, hangs, takes memory, leaves a promise alone, or fails with another error', async () => {
    const { LimitedProcess } = await load<{
      LimitedProcess: new (
        script: string,
        limits: object,
      ) => { ask(request: string): Promise<Answer>; stop(): Promise<string> };
    }>('lib/limited.mjs');
    const script = fileURLToPath(new URL('fixtures/bad-program.mjs', import.meta.url));
    const program = new LimitedProcess(script, { seconds: 0.3, megabytes: 200 });
    const outcomes: string[] = [];
    for (const request of ['fine', 'refuse', 'fail', 'reject', 'crash', 'hang', 'eat', 'fine']) {
      const { outcome, message } = await program.ask(request);
      outcomes.push(`${request}: ${outcome} ${message.slice(0, 40)}`);
    }
    await program.stop();
    expect(outcomes).toEqual([
      'fine: loaded ',
      'refuse: refused no',
      'fail: failed null has no keys',
      'reject: crashed exit 97: unhandled rejection: Error: alo',
      'crash: crashed SIGSEGV: ',
      'hang: hung no answer in 0.3 s',
      'eat: memory more than 200 MB',
      'fine: loaded ',
    ]);
  });

  test('a file that is not refused as it should be', async () => {
    const { campaign } = await load<{
      campaign(options: object, cases: (entries: Entry[]) => Iterable<object>): Promise<number>;
    }>('lib/campaign.mjs');
    interface Entry {
      readonly folder: string;
      readonly sound: ReadonlyMap<string, Buffer>;
    }
    const answers = [
      { outcome: 'loaded', message: '' },
      { outcome: 'refused', message: 'FOLDER/results.json: no' },
      { outcome: 'failed', message: 'x is not a function' },
      { outcome: 'hung', message: 'no answer' },
      { outcome: 'refused', message: 'no' },
      { outcome: 'refused', message: 'FOLDER: a\nb' },
      { outcome: 'refused', message: 'FOLDER: \u001b[2J' },
      { outcome: 'refused', message: `FOLDER: ${'a'.repeat(2000)}` },
    ];
    let asked = 0;
    // The first question is after the sound files.
    const reader = {
      ask: async ({ folder: place }: { folder: string }) => {
        const { outcome, message } = answers[Math.max(0, asked++ - 1)]!;
        return { outcome, name: '', message: message.replace('FOLDER', place) };
      },
      stop: async () => {},
    };
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    const found = await campaign({ title: 'planted', minutes: 1, kind: 'results', reader }, function* ([entry]) {
      for (const what of answers.keys()) yield { entry, file: 'results.json', bytes: Buffer.from('{}'), what };
    });
    const said = log.mock.calls.map(([line]) => String(line));
    log.mockRestore();
    expect(found).toBe(6);
    expect(said.filter((line) => line.startsWith('FAULT results/results.json'))).toHaveLength(6);
    const [files] = said.slice(-1);
    rmSync(join(files!.replace(/^files of the faults: /u, ''), '..'), { recursive: true });
  });

  test('a resumed run with other bytes, other metrics, or something left over', async () => {
    const { difference, filesOf } = await load<{
      filesOf(run: string): Map<string, string>;
      difference(whole: Map<string, string>, found: Map<string, string>): string | undefined;
    }>('lib/runs.mjs');
    const run = (name: string, weights: string, loss: number, more?: string) => {
      const out = join(folder, name);
      mkdirSync(join(out, 'model'), { recursive: true });
      writeFileSync(join(out, 'model', 'model.safetensors'), weights);
      writeFileSync(join(out, 'metrics.jsonl'), `${JSON.stringify({ step: 1, loss, elapsed: Math.random() })}\n`);
      if (more) writeFileSync(join(out, more), '');
      return filesOf(out);
    };
    const whole = run('whole', 'abc', 1);
    expect(difference(whole, run('same', 'abc', 1))).toBeUndefined();
    expect(difference(whole, run('bit', 'abb', 1))).toMatch(/^model\/model\.safetensors is not that/u);
    expect(difference(whole, run('loss', 'abc', 1.0000001))).toMatch(/^metrics\.jsonl is not that/u);
    expect(difference(whole, run('lock', 'abc', 1, 'lock'))).toMatch(/^lock is not that/u);
    expect(difference(whole, run('left', 'abc', 1, 'a.tmp-0123abcd'))).toMatch(/^a\.tmp/u);
  });

  test('ranks that do not end, or do not say whose fault it is', async () => {
    const { judge } = await load<{ judge(ranks: object[], hurt: object, about: object): void }>('ranks.mjs');
    const found = (other: object) => {
      const faults: string[] = [];
      const about = { name: 'killed', size: 2, story: '', count: { hurts: {}, kills: 0, slowest: 0 } };
      const victim = { code: 'SIGKILL', stderr: '', seconds: 0 };
      const rank = { code: 1, stderr: 'DistributedError: rank 0 is gone\n', seconds: 1, ...other };
      judge([victim, rank], { way: {}, rank: 0 }, { ...about, fault: (what: string) => faults.push(what) });
      return faults;
    };
    expect(found({})).toEqual([]);
    expect(found({ seconds: 11 })).toEqual([expect.stringContaining('ended 11.0 s after it')]);
    expect(found({ stderr: 'Error: broken pipe\n' })).toEqual([expect.stringContaining('does not say')]);
    expect(found({ code: 'SIGSEGV' })).toHaveLength(1);
  });

  test('a download that is wrong, gives up, or says nothing', async () => {
    const { judge } = await load<{ judge(answer: Answer, about: object): string | undefined }>('hub.mjs');
    const refused = { outcome: 'refused', message: 'model owner/name: no', notes: [] };
    const about = { passes: true, hurt: 1, times: 1000, leaked: [], folder: join(folder, 'hub') };
    mkdirSync(join(folder, 'hub', 'cache'), { recursive: true });
    expect(judge(refused, about)).toBeUndefined();
    expect(judge(refused, { ...about, times: 1 })).toMatch(/not outlived/u);
    expect(judge(refused, { ...about, leaked: ['secret'] })).toMatch(/^the token went/u);
    expect(judge({ ...refused, message: 'no' }, about)).toMatch(/does not say where/u);
    expect(judge({ ...refused, outcome: 'hung' }, about)).toMatch(/^hung/u);
    expect(judge({ ...refused, outcome: 'loaded', message: folder }, about)).toMatch(/is not what the hub has/u);
    writeFileSync(join(folder, 'hub', 'evil'), '');
    expect(judge(refused, about)).toMatch(/outside of the cache: evil/u);
  });

  test('memory that grows, tensors that stay, and what a sanitizer says', async () => {
    const { judge } = await load<{ judge(samples: object[], turn: number): { found: string[] } }>('leak.mjs');
    const { reportIn } = await load<{ reportIn(errors: string): string | undefined }>('addon.mjs');
    const samples = (megabytes: (i: number) => number, tensors: (i: number) => number) =>
      Array.from({ length: 20 }, (_, i) => ({ megabytes: megabytes(i), tensors: tensors(i) }));
    const steady = () => 54;
    expect(
      judge(
        samples(() => 200, steady),
        4,
      ).found,
    ).toEqual([]);
    expect(
      judge(
        samples((i) => 200 + 2 * i, steady),
        4,
      ).found,
    ).toEqual([expect.stringMatching(/^24 MB more/u)]);
    expect(
      judge(
        samples(
          () => 200,
          (i) => 54 + i,
        ),
        4,
      ).found,
    ).toEqual([expect.stringMatching(/^live tensors 55/u)]);
    expect(reportIn('x\n==7==ERROR: AddressSanitizer: heap-use-after-free\n')).toMatch(/heap-use/u);
    expect(reportIn('a.cc:3:4: runtime error: shift exponent 65')).toMatch(/shift/u);
    expect(reportIn('a warning')).toBeUndefined();
  });
});
