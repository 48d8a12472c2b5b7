import { stat } from 'node:fs/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { temporaryFolder } from '../../test/setup.js';
import { parseCpuInfo } from './cpu.js';
import { ensureAddon } from './index.js';
import { cpuFinding, inspect, nodeFinding, processesFinding, threadsFinding } from './inspect.js';

afterEach(() => vi.unstubAllEnvs());

test('processor features are read as Linux writes them', () => {
  const x86 = 'processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile\nbugs\t\t: spectre_v1\n';
  expect(parseCpuInfo(x86)).toEqual({ avx2: true, avx512: true, avx512Bf16: true, amxBf16: true, armBf16: false });
  const arm = 'processor\t: 0\nFeatures\t: fp asimd i8mm bf16\n';
  expect(parseCpuInfo(arm)).toEqual({ avx2: false, avx512: false, avx512Bf16: false, amxBf16: false, armBf16: true });
  const none = { ...parseCpuInfo(''), model: 'Old' };
  expect(cpuFinding(none)).toMatchObject({ value: 'Old', advice: expect.stringContaining('fp32') });
  expect(cpuFinding({ ...none, amxBf16: true }).advice).toBeUndefined();
});

test('Node.js before 20.15 is a problem', () => {
  expect(nodeFinding('20.14.1').problem).toBeDefined();
  for (const version of ['20.15.0', '22.1.0', '24.0.0']) expect(nodeFinding(version).problem).toBeUndefined();
});

test('more threads than cores are a problem, asked for or not', () => {
  expect(threadsFinding(4, 4, {}).problem).toBeUndefined();
  expect(threadsFinding(4, 4, { OMP_NUM_THREADS: '4' }).problem).toBeUndefined();
  expect(threadsFinding(4, 4, { OMP_NUM_THREADS: '8' }).advice).toBe('Set OMP_NUM_THREADS=4');
  expect(threadsFinding(1.5, 64, {}).advice).toBe('Set OMP_NUM_THREADS=1');
});

test('whether several processes can work together', () => {
  const parts = { gloo: true, nccl: false, missing: [] };
  expect(processesFinding(parts)).toEqual({ name: 'processes', value: 'several, by Gloo' });
  expect(processesFinding({ ...parts, nccl: true }).value).toBe('several, by Gloo and NCCL');
  expect(processesFinding({ ...parts, missing: ['nccl.h'] }).value).toContain('nccl.h was not found');
  expect(processesFinding({ ...parts, gloo: false }).value).toContain('built without c10d');
});

test('on a machine without set-up: what is missing, with advice for each problem', async () => {
  vi.stubEnv('PROMOT_CACHE', await temporaryFolder());
  vi.stubEnv('LIBTORCH', '/nowhere');
  const { ok, findings, addon } = await inspect();
  expect(ok).toBe(false);
  expect(addon).toBeUndefined();
  const problems = findings.filter((finding) => finding.problem !== undefined);
  expect(problems.map((finding) => finding.name)).toEqual(['libtorch', 'addon']);
  expect(problems.every((finding) => finding.advice !== undefined)).toBe(true);
});

test('after set-up all is well, and set-up builds nothing', async () => {
  const addon = await ensureAddon();
  const built = (await stat(addon)).ctimeMs;
  expect(await ensureAddon()).toBe(addon);
  expect((await stat(addon)).ctimeMs).toBe(built);
  const inspection = await inspect();
  expect(inspection.addon).toBe(addon);
  for (const name of ['libtorch', 'addon']) {
    expect(inspection.findings.find((finding) => finding.name === name)?.problem).toBeUndefined();
  }
}, 900_000); // Compiles the addon where that has not been done.
