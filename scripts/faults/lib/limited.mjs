// Runs a program that answers one request (lib/answer.mjs) in a process with limits of time and memory.
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Resolves to the program's answer, { outcome, message, notes, ... }; where it gives none, the outcome is crashed, hung
 * or memory.
 */
export function runLimited(script, request, { seconds, megabytes, env = {} }) {
  const child = fork(script, [], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, OMP_NUM_THREADS: '1', ...env },
  });
  let errors = '';
  child.stderr.on('data', (bytes) => {
    errors = (errors + bytes).slice(-20_000);
  });
  return new Promise((resolve) => {
    const started = Date.now();
    let told;
    const end = (outcome, message) => {
      told ??= { outcome, name: '', message, stack: '', notes: [] };
      child.kill('SIGKILL');
    };
    const watch = setInterval(() => {
      if (megabytesOf(child.pid) > megabytes) end('memory', `more than ${megabytes} MB`);
      else if (Date.now() - started > 1000 * seconds) end('hung', `no answer in ${seconds} s`);
    }, 100);
    child.on('message', (answer) => {
      told ??= answer;
    });
    child.on('close', (code, signal) => {
      clearInterval(watch);
      told ??= {
        outcome: 'crashed',
        name: '',
        message: `${signal ?? `exit ${code}`}: ${errors}`,
        stack: '',
        notes: [],
      };
      resolve({ ...told, errors });
    });
    child.send(request);
  });
}

/** Resident memory on Linux; 0 elsewhere. */
export function megabytesOf(pid) {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
