// Process groups with real processes over Gloo: collectives against their definition, and what is said when a rank
// fails.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { child, ended, freePort, Ranks } from './ranks.js';

const ranks = new Ranks();
afterAll(() => ranks.close());

const range = (length: number) => Array.from({ length }, (_, i) => i);

/** What `collectives` of ranks-child.mjs must give, from the collectives' definition. */
function expected(rank: number, size: number) {
  const own = (r: number) => [r + 1, 10 * (r + 1), 2 - r, 3];
  const total = (f: (r: number) => number) => range(size).reduce((sum, r) => sum + f(r), 0);
  const sum = range(4).map((i) => total((r) => own(r)[i] ?? 0));
  return {
    sum,
    max: range(4).map((i) => Math.max(...range(size).map((r) => own(r)[i] ?? 0))),
    many: [sum, sum.map((x) => 2 * x)],
    gathered: range(size).flatMap(own),
    scattered: [0, 1].map((i) => total((r) => 2 * rank + i + r)),
    broadcast: own(size - 1),
  };
}

test.each([2, 4])('every collective equals its definition with %i ranks, in fp32, bf16 and int64', async (size) => {
  const all = await ranks.play(size, 'collectives');
  for (const [rank, { said, stderr, code }] of all.entries()) {
    const values = expected(rank, size);
    expect({ said, stderr, code }).toEqual({
      said: {
        result: {
          float32: values,
          bfloat16: values,
          int64: values,
          several: range(8).map((i) => range(size).reduce((sum, r) => sum + r + i, 0)),
          store: { text: 'größer', sum: (size * (size + 1)) / 2, absent: false },
          broadcast: { rank: size - 1, list: [0.1, 'ü'] },
          gathered: range(size).map((r) => 'x'.repeat(r)),
        },
      },
      stderr: '',
      code: 0,
    });
  }
});

test.each([2, 4])('gradients over %i ranks (of 4 one is idle) are those of the whole batch', async (size) => {
  for (const { said, stderr } of await ranks.play(size, 'buckets')) {
    expect(stderr).toBe('');
    const { steps } = said!.result as { steps: { differences: Record<string, number | null>; leaked: number }[] };
    expect(steps).toHaveLength(2);
    for (const { differences, leaked } of steps) {
      const { unused, narrow, ...wide } = differences;
      for (const difference of Object.values(wide)) expect(difference).toBeLessThan(1e-6);
      expect(Object.keys(wide)).toEqual(['embedding', 'inner', 'outer']);
      // Summed in float32 and rounded to bfloat16, where one process rounds after each example.
      expect(narrow).toBeLessThan(2 ** -7);
      expect(unused).toBeNull();
      expect(leaked).toBe(0);
    }
  }
});

