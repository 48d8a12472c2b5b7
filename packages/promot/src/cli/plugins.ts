// `--plugin FILE.js`: a person's own metrics, methods, objectives, tasks and models, on every command.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { UserError } from '@promot/core/errors';

/**
 * What a plugin's file exports by default: a function that is given promot's library and registers what it adds.
 *
 * @example
 * export default ({ registerMethod }) => {
 *   registerMethod({
 *     name: 'twice',
 *     summary: 'fine-tune twice',
 *     stages: [
 *       { name: 'first', settings: 'stage2', trains: ['model'] },
 *       { name: 'second', settings: 'stage2', trains: ['model'] },
 *     ],
 *   });
 * };
 */
type Plugin = (promot: typeof import('../index.js')) => void | Promise<void>;

/** Takes `--plugin FILE` out of a command line. Errors: a UserError for a flag without a file. */
export function takePlugins(args: readonly string[]): { readonly plugins: string[]; readonly rest: string[] } {
  const plugins: string[] = [];
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const [flag, file] = args[i]!.startsWith('--plugin=') ? ['--plugin', args[i]!.slice(9)] : [args[i]!, args[i + 1]];
    if (flag !== '--plugin') {
      rest.push(flag);
      continue;
    }
    if (!file || file.startsWith('--')) throw new UserError('--plugin needs a file: --plugin my-metric.js');
    plugins.push(file);
    if (args[i] === '--plugin') i++;
  }
  return { plugins, rest };
}

/** Files whose plugin has run. */
const done = new Set<string>();

/**
 * Runs plugins in turn, each once a process. Errors: a UserError for a file that is missing, fails, or exports no
 * function.
 */
export async function runPlugins(files: readonly string[]): Promise<void> {
  for (const file of files) {
    const path = resolve(file);
    if (done.has(path)) continue;
    if (!existsSync(path)) throw new UserError(`--plugin ${file}: no such file`);
    try {
      const { default: plugin } = (await import(pathToFileURL(path).href)) as { default?: unknown };
      if (typeof plugin !== 'function')
        throw new UserError('its default export is no function: export default (promot) => { ... }');
      await (plugin as Plugin)(await import('../index.js'));
      done.add(path);
    } catch (error) {
      throw new UserError(`--plugin ${file}: ${(error as Error).message}`, { cause: error });
    }
  }
}
