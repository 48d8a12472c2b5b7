// What the processor can do, as far as it decides how a model is computed.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { run } from './run.js';

/** Instructions that libtorch's kernels make use of. */
export interface CpuFeatures {
  /** The processor's name. */
  model: string;
  avx2: boolean;
  avx512: boolean;
  /** Products of bf16 numbers in AVX-512. */
  avx512Bf16: boolean;
  /** Products of bf16 matrices in AMX tiles. */
  amxBf16: boolean;
  /** Arm's products of bf16 numbers. */
  armBf16: boolean;
}

/** Reads the features of this processor. */
export async function cpuFeatures(): Promise<CpuFeatures> {
  const model = cpus()[0]?.model.trim() ?? 'unknown';
  if (process.platform === 'darwin') {
    const answer = await run('sysctl', ['-n', 'hw.optional.arm.FEAT_BF16'], { timeout: 5000 });
    return { ...parseCpuInfo(''), model, armBf16: answer.stdout.trim() === '1' };
  }
  return { ...parseCpuInfo(readProc()), model };
}

function readProc(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}

/** Reads the features off the text of Linux's `/proc/cpuinfo` (`flags` on x86, `Features` on Arm). */
export function parseCpuInfo(text: string): Omit<CpuFeatures, 'model'> {
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1] ?? '';
  const flags = new Set(line.trim().split(/\s+/));
  return {
    avx2: flags.has('avx2'),
    avx512: flags.has('avx512f'),
    avx512Bf16: flags.has('avx512_bf16'),
    amxBf16: flags.has('amx_bf16'),
    armBf16: flags.has('bf16'),
  };
}
