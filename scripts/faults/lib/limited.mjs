// Programs that answer requests (lib/answer.mjs), each in a process with limits of time and memory.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';

/**
 * A program that is asked one request after the other. It is started where it is not there, and where it has ended.
 * Limits: `seconds` of work for a request, `megabytes` of resident memory.
 */
export class LimitedProcess {
  #child;
  #closed;
  #errors = '';

  constructor(script, { seconds, megabytes, env = {}, execArgv = [] }) {
    Object.assign(this, { script, seconds, megabytes, env, execArgv });
  }

  /**
   * Resolves to the program's answer, { outcome, name, message, stack, notes, ... }. Where it gives none the outcome is
   * crashed, hung or memory.
   */
  async ask(request) {
    const child = await this.#ready();
    const none = { name: '', message: '', stack: '', notes: [] };
    return new Promise((resolve) => {
      const started = Date.now();
      const before = workOf(child.pid);
      const finish = (result) => {
        clearInterval(watch);
        child.off('message', finish);
        resolve(result);
      };
      const end = (outcome, message) => {
        this.#child = undefined;
        child.kill('SIGKILL');
        finish({ ...none, outcome, message });
      };
      const watch = setInterval(() => {
        if (megabytesOf(child.pid) > this.megabytes) end('memory', `more than ${this.megabytes} MB`);
        else if (isHung(child.pid, started, this.seconds, before)) end('hung', `no answer in ${this.seconds} s`);
      }, 50);
      child.on('message', finish);
      this.#closed.then(([code, signal]) => {
        if (this.#child === child) this.#child = undefined;
        finish({ ...none, outcome: 'crashed', message: `${signal ?? `exit ${code}`}: ${this.#errors.slice(-600)}` });
      });
      child.send(request);
    });
  }

  /** Lets the program end, and resolves to what it wrote to standard error since it was started. */
  async stop() {
    const child = this.#child;
    this.#child = undefined;
    if (child) {
      child.disconnect();
      // At its exit a program may hang, too.
      const kill = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await this.#closed;
      clearTimeout(kill);
    }
    return this.#errors;
  }

  async #ready() {
    if (this.#child) return this.#child;
    this.#errors = '';
    const child = fork(this.script, [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, OMP_NUM_THREADS: '1', ...this.env },
      execArgv: this.execArgv,
    });
    child.stderr.on('data', (bytes) => {
      this.#errors = (this.#errors + bytes).slice(-20_000);
    });
    // After `disconnect` here, Node.js emits no 'close' of the child.
    this.#closed = Promise.all([once(child, 'exit'), once(child.stderr, 'close')]).then(([how]) => how);
    const isReady = await Promise.race([
      new Promise((resolve) => child.once('message', () => resolve(true))),
      this.#closed.then(() => false),
    ]);
    if (!isReady) throw new Error(`${this.script} does not start: ${this.#errors}`);
    this.#child = child;
    return child;
  }
}

/** Asks a program of its own one request. To the answer is added what it wrote as `errors`. */
export async function runLimited(script, request, limits) {
  const program = new LimitedProcess(script, limits);
  const answer = await program.ask(request);
  return { ...answer, errors: await program.stop() };
}

/**
 * Whether a process has worked for so many seconds. On a busy machine it may wait for the processor: that counts
 * little.
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
