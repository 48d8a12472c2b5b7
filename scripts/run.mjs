// Starts programs in the root of the clone. Uses nothing but Node.js, because scripts/setup.mjs needs it first.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The root of the clone. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Runs a program in the root of the clone with its output shown.
 * @returns {boolean} whether it ended well.
 */
export function run(program, args, env = {}) {
  const { status, error } = spawnSync(program, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (error) console.error(`${program}: ${error.message}`);
  return status === 0;
}

/** Runs a JavaScript program of node_modules with this Node.js. */
export function runModule(path, args, env) {
  return run(process.execPath, [`node_modules/${path}`, ...args], env);
}
