// What `promot doctor` tells: the state of this machine's set-up, and one line of advice for each problem.
import { readFile } from 'node:fs/promises';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { exists } from '../files/exists.js';
import { type Compiler, compilerAdvice, findCompiler, loadProblem } from './build.js';
import { cacheFolder, displayPath, folderSize } from './cache.js';
import { type CpuFeatures, cpuFeatures } from './cpu.js';
import { type DistributedParts, distributedParts } from './distributed.js';
import { type Libtorch, locateLibtorch } from './locate.js';
import { readStamp } from './stamp.js';

/** One thing that was looked at. */
export interface Finding {
  /** What it is about, in a word or two; stable, for scripts. */
  name: string;
  /** What was found, in a line for people. */
  value: string;
  /** What is wrong, if something is. */
  problem?: string;
  /** What to do about it, in a line. Without a problem: a hint. */
  advice?: string;
}

/** The answer of `inspect`. Sizes are in bytes. */
export interface Inspection {
  /** Whether nothing is wrong. */
  ok: boolean;
  findings: Finding[];
  libtorch?: Libtorch;
  /** Path of the addon, if it has been set up. */
  addon?: string;
  compiler?: Compiler;
  cpu: CpuFeatures;
  /** Processors that this process may use, limits of its container included; may be a fraction. */
  cores: number;
  memory: { total: number; free: number };
  cache: { folder: string; size: number };
}

const GB = 1e9;
const SETUP = 'Run: promot doctor --setup';

/** Looks at everything that set-up and training depend on. Changes nothing, downloads nothing; takes about a second. */
export async function inspect(env: NodeJS.ProcessEnv = process.env): Promise<Inspection> {
  const findings: Finding[] = [nodeFinding(process.versions.node)];

  const stamp = readStamp();
  const libtorch = await inspectLibtorch(stamp?.libtorch, findings);
  const compiler = await inspectCompiler(stamp !== undefined, findings);
  const addon = await inspectAddon(stamp?.addon, libtorch, findings);

  const cpu = await cpuFeatures();
  findings.push(cpuFinding(cpu));
  const cores = Math.min(availableParallelism(), await containerCores());
  findings.push(threadsFinding(cores, availableParallelism(), env), waitPolicyFinding(env));
  findings.push(await gpuFinding(libtorch));
  if (libtorch) findings.push(processesFinding(await distributedParts(libtorch)));

  const memory = { total: Math.min(totalmem(), await containerMemory()), free: freemem() };
  findings.push(memoryFinding(memory));
  const cache = { folder: cacheFolder(env), size: await folderSize(cacheFolder(env)) };
  findings.push({ name: 'cache', value: `${displayPath(cache.folder)}, ${(cache.size / GB).toFixed(2)} GB` });

  const ok = findings.every((finding) => finding.problem === undefined);
  return { ok, findings, libtorch, addon, compiler, cpu, cores, memory, cache };
}

/** Node.js 20.15 is the first of its line with `zlib.crc32`, which checks the download. */
export function nodeFinding(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const finding = { name: 'node', value: `Node.js ${version} (${process.platform} ${process.arch})` };
  if (major > 20 || (major === 20 && minor >= 15)) return finding;
  return { ...finding, problem: 'Node.js 20.15 or later is needed', advice: 'Install a current one from nodejs.org' };
}

async function inspectLibtorch(stamped: Libtorch | undefined, findings: Finding[]): Promise<Libtorch | undefined> {
  const describe = (found: Libtorch) => {
    const from = { LIBTORCH: 'LIBTORCH', python: `the torch of ${found.python}`, cache: 'the cached download' };
    const kind = found.cuda ? 'with CUDA' : 'CPU only';
    return `${found.version}, ${kind}, in ${displayPath(found.root)} (${from[found.source]})`;
  };
  let notes: string[] = [];
  let libtorch = stamped;
  try {
    if (!libtorch) ({ libtorch, notes } = await locateLibtorch());
  } catch (error) {
    findings.push({ name: 'libtorch', value: 'not usable', problem: (error as Error).message, advice: 'See above' });
    return undefined;
  }
  if (libtorch) findings.push({ name: 'libtorch', value: describe(libtorch), advice: notes[0] });
  else {
    const problem = ['libtorch is not there yet.', ...notes].join(' ');
    findings.push({ name: 'libtorch', value: 'none', problem, advice: `${SETUP} (downloads about 200 MB)` });
  }
  return libtorch;
}

async function inspectCompiler(isSetUp: boolean, findings: Finding[]): Promise<Compiler | undefined> {
  const compiler = await findCompiler().catch((error: Error) => error);
  if (compiler instanceof Error) {
    findings.push({ name: 'compiler', value: 'not usable', problem: compiler.message, advice: 'Unset CXX' });
    return undefined;
  }
  if (compiler) findings.push({ name: 'compiler', value: `${compiler.version} (${compiler.command})` });
  // With an addon that loads a compiler is of no use.
  else if (isSetUp) findings.push({ name: 'compiler', value: 'none (not needed: the addon is there)' });
  else {
    const advice = `${compilerAdvice()}. Without one only a prebuilt addon can be used`;
    findings.push({ name: 'compiler', value: 'none', advice });
  }
  return compiler;
}

async function inspectAddon(
  addon: string | undefined,
  libtorch: Libtorch | undefined,
  findings: Finding[],
): Promise<string | undefined> {
  if (!addon) {
    const problem = libtorch ? 'the addon has not been set up yet' : 'the addon needs libtorch';
    findings.push({ name: 'addon', value: 'none', problem, advice: SETUP });
    return undefined;
  }
  const problem = await loadProblem(addon);
  const value = displayPath(addon);
  if (problem) findings.push({ name: 'addon', value, problem: `it does not load: ${problem}`, advice: SETUP });
  else findings.push({ name: 'addon', value: `loads (${value})` });
  return addon;
}

