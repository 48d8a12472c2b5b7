// The task that a person names beside a model: a run knows its own by their names.
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isRun, readRun } from '../artifacts/run-file.js';
import { UserError } from '../base/errors.js';
import { adapterAtUse, methods } from '../methods/index.js';
import { isNamedTask, isTaskFile, loadTask } from '../tasks/registry.js';

/**
 * What to give to `loadTask` for a task that is named beside a model: the path of a run's own task file where the name
 * is that task's, else the name as it stands. The file may lie in the run folder (`task.yaml`), also where the run was
 * moved. Errors: a UserError for a name that is no task's, beside a run with a task file of its own.
 *
 * @example await loadTask(await taskBeside('runs/tickets', 'tickets'));
 */
export async function taskBeside(model: string, name: string): Promise<string> {
  if (isTaskFile(name) || isNamedTask(name) || !existsSync(model) || !isRun(model)) return name;
  const own = readRun(model).tasks.filter(isTaskFile);
  const names: string[] = [];
  for (const path of [join(model, 'task.yaml'), ...own]) {
    if (!existsSync(path)) continue;
    const found = (await loadTask(path, { templatesOnly: true })).name;
    if (found === name) return path;
    names.push(found);
  }
  if (names.length > 0 && !name.includes('@'))
    throw new UserError(
      `unknown task "${name}": ${model} was trained on ${[...new Set(names)].join(', ')}. ` +
        'Other tasks of your own are paths that end in .yaml',
    );
  return name;
}

/** Whether a task is one that a run was trained on. */
async function isTaskOfRun(model: string, nameOrPath: string): Promise<boolean> {
  if (!existsSync(model) || !isRun(model)) return false;
  const load = async (one: string) => (await loadTask(one, { templatesOnly: true })).name;
  const name = await load(nameOrPath);
  for (const own of readRun(model).tasks) {
    if (isTaskFile(own) && !existsSync(own)) {
      if (nameOrPath === join(model, 'task.yaml')) return true;
    } else if ((await load(own)) === name) return true;
  }
  return false;
}

/**
 * The adapter folder that a run asks one of its own tasks with: a soft prompt, or the LoRA of `lora-first`. Undefined
 * for another task, and for a run that has no adapter. `nameOrPath` is what `taskBeside` gave.
 */
export async function adapterOfTask(model: string, nameOrPath: string): Promise<string | undefined> {
  if (!(await isTaskOfRun(model, nameOrPath))) return undefined;
  const { name } = await loadTask(nameOrPath, { templatesOnly: true });
  const prompt = [join(model, 'prompts', name), join(model, 'prompt')].find((folder) => existsSync(folder));
  if (prompt !== undefined) return prompt;
  // Of other methods, LoRA is in the model's weights.
  const method = methods.find(readRun(model).method);
  const lora = join(model, 'lora');
  return method && adapterAtUse(method) === 'lora' && existsSync(lora) ? lora : undefined;
}

/** What messages call the adapter in such a folder. */
export function adapterName(folder: string): string {
  return basename(folder) === 'lora' ? 'LoRA' : 'soft prompt';
}