describe.concurrent('one message names the rank', () => {
  test.each([
    [0, 2],
    [2, 3],
  ])('rank %i of %i is killed: the others end within 10 s', async (victim, size) => {
    const all = await ranks.play(size, 'killed', { rank: victim });
    for (const [rank, { code, said, stderr }] of all.entries()) {
      if (rank === victim) continue;
      expect(code).toBe(1);
      expect(stderr).toBe('');
      expect(said?.ms).toBeLessThan(10_000);
      // Rank 0 keeps the store: without it there is nobody to ask.
      if (victim === 0)
        expect(said?.error).toMatch(
          /^all_reduce \d failed: rank 0, which keeps the store, has ended or is out of reach\.$/,
        );
      else
        expect(said?.error).toMatch(
          /^all_reduce \d failed: rank 2 gives no sign of life \(ended, stopped or out of reach.*\)\.$/,
        );
    }
  });

  test('a rank is killed that the others wait for patiently', async () => {
    const [zero] = await ranks.play(2, 'killedBehind', { rank: 1 });
    expect(zero?.said?.error).toMatch(/^waiting for rank 1 to meet: rank 1 gives no sign of life/);
    expect(zero?.said?.ms).toBeLessThan(10_000);
    const [, one] = await ranks.play(2, 'killedBehind', { rank: 0 });
    expect(one?.said?.error).toMatch(/^waiting for the others to meet: rank 0, which keeps the store, has ended/);
  });

  test('a rank hangs: named when the time is up', async () => {
    const [zero] = await ranks.play(2, 'hangs', { seconds: 4 });
    expect(zero?.said?.error).toBe(
      'all_reduce 3 did not end within 4 s: rank 1 runs but has not come to it; last seen at all_reduce 2.',
    );
  });

  test.each([
    [0, 2],
    [2, 3],
  ])('rank %i of %i fails by an error of its own: the others say which', async (rank, size) => {
    const all = await ranks.play(size, 'fails', { rank });
    expect(all.map(({ said }) => said?.error)).toEqual(
      range(size).map((r) =>
        r === rank ? 'the disk is full' : `all_reduce 2 failed: rank ${rank} stopped: the disk is full.`,
      ),
    );
  });

  test('other seeds are refused with both values', async () => {
    for (const { said } of await ranks.play(3, 'disagrees'))
      expect(said?.result).toBe('the ranks do not agree. seed: ranks 0 and 2 have 7, rank 1 has 8.');
  });

  test('a rank that does not start, and one that is there twice', async () => {
    const port = String(await freePort());
    const env = { WORLD_SIZE: '3', MASTER_ADDR: '127.0.0.1', MASTER_PORT: port };
    const one = (variables: object) =>
      ended(process.execPath, [child, 'env', '{"seconds":8}'], { ...env, ...variables });
    const [zero, ...twins] = await Promise.all([
      one({ RANK: '0' }),
      one({ RANK: '1' }),
      one({ RANK: '1' }),
      one({ RANK: '2', MASTER_PORT: '1' }),
    ]);
    const alone = twins.pop();
    expect(zero?.said?.error).toBe('rank 2 of 3 did not come to start within 8 s.');
    expect(twins.map(({ said }) => said?.error)).toContain('two processes say that they are rank 1 of 3.');
    expect(alone?.said?.error).toMatch(/^rank 2 cannot reach rank 0's store at 127\.0\.0\.1:1 /);
  });
});

/** Two hosts with a cable between them, as Linux can have them in one machine; undefined where that is not allowed. */
function twoHosts(): { run: (host: number, command: string) => boolean; remove: () => void } | undefined {
  const name = (host: number) => `promot-${process.pid}-${host}`;
  const ip = (...args: string[]) => spawnSync('ip', args).status === 0;
  const run = (host: number, command: string) => ip('-n', name(host), ...command.split(' '));
  const remove = () => [0, 1].forEach((host) => void ip('netns', 'del', name(host)));
  const made =
    [0, 1].every((host) => ip('netns', 'add', name(host))) &&
    ip('link', 'add', 'eth9', 'netns', name(0), 'type', 'veth', 'peer', 'name', 'eth9', 'netns', name(1)) &&
    [0, 1].every((host) =>
      [`addr add 10.99.0.${host + 1}/24 dev eth9`, 'link set eth9 up', 'link set lo up'].every((one) => run(host, one)),
    );
  if (made) return { run, remove };
  remove();
  return undefined;
}
const hosts = twoHosts();
afterAll(() => hosts?.remove());

test.skipIf(!hosts)('the cable between two machines is cut: each side names the other', async () => {
  let underWay = 0;
  const cut = () => {
    if (++underWay === 2) hosts?.run(1, 'link set eth9 down');
  };
  const env = { WORLD_SIZE: '2', MASTER_ADDR: '10.99.0.1', MASTER_PORT: '29500', GLOO_SOCKET_IFNAME: 'eth9' };
  const [zero, one] = await Promise.all(
    [0, 1].map((rank) => {
      const command = ['netns', 'exec', `promot-${process.pid}-${rank}`, process.execPath, child, 'goesOn'];
      return ended('ip', [...command, '{"seconds":6}'], { ...env, RANK: String(rank) }, cut);
    }),
  );
  expect(zero?.said?.error).toMatch(/^all_reduce \d+ did not end within 6 s: rank 1 gives no sign of life/);
  expect(one?.said?.error).toMatch(/^all_reduce \d+ did not end within 6 s: rank 0, which keeps the store, has ended/);
});

const torchrun = [
  process.env.TORCHRUN ?? '',
  ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'torchrun')),
].find((path) => path !== '' && existsSync(path));

test.skipIf(!torchrun)('torchrun starts the ranks, its agent keeps the store', async () => {
  const args = ['--no-python', '--nproc-per-node', '2', '--master-port', String(await freePort())];
  const { code, said } = await ended(torchrun ?? '', [...args, process.execPath, child, 'env'], {});
  expect({ code, said }).toMatchObject({ code: 0, said: { result: { size: 2, sum: 1 } } });
});