/** Says whether products of bf16 numbers are quick here: that decides the default precision. */
export function cpuFinding(cpu: CpuFeatures): Finding {
  const names: [boolean, string][] = [
    [cpu.avx2, 'AVX2'],
    [cpu.avx512, 'AVX-512'],
    [cpu.avx512Bf16, 'AVX512-BF16'],
    [cpu.amxBf16, 'AMX-BF16'],
    [cpu.armBf16, 'Arm BF16'],
  ];
  const has = names.filter(([there]) => there).map(([, name]) => name);
  const value = [cpu.model, ...has].join(', ');
  if (cpu.avx512Bf16 || cpu.amxBf16 || cpu.armBf16) return { name: 'cpu', value };
  return {
    name: 'cpu',
    value,
    advice: 'No bf16 units: fp32 is the quicker precision on this processor, bf16 takes less memory',
  };
}

/** Compares the threads that OpenMP will start with the processors there are. */
export function threadsFinding(cores: number, visible: number, env: NodeJS.ProcessEnv): Finding {
  const asked = Number(env.OMP_NUM_THREADS);
  const set = Number.isInteger(asked) && asked > 0;
  const value = `${cores} cores, ${set ? `OMP_NUM_THREADS=${asked}` : 'OMP_NUM_THREADS not set'}`;
  const whole = Math.max(1, Math.floor(cores));
  const advice = `Set OMP_NUM_THREADS=${whole}`;
  if (set && asked > cores) {
    return { name: 'threads', value, problem: `${asked} threads on ${cores} cores slow each other down`, advice };
  }
  if (!set && cores < visible) {
    const problem = `libtorch will start a thread for each of ${visible} cores, but this container may use ${cores}`;
    return { name: 'threads', value, problem, advice };
  }
  return { name: 'threads', value };
}

function waitPolicyFinding(env: NodeJS.ProcessEnv): Finding {
  const policy = env.OMP_WAIT_POLICY;
  if (policy === undefined) return { name: 'wait-policy', value: 'passive (promot sets it)' };
  const value = `OMP_WAIT_POLICY=${policy}`;
  if (policy.toLowerCase() === 'passive') return { name: 'wait-policy', value };
  // Measured: two processes of two threads on two cores ran ten times slower than one while their threads spun.
  return { name: 'wait-policy', value, advice: 'If several training processes share this machine, set it to passive' };
}

async function gpuFinding(libtorch: Libtorch | undefined): Promise<Finding> {
  const name = 'cuda';
  const text = await readFile('/proc/driver/nvidia/version', 'utf8').catch(() => '');
  // In WSL the driver shows as a device instead.
  const driver =
    /Kernel Module.*?(\d+\.\d+(\.\d+)?)/.exec(text)?.[1] ?? ((await exists('/dev/dxg')) ? 'WSL' : undefined);
  if (!driver) return { name, value: 'no NVIDIA driver' };
  if (!libtorch || libtorch.cuda) return { name, value: `NVIDIA driver ${driver}, CUDA libraries in libtorch` };
  return {
    name,
    value: `NVIDIA driver ${driver}, no CUDA libraries in libtorch`,
    problem: driver === 'WSL' ? undefined : 'there is a GPU, and this libtorch cannot use it',
    advice: 'To use a GPU, install a CUDA build (pip install torch) for python3, then run: promot doctor --setup',
  };
}

/** Whether several processes can work together, and whether their GPUs can. */
export function processesFinding({ gloo, nccl, missing }: Omit<DistributedParts, 'defines' | 'folders'>): Finding {
  const name = 'processes';
  if (!gloo) return { name, value: 'one: this libtorch was built without c10d' };
  if (missing.length === 0) return { name, value: nccl ? 'several, by Gloo and NCCL' : 'several, by Gloo' };
  const packages = 'nvidia-nccl-cu13, nvidia-cuda-crt and nvidia-cuda-cccl';
  return {
    name,
    value: `several, by Gloo; GPUs not, because ${missing.join(', ')} was not found beside libtorch`,
    advice: `For several GPUs, install ${packages} (with CUDA 12 nvidia-nccl-cu12), then run: promot doctor --setup`,
  };
}

function memoryFinding(memory: { total: number; free: number }): Finding {
  const value = `${(memory.total / GB).toFixed(1)} GB, ${(memory.free / GB).toFixed(1)} GB free`;
  if (memory.total >= 3 * GB) return { name: 'memory', value };
  const advice = 'Keep to the built-in small model, or use a machine with 8 GB or more';
  return { name: 'memory', value, problem: 'real models need more memory than that', advice };
}

/** The processors that a container is held to (cgroup v2); Infinity without a limit. */
async function containerCores(): Promise<number> {
  const [quota, period] = (await readFile('/sys/fs/cgroup/cpu.max', 'utf8').catch(() => 'max 1')).trim().split(' ');
  return quota === 'max' ? Number.POSITIVE_INFINITY : Number(quota) / Number(period);
}

/** The memory that a container is held to (cgroup v2), in bytes; Infinity without a limit. */
async function containerMemory(): Promise<number> {
  const limit = (await readFile('/sys/fs/cgroup/memory.max', 'utf8').catch(() => 'max')).trim();
  return limit === 'max' ? Number.POSITIVE_INFINITY : Number(limit);
}
