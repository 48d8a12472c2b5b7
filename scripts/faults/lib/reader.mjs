// Reads files in a child process with limits of time and memory, and says what became of it.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isHung, megabytesOf, workOf } from './limited.mjs';

const script = fileURLToPath(new URL('child.mjs', import.meta.url));
/** Of work for a file. Small files take milliseconds. */
const secondsPerFile = 30;
/** Resident memory of the child; libtorch takes 0.3 GB of it. */
const largestMegabytes = 1500;

/** One child at a time; a new one is started where the last has ended. */
export class Reader {
  #child;
  #errors = '';

  /**
   * Reads a folder. Resolves to { outcome, name, message, stack }; outcomes: loaded, refused, failed, crashed, hung,
   * memory.
   */
  async read(kind, folder) {
    const child = await this.#ready();
    return new Promise((resolve) => {
      const started = Date.now();
      const before = workOf(child.pid);
      const finish = (result) => {
        clearInterval(watch);
        child.off('message', finish);
        child.off('exit', onExit);
        resolve(result);
      };
      const end = (outcome, message) => {
        this.#child = undefined;
        child.kill('SIGKILL');
        finish({ outcome, name: '', message, stack: '' });
      };
      const onExit = (code, signal) => {
        this.#child = undefined;
        finish({
          outcome: 'crashed',
          name: '',
          message: `${signal ?? `exit ${code}`}: ${this.#errors.slice(-600)}`,
          stack: '',
        });
      };
      const watch = setInterval(() => {
        if (megabytesOf(child.pid) > largestMegabytes) end('memory', `more than ${largestMegabytes} MB`);
        else if (isHung(child.pid, started, secondsPerFile, before)) end('hung', `no answer in ${secondsPerFile} s`);
      }, 100);
      child.on('message', finish);
      child.on('exit', onExit);
      child.send({ kind, folder });
    });
  }

  stop() {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  async #ready() {
    if (this.#child) return this.#child;
    this.#errors = '';
    const env = { ...process.env, OMP_NUM_THREADS: '1' };
    const child = fork(script, [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env,
      execArgv: ['--max-old-space-size=700'],
    });
    child.stderr.on('data', (bytes) => {
      this.#errors = (this.#errors + bytes).slice(-4000);
    });
    await new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => reject(new Error(`the reader does not start (exit ${code}): ${this.#errors}`)));
    });
    child.removeAllListeners('exit');
    this.#child = child;
    return child;
  }
}
