// Runs a program that answers one request (lib/answer.mjs) in a process with limits of time and memory.
import { fork } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

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
      else if (isHung(child.pid, started, seconds)) end('hung', `no answer in ${seconds} s`);
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

/**
 * Whether a process has worked for so many seconds. On a busy machine it may wait for the processor: that counts little.
 * @param started when it was given its work, by the clock
 * @param before seconds of work until then
 */
export function isHung(pid, started, seconds, before = 0) {
  const waited = (Date.now() - started) / 1000;
  return waited > 10 * seconds || (waited > seconds && workOf(pid) - before > seconds);
}

/** Seconds of processor time of a process on Linux; infinite elsewhere, where only the clock tells. */
export function workOf(pid) {
  try {
    const [, fields] = /^.*\) (.*)$/su.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    // utime and stime, in hundredths of a second.
    const [user, system] = fields.split(' ').slice(11, 13);
    return (Number(user) + Number(system)) / 100;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/**
 * Seconds for which the threads of a process waited for a processor, on Linux; the most of one thread. 0 elsewhere and
 * where the process has ended.
 */
export function delayOf(pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    // Nanoseconds at work, nanoseconds in the queue, turns.
    const waits = threads.map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[1]));
    return Math.max(...waits) / 1e9;
  } catch {
    return 0;
  }
}

/** Resident memory on Linux; 0 elsewhere. */
export function megabytesOf(pid) {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
